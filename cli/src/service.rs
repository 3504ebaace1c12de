//! `batonctl get service`.

use api::{Endpoint, Service, path};

use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{select, show, table, yes};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Name or VIP; all without it.
    name: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let services: Vec<Service> = client.get(path::SERVICES)?;
        let services = select(services, "service", self.name.as_ref(), |service, wanted| {
            service.name == wanted || service.vip == wanted
        })?;
        show(self.output.output, &services, |services| {
            table(
                [
                    "NAME",
                    "VIP",
                    "PORT",
                    "MODE",
                    "INSTANCE",
                    "HEALTHY",
                    "ENDPOINTS",
                    "FLOWS",
                    "PACKETS",
                    "BYTES",
                ],
                services.iter().map(row),
            )
        })
    }
}

fn row(service: &Service) -> [String; 10] {
    [
        service.name.clone(),
        service.vip.clone(),
        format!("{}/{}", service.port, service.protocol),
        service.mode.clone(),
        service.instance.clone(),
        yes(service.healthy),
        service
            .endpoints
            .iter()
            .map(endpoint)
            .collect::<Vec<_>>()
            .join(","),
        service.flows.to_string(),
        service.packets.to_string(),
        service.bytes.to_string(),
    ]
}

fn endpoint(endpoint: &Endpoint) -> String {
    let address = match endpoint.address.contains(':') {
        true => format!("[{}]:{}", endpoint.address, endpoint.port),
        false => format!("{}:{}", endpoint.address, endpoint.port),
    };
    if endpoint.weight == 1 {
        address
    } else {
        format!("{address}*{}", endpoint.weight)
    }
}

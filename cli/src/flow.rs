//! `batonctl get flow`.

use api::{Flow, FlowTable, path};

use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{age, or_dash, show, table};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Show at most so many.
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let flows: FlowTable = client.get(&format!("{}?limit={}", path::FLOWS, self.limit))?;
        show(self.output.output, &flows, text)
    }
}

fn text(flows: &FlowTable) -> String {
    let rows = table(
        [
            "PROTOCOL", "CLIENT", "VIP", "BACKEND", "SNAT", "STATE", "IDLE", "FLAGS",
        ],
        flows.flows.iter().map(row),
    );
    let more = if flows.truncated {
        ", not all are shown"
    } else {
        ""
    };
    format!(
        "{rows}\n\n{} established of {}, {} embryonic{more}",
        flows.established, flows.capacity, flows.embryonic
    )
}

fn row(flow: &Flow) -> [String; 8] {
    let flags: Vec<&str> = [("remote", flow.remote), ("displaced", flow.displaced)]
        .iter()
        .filter(|flag| flag.1)
        .map(|flag| flag.0)
        .collect();
    [
        flow.protocol.clone(),
        flow.client.clone(),
        flow.vip.clone(),
        flow.backend.clone(),
        or_dash(flow.snat.as_deref().unwrap_or("")),
        flow.state.clone(),
        age(flow.idle_ms),
        or_dash(&flags.join(",")),
    ]
}

//! `batonctl get neighbor`.

use api::{Neighbor, path};

use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{age, or_dash, select, show, table};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Address; all without it.
    address: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let neighbors: Vec<Neighbor> = client.get(path::NEIGHBORS)?;
        let neighbors = select(
            neighbors,
            "neighbor",
            self.address.as_ref(),
            |neighbor, wanted| neighbor.address == wanted,
        )?;
        show(self.output.output, &neighbors, |neighbors| {
            table(
                [
                    "ADDRESS",
                    "AS",
                    "STATE",
                    "SINCE",
                    "BFD",
                    "HOLD",
                    "SENT",
                    "RECEIVED",
                    "FLAPS",
                    "LAST-ERROR",
                ],
                neighbors.iter().map(row),
            )
        })
    }
}

fn row(neighbor: &Neighbor) -> [String; 10] {
    [
        neighbor.address.clone(),
        neighbor.remote_as.to_string(),
        neighbor.state.clone(),
        age(neighbor.since_ms),
        or_dash(&neighbor.bfd),
        neighbor.hold_time_ms.map_or("-".to_owned(), age),
        neighbor.advertised.to_string(),
        neighbor.received.to_string(),
        neighbor.flaps.to_string(),
        or_dash(neighbor.last_error.as_deref().unwrap_or("")),
    ]
}

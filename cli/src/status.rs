//! `batonctl status`.

use api::{NodeStatus, path};

use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{age, or_dash, show};

#[derive(clap::Args)]
pub(crate) struct Query {
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let status: NodeStatus = client.get(path::STATUS)?;
        show(self.output.output, &status, text)?;
        if status.refused.is_some() {
            return Err(Failure::Negative(
                "the last reload was refused: correct the file (`batond check`) and reload again".to_owned(),
            ));
        }
        if !status.errors.is_empty() {
            return Err(Failure::Negative(format!(
                "{} operations failed and are tried again every second",
                status.errors.len()
            )));
        }
        Ok(())
    }
}

fn text(status: &NodeStatus) -> String {
    let mut lines = vec![
        format!("node        {} (batond {})", status.node, status.version),
        format!("uptime      {}", age(status.uptime_ms)),
        format!(
            "generation  {}, applied {}",
            status.generation, status.applied_generation
        ),
        format!("services    {}", status.services),
        format!(
            "neighbors   {} of {} established",
            status.neighbors_established, status.neighbors
        ),
        format!("roles       {}", or_dash(&status.roles.join(", "))),
        format!("draining    {}", status.draining),
    ];
    lines.extend(
        status
            .errors
            .iter()
            .map(|error| format!("error       {}: {}", error.operation, error.reason)),
    );
    lines.extend(
        status
            .refused
            .iter()
            .map(|reason| format!("refused     {reason}")),
    );
    lines.join("\n")
}

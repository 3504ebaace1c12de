//! `batonctl get bfd`.

use api::{BfdSession, path};

use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{age, or_dash, select, show, table};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Address of the peer; all sessions without it.
    remote: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let sessions: Vec<BfdSession> = client.get(path::BFD)?;
        let sessions = select(sessions, "bfd", self.remote.as_ref(), |session, wanted| {
            session.remote == wanted
        })?;
        show(self.output.output, &sessions, |sessions| {
            table(
                [
                    "REMOTE",
                    "LOCAL",
                    "STATE",
                    "SINCE",
                    "TX",
                    "DETECTION",
                    "SENT",
                    "RECEIVED",
                    "DOWNS",
                    "DIAGNOSTIC",
                ],
                sessions.iter().map(row),
            )
        })
    }
}

fn row(session: &BfdSession) -> [String; 10] {
    [
        session.remote.clone(),
        or_dash(&session.local),
        session.state.clone(),
        age(session.since_ms),
        milliseconds(session.transmit_interval_us),
        milliseconds(session.detection_time_us),
        session.transmitted.to_string(),
        session.received.to_string(),
        session.downs.to_string(),
        or_dash(&session.diagnostic),
    ]
}

fn milliseconds(microseconds: u64) -> String {
    match microseconds % 1000 {
        0 => format!("{}ms", microseconds / 1000),
        rest => format!("{}.{rest:03}ms", microseconds / 1000),
    }
}

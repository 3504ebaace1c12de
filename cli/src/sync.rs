//! `batonctl get sync`.

use api::{SyncPeer, path};

use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{age, or_dash, select, show, table, yes};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Name of the peer; all without it.
    peer: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let peers: Vec<SyncPeer> = client.get(path::SYNC)?;
        let peers = select(peers, "sync", self.peer.as_ref(), |peer, wanted| {
            peer.name == wanted
        })?;
        show(self.output.output, &peers, |peers| {
            table(
                [
                    "PEER",
                    "STATE",
                    "SINCE",
                    "CAUGHT-UP",
                    "SENT",
                    "ACKED",
                    "RECEIVED",
                    "QUEUED",
                    "LAG",
                    "LAST-ERROR",
                ],
                peers.iter().map(row),
            )
        })
    }
}

fn row(peer: &SyncPeer) -> [String; 10] {
    [
        peer.name.clone(),
        peer.state.clone(),
        age(peer.since_ms),
        yes(peer.caught_up),
        peer.sent_records.to_string(),
        peer.acknowledged_records.to_string(),
        peer.received_records.to_string(),
        peer.queued_records.to_string(),
        format!("{}us", peer.lag_us),
        or_dash(peer.last_error.as_deref().unwrap_or("")),
    ]
}

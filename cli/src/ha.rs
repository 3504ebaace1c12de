//! `batonctl get ha`.

use api::{HaInstance, HaPeer, HaStatus, path};

use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{age, or_dash, show, table, yes};

#[derive(clap::Args)]
pub(crate) struct Query {
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let ha: HaStatus = client.get(path::HA)?;
        show(self.output.output, &ha, text)
    }
}

fn text(ha: &HaStatus) -> String {
    let mut parts = vec![format!(
        "node {}, uplink {}, caught up {}, draining {}, drained {}",
        or_dash(&ha.node),
        yes(ha.uplink),
        yes(ha.caught_up),
        yes(ha.draining),
        yes(ha.drained)
    )];
    parts.push(table(
        [
            "INSTANCE",
            "ROLE",
            "MASTER",
            "PRIORITY",
            "PREEMPT",
            "SINCE",
            "ADDRESSES",
            "CAUSE",
        ],
        ha.instances.iter().map(instance),
    ));
    if !ha.peers.is_empty() {
        parts.push(table(
            ["PEER", "ADDRESS", "ALIVE", "HELLO", "ROLES"],
            ha.peers.iter().map(peer),
        ));
    }
    parts.join("\n\n")
}

fn instance(instance: &HaInstance) -> [String; 8] {
    [
        instance.name.clone(),
        instance.role.clone(),
        or_dash(&instance.master),
        instance.priority.to_string(),
        yes(instance.preempt),
        age(instance.since_ms),
        or_dash(&instance.addresses.join(",")),
        or_dash(&instance.cause),
    ]
}

fn peer(peer: &HaPeer) -> [String; 5] {
    [
        peer.name.clone(),
        peer.address.clone(),
        yes(peer.alive),
        peer.hello_age_ms.map_or("-".to_owned(), age),
        or_dash(&peer.roles.join(",")),
    ]
}

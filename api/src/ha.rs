//! Roles and peers.

use serde::{Deserialize, Serialize};

/// High availability of this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HaStatus {
    pub node: String,
    /// The operator asked this node to give its roles away.
    pub draining: bool,
    /// Every role is with a peer that has all flows: stopping loses nothing.
    pub drained: bool,
    /// At least one neighbour towards the clients is alive.
    pub uplink: bool,
    /// The own flow table is equal to that of the peer.
    pub caught_up: bool,
    pub instances: Vec<HaInstance>,
    pub peers: Vec<HaPeer>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HaInstance {
    pub name: String,
    /// `joining`, `backup`, `master`, `draining` or `fault`.
    pub role: String,
    /// Name of the node that is MASTER as seen from here; empty when nobody is.
    pub master: String,
    pub priority: u32,
    pub preempt: bool,
    pub since_ms: u64,
    pub cause: String,
    /// Floating addresses that this node holds now.
    pub addresses: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HaPeer {
    pub name: String,
    pub address: String,
    /// BFD is up.
    pub alive: bool,
    /// Age of its last hello; absent before the first.
    pub hello_age_ms: Option<u64>,
    pub roles: Vec<String>,
}

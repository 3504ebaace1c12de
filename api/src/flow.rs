//! Flows of the data path.

use serde::{Deserialize, Serialize};

/// One flow, both directions together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// `address:port`, or `[address]:port`.
    pub client: String,
    pub vip: String,
    pub backend: String,
    /// Source towards the backend, where it is not the client's.
    pub snat: Option<String>,
    /// `embryonic`, `established` or `closing`.
    pub state: String,
    pub idle_ms: u64,
    /// Installed by the peer's synchronisation.
    pub remote: bool,
    /// Not on its first source port, so the peer cannot derive it.
    pub displaced: bool,
}

/// The flow table: its size, and a bounded number of its entries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowTable {
    pub established: u64,
    pub embryonic: u64,
    pub capacity: u64,
    /// Ordered by client, then VIP; `truncated` says that there are more.
    pub flows: Vec<Flow>,
    pub truncated: bool,
}

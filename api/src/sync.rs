//! Flow synchronisation with one peer.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncPeer {
    pub name: String,
    pub address: String,
    /// `disconnected`, `connecting`, `snapshot` or `streaming`.
    pub state: String,
    pub since_ms: u64,
    /// The peer has acknowledged everything up to now, and the other way round.
    pub caught_up: bool,
    pub sent_records: u64,
    pub received_records: u64,
    pub acknowledged_records: u64,
    pub queued_records: u64,
    /// Records of the peer that this node's configuration refuses.
    pub refused_records: u64,
    pub snapshots_sent: u64,
    pub snapshots_received: u64,
    /// Times that the queue overflowed and a snapshot took its place.
    pub resyncs: u64,
    /// From the event of the data path to the acknowledgement, of the newest acknowledged batch.
    pub lag_us: u64,
    /// Of all changes since the start.
    pub lag_p50_us: u64,
    pub lag_p99_us: u64,
    pub lag_max_us: u64,
    pub last_error: Option<String>,
}

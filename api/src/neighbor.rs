//! One BGP neighbour.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Neighbor {
    /// As in the configuration: an address, `fe80::1%eth1`, or the interface of an unnumbered neighbour.
    pub address: String,
    /// As configured, or as the neighbour says; 0 while it is not known.
    pub remote_as: u32,
    /// Which ones it may have: a number, `external`, `internal`, ranges.
    pub remote_as_expected: String,
    pub description: String,
    /// In the words of RFC 4271 section 8.2.2, lower-case: `idle`, `connect`, `established`, ...
    pub state: String,
    /// How long it has been in this state.
    pub since_ms: u64,
    /// False: an operator has shut it down.
    pub enabled: bool,
    /// Not named in the configuration, but admitted by a range.
    pub dynamic: bool,
    /// Left alone so long, because it exceeded its maximum of prefixes.
    pub idle_hold_ms: Option<u64>,
    /// `up`, `down` or `unknown`; `off` without BFD.
    pub bfd: String,
    /// Address and port of this end.
    pub local: Option<String>,
    pub router_id: Option<String>,
    /// Negotiated; absent while not established or when off.
    pub hold_time_ms: Option<u64>,
    pub keepalive_ms: Option<u64>,
    /// Negotiated.
    pub families: Vec<String>,
    /// What it sent, by name.
    pub capabilities: Vec<String>,
    pub configured: NeighborSettings,
    /// Prefixes announced to the neighbour.
    pub advertised: u64,
    /// Paths that it announces, those of them that are imported, and those kept while it restarts.
    pub received: u64,
    pub accepted: u64,
    pub stale: u64,
    pub updates_in: u64,
    pub updates_out: u64,
    pub messages_in: u64,
    pub messages_out: u64,
    pub notifications_in: u64,
    pub notifications_out: u64,
    pub refreshes_in: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Connections: opened by this node, accepted from the neighbour, lost to a collision.
    pub connects: u64,
    pub accepts: u64,
    pub collisions: u64,
    /// Times that the session was established, and that it was lost.
    pub established: u64,
    pub flaps: u64,
    /// RFC 7606: updates whose errors cost their routes or attributes, not the session.
    pub attributes_discarded: u64,
    pub treated_as_withdraw: u64,
    /// Routes that the import policy, a loop, or a leak (RFC 9234) kept out.
    pub routes_rejected: u64,
    pub last_error: Option<String>,
}

/// What the configuration says about the session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NeighborSettings {
    pub port: u16,
    pub passive: bool,
    pub hold_time_ms: u64,
    pub connect_retry_ms: u64,
    pub families: Vec<String>,
    /// `gtsm 1` (TTL security, so many hops), or `ttl 64`.
    pub hops: String,
    /// `none`, `md5` or `ao`; never a secret.
    pub authentication: String,
    /// `off`, `on` or `strict`.
    pub bfd: String,
    pub role: Option<String>,
    /// Names of the policies; without one nothing passes on eBGP (RFC 8212).
    pub import: Option<String>,
    pub export: Option<String>,
    pub max_prefixes: u32,
    pub add_path: bool,
    pub extended_messages: bool,
    pub graceful_restart_helper: bool,
    pub graceful_restart_restarter: bool,
    pub graceful_shutdown: bool,
}

//! One BGP neighbour.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Neighbor {
    pub address: String,
    pub remote_as: u32,
    pub description: String,
    /// In the words of RFC 4271 section 8.2.2, lower-case: `idle`, `connect`, `established`, ...
    pub state: String,
    pub since_ms: u64,
    /// `up`, `down` or `unknown`.
    pub bfd: String,
    pub local: Option<String>,
    pub router_id: Option<String>,
    /// Negotiated; absent while not established or when off.
    pub hold_time_ms: Option<u64>,
    pub families: Vec<String>,
    pub capabilities: Vec<String>,
    /// Prefixes announced to the neighbour, and prefixes it announces (which are not imported).
    pub advertised: u64,
    pub received: u64,
    pub updates_in: u64,
    pub updates_out: u64,
    pub messages_in: u64,
    pub messages_out: u64,
    pub notifications_in: u64,
    pub notifications_out: u64,
    pub flaps: u64,
    /// RFC 7606: updates whose errors cost their routes or attributes, not the session.
    pub attributes_discarded: u64,
    pub treated_as_withdraw: u64,
    pub last_error: Option<String>,
    pub routes: Vec<Route>,
}

/// A route that is announced to the neighbour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    pub prefix: String,
    pub next_hop: String,
    pub as_path: Vec<u32>,
    pub med: u32,
    pub local_pref: Option<u32>,
    pub communities: Vec<String>,
}

//! Routes of the BGP tables.

use serde::{Deserialize, Serialize};

/// A part of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteTable {
    /// `advertised`, `received`, `accepted` or `best`.
    pub table: String,
    /// By prefix, neighbour and path identifier.
    pub routes: Vec<Route>,
    /// There are more: the value of `after` that continues here.
    pub next: Option<String>,
}

/// One path. Names are those of the RFCs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// To whom it is announced, or who announces it.
    pub neighbor: String,
    pub prefix: String,
    /// 0 without ADD-PATH.
    pub path_id: u32,
    pub next_hop: String,
    pub link_local_next_hop: Option<String>,
    /// `igp`, `egp` or `incomplete`.
    pub origin: String,
    /// As operators write it: `65001 65002 {65003 65004}`.
    pub as_path: String,
    pub med: Option<u32>,
    pub local_pref: Option<u32>,
    /// Standard `65535:0`, large `65001:1:2`, extended `rt:65001:1` or eight bytes as `0x..`.
    pub communities: Vec<String>,
    pub atomic_aggregate: bool,
    pub originator_id: Option<String>,
    pub cluster_list: Vec<String>,
    pub only_to_customer: Option<u32>,
    /// Kept while its neighbour restarts.
    pub stale: bool,
    /// In use: the best one, or one of those of equal cost.
    pub best: bool,
    /// Why it is not accepted, or not the best one.
    pub reason: Option<String>,
}

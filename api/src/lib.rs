//! Types of the REST API: what `batond` answers and `batonctl` reads.
//!
//! Every body of `/v1` is one of these types as JSON. Field names are snake_case and carry their unit
//! (`_ms`, `_us`, `_ns`); states are lower-case words. Fields are added, never renamed; readers ignore
//! fields that they do not know.
//!
//! This crate knows neither the daemon nor a socket, so that the CLI and whoever else talks to the daemon
//! depend on nothing but it.

mod bfd;
mod event;
mod flow;
mod ha;
mod neighbor;
mod problem;
mod route;
mod service;
mod status;
mod sync;

pub use bfd::{BfdDown, BfdSession, BfdTiming, DelayBucket, Delays};
pub use event::Event;
pub use flow::{Flow, FlowTable};
pub use ha::{HaInstance, HaPeer, HaStatus};
pub use neighbor::{Neighbor, NeighborSettings};
pub use problem::Problem;
pub use route::{Route, RouteTable};
pub use service::{Endpoint, Service};
pub use status::{AppliedError, Counter, NodeStatus};
pub use sync::SyncPeer;

/// JSON values, as the fields of an [`Event`].
pub use serde_json::Value;

/// Paths of the API, so that both ends spell them alike.
pub mod path {
    pub const SERVICES: &str = "/v1/services";
    pub const NEIGHBORS: &str = "/v1/neighbors";
    /// `{neighbor}` is its `address`, percent-encoded.
    pub const NEIGHBOR: &str = "/v1/neighbors/{neighbor}";
    pub const NEIGHBOR_ENABLE: &str = "/v1/neighbors/{neighbor}/enable";
    /// `?message=...`: a word for its operator.
    pub const NEIGHBOR_DISABLE: &str = "/v1/neighbors/{neighbor}/disable";
    /// `?direction=in|out&family=ipv4|ipv6`; both without them.
    pub const NEIGHBOR_REFRESH: &str = "/v1/neighbors/{neighbor}/refresh";
    /// `?table=advertised|received|accepted|best&neighbor=&family=&prefix=&after=&limit=`.
    pub const ROUTES: &str = "/v1/routes";
    pub const BFD: &str = "/v1/bfd";
    /// `{session}` is its name, percent-encoded. PATCH takes a [`super::BfdTiming`].
    pub const BFD_SESSION: &str = "/v1/bfd/{session}";
    /// DELETE: back to the configuration.
    pub const BFD_OVERRIDE: &str = "/v1/bfd/{session}/override";
    pub const BFD_ENABLE: &str = "/v1/bfd/{session}/enable";
    /// `?force=true`: also if it watches a peer.
    pub const BFD_DISABLE: &str = "/v1/bfd/{session}/disable";
    pub const HA: &str = "/v1/ha";
    pub const FLOWS: &str = "/v1/flows";
    pub const SYNC: &str = "/v1/sync";
    pub const TIMELINE: &str = "/v1/timeline";
    pub const STATUS: &str = "/v1/status";
    pub const DRAIN: &str = "/v1/drain";
    pub const UNDRAIN: &str = "/v1/undrain";
    pub const METRICS: &str = "/metrics";
}

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/baton/batond.sock";

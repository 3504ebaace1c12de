//! Flow synchronisation between two nodes: what goes over one authenticated byte stream.
//!
//! A [`Peering`] lives as long as the peer is configured. On each connection both sides introduce themselves, send a
//! snapshot of the flows they own, and stream every change from the first moment on, in parallel. Data is acknowledged
//! when the receiver has applied it; the time until then is the protection lag. What may be unacknowledged is bounded,
//! what waits behind it is bounded, and a peer that is too slow costs a new snapshot, never back-pressure.
//!
//! Ownership keeps two tables from feeding each other dead flows: a flow is owned by the node that forwards it. A node
//! sends what it owns, and what it learned belongs to the peer until a packet of it arrives here (then it is sent as a
//! local change) or the peer's incarnation is gone ([`Output::AdoptPeerFlows`]). The flow table has to follow three rules:
//! - an upsert of a flow that this node owns is taken, and the flow given up, only if its age is smaller than the own one;
//! - a delete of a flow that this node owns is not obeyed but answered with an upsert;
//! - a learned flow that is neither deleted nor refreshed for long after its idle timeout ends too.
//!
//! Owner: the task of the peer in the daemon's `sync_driver`. No clock, socket, thread or randomness in here. It never
//! blocks, and no byte from the peer makes it panic: whatever is wrong ends the connection with a reason.
#![warn(
    clippy::iter_over_hash_type,
    reason = "the order of outputs must not depend on a hasher"
)]

mod checksum;
mod event;
mod frame;
mod inbound;
mod link;
mod message;
mod outbound;
mod peering;
mod reader;
mod record;

#[cfg(test)]
mod tests;

pub use checksum::name_hash;
pub use event::{Config, Counters, Input, Limits, Output};
pub use frame::MAX_PAYLOAD;
pub use link::Phase;
pub use peering::{MAX_HA_HELLO, Peering, Status};
pub use record::{Change, Endpoint, FlowFlags, FlowIdentity, FlowRecord, FlowState};

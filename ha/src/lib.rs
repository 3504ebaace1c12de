//! Role election: which node is MASTER of which instance, and what to do about it, in order.
//!
//! An *instance* is a group of services with one MASTER. Every node runs one [`Election`]; it is told what happens
//! (BFD up and down, hellos of the peers, flow table caught up, uplink, operator) and answers with outputs that the
//! failover thread executes in the order in which they come: claim, announce, then the rest.
//!
//! Two questions are asked per instance, both answered by pure functions in [`elect`]: *does this node hold the
//! instance* (its floating addresses, MASTER attributes), and *which role does it show*. Every node computes the same
//! answer from the same hellos. Where views differ for a moment, two holders are possible and harmless, because the
//! packet path never asks for the role; the next hello resolves it.
//!
//! The hand-over is make before break everywhere: whoever is better claims first, and the old holder lets go when the
//! hello of the new one says so.
//!
//! Owner: the failover thread of the daemon. No clock, socket, thread or randomness in here; it never blocks and never
//! panics on anything that comes from outside.
#![warn(
    clippy::iter_over_hash_type,
    reason = "the order of outputs must not depend on a hasher"
)]

mod config;
mod drain;
pub mod elect;
mod election;
mod event;
mod hello;
mod peer;
mod role;
mod status;

#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, InstanceConfig, Timing};
pub use election::Election;
pub use event::{Input, InstanceId, Output};
pub use hello::{DecodeError, Hello, InstanceHello, MAX_HELLO, MAX_INSTANCES, MAX_NAME};
pub use role::{Cause, Role, Standing};
pub use status::{Counters, InstanceStatus, Liveness, PeerStatus, Status};

//! BFD control sessions: RFC 5880 in asynchronous mode over single hops (RFC 5881).
//!
//! A pure core. [`Sessions`] holds every session of the node; it is told the time, the packets and the
//! commands through [`Sessions::handle`], answers through [`Sessions::poll_output`], and names its next
//! deadline through [`Sessions::poll_timeout`]. Randomness (discriminators, jitter) comes from the seed
//! given to [`Sessions::new`], so that the same inputs always give the same outputs.
//!
//! Owner: the BFD thread of the daemon (SCHED_FIFO), tests, fuzzers and the simulation.
//!
//! It must never read a clock, open a socket, block, panic on any input, let the peer choose how fast this
//! node transmits, or keep memory that grows with what arrives from the wire.
#![warn(
    clippy::iter_over_hash_type,
    reason = "the order of outputs must not depend on a hasher"
)]

mod config;
mod counters;
mod interface;
mod packet;
mod poll;
mod random;
mod session;
mod sessions;
mod transition;

pub use config::{ConfigError, MAXIMUM_INTERVAL, MINIMUM_INTERVAL, Role, SessionConfig, Timing};
pub use counters::{Counters, Discard, Discards};
pub use interface::{Input, Output, SessionId, Status};
pub use packet::{Diagnostic, PACKET_LENGTH, Packet, State};
pub use sessions::Sessions;

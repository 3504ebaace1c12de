//! BFD: RFC 5880 over single hops (RFC 5881) and several (RFC 5883), in asynchronous and in demand mode, with echo,
//! authentication, and sessions that a peer may start (RFC 9468).
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

mod agreement;
mod authentication;
mod config;
mod counters;
mod deadlines;
mod delays;
mod echo;
mod hold_down;
mod interface;
mod keys;
mod packet;
mod peer;
mod poll;
mod random;
mod session;
mod sessions;
mod transition;

pub use config::{
    ConfigError, Echo, HoldDown, Hops, MAXIMUM_HOLD_DOWN, MAXIMUM_INTERVAL, MINIMUM_INTERVAL, Parameters,
    Path, Role, SessionConfig, Timing, Unsolicited,
};
pub use counters::{Counters, Discard, Discards};
pub use delays::Delays;
pub use echo::{ECHO_LENGTH, EchoPayload};
pub use interface::{Change, EchoStatus, Input, LastDown, Output, SessionId, Status};
pub use keys::{Algorithm, Key, KeyError, Keys, MAXIMUM_KEYS};
pub use packet::{Diagnostic, MAXIMUM_LENGTH, PACKET_LENGTH, Packet, Payload, State};
pub use sessions::{MAXIMUM_SESSIONS, Sessions};

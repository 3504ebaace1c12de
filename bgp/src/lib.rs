//! BGP-4 speaker core: decides what is said to which neighbour, and when.
//!
//! Purpose: announce the VIPs of this node with attributes that tell the role of their instance. Nothing is
//! imported: what neighbours announce is validated (RFC 7606) and counted.
//!
//! Owner and thread: one [`Speaker`] belongs to one driver thread, which owns sockets and time. After every
//! [`Speaker::handle`] the driver drains [`Speaker::poll_output`] to `None` and arms one timer with
//! [`Speaker::poll_timeout`]; bytes that have arrived are handed over before a due `Input::Timeout`, so a late
//! driver does not mistake its own lateness for a silent neighbour.
//!
//! Parts: `wire` (codec), `framer` (byte stream to messages), `session` (state machine of one connection),
//! `collision` (which of two connections lives), `peer` (a neighbour: up to two connections, retry, BFD),
//! `policy` (rules as data), `import` (what neighbours say), `ladder` and `export` (what they are told), `speaker`.
//!
//! Must never: read a clock, draw randomness, block, panic on input, or know sockets and routes of the kernel.
#![warn(
    clippy::iter_over_hash_type,
    reason = "the order of outputs must not depend on a hasher"
)]

mod attributes;
pub mod bmp;
mod collision;
mod config;
mod connection;
mod export;
mod framer;
mod import;
mod io;
mod jitter;
mod ladder;
mod peer;
pub mod policy;
mod session;
mod speaker;
mod status;
pub mod wire;

pub use attributes::{AsPath, Community, PathAttributes};
pub use config::{
    AoKey, Authentication, BfdMode, DynamicPeers, Families, Family, GracefulRestart, Hops, Ladders,
    MaxPrefixes, NextHops, PeerConfig, PeerId, RemoteAs, Role, Secret, SpeakerConfig, Transport,
};
pub use io::{
    Cause, ConnectionId, Direction, DownReason, Event, Gateway, Input, Monitored, Output, RouteChange,
};
pub use ladder::{Announcement, GRACEFUL_SHUTDOWN, Ladder, Overrides, Preference, Rung};
pub use policy::Policy;
pub use speaker::Speaker;
pub use status::{BfdState, Counters, PeerState, PeerStatus, RouteQuery, RouteStatus, Table};

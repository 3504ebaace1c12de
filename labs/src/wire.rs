//! The wire: links that can be impaired, cut and healed, precisely and repeatably.
//!
//! The kernel's own means are not faithful: a drop at egress is seen by the sender, a drop at
//! ingress comes after XDP, and netem may not be there. So a link that is listed in `lab.toml` runs
//! through a namespace of its own, `clab-<lab>-wire`, where one process relays frames between two
//! veths and loses, delays, reorders, duplicates, corrupts or swallows them, per direction, from a
//! seed. Carrier stays up on both sides when the wire swallows everything: a silent cut.
//!
//! [`Wire`] is the client: it talks to the relay (`lab wire`) over a unix socket in the run folder.
//! Every order is answered with the CLOCK_MONOTONIC time at which it took effect, between two
//! frames; all links that one order names change at that same time.

mod client;
mod direction;
pub mod impairment;
mod packet_socket;
pub mod relay;

pub use client::Wire;
pub use impairment::Impairment;

use serde::{Deserialize, Serialize};

/// Which way frames go, as the link is written in `lab.toml`: from its first end to its second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Forward,
    Backward,
    Both,
}

impl Direction {
    pub(crate) fn includes(self, end: usize) -> bool {
        match self {
            Self::Forward => end == 0,
            Self::Backward => end == 1,
            Self::Both => true,
        }
    }
}

/// What happened to the frames of one direction of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub received: u64,
    pub sent: u64,
    pub lost: u64,
    pub swallowed: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    /// Frames that the kernel or the relay had to drop: not wanted, a measurement with them is void.
    pub overrun: u64,
}

/// An order to the relay. Links are numbered in the order of `lab.toml`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Impair {
        links: Vec<usize>,
        direction: Direction,
        impairment: Impairment,
    },
    Blackhole {
        links: Vec<usize>,
        direction: Direction,
        on: bool,
        for_ns: Option<u64>,
    },
    /// The interfaces were made anew: open them again.
    Attach {
        links: Vec<usize>,
    },
    Counters,
}

/// The relay's answer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) at_ns: u64,
    pub(crate) error: Option<String>,
    pub(crate) counters: Vec<[Counters; 2]>,
}

/// The two interfaces of a link inside the wire's namespace.
pub(crate) fn interfaces(link: usize) -> [String; 2] {
    [format!("w{link}a"), format!("w{link}b")]
}

//! What goes into the core and what comes out of it.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::{Counters, Diagnostic, Packet, SessionConfig, State, Timing};

/// Names a session for its whole life. It is its local discriminator: random, unique, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// One thing that happened. Sessions are added with [`crate::Sessions::add`], which can refuse.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// New timing for a running session; an invalid one is ignored (validate before).
    Update(SessionId, Timing),
    /// Says AdminDown to the peer once and forgets the session. Reports no state change.
    Remove(SessionId),
    AdminDown(SessionId),
    AdminUp(SessionId),
    /// The link lost its carrier: its sessions go down without waiting for the detection time.
    LinkDown {
        interface: u32,
    },
    /// A datagram from port 3784. `now` should be the moment at which the kernel received it; it may lie
    /// before the `now` of earlier inputs.
    Packet {
        source: IpAddr,
        destination: IpAddr,
        interface: u32,
        ttl: u8,
        payload: &'a [u8],
    },
    /// The deadline of `poll_timeout` has been reached. Give all packets that wait in the socket first.
    Timeout,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send with TTL 255 from `local` to port 3784 of `remote`.
    Transmit {
        session: SessionId,
        local: IpAddr,
        remote: IpAddr,
        interface: Option<u32>,
        packet: Packet,
    },
    StateChanged {
        session: SessionId,
        local: IpAddr,
        remote: IpAddr,
        from: State,
        to: State,
        diagnostic: Diagnostic,
        remote_diagnostic: Diagnostic,
        /// When the last valid packet of the peer was received.
        last_packet: Option<Instant>,
    },
}

/// A copy of everything worth knowing about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub session: SessionId,
    pub config: SessionConfig,
    pub state: State,
    /// When `state` was entered.
    pub since: Instant,
    pub diagnostic: Diagnostic,
    pub remote_state: State,
    pub remote_diagnostic: Diagnostic,
    /// 0 while the peer is unknown.
    pub remote_discriminator: u32,
    pub remote_desired_min_tx: Duration,
    pub remote_required_min_rx: Duration,
    pub remote_detect_multiplier: u8,
    /// Negotiated interval of our packets, before jitter; `None` while none are sent periodically.
    pub transmit_interval: Option<Duration>,
    /// Silence of the peer after which the session goes down; `None` while the peer is unknown.
    pub detection_time: Option<Duration>,
    /// A Poll Sequence waits for the peer's Final.
    pub polling: bool,
    pub last_packet: Option<Instant>,
    /// The interface of the last valid packet.
    pub last_interface: Option<u32>,
    pub counters: Counters,
}

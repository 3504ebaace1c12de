//! What goes into the core and what comes out of it.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::{
    Counters, Delays, Diagnostic, EchoPayload, Parameters, Path, Payload, SessionConfig, State, Unsolicited,
};

/// Names a session for its whole life. It is its local discriminator: random, unique, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// One thing that happened. Sessions are added with [`crate::Sessions::add`], which can refuse.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// New parameters of a running session; invalid ones are ignored (validate before).
    Update(SessionId, Parameters),
    /// Says AdminDown to the peer until it knows (RFC 5880 section 6.8.16), and forgets the session. Reports no change of
    /// state.
    Remove(SessionId),
    AdminDown(SessionId),
    AdminUp(SessionId),
    /// Who may start sessions without being known (RFC 9468): the whole set.
    Unsolicited(Vec<Unsolicited>),
    /// The link lost its carrier: its sessions go down without waiting for the detection time.
    LinkDown {
        interface: u32,
    },
    /// A datagram from port 3784, or 4784 if `multihop`. `now` should be the moment at which the kernel received it;
    /// it may lie before the `now` of earlier inputs.
    Packet {
        source: IpAddr,
        destination: IpAddr,
        interface: u32,
        ttl: u8,
        multihop: bool,
        payload: &'a [u8],
    },
    /// What came back from port 3785, likewise.
    Echo {
        interface: u32,
        payload: &'a [u8],
    },
    /// The deadline of `poll_timeout` has been reached. Give all packets that wait in the socket first.
    Timeout,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send with TTL 255 from `path.local` to port 3784 of `path.remote`, or 4784 over several hops.
    Transmit {
        session: SessionId,
        path: Path,
        payload: Payload,
    },
    /// Send to port 3785 of the own address, by way of `path.remote`, which returns it (RFC 5881 section 4). `path.interface`
    /// is the one on which the peer was heard.
    TransmitEcho {
        session: SessionId,
        path: Path,
        payload: EchoPayload,
    },
    StateChanged(Change),
    /// The session has been Up for its hold-down: from now on it counts.
    Usable {
        session: SessionId,
        path: Path,
    },
    /// The session is gone; what was opened for it can be closed.
    Forgotten(SessionId),
}

/// A session changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub session: SessionId,
    pub path: Path,
    pub from: State,
    pub to: State,
    /// `to` is Up, and it counts; without this [`Output::Usable`] follows when the hold-down is over.
    pub usable: bool,
    pub diagnostic: Diagnostic,
    pub remote_state: State,
    pub remote_diagnostic: Diagnostic,
    /// The peer says that its BFD goes on without its control plane (the C bit of RFC 5880 section 4.1).
    pub remote_independent: bool,
    /// When the last valid packet of the peer was received.
    pub last_packet: Option<Instant>,
    /// The silence that was waited for, if that is what ended the session.
    pub detection_time: Option<Duration>,
}

impl Change {
    /// An administrator, here or at the peer, wants the session down: nothing has failed (RFC 5882 section 4.2).
    pub fn is_planned(&self) -> bool {
        let told =
            self.diagnostic == Diagnostic::NeighborSignaledDown && self.remote_state == State::AdminDown;
        self.to == State::AdminDown || told
    }
}

/// Why and when a session last left Up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastDown {
    pub at: Instant,
    pub diagnostic: Diagnostic,
    pub remote_diagnostic: Diagnostic,
    /// See [`Change::is_planned`].
    pub planned: bool,
}

/// The Echo function of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EchoStatus {
    /// Negotiated interval of our Echo packets; `None` while none are sent.
    pub interval: Option<Duration>,
    /// Echo packets have come back: their absence ends the session.
    pub proven: bool,
    pub round_trip: Option<Duration>,
    pub transmitted: u64,
    pub returned: u64,
}

/// A copy of everything worth knowing about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub session: SessionId,
    pub config: SessionConfig,
    /// Started by the peer (RFC 9468).
    pub unsolicited: bool,
    pub state: State,
    /// When `state` was entered.
    pub since: Instant,
    /// Up, and not held back.
    pub usable: bool,
    /// Up, but held back until then.
    pub held_until: Option<Instant>,
    pub diagnostic: Diagnostic,
    pub last_down: Option<LastDown>,
    pub remote_state: State,
    pub remote_diagnostic: Diagnostic,
    /// 0 while the peer is unknown.
    pub remote_discriminator: u32,
    pub remote_desired_min_tx: Duration,
    pub remote_required_min_rx: Duration,
    pub remote_required_min_echo_rx: Duration,
    pub remote_detect_multiplier: u8,
    pub remote_demand: bool,
    pub remote_independent: bool,
    /// Negotiated interval of our packets, before jitter; `None` while none are sent periodically.
    pub transmit_interval: Option<Duration>,
    /// Silence of the peer after which the session goes down; `None` while the peer is unknown.
    pub detection_time: Option<Duration>,
    /// A Poll Sequence waits for the peer's Final.
    pub polling: bool,
    /// The peer is asked to be silent.
    pub demand: bool,
    pub echo: EchoStatus,
    pub last_packet: Option<Instant>,
    /// The interface of the last valid packet.
    pub last_interface: Option<u32>,
    /// How much later than the agreed interval the packets of the peer came.
    pub arrivals: Delays,
    pub counters: Counters,
}

//! What goes into the speaker and what comes out of it.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::{Family, PeerConfig, PeerId};
use crate::policy::{Announcement, Preference};

/// One TCP connection, incoming or outgoing, for as long as it lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// An id that is known gets the new configuration; its session restarts only if that differs.
    AddPeer(PeerId, PeerConfig),
    RemovePeer(PeerId),
    Enable(PeerId),
    /// Administrative shutdown of one neighbour.
    Disable(PeerId),
    /// The connect asked for by `Output::Connect` succeeded.
    Connected {
        connection: ConnectionId,
        local: SocketAddr,
    },
    ConnectFailed {
        connection: ConnectionId,
        reason: String,
    },
    /// The neighbour connected. The id comes from [`crate::Speaker::allocate_connection`], the neighbour from
    /// [`crate::Speaker::peer_by_address`].
    Accepted {
        connection: ConnectionId,
        peer: PeerId,
        local: SocketAddr,
    },
    Received {
        connection: ConnectionId,
        bytes: &'a [u8],
    },
    /// The neighbour, or an error of the socket, ended the connection.
    Closed {
        connection: ConnectionId,
    },
    BfdDown(PeerId),
    BfdUp(PeerId),
    /// The whole desired set; the difference is computed inside.
    SetAnnouncements(Vec<Announcement>),
    SetRole {
        instance: u32,
        preference: Preference,
    },
    /// Cease with administrative shutdown to everybody; nothing is connected afterwards.
    Shutdown,
    /// The deadline of `poll_timeout` has come.
    Timeout,
}

/// Why routes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    SessionUp,
    Role { instance: u32, preference: Preference },
    Announcements,
    RouteRefresh { family: Family },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a TCP connection; answered by `Connected` or `ConnectFailed`, unless `Close` comes first.
    Connect {
        peer: PeerId,
        connection: ConnectionId,
        local: Option<IpAddr>,
        remote: SocketAddr,
    },
    /// Whole messages, to be written in order.
    Send {
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    /// Write what was sent, then close (or abort the connect). No `Closed` is expected in return.
    Close {
        connection: ConnectionId,
    },
    PeerUp {
        peer: PeerId,
        connection: ConnectionId,
        router_id: Ipv4Addr,
        hold_time: Option<Duration>,
    },
    PeerDown {
        peer: PeerId,
        reason: String,
    },
    /// Routes were handed to `Send`; `summary` lists the sets of attributes.
    UpdateSent {
        peer: PeerId,
        announced: usize,
        withdrawn: usize,
        messages: usize,
        cause: Cause,
        summary: String,
    },
    Event {
        peer: PeerId,
        event: Event,
    },
}

/// Things worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    ConnectFailed {
        reason: String,
    },
    /// A connection ended before the session was established.
    ConnectionLost {
        reason: String,
    },
    /// Two connections met; this one was closed (RFC 4271 section 6.8).
    Collision {
        closed: ConnectionId,
    },
    /// An UPDATE had errors that do not end the session (RFC 7606).
    UpdateError {
        effect: &'static str,
        detail: String,
    },
    /// Routes of the family cannot be announced: no next hop configured, and the connection is of the other family.
    NoNextHop {
        family: Family,
    },
}

//! What goes into the speaker and what comes out of it.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{DynamicPeers, Families, Family, Ladders, PeerConfig, PeerId, Transport};
use crate::ladder::{Announcement, Preference};

/// One TCP connection, incoming or outgoing, for as long as it lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// An id that is known gets the new configuration; its session restarts only if that differs.
    AddPeer(PeerId, Box<PeerConfig>),
    RemovePeer(PeerId),
    /// Also ends the idle hold of a neighbour that exceeded its maximum of prefixes.
    Enable(PeerId),
    /// Administrative shutdown of one neighbour, with a word for its operator (RFC 9003).
    Disable {
        peer: PeerId,
        communication: String,
    },
    /// The whole set of prefixes from which unnamed neighbours are accepted.
    SetDynamic(Vec<DynamicPeers>),
    /// Attributes by role; the difference is told to the neighbours.
    SetLadders(Ladders),
    /// Ask for the neighbour's routes again, or tell it ours again.
    Refresh {
        peer: PeerId,
        direction: Direction,
        families: Families,
    },
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
    /// [`crate::Speaker::peer_for`].
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
    /// The socket of the connection takes no more: `waiting` bytes are queued. Told when the first byte has to
    /// wait, whenever some of them leave, and when none is left (RFC 9687).
    Backlog {
        connection: ConnectionId,
        waiting: usize,
    },
    BfdDown(PeerId),
    BfdUp(PeerId),
    /// Up again after a failure; `BfdUp` follows when that has lasted.
    BfdHeld(PeerId),
    /// BFD judges the neighbour no longer: nothing that it said counts.
    BfdForgotten(PeerId),
    /// The way to a next hop that `Output::TrackNextHop` asked for. `None`: there is none.
    NextHop {
        address: IpAddr,
        scope: u32,
        metric: Option<u32>,
    },
    /// The whole desired set; the difference is computed inside.
    SetAnnouncements(Vec<Announcement>),
    SetRole {
        instance: u32,
        preference: Preference,
    },
    /// Tell monitoring what happens, as `Output::Monitor`; off at first (RFC 7854).
    SetMonitoring(bool),
    /// Cease with administrative shutdown to everybody, and what has been imported leaves the kernel; nothing is
    /// connected afterwards.
    Shutdown {
        communication: String,
    },
    /// The deadline of `poll_timeout` has come.
    Timeout,
    /// Sends the KEEPALIVEs that are due and judges nobody: for whoever has much to read before `Timeout` is fair.
    Keepalives,
}

/// Of routes, as seen from this speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// Why routes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    SessionUp,
    Role {
        instance: u32,
        preference: Preference,
    },
    Announcements,
    /// The policy, the ladder or the next hops of the neighbour were changed.
    Configuration,
    RouteRefresh {
        family: Family,
    },
}

/// What the kernel shall have for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteChange {
    pub prefix: IpNet,
    /// In order, without duplicates; empty: no route.
    pub next_hops: Vec<Gateway>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gateway {
    /// May be IPv6 for an IPv4 prefix (RFC 8950).
    pub address: IpAddr,
    /// Index of the interface of a link-local address; 0 otherwise.
    pub scope: u32,
}

/// For monitoring stations (RFC 7854); only while `Input::SetMonitoring` is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Monitored {
    PeerUp {
        peer: PeerId,
        /// The OPEN messages, whole.
        sent: Vec<u8>,
        received: Vec<u8>,
        local: SocketAddr,
        remote: SocketAddr,
    },
    PeerDown {
        peer: PeerId,
        reason: DownReason,
    },
    /// An UPDATE as it was received, whole.
    Received {
        peer: PeerId,
        message: Vec<u8>,
    },
    /// UPDATEs as they were sent, one after the other.
    Sent {
        peer: PeerId,
        messages: Vec<u8>,
    },
}

/// RFC 7854 section 4.9. The NOTIFICATION is a whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    LocalNotification(Vec<u8>),
    LocalSilent,
    RemoteNotification(Vec<u8>),
    RemoteSilent,
    Deconfigured,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a TCP connection; answered by `Connected` or `ConnectFailed`, unless `Close` comes first.
    Connect {
        peer: PeerId,
        connection: ConnectionId,
        transport: Transport,
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
        remote_as: u32,
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
    /// What the kernel's table has to become.
    Routes(Vec<RouteChange>),
    /// Answer with `Input::NextHop`, now and whenever it changes, until `UntrackNextHop`.
    TrackNextHop {
        address: IpAddr,
        scope: u32,
    },
    UntrackNextHop {
        address: IpAddr,
        scope: u32,
    },
    /// A neighbour that `SetDynamic` admitted has come, or has gone and is forgotten.
    DynamicPeer {
        peer: PeerId,
        address: IpAddr,
        present: bool,
    },
    Monitor(Box<Monitored>),
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
    /// The neighbour announces almost as many prefixes as it may.
    MaxPrefixesNear {
        family: Family,
        count: u32,
        limit: u32,
    },
    /// It announces more: the session ends, or (`warn_only`) the rest is ignored.
    MaxPrefixesExceeded {
        family: Family,
        limit: u32,
    },
    /// On eBGP without an import or an export policy nothing is imported or announced (RFC 8212).
    NoPolicy {
        direction: Direction,
    },
    /// The neighbour has gone and may return: its routes are kept (RFC 4724), or kept longer (RFC 9494).
    StaleRoutes {
        family: Family,
        count: usize,
        long_lived: bool,
    },
    /// A route that must not have come this way (RFC 9234 section 5).
    RouteLeak {
        prefix: IpNet,
    },
    /// Nothing has left for a neighbour that does not read (RFC 9687).
    SendHoldExpired,
}

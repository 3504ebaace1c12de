//! Read-only views for the API: copies, never references into the speaker.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::attributes::PathAttributes;
use crate::config::{Families, Family, PeerId};
use crate::peer::Peer;
use crate::session::Negotiated;
use crate::wire::Capability;

/// State of a neighbour in the words of RFC 4271 section 8.2.2; of two connections the more advanced one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerState {
    /// Disabled, or shut down.
    Idle,
    /// Waiting: for the retry timer, for the neighbour, or for BFD.
    Active,
    Connect,
    OpenSent,
    OpenConfirm,
    Established,
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerState::Idle => "idle",
            PeerState::Active => "active",
            PeerState::Connect => "connect",
            PeerState::OpenSent => "opensent",
            PeerState::OpenConfirm => "openconfirm",
            PeerState::Established => "established",
        })
    }
}

/// What BFD has said. `Unknown` does not hold the session back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BfdState {
    #[default]
    Unknown,
    Up,
    /// Up again after a failure, and not trusted yet.
    Held,
    Down,
}

/// Since the neighbour was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub messages_in: u64,
    pub messages_out: u64,
    pub updates_in: u64,
    pub updates_out: u64,
    pub notifications_in: u64,
    pub notifications_out: u64,
    pub refreshes_in: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connects: u64,
    pub accepts: u64,
    pub established: u64,
    pub flaps: u64,
    pub collisions: u64,
    /// Attributes discarded, and updates treated as withdraw (RFC 7606).
    pub attributes_discarded: u64,
    pub treated_as_withdraw: u64,
    /// Routes that the import policy, a loop, or RFC 9234 kept out.
    pub routes_rejected: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    pub id: PeerId,
    pub address: IpAddr,
    /// Index of the interface of a link-local address; 0 otherwise.
    pub scope: u32,
    /// As configured, or as the OPEN said; `None` while it is not known.
    pub remote_as: Option<u32>,
    pub description: String,
    pub enabled: bool,
    /// Admitted by `SetDynamic`.
    pub dynamic: bool,
    /// Left alone until then, because it exceeded its maximum of prefixes.
    pub idle_hold: Option<Instant>,
    pub state: PeerState,
    /// When the state was entered.
    pub since: Instant,
    pub bfd: BfdState,
    pub local: Option<SocketAddr>,
    pub router_id: Option<Ipv4Addr>,
    /// Negotiated; `None` while not established or when off.
    pub hold_time: Option<Duration>,
    pub keepalive: Option<Duration>,
    /// Negotiated families; empty while not established.
    pub families: Families,
    /// Names of the capabilities the neighbour sent.
    pub capabilities: Vec<String>,
    /// And of those we sent.
    pub offered: Vec<String>,
    pub advertised: usize,
    /// Paths the neighbour announces now, those of them that are imported, and those kept while it restarts.
    pub received: usize,
    pub accepted: usize,
    pub stale: usize,
    pub counters: Counters,
    pub last_error: Option<String>,
}

/// The tables of RFC 4271 section 3.2, as far as they can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Adj-RIBs-In, before policy.
    Received,
    /// What policy left of it.
    Accepted,
    /// Loc-RIB: the best paths, more than one with multipath.
    Best,
    /// Adj-RIBs-Out.
    Advertised,
}

/// Which routes to show, in the order of prefix, neighbour, path identifier.
#[derive(Clone, Copy, Debug)]
pub struct RouteQuery {
    pub table: Table,
    pub peer: Option<PeerId>,
    pub family: Option<Family>,
    /// This prefix and those inside it.
    pub within: Option<IpNet>,
    /// Where the last answer ended.
    pub after: Option<(IpNet, PeerId, u32)>,
    pub limit: usize,
}

/// A path of one of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStatus {
    pub peer: PeerId,
    pub prefix: IpNet,
    /// 0 without ADD-PATH.
    pub path_id: u32,
    pub next_hop: IpAddr,
    pub link_local: Option<Ipv6Addr>,
    pub attributes: Arc<PathAttributes>,
    /// Kept while its neighbour restarts.
    pub stale: bool,
    /// In use: the best one, or one of those of equal cost.
    pub best: bool,
    /// Why it is not accepted, or not the best one, in words.
    pub reason: Option<&'static str>,
}

impl Peer {
    pub(crate) fn status(&self) -> PeerStatus {
        let established = self.established();
        let negotiated = established
            .and_then(|connection| connection.state.link())
            .map(|link| link.negotiated.as_ref());
        PeerStatus {
            id: self.id,
            address: self.config.address,
            scope: self.config.scope,
            remote_as: self.remote_as(),
            description: self.config.description.clone(),
            enabled: self.enabled,
            dynamic: self.dynamic,
            idle_hold: self.idle_hold,
            state: self.state,
            since: self.since,
            bfd: self.bfd,
            local: established.and_then(|connection| connection.local),
            router_id: negotiated.map(|negotiated| negotiated.identifier),
            hold_time: negotiated.and_then(|negotiated| negotiated.hold),
            keepalive: negotiated.and_then(Negotiated::keepalive),
            families: negotiated
                .map(|negotiated| negotiated.families)
                .unwrap_or_default(),
            capabilities: negotiated
                .map(|negotiated| negotiated.capabilities.iter().map(Capability::name).collect())
                .unwrap_or_default(),
            offered: negotiated
                .map(|negotiated| negotiated.offered.iter().map(Capability::name).collect())
                .unwrap_or_default(),
            advertised: self.rib.len(),
            received: self.adj_rib_in.len(),
            accepted: Family::ALL
                .into_iter()
                .map(|family| self.adj_rib_in.accepted(family))
                .sum(),
            stale: Family::ALL
                .into_iter()
                .map(|family| self.adj_rib_in.stale(family))
                .sum(),
            counters: self.counters,
            last_error: self.last_error.clone(),
        }
    }
}

//! Read-only views for the API: copies, never references into the speaker.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::config::{Families, PeerId};
use crate::peer::Peer;
use crate::policy::PathAttributes;
use crate::rib::Route;
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    pub id: PeerId,
    pub address: IpAddr,
    pub remote_as: u32,
    pub description: String,
    pub enabled: bool,
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
    pub advertised: usize,
    /// Prefixes the neighbour announces now; they are not imported.
    pub received: usize,
    pub counters: Counters,
    pub last_error: Option<String>,
}

/// A row of the Adj-RIB-Out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedRoute {
    pub prefix: IpNet,
    pub next_hop: IpAddr,
    pub attributes: PathAttributes,
}

impl Peer {
    pub(crate) fn status(&self) -> PeerStatus {
        let established = self.established();
        let negotiated = established
            .and_then(|connection| connection.state.link())
            .map(|link| &link.negotiated);
        PeerStatus {
            id: self.id,
            address: self.config.address,
            remote_as: self.config.remote_as,
            description: self.config.description.clone(),
            enabled: self.enabled,
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
            advertised: self.rib.len(),
            received: self.received.len(),
            counters: self.counters,
            last_error: self.last_error.clone(),
        }
    }

    pub(crate) fn advertised(&self) -> Vec<AdvertisedRoute> {
        let row = |(prefix, route): (&IpNet, &Route)| AdvertisedRoute {
            prefix: *prefix,
            next_hop: route.next_hop.address,
            attributes: PathAttributes::clone(&route.attributes),
        };
        self.rib.iter().map(row).collect()
    }
}

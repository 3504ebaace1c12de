//! BGP neighbours, and what all of them share and can change while the daemon runs.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::SessionKey;

/// How a neighbour is named in the configuration, the API and the CLI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeighborKey {
    Address(IpAddr),
    /// `fe80::1%eth1`.
    LinkLocal(Ipv6Addr, String),
    /// Unnumbered: whoever is at the other end of this interface.
    Interface(String),
}

impl NeighborKey {
    /// The neighbour that `name` means: what [`fmt::Display`] writes.
    pub fn named(name: &str) -> Self {
        if let Ok(address) = name.parse() {
            return NeighborKey::Address(address);
        }
        let link_local = name
            .split_once('%')
            .and_then(|(address, interface)| Some((address.parse().ok()?, interface.to_owned())));
        match link_local {
            Some((address, interface)) => NeighborKey::LinkLocal(address, interface),
            None => NeighborKey::Interface(name.to_owned()),
        }
    }

    /// `None` for a neighbour whose address is yet to be discovered.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            NeighborKey::Address(address) => Some(*address),
            NeighborKey::LinkLocal(address, _) => Some(IpAddr::V6(*address)),
            NeighborKey::Interface(_) => None,
        }
    }
}

impl From<IpAddr> for NeighborKey {
    fn from(address: IpAddr) -> Self {
        NeighborKey::Address(address)
    }
}

impl fmt::Display for NeighborKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NeighborKey::Address(address) => write!(f, "{address}"),
            NeighborKey::LinkLocal(address, interface) => write!(f, "{address}%{interface}"),
            NeighborKey::Interface(interface) => f.write_str(interface),
        }
    }
}

/// A BGP neighbour. Its attributes come from the role of the instance of each announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    pub key: NeighborKey,
    /// The driver fills in the scope of a link-local address, and the address where the key does not have it.
    /// If `peer.bfd` is on, its BFD session is in [`super::Desired::sessions`], or awaited while its address is not known.
    pub peer: bgp::PeerConfig,
}

impl Neighbor {
    /// How its BFD session is named, if it has one; `None` while its address is not known.
    pub fn session(&self) -> Option<SessionKey> {
        let interface = match &self.key {
            NeighborKey::Address(_) => self.peer.transport.interface.as_deref(),
            NeighborKey::LinkLocal(_, interface) | NeighborKey::Interface(interface) => {
                Some(interface.as_str())
            }
        };
        Some(SessionKey::new(self.key.address()?, interface))
    }
}

/// What concerns all neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeakerSettings {
    pub ladders: bgp::Ladders,
    pub dynamic: Vec<bgp::DynamicPeers>,
    /// Monitoring stations to connect to (RFC 7854).
    pub monitors: Vec<SocketAddr>,
}

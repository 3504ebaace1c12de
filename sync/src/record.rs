//! What is synchronised: flows as the service sees them, never the memory layout of a map.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// An address with a port (for ICMP echo the identifier).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    pub address: IpAddr,
    pub port: u16,
}

impl Endpoint {
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self { address, port }
    }
}

impl From<(IpAddr, u16)> for Endpoint {
    fn from((address, port): (IpAddr, u16)) -> Self {
        Self { address, port }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(from: SocketAddr) -> Self {
        Self {
            address: from.ip(),
            port: from.port(),
        }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(from: Endpoint) -> Self {
        Self::new(from.address, from.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What makes two records be about the same flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowIdentity {
    /// IP protocol number.
    pub protocol: u8,
    pub client: Endpoint,
    pub vip: Endpoint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// The handshake is not complete.
    Opening,
    /// Handshake complete; for protocols without one: both directions were seen.
    Established,
    /// The client sent FIN.
    ClientClosed,
    /// The backend sent FIN.
    BackendClosed,
    /// Both sent FIN.
    Closing,
}

/// Properties of a flow; bits that are not known are carried along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowFlags(pub u16);

impl FlowFlags {
    /// The source port towards the backend is not the first choice of the flow: a node that does not know the flow would
    /// derive another one.
    pub const DISPLACED: Self = Self(1);
    /// The sender derived the mapping from a packet in mid-stream.
    pub const DERIVED: Self = Self(2);

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One flow, both directions. Applying it twice is the same as once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowRecord {
    pub identity: FlowIdentity,
    pub backend: Endpoint,
    /// Source towards the backend, where the mode translates it.
    pub snat: Option<Endpoint>,
    pub state: FlowState,
    /// Time since the last packet; on the wire in whole milliseconds, at most about 49 days.
    pub age: Duration,
    pub flags: FlowFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Upsert(FlowRecord),
    Delete(FlowIdentity),
}

impl Change {
    pub fn identity(&self) -> &FlowIdentity {
        match self {
            Self::Upsert(record) => &record.identity,
            Self::Delete(identity) => identity,
        }
    }
}

//! What the operator says about this speaker and about each of its neighbours.
//!
//! Values are taken as validated by the configuration; the core still copes with nonsense (a hold time of one
//! second is raised to three) because it must never take the session into a state the RFC does not have.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::policy::Ladder;

/// A neighbour, named by whoever configures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// Address family of unicast routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        })
    }
}

/// Set of unicast families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl Families {
    pub const BOTH: Families = Families {
        ipv4: true,
        ipv6: true,
    };
    pub const IPV4: Families = Families {
        ipv4: true,
        ipv6: false,
    };
    pub const IPV6: Families = Families {
        ipv4: false,
        ipv6: true,
    };

    pub fn contains(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    pub fn insert(&mut self, family: Family) {
        match family {
            Family::Ipv4 => self.ipv4 = true,
            Family::Ipv6 => self.ipv6 = true,
        }
    }

    pub fn intersection(self, other: Families) -> Families {
        Families {
            ipv4: self.ipv4 && other.ipv4,
            ipv6: self.ipv6 && other.ipv6,
        }
    }

    pub fn is_empty(self) -> bool {
        !self.ipv4 && !self.ipv6
    }

    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL
            .into_iter()
            .filter(move |family| self.contains(*family))
    }
}

/// Next hops by family; `None` means the local address of the connection, when it is of that family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHops {
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    /// Sent beside the global IPv6 next hop when set (RFC 2545 section 3).
    pub ipv6_link_local: Option<Ipv6Addr>,
}

/// The speaker itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeakerConfig {
    pub local_as: u32,
    pub router_id: Ipv4Addr,
    /// Seed of the timer jitter.
    pub seed: u64,
    /// Attributes by role, unless a neighbour has a ladder of its own.
    pub ladder: Ladder,
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    pub address: IpAddr,
    /// Port to connect to.
    pub port: u16,
    /// Source address of outgoing connections; `None` leaves it to the kernel.
    pub local_address: Option<IpAddr>,
    pub remote_as: u32,
    /// Only wait for the neighbour to connect.
    pub passive: bool,
    /// Proposed hold time; zero proposes to use none, otherwise at least 3 s.
    pub hold_time: Duration,
    pub connect_retry: Duration,
    pub families: Families,
    pub next_hops: NextHops,
    pub ladder: Option<Ladder>,
    pub description: String,
}

impl PeerConfig {
    /// A neighbour with the defaults of the configuration file.
    pub fn new(address: IpAddr, remote_as: u32) -> Self {
        PeerConfig {
            address,
            port: 179,
            local_address: None,
            remote_as,
            passive: false,
            hold_time: Duration::from_secs(9),
            connect_retry: Duration::from_secs(1),
            families: Families::BOTH,
            next_hops: NextHops::default(),
            ladder: None,
            description: String::new(),
        }
    }

    /// The hold time as the OPEN carries it: whole seconds, 0 or 3..=65535 (RFC 4271 section 4.2).
    pub(crate) fn hold_seconds(&self) -> u16 {
        match u16::try_from(self.hold_time.as_secs()).unwrap_or(u16::MAX) {
            0 if self.hold_time.is_zero() => 0,
            seconds => seconds.max(3),
        }
    }
}

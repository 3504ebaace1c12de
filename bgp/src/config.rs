//! What the operator says about this speaker and about each of its neighbours.
//!
//! Values are taken as validated by the configuration; the core still copes with nonsense (a hold time of one
//! second is raised to three) because it must never take the session into a state the RFC does not have.
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::ladder::Ladder;
use crate::policy::Policy;

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

    pub fn of(prefix: &IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Family::Ipv4,
            IpNet::V6(_) => Family::Ipv6,
        }
    }
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

    pub fn remove(&mut self, family: Family) {
        match family {
            Family::Ipv4 => self.ipv4 = false,
            Family::Ipv6 => self.ipv6 = false,
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

/// Attributes by role: for all, and for the instances that differ. A ladder of the neighbour comes before both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladders {
    pub all: Ladder,
    pub by_instance: BTreeMap<u32, Ladder>,
}

/// The speaker itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeakerConfig {
    pub local_as: u32,
    pub router_id: Ipv4Addr,
    /// Seed of the timer jitter.
    pub seed: u64,
    pub ladders: Ladders,
    /// Paths of equal cost that a prefix may have in the kernel; 1 is no multipath.
    pub multipath: u8,
    /// The data path has survived a restart: the first OPEN to each neighbour says so (RFC 4724 section 3).
    pub restarting: bool,
}

impl SpeakerConfig {
    pub fn new(local_as: u32, router_id: Ipv4Addr, seed: u64) -> Self {
        SpeakerConfig {
            local_as,
            router_id,
            seed,
            ladders: Ladders::default(),
            multipath: 16,
            restarting: false,
        }
    }
}

/// The AS that a neighbour may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteAs {
    Is(u32),
    /// Any but ours.
    External,
    /// Ours.
    Internal,
    OneOf(Vec<RangeInclusive<u32>>),
}

impl RemoteAs {
    pub fn accepts(&self, asn: u32, local_as: u32) -> bool {
        match self {
            RemoteAs::Is(expected) => asn == *expected,
            RemoteAs::External => asn != local_as,
            RemoteAs::Internal => asn == local_as,
            RemoteAs::OneOf(ranges) => ranges.iter().any(|range| range.contains(&asn)),
        }
    }
}

impl fmt::Display for RemoteAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAs::Is(asn) => write!(f, "{asn}"),
            RemoteAs::External => f.write_str("external"),
            RemoteAs::Internal => f.write_str("internal"),
            RemoteAs::OneOf(ranges) => {
                for (index, range) in ranges.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    match (range.start(), range.end()) {
                        (start, end) if start == end => write!(f, "{start}")?,
                        (start, end) => write!(f, "{start}-{end}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

/// How packets of the session may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    /// Sent with TTL 255, accepted from at most this many hops away (RFC 5082); 1 is the same link.
    Security(u8),
    /// Sent with this TTL, accepted with any: 1 for a neighbour on the link, more for multihop.
    Limit(u8),
}

/// Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// RFC 2385; 1..=80 bytes.
    Md5(Secret),
    /// RFC 5925.
    Ao(Vec<AoKey>),
}

/// A master key tuple (RFC 5925 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AoKey {
    pub send_id: u8,
    pub receive_id: u8,
    /// As the kernel names it, such as `hmac(sha1)` or `cmac(aes128)` (RFC 5926).
    pub algorithm: String,
    pub secret: Secret,
}

/// What the sockets of a neighbour need; opaque to the speaker, which only restarts the session when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Source address of outgoing connections; `None` leaves it to the kernel.
    pub local_address: Option<IpAddr>,
    /// Source port of outgoing connections; `None` leaves it to the kernel.
    pub local_port: Option<u16>,
    /// The connection has to use this interface.
    pub interface: Option<String>,
    pub hops: Hops,
    pub authentication: Option<Authentication>,
}

impl Default for Transport {
    fn default() -> Self {
        Transport {
            local_address: None,
            local_port: None,
            interface: None,
            hops: Hops::Security(1),
            authentication: None,
        }
    }
}

/// What BFD means to the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BfdMode {
    #[default]
    Off,
    /// Down ends the session (RFC 9384).
    On,
    /// And the session waits for Up (draft-ietf-idr-bgp-bfd-strict-mode, capability 74).
    Strict,
}

/// Role of this speaker towards the neighbour (RFC 9234 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Provider,
    RouteServer,
    RouteServerClient,
    Customer,
    Peer,
}

/// RFC 4724, RFC 8538, RFC 9494.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// Keep what a restarting neighbour has announced.
    pub helper: bool,
    /// Ask the neighbour to keep what we have announced. Off for VIPs: a dead node must lose its traffic.
    pub restarter: bool,
    /// How long the neighbour is asked to wait for us, and the longest that we wait for it; 0..=4095 s.
    pub restart_time: Duration,
    /// RFC 9494: how long stale routes are kept beyond the restart time, by either side; zero: not at all.
    /// At most 2^24 - 1 s.
    pub long_lived_time: Duration,
}

impl Default for GracefulRestart {
    fn default() -> Self {
        GracefulRestart {
            helper: true,
            restarter: false,
            restart_time: Duration::from_secs(120),
            long_lived_time: Duration::ZERO,
        }
    }
}

/// Bound of what a neighbour may announce, by family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPrefixes {
    pub limit: u32,
    /// Percentage of the limit at which a warning is given.
    pub warning: u8,
    /// Only warn, and ignore what is beyond the limit.
    pub warn_only: bool,
    /// How long a neighbour that exceeded the limit is left alone; `None`: until it is enabled again.
    pub idle_hold: Option<Duration>,
}

impl Default for MaxPrefixes {
    fn default() -> Self {
        MaxPrefixes {
            limit: 100_000,
            warning: 75,
            warn_only: false,
            idle_hold: Some(Duration::from_secs(300)),
        }
    }
}

/// One neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    pub address: IpAddr,
    /// Index of the interface of a link-local address; 0 for every other address.
    pub scope: u32,
    /// Port to connect to.
    pub port: u16,
    pub transport: Transport,
    pub remote_as: RemoteAs,
    /// Only wait for the neighbour to connect.
    pub passive: bool,
    /// Proposed hold time; zero proposes to use none, otherwise at least 3 s.
    pub hold_time: Duration,
    pub connect_retry: Duration,
    pub families: Families,
    pub next_hops: NextHops,
    pub ladder: Option<Ladder>,
    /// `None` on eBGP: nothing is imported (RFC 8212). On iBGP as well.
    pub import: Option<Arc<Policy>>,
    /// `None` on eBGP: nothing is announced (RFC 8212). On iBGP: everything.
    pub export: Option<Arc<Policy>>,
    pub bfd: BfdMode,
    pub role: Option<Role>,
    /// Refuse a neighbour that does not tell its role (RFC 9234 section 4.2).
    pub role_strict: bool,
    pub graceful_restart: GracefulRestart,
    /// Accept several paths for a prefix (RFC 7911).
    pub add_path: bool,
    /// Offer messages of up to 65,535 bytes (RFC 8654).
    pub extended_messages: bool,
    pub max_prefixes: MaxPrefixes,
    /// Announce with GRACEFUL_SHUTDOWN and prefer other paths, in preparation of maintenance (RFC 8326).
    pub graceful_shutdown: bool,
    pub description: String,
}

impl PeerConfig {
    /// A neighbour with the defaults of the configuration file.
    pub fn new(address: IpAddr, remote_as: u32) -> Self {
        PeerConfig {
            address,
            scope: 0,
            port: 179,
            transport: Transport::default(),
            remote_as: RemoteAs::Is(remote_as),
            passive: false,
            hold_time: Duration::from_secs(9),
            connect_retry: Duration::from_secs(1),
            families: Families::BOTH,
            next_hops: NextHops::default(),
            ladder: None,
            import: None,
            export: None,
            bfd: BfdMode::Off,
            role: None,
            role_strict: false,
            graceful_restart: GracefulRestart::default(),
            add_path: false,
            extended_messages: true,
            max_prefixes: MaxPrefixes::default(),
            graceful_shutdown: false,
            description: String::new(),
        }
    }

    /// Where to connect to.
    pub fn remote(&self) -> SocketAddr {
        match self.address {
            IpAddr::V4(_) => SocketAddr::new(self.address, self.port),
            IpAddr::V6(address) => SocketAddrV6::new(address, self.port, 0, self.scope).into(),
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

/// Neighbours that are not named: whoever connects from `prefix` gets a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicPeers {
    pub prefix: IpNet,
    /// Sessions at the same time.
    pub limit: u32,
    /// What each of them gets; its address and `passive` are of no consequence.
    pub template: PeerConfig,
}

//! What this node shall be: the configuration after validation.
//!
//! Immutable but for [`Live`], which lies over it. Every accepted configuration gets the next generation; `plan` compares
//! it with what is there.
//! Everything that an order could reach is in ordered maps. Parts that cannot change while the daemon runs
//! are in [`Fixed`]; a reload that changes them is refused.

mod aggregate;
mod live;
mod neighbor;
mod session;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use aggregate::Aggregate;
pub use live::{Live, TimingChange};
pub use neighbor::{Neighbor, NeighborKey, SpeakerSettings};
pub use session::{Awaited, Found, NoSessionKey, Session, SessionKey, Template, Unsolicited, User};

#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    pub generation: u64,
    /// What is allowed, but probably not meant; for people.
    pub warnings: Vec<String>,
    pub fixed: Fixed,
    pub services: BTreeMap<ServiceKey, Service>,
    /// Attributes of VIPs beside those of the role.
    pub overrides: BTreeMap<IpAddr, bgp::Overrides>,
    pub aggregates: Vec<Aggregate>,
    pub speaker: SpeakerSettings,
    pub neighbors: BTreeMap<NeighborKey, Neighbor>,
    /// BFD sessions of the configuration: those of the neighbours with `bfd = true`, of the HA peers, and their own.
    pub sessions: BTreeMap<SessionKey, Session>,
    /// BFD sessions with neighbours that are yet to be found.
    pub awaited: Awaited,
    /// By interface.
    pub unsolicited: Vec<Unsolicited>,
    /// Not of the configuration.
    pub live: Live,
    /// By name. Never empty: `default` always exists.
    pub instances: BTreeMap<String, Instance>,
}

/// What needs a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    pub node: Node,
    pub datapath: DataPath,
    pub bgp: Option<Bgp>,
    /// By node name; empty on a lone node.
    pub peers: BTreeMap<String, HaPeer>,
    pub sync: Option<Sync>,
    pub api: Api,
    pub metrics: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub name: String,
    pub router_id: Ipv4Addr,
    pub run_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Auto,
    Xdp,
    XdpGeneric,
    Tcx,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DataPath {
    /// In the order of the file, without duplicates.
    pub interfaces: Vec<String>,
    pub hook: Hook,
    pub max_flows: u32,
    pub pin_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bgp {
    pub local_as: u32,
    /// Addresses to listen on; empty: no listener.
    pub listen: Vec<IpAddr>,
    pub listen_port: u16,
    pub multipath: u8,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaPeer {
    pub name: String,
    /// Of its BFD session.
    pub address: IpAddr,
    pub local: IpAddr,
}

/// A group of services with one MASTER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The same on every node, because it is derived from the name.
    pub id: u32,
    pub name: String,
    pub priority: u32,
    pub preempt: bool,
    /// Held by the MASTER, in the order of the file.
    pub addresses: Vec<FloatingAddress>,
    /// The VIPs of the instance become addresses of this interface (L2 mode).
    pub vip_interface: Option<String>,
}

/// An address that moves with the role: `10.0.2.1/24@eth2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FloatingAddress {
    pub address: IpAddr,
    pub prefix_length: u8,
    pub interface: String,
}

impl fmt::Display for FloatingAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.address, self.prefix_length, self.interface)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sync {
    pub listen: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
    /// Address of each peer by node name. Every one of them is in [`Fixed::peers`].
    pub peers: BTreeMap<String, SocketAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    pub socket: PathBuf,
    /// 0o600 or 0o660.
    pub mode: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// Number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// How packets reach the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The destination is rewritten, the client's address is kept.
    Default,
    /// The source is rewritten as well, to the VIP.
    FullNat,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Default => "default",
            Mode::FullNat => "fullnat",
        })
    }
}

/// How an endpoint is selected for a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// Maglev.
    Hash,
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Select::Hash => "hash",
        })
    }
}

/// What clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    pub vip: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", SocketAddr::new(self.vip, self.port), self.protocol)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub key: ServiceKey,
    pub mode: Mode,
    pub select: Select,
    /// Name of an entry of [`Desired::instances`].
    pub instance: String,
    pub idle_timeout: Duration,
    /// Ordered by address and port, so that every node builds the same table.
    pub endpoints: Vec<Endpoint>,
}

impl Service {
    /// Whether somebody can serve it.
    pub fn healthy(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.weight > 0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub address: IpAddr,
    pub port: u16,
    /// 0: gets no new flow.
    pub weight: u16,
}

impl Desired {
    /// Every VIP once, with the instance that announces it and whether any of its services is healthy; and the
    /// aggregates, which are healthy while a VIP inside is.
    pub fn announcements(&self) -> Vec<bgp::Announcement> {
        let mut vips: BTreeMap<IpAddr, (&str, bool)> = BTreeMap::new();
        for service in self.services.values() {
            let vip = vips.entry(service.key.vip).or_insert((&service.instance, false));
            vip.1 |= service.healthy();
        }
        let id = |instance: &str| self.instances.get(instance).map_or(0, |instance| instance.id);
        let aggregates = self.aggregates.iter().map(|aggregate| {
            let mut inside = vips
                .iter()
                .filter(|(vip, (instance, _))| aggregate.contains(**vip, instance));
            bgp::Announcement {
                prefix: aggregate.prefix,
                instance: id(&aggregate.instance),
                healthy: inside.any(|(_, (_, healthy))| *healthy),
                overrides: None,
            }
        });
        let hidden = |vip: IpAddr, instance: &str| {
            let mut aggregates = self.aggregates.iter();
            aggregates.any(|aggregate| aggregate.summary_only && aggregate.contains(vip, instance))
        };
        vips.iter()
            .filter(|(vip, (instance, _))| !hidden(**vip, instance))
            .map(|(vip, (instance, healthy))| bgp::Announcement {
                prefix: IpNet::from(*vip),
                instance: id(instance),
                healthy: *healthy,
                overrides: self.overrides.get(vip).cloned(),
            })
            .chain(aggregates)
            .collect()
    }

    /// The VIPs that an announcement stands for.
    pub fn behind(&self, announcement: &bgp::Announcement) -> impl Iterator<Item = IpAddr> {
        let (prefix, id) = (announcement.prefix, announcement.instance);
        let of_instance = move |service: &&Service| {
            let instance = self.instances.get(&service.instance);
            instance.map_or(0, |instance| instance.id) == id
        };
        self.services
            .values()
            .filter(of_instance)
            .map(|service| service.key.vip)
            .filter(move |vip| prefix.contains(vip))
    }

    /// The VIPs of an instance, in order.
    pub fn vips(&self, instance: &str) -> Vec<IpAddr> {
        let mut vips: Vec<IpAddr> = self
            .services
            .values()
            .filter(|service| service.instance == instance)
            .map(|service| service.key.vip)
            .collect();
        vips.dedup();
        vips
    }
}

/// Identity of an instance: the same on every node and after every reload, whatever else is configured.
pub fn instance_id(name: &str) -> u32 {
    if name == "default" {
        return 0;
    }
    // FNV-1a; the validation refuses two names with one identity.
    name.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

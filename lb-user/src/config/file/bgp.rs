//! `[bgp]` as it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::{Ladder, Policy, unplaced};
use crate::config::values::{
    BfdWord, Hold, InterfaceName, Name, NeighborAddress, Password, Prefix, RemoteAs, Time,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Bgp {
    #[serde(rename = "as")]
    pub(in crate::config) local_as: Spanned<u32>,
    #[serde(default)]
    pub(in crate::config) listen: Vec<Spanned<IpAddr>>,
    #[serde(default = "port")]
    pub(in crate::config) listen_port: Spanned<u16>,
    #[serde(default = "multipath")]
    pub(in crate::config) multipath: Spanned<u32>,
    /// Policies of neighbours that name none.
    pub(in crate::config) import: Option<Spanned<String>>,
    pub(in crate::config) export: Option<Spanned<String>>,
    pub(in crate::config) ladder: Option<Spanned<Ladder>>,
    #[serde(default)]
    pub(in crate::config) neighbor: Vec<Spanned<Neighbor>>,
    #[serde(default)]
    pub(in crate::config) dynamic: Vec<Spanned<Neighbor>>,
    #[serde(default)]
    pub(in crate::config) policy: Vec<Policy>,
    #[serde(default)]
    pub(in crate::config) aggregate: Vec<Aggregate>,
    #[serde(default)]
    pub(in crate::config) monitor: Vec<Monitor>,
}

impl Bgp {
    /// As if nothing else were written.
    pub(in crate::config) fn new(local_as: Spanned<u32>) -> Self {
        Bgp {
            local_as,
            listen: Vec::new(),
            listen_port: port(),
            multipath: multipath(),
            import: None,
            export: None,
            ladder: None,
            neighbor: Vec::new(),
            dynamic: Vec::new(),
            policy: Vec::new(),
            aggregate: Vec::new(),
            monitor: Vec::new(),
        }
    }
}

fn port() -> Spanned<u16> {
    unplaced(179)
}

fn multipath() -> Spanned<u32> {
    unplaced(16)
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Family {
    Ipv4,
    Ipv6,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Role {
    Provider,
    RouteServer,
    RouteServerClient,
    Customer,
    Peer,
}

/// One neighbour, or a range of unnamed ones; `check` knows which keys belong to which of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Neighbor {
    pub(in crate::config) address: Option<Spanned<NeighborAddress>>,
    /// Unnumbered: whoever is at the other end.
    pub(in crate::config) interface: Option<Spanned<InterfaceName>>,
    pub(in crate::config) prefix: Option<Spanned<Prefix>>,
    pub(in crate::config) limit: Option<Spanned<u32>>,
    #[serde(rename = "as")]
    pub(in crate::config) remote_as: Spanned<RemoteAs>,
    /// Source of connections and of BFD; the kernel's choice without it.
    pub(in crate::config) local: Option<Spanned<IpAddr>>,
    pub(in crate::config) local_port: Option<Spanned<u16>>,
    #[serde(default = "port")]
    pub(in crate::config) port: Spanned<u16>,
    pub(in crate::config) passive: Option<Spanned<bool>>,
    #[serde(default = "hold_time")]
    pub(in crate::config) hold_time: Spanned<Time>,
    #[serde(default = "connect_retry")]
    pub(in crate::config) connect_retry: Spanned<Time>,
    /// The family of the address without it; both on link-local addresses.
    pub(in crate::config) families: Option<Spanned<Vec<Family>>>,
    #[serde(default)]
    pub(in crate::config) next_hop: NextHop,
    #[serde(default = "no_bfd")]
    pub(in crate::config) bfd: Spanned<BfdWord>,
    pub(in crate::config) bfd_profile: Option<Spanned<Name>>,
    pub(in crate::config) gtsm: Option<Spanned<bool>>,
    pub(in crate::config) multihop: Option<Spanned<u32>>,
    pub(in crate::config) password: Option<Spanned<Password>>,
    pub(in crate::config) password_file: Option<Spanned<PathBuf>>,
    pub(in crate::config) ao: Option<Spanned<Vec<AoKey>>>,
    pub(in crate::config) role: Option<Spanned<Role>>,
    pub(in crate::config) role_strict: Option<Spanned<bool>>,
    #[serde(default)]
    pub(in crate::config) graceful_restart: GracefulRestart,
    #[serde(default)]
    pub(in crate::config) add_path: bool,
    #[serde(default = "yes")]
    pub(in crate::config) extended_messages: bool,
    #[serde(default)]
    pub(in crate::config) graceful_shutdown: bool,
    #[serde(default)]
    pub(in crate::config) max_prefixes: MaxPrefixes,
    pub(in crate::config) import: Option<Spanned<String>>,
    pub(in crate::config) export: Option<Spanned<String>>,
    pub(in crate::config) ladder: Option<Spanned<Ladder>>,
    #[serde(default)]
    pub(in crate::config) description: String,
}

impl Neighbor {
    /// One that the command line names: it is told everything and believed nothing.
    pub(in crate::config) fn external(address: IpAddr, number: u32) -> Self {
        Neighbor {
            address: Some(unplaced(NeighborAddress::Global(address))),
            interface: None,
            prefix: None,
            limit: None,
            remote_as: unplaced(RemoteAs(bgp::RemoteAs::Is(number))),
            local: None,
            local_port: None,
            port: port(),
            passive: None,
            hold_time: hold_time(),
            connect_retry: connect_retry(),
            families: None,
            next_hop: NextHop::default(),
            bfd: no_bfd(),
            bfd_profile: None,
            gtsm: Some(unplaced(false)),
            multihop: None,
            password: None,
            password_file: None,
            ao: None,
            role: None,
            role_strict: None,
            graceful_restart: GracefulRestart::default(),
            add_path: false,
            extended_messages: true,
            graceful_shutdown: false,
            max_prefixes: MaxPrefixes::default(),
            import: Some(unplaced(bgp::Policy::NONE.to_owned())),
            export: Some(unplaced(bgp::Policy::ALL.to_owned())),
            ladder: None,
            description: String::new(),
        }
    }
}

fn hold_time() -> Spanned<Time> {
    unplaced(Time::seconds(9))
}

fn connect_retry() -> Spanned<Time> {
    unplaced(Time::seconds(1))
}

fn no_bfd() -> Spanned<BfdWord> {
    unplaced(BfdWord::default())
}

fn yes() -> bool {
    true
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct NextHop {
    pub(in crate::config) ipv4: Option<Spanned<Ipv4Addr>>,
    pub(in crate::config) ipv6: Option<Spanned<Ipv6Addr>>,
    pub(in crate::config) ipv6_link_local: Option<Spanned<Ipv6Addr>>,
}

/// A key of TCP-AO.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct AoKey {
    pub(in crate::config) send_id: Spanned<u8>,
    pub(in crate::config) receive_id: Spanned<u8>,
    pub(in crate::config) algorithm: Spanned<String>,
    pub(in crate::config) secret_file: Spanned<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct GracefulRestart {
    pub(in crate::config) helper: bool,
    pub(in crate::config) restarter: bool,
    pub(in crate::config) restart_time: Spanned<Time>,
    pub(in crate::config) long_lived_time: Spanned<Time>,
}

impl Default for GracefulRestart {
    fn default() -> Self {
        GracefulRestart {
            helper: true,
            restarter: false,
            restart_time: unplaced(Time::seconds(120)),
            long_lived_time: unplaced(Time::seconds(0)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct MaxPrefixes {
    pub(in crate::config) limit: Spanned<u32>,
    pub(in crate::config) warning: Spanned<u32>,
    pub(in crate::config) warn_only: bool,
    pub(in crate::config) idle_hold: Spanned<Hold>,
}

impl Default for MaxPrefixes {
    fn default() -> Self {
        MaxPrefixes {
            limit: unplaced(100_000),
            warning: unplaced(75),
            warn_only: false,
            idle_hold: unplaced(Hold::default()),
        }
    }
}

/// A prefix that is announced for the VIPs inside it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Aggregate {
    pub(in crate::config) prefix: Spanned<Prefix>,
    pub(in crate::config) instance: Option<Spanned<Name>>,
    #[serde(default = "yes")]
    pub(in crate::config) summary_only: bool,
}

impl Aggregate {
    pub(in crate::config) fn prefix(&self) -> IpNet {
        self.prefix.get_ref().0
    }
}

/// A monitoring station (BMP).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Monitor {
    pub(in crate::config) address: Spanned<SocketAddr>,
}

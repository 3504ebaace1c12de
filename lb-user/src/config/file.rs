//! The file as it is written. Names are part of the interface; defaults are those of `configs/baton.toml`.
//!
//! [`Spanned`] keeps the position of what `check` may refuse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::values::{Floating, InterfaceName, Name, SocketMode, Time};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) node: Node,
    pub(super) datapath: DataPath,
    #[serde(default)]
    pub(super) bfd: Bfd,
    pub(super) bgp: Option<Bgp>,
    #[serde(default)]
    pub(super) ha: Ha,
    pub(super) sync: Option<Spanned<Sync>>,
    #[serde(default)]
    pub(super) api: Api,
    pub(super) metrics: Option<Metrics>,
    #[serde(default)]
    pub(super) service: Vec<Service>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Node {
    pub(super) name: Spanned<Name>,
    pub(super) router_id: Spanned<Ipv4Addr>,
    #[serde(default = "run_dir")]
    pub(super) run_dir: Spanned<PathBuf>,
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn run_dir() -> Spanned<PathBuf> {
    unplaced("/run/baton".into())
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Hook {
    #[default]
    Auto,
    Xdp,
    XdpGeneric,
    Tcx,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct DataPath {
    pub(super) interfaces: Spanned<Vec<Spanned<InterfaceName>>>,
    #[serde(default)]
    pub(super) hook: Hook,
    #[serde(default = "max_flows")]
    pub(super) max_flows: Spanned<u32>,
    #[serde(default = "pin_dir")]
    pub(super) pin_dir: Spanned<PathBuf>,
}

fn max_flows() -> Spanned<u32> {
    unplaced(262_144)
}

fn pin_dir() -> Spanned<PathBuf> {
    unplaced("/sys/fs/bpf/baton".into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Bfd {
    pub(super) interval: Spanned<Time>,
    pub(super) multiplier: Spanned<u32>,
}

impl Default for Bfd {
    fn default() -> Self {
        Bfd {
            interval: unplaced(Time::milliseconds(30)),
            multiplier: unplaced(5),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Bgp {
    #[serde(rename = "as")]
    pub(super) local_as: Spanned<u32>,
    #[serde(default)]
    pub(super) listen: Vec<Spanned<IpAddr>>,
    #[serde(default = "bgp_port")]
    pub(super) listen_port: Spanned<u16>,
    #[serde(default)]
    pub(super) neighbor: Vec<Neighbor>,
}

fn bgp_port() -> Spanned<u16> {
    unplaced(179)
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Neighbor {
    pub(super) address: Spanned<IpAddr>,
    #[serde(rename = "as")]
    pub(super) remote_as: Spanned<u32>,
    /// Source of connections and of BFD; the kernel's choice without it.
    pub(super) local: Option<Spanned<IpAddr>>,
    #[serde(default = "hold_time")]
    pub(super) hold_time: Spanned<Time>,
    #[serde(default = "connect_retry")]
    pub(super) connect_retry: Spanned<Time>,
    #[serde(default)]
    pub(super) passive: bool,
    #[serde(default)]
    pub(super) bfd: bool,
    #[serde(default = "bgp_port")]
    pub(super) port: Spanned<u16>,
    /// The family of the address without it.
    pub(super) families: Option<Spanned<Vec<Family>>>,
    #[serde(default)]
    pub(super) next_hop: NextHop,
    #[serde(default)]
    pub(super) description: String,
}

fn hold_time() -> Spanned<Time> {
    unplaced(Time::seconds(9))
}

fn connect_retry() -> Spanned<Time> {
    unplaced(Time::seconds(1))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct NextHop {
    pub(super) ipv4: Option<Spanned<Ipv4Addr>>,
    pub(super) ipv6: Option<Spanned<Ipv6Addr>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Ha {
    pub(super) peer: Vec<HaPeer>,
    pub(super) instance: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct HaPeer {
    pub(super) name: Spanned<Name>,
    pub(super) address: Spanned<IpAddr>,
    pub(super) local: Spanned<IpAddr>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Instance {
    pub(super) name: Spanned<Name>,
    #[serde(default = "priority")]
    pub(super) priority: Spanned<u32>,
    #[serde(default = "preempt")]
    pub(super) preempt: bool,
    #[serde(default)]
    pub(super) addresses: Vec<Spanned<Floating>>,
    pub(super) vip_interface: Option<InterfaceName>,
}

fn priority() -> Spanned<u32> {
    unplaced(100)
}

fn preempt() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Sync {
    pub(super) listen: Spanned<SocketAddr>,
    pub(super) certificate: Spanned<PathBuf>,
    pub(super) key: Spanned<PathBuf>,
    pub(super) ca: Spanned<PathBuf>,
    #[serde(default)]
    pub(super) peer: Vec<SyncPeer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SyncPeer {
    pub(super) name: Spanned<Name>,
    pub(super) address: Spanned<SocketAddr>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Api {
    /// `batond.sock` in the run directory without it.
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) mode: SocketMode,
}

impl Default for Api {
    fn default() -> Self {
        Api {
            socket: None,
            mode: SocketMode(0o600),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Metrics {
    pub(super) listen: Option<Spanned<SocketAddr>>,
    #[serde(default)]
    pub(super) allow_remote: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    #[default]
    Default,
    Fullnat,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Select {
    #[default]
    Hash,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Service {
    pub(super) name: Spanned<Name>,
    pub(super) vip: Spanned<IpAddr>,
    pub(super) port: Spanned<u16>,
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) mode: Mode,
    pub(super) instance: Option<Spanned<Name>>,
    #[serde(default)]
    pub(super) select: Select,
    pub(super) idle_timeout: Option<Spanned<Time>>,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Endpoint {
    pub(super) address: Spanned<IpAddr>,
    pub(super) port: Spanned<u16>,
    #[serde(default = "weight")]
    pub(super) weight: Spanned<u16>,
}

fn weight() -> Spanned<u16> {
    unplaced(1)
}

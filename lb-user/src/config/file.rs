//! The file as it is written. Names are part of the interface; defaults are those of `configs/baton.toml`.
//!
//! [`Spanned`] keeps the position of what `check` may refuse.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

mod announce;
mod bfd;
mod bgp;
mod ladder;
mod policy;

pub(super) use announce::Announce;
pub(super) use bfd::{
    Algorithm as BfdAlgorithm, Bfd, HoldDown as BfdHoldDown, Key as BfdKey, Session as BfdSession,
    Settings as BfdSettings, Unsolicited as BfdUnsolicited,
};
pub(super) use bgp::{AoKey, Bgp, Family, GracefulRestart, MaxPrefixes, Neighbor, Role};
pub(super) use ladder::{Ladder, Rung};
pub(super) use policy::{Action, Matches, Origin, Policy, PreferenceName, Rule as PolicyRule, Sets};

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
    pub(super) bfd_profile: Option<Spanned<Name>>,
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
    pub(super) ladder: Option<Spanned<Ladder>>,
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
    /// Attributes of its VIP.
    pub(super) announce: Option<Spanned<Announce>>,
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

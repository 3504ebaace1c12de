//! A route as the kernel has it, and its netlink messages. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};

use super::PROTOCOL;

const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// Where packets go: out of a link, to a gateway on it unless they stay on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) gateway: Option<IpAddr>,
    pub(super) link: u32,
}

/// More than one: the kernel spreads flows over them.
pub(super) type Ways = BTreeSet<Way>;

/// A route that the kernel has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) prefix: IpNet,
    pub(super) metric: u32,
    pub(super) protocol: u8,
    pub(super) main: bool,
    /// Forwards packets, and is not for this machine, nor drops them.
    pub(super) unicast: bool,
    pub(super) ways: Ways,
    /// Those of them whose link has carrier.
    pub(super) alive: Ways,
}

impl Observed {
    /// `None`: nothing to do with unicast forwarding, such as a clone of the cache.
    pub(super) fn parse(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        if header.flags.contains(RouteFlags::Cloned) {
            return None;
        }
        let mut destination = None;
        let (mut metric, mut table) = (0, u32::from(header.table));
        let mut only = NextHopParts::default();
        let (mut ways, mut alive) = (Ways::new(), Ways::new());
        for attribute in &message.attributes {
            #[allow(clippy::wildcard_enum_match_arm, reason = "of thirty attributes these matter")]
            match attribute {
                RouteAttribute::Destination(address) => destination = Some(ip(address)?),
                RouteAttribute::Priority(priority) => metric = *priority,
                RouteAttribute::Table(number) => table = *number,
                RouteAttribute::MultiPath(hops) => {
                    for hop in hops {
                        let mut parts = NextHopParts::default();
                        hop.attributes.iter().for_each(|part| parts.add(part));
                        parts.link = Some(hop.interface_index);
                        let dead = RouteNextHopFlags::Dead
                            | RouteNextHopFlags::Linkdown
                            | RouteNextHopFlags::Unresolved;
                        parts.put(!hop.flags.intersects(dead), &mut ways, &mut alive);
                    }
                }
                other => only.add(other),
            }
        }
        let dead = RouteFlags::Dead | RouteFlags::Linkdown | RouteFlags::Unresolved;
        only.put(!header.flags.intersects(dead), &mut ways, &mut alive);
        let address = destination.or_else(|| unspecified(header.address_family))?;
        Some(Self {
            prefix: IpNet::new(address, header.destination_prefix_length).ok()?,
            metric,
            protocol: header.protocol.into(),
            main: table == MAIN,
            unicast: header.kind == RouteType::Unicast,
            ways,
            alive,
        })
    }

    pub(super) fn is_ours(&self) -> bool {
        self.protocol == PROTOCOL && self.main
    }
}

/// Attributes of one next hop, in whatever order they come.
#[derive(Default)]
struct NextHopParts {
    gateway: Option<IpAddr>,
    link: Option<u32>,
}

impl NextHopParts {
    fn add(&mut self, attribute: &RouteAttribute) {
        #[allow(clippy::wildcard_enum_match_arm, reason = "of thirty attributes these matter")]
        match attribute {
            RouteAttribute::Gateway(address) => self.gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => self.gateway = Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => self.gateway = Some((*address).into()),
            RouteAttribute::Oif(link) => self.link = Some(*link),
            _ => {}
        }
    }

    fn put(self, usable: bool, ways: &mut Ways, alive: &mut Ways) {
        let Some(link) = self.link else { return };
        let way = Way {
            gateway: self.gateway,
            link,
        };
        ways.insert(way);
        if usable {
            alive.insert(way);
        }
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "MPLS and the like are not forwarded by us"
    )]
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn unspecified(family: AddressFamily) -> Option<IpAddr> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "there are two families of addresses"
    )]
    match family {
        AddressFamily::Inet => Some(IpAddr::from([0; 4])),
        AddressFamily::Inet6 => Some(IpAddr::from([0; 16])),
        _ => None,
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn wire(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

/// One of ours, to be created or to replace one.
pub(super) fn installation(prefix: IpNet, metric: u32, ways: &Ways) -> RouteMessage {
    let mut message = ours(prefix, metric);
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    match ways.first().filter(|_| ways.len() == 1) {
        Some(way) => {
            if is_on_link(prefix, way) {
                message.header.flags = RouteFlags::Onlink;
            }
            message.attributes.extend(gateway(prefix, way));
            message.attributes.push(RouteAttribute::Oif(way.link));
        }
        None => message.attributes.push(RouteAttribute::MultiPath(
            ways.iter().map(|way| next_hop(prefix, way)).collect(),
        )),
    }
    message
}

/// The one of ours, whatever its next hops: the kernel compares protocol, prefix and metric.
pub(super) fn removal(prefix: IpNet, metric: u32) -> RouteMessage {
    let mut message = ours(prefix, metric);
    message.header.scope = RouteScope::NoWhere;
    message.header.kind = RouteType::Unspec;
    message
}

/// Which route the kernel would take to a next hop.
pub(super) fn question(next_hop: IpAddr, scope: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(next_hop);
    message.header.destination_prefix_length = if next_hop.is_ipv4() { 32 } else { 128 };
    message.header.flags = RouteFlags::FibMatch;
    message
        .attributes
        .push(RouteAttribute::Destination(wire(next_hop)));
    if scope != 0 {
        message.attributes.push(RouteAttribute::Oif(scope));
    }
    message
}

/// All routes of the main table.
pub(super) fn inventory(address_family: AddressFamily) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message
}

fn ours(prefix: IpNet, metric: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(prefix.addr());
    message.header.destination_prefix_length = prefix.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message
        .attributes
        .push(RouteAttribute::Destination(wire(prefix.addr())));
    message.attributes.push(RouteAttribute::Priority(metric));
    message
}

fn next_hop(prefix: IpNet, way: &Way) -> RouteNextHop {
    let mut hop = RouteNextHop::default();
    hop.interface_index = way.link;
    if is_on_link(prefix, way) {
        hop.flags = RouteNextHopFlags::Onlink;
    }
    hop.attributes.extend(gateway(prefix, way));
    hop
}

fn gateway(prefix: IpNet, way: &Way) -> Option<RouteAttribute> {
    match (prefix, way.gateway?) {
        (IpNet::V4(_), IpAddr::V6(address)) => Some(RouteAttribute::Via(RouteVia::Inet6(address))),
        (_, address) => Some(RouteAttribute::Gateway(wire(address))),
    }
}

/// The gateway is on the link, we have looked. Without the word the kernel looks as well, and may find one of our routes.
fn is_on_link(prefix: IpNet, way: &Way) -> bool {
    match (prefix, way.gateway) {
        (IpNet::V4(_), Some(IpAddr::V4(_))) => true,
        (IpNet::V6(_), Some(IpAddr::V6(address))) => !address.is_unicast_link_local(),
        (IpNet::V4(_), Some(IpAddr::V6(_)) | None) | (IpNet::V6(_), Some(IpAddr::V4(_)) | None) => false,
    }
}

//! Neighbours that are named.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use toml::Spanned;

use super::super::{Findings, is_link_local};
use super::{Context, peer};
use crate::config::file;
use crate::config::values::NeighborAddress;
use crate::desired::{Neighbor, NeighborKey};

pub(super) fn neighbors(context: &Context<'_>, findings: &mut Findings) -> BTreeMap<NeighborKey, Neighbor> {
    let mut neighbors = BTreeMap::new();
    for at in &context.written.neighbor {
        let written = at.get_ref();
        foreign_keys(written, findings);
        let Some(key) = key(at, findings) else { continue };
        if written.passive.as_ref().is_some_and(|passive| *passive.get_ref())
            && context.written.listen.is_empty()
        {
            let reason = format!("{key} is passive, but bgp.listen is empty: nobody would ever connect");
            findings.refuse(&written.remote_as, "bgp.neighbor.passive", reason);
        }
        let neighbor = Neighbor {
            peer: named(&key, at, context, findings),
            key,
        };
        if let Some(twice) = neighbors.insert(neighbor.key.clone(), neighbor) {
            let reason = format!("neighbour {} is defined twice", twice.key);
            match (&written.address, &written.interface) {
                (Some(at), _) => findings.refuse(at, "bgp.neighbor.address", reason),
                (None, Some(at)) => findings.refuse(at, "bgp.neighbor.interface", reason),
                (None, None) => findings.refuse(at, "bgp.neighbor", reason),
            }
        }
    }
    neighbors
}

/// Keys of `[[bgp.dynamic]]`.
fn foreign_keys(written: &file::Neighbor, findings: &mut Findings) {
    let reason = "belongs to [[bgp.dynamic]]; a neighbour has an address or an interface";
    if let Some(at) = &written.prefix {
        findings.refuse(at, "bgp.neighbor.prefix", reason);
    }
    if let Some(at) = &written.limit {
        findings.refuse(at, "bgp.neighbor.limit", reason);
    }
}

fn key(at: &Spanned<file::Neighbor>, findings: &mut Findings) -> Option<NeighborKey> {
    const KEY: &str = "bgp.neighbor.address";
    let written = at.get_ref();
    match (&written.address, &written.interface) {
        (Some(at), Some(_)) if matches!(at.get_ref(), NeighborAddress::LinkLocal(..)) => {
            let reason = "names its interface already: leave out interface";
            findings.refuse(at, KEY, reason);
            None
        }
        (None, None) => {
            let reason = "needs an address, or an interface (unnumbered)";
            findings.refuse(at, "bgp.neighbor", reason);
            None
        }
        (None, Some(interface)) => Some(NeighborKey::Interface(interface.get_ref().0.clone())),
        (Some(at), _) => Some(match at.get_ref() {
            NeighborAddress::LinkLocal(address, interface) => {
                NeighborKey::LinkLocal(*address, interface.0.clone())
            }
            NeighborAddress::Global(address) => {
                if !super::super::is_unicast(*address) {
                    findings.refuse(at, KEY, format!("{address} is no unicast address"));
                }
                if is_link_local(*address) && address.is_ipv6() {
                    let reason =
                        format!("{address} is link-local: name its interface as well, \"{address}%eth1\"");
                    findings.refuse(at, KEY, reason);
                }
                NeighborKey::Address(*address)
            }
        }),
    }
}

fn named(
    key: &NeighborKey,
    at: &Spanned<file::Neighbor>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> bgp::PeerConfig {
    let written = at.get_ref();
    let on_link = !matches!(key, NeighborKey::Address(_));
    if on_link && let Some(at) = &written.multihop {
        let reason = format!("{key} is on the link by its nature");
        findings.refuse(at, "bgp.neighbor.multihop", reason);
    }
    let subject = peer::Subject {
        key: "bgp.neighbor",
        name: key.to_string(),
        // The address of whoever is at the other end is found out later.
        address: key.address().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        both_families: on_link,
    };
    let mut peer = peer::peer(&subject, written, context, findings);
    peer.transport.interface = match key {
        // A global address is reached through this interface only.
        NeighborKey::Address(_) => written.interface.as_ref().map(|at| at.get_ref().0.clone()),
        NeighborKey::LinkLocal(_, interface) | NeighborKey::Interface(interface) => Some(interface.clone()),
    };
    if let Some(port) = &written.local_port {
        peer.transport.local_port = Some(*port.get_ref()).filter(|port| *port != 0);
    }
    peer.passive = written.passive.as_ref().is_some_and(|passive| *passive.get_ref());
    peer
}

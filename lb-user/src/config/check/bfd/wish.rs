//! Who wants a session, and what they say about it.

use std::net::IpAddr;

use bgp::BfdMode;
use ipnet::IpNet;
use toml::Spanned;

use super::super::Findings;
use crate::config::file;
use crate::config::values::{Name, NeighborAddress};
use crate::desired::{SessionKey, User};

/// What a neighbour or a peer says about its session.
pub(super) struct Wish<'a> {
    pub(super) user: User,
    /// Where it is said, and with which key.
    pub(super) at: Spanned<()>,
    pub(super) key: &'static str,
    pub(super) local: Option<&'a Spanned<IpAddr>>,
    pub(super) local_key: &'static str,
    pub(super) profile: Option<&'a Spanned<Name>>,
    pub(super) profile_key: &'static str,
    /// Over several hops: the least TTL that a packet from so far away arrives with.
    pub(super) far: Option<u8>,
}

/// With whom.
pub(super) enum With {
    Known(SessionKey),
    /// The router at the other end of this interface.
    Router(String),
    /// Whoever connects from this prefix.
    Guests(IpNet),
}

/// What everybody wants, in the order of the file.
pub(super) fn wishes<'a>(file: &'a file::File, findings: &mut Findings) -> Vec<(With, Wish<'a>)> {
    let mut wishes = Vec::new();
    if let Some(bgp) = &file.bgp {
        wishes.extend(bgp.neighbor.iter().filter_map(|at| neighbor(at, findings)));
        wishes.extend(bgp.dynamic.iter().filter_map(|at| guests(at, findings)));
    }
    wishes.extend(file.ha.peer.iter().map(peer));
    wishes
}

fn place<T>(at: &Spanned<T>) -> Spanned<()> {
    Spanned::new(at.span(), ())
}

fn neighbor<'a>(at: &'a Spanned<file::Neighbor>, findings: &mut Findings) -> Option<(With, Wish<'a>)> {
    const KEYS: [&str; 3] = [
        "bgp.neighbor.bfd",
        "bgp.neighbor.local",
        "bgp.neighbor.bfd-profile",
    ];
    let written = at.get_ref();
    let interface = written.interface.as_ref().map(|at| at.get_ref().0.as_str());
    let (with, name) = match (&written.address, interface) {
        (Some(address), _) => {
            let (key, name) = match address.get_ref() {
                NeighborAddress::Global(address) => {
                    (SessionKey::new(*address, interface), address.to_string())
                }
                NeighborAddress::LinkLocal(address, interface) => {
                    let key = SessionKey::new((*address).into(), Some(&interface.0));
                    let name = key.to_string();
                    (key, name)
                }
            };
            (With::Known(key), name)
        }
        (None, Some(interface)) => (With::Router(interface.to_owned()), interface.to_owned()),
        // Refused where neighbours are read.
        (None, None) => return None,
    };
    let wish = of_bgp(written, KEYS, name, findings)?;
    Some((with, wish))
}

fn guests<'a>(at: &'a Spanned<file::Neighbor>, findings: &mut Findings) -> Option<(With, Wish<'a>)> {
    const KEYS: [&str; 3] = ["bgp.dynamic.bfd", "bgp.dynamic.local", "bgp.dynamic.bfd-profile"];
    let written = at.get_ref();
    let prefix = written.prefix.as_ref()?.get_ref().0;
    let wish = of_bgp(written, KEYS, prefix.to_string(), findings)?;
    if super::super::is_link_local(prefix.addr()) && prefix.addr().is_ipv6() {
        let reason =
            format!("BFD needs to know the interface of {prefix}: name its neighbours in [[bgp.neighbor]]");
        findings.refuse(&wish.at, wish.key, reason);
    }
    Some((With::Guests(prefix), wish))
}

fn of_bgp<'a>(
    written: &'a file::Neighbor,
    [key, local_key, profile_key]: [&'static str; 3],
    name: String,
    findings: &mut Findings,
) -> Option<Wish<'a>> {
    if written.bfd.get_ref().0 == BfdMode::Off {
        if let Some(at) = &written.bfd_profile {
            findings.refuse(at, profile_key, "needs bfd = true");
        }
        return None;
    }
    let hops = written
        .multihop
        .as_ref()
        .and_then(|at| u8::try_from(*at.get_ref()).ok());
    Some(Wish {
        user: User::Neighbor(name),
        at: place(&written.bfd),
        key,
        local: written.local.as_ref(),
        local_key,
        profile: written.bfd_profile.as_ref(),
        profile_key,
        // As far as BGP would accept, by the same count as RFC 5082.
        far: hops.filter(|hops| *hops > 1).map(|hops| u8::MAX - (hops - 1)),
    })
}

fn peer(written: &file::HaPeer) -> (With, Wish<'_>) {
    let wish = Wish {
        user: User::Peer(written.name.get_ref().0.clone()),
        at: place(&written.address),
        key: "ha.peer.address",
        local: Some(&written.local),
        local_key: "ha.peer.local",
        profile: written.bfd_profile.as_ref(),
        profile_key: "ha.peer.bfd-profile",
        far: None,
    };
    (With::Known((*written.address.get_ref()).into()), wish)
}

//! The BGP speaker and its neighbours.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bgp::{BfdMode, Families, NextHops, PeerConfig, Transport};
use toml::Spanned;

use super::{Findings, family, is_link_local};
use crate::config::file;
use crate::desired::{Bgp, Neighbor, NeighborKey};

pub(super) fn speaker(file: &file::File, findings: &mut Findings) -> Option<Bgp> {
    let bgp = file.bgp.as_ref()?;
    autonomous_system(&bgp.local_as, "bgp.as", findings);
    let mut listen = Vec::new();
    for address in &bgp.listen {
        if listen.contains(address.get_ref()) {
            findings.refuse(
                address,
                "bgp.listen",
                format!("{} is listed twice", address.get_ref()),
            );
        }
        listen.push(*address.get_ref());
    }
    Some(Bgp {
        local_as: *bgp.local_as.get_ref(),
        listen,
        listen_port: findings.port(&bgp.listen_port, "bgp.listen-port"),
    })
}

pub(super) fn neighbors(file: &file::File, findings: &mut Findings) -> BTreeMap<NeighborKey, Neighbor> {
    let mut neighbors = BTreeMap::new();
    let Some(bgp) = &file.bgp else { return neighbors };
    for written in &bgp.neighbor {
        let address = findings.unicast(&written.address, "bgp.neighbor.address");
        if is_link_local(address) && address.is_ipv6() {
            let reason = format!("{address} is link-local; use a global address of the neighbour");
            findings.refuse(&written.address, "bgp.neighbor.address", reason);
        }
        if written.passive && bgp.listen.is_empty() {
            let reason = format!("{address} is passive, but bgp.listen is empty: nobody would ever connect");
            findings.refuse(&written.address, "bgp.neighbor.passive", reason);
        }
        let neighbor = Neighbor {
            key: address.into(),
            peer: peer(written, findings),
        };
        if neighbors.insert(neighbor.key.clone(), neighbor).is_some() {
            findings.refuse(
                &written.address,
                "bgp.neighbor.address",
                format!("neighbour {address} is defined twice"),
            );
        }
    }
    neighbors
}

fn peer(written: &file::Neighbor, findings: &mut Findings) -> PeerConfig {
    let address = *written.address.get_ref();
    autonomous_system(&written.remote_as, "bgp.neighbor.as", findings);
    let retry = written.connect_retry.get_ref();
    if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&retry.0) {
        let reason = format!("must be 100ms to 1h, not {retry}");
        findings.refuse(&written.connect_retry, "bgp.neighbor.connect-retry", reason);
    }
    if let Some(local) = &written.local {
        local_address(local, address, findings);
    }
    let families = families(written, findings);
    PeerConfig {
        port: findings.port(&written.port, "bgp.neighbor.port"),
        transport: Transport {
            local_address: written.local.as_ref().map(|local| *local.get_ref()),
            ..Transport::default()
        },
        bfd: if written.bfd { BfdMode::On } else { BfdMode::Off },
        passive: written.passive,
        hold_time: hold_time(&written.hold_time, findings),
        connect_retry: retry.0,
        families,
        next_hops: next_hops(written, families, findings),
        description: written.description.clone(),
        ..PeerConfig::new(address, *written.remote_as.get_ref())
    }
}

fn autonomous_system(number: &Spanned<u32>, key: &str, findings: &mut Findings) {
    // RFC 7607 (0), RFC 6793 section 9 (AS_TRANS), RFC 7300 (the last of each size).
    if [0, 23_456, 65_535, u32::MAX].contains(number.get_ref()) {
        findings.refuse(number, key, format!("AS {} is reserved", number.get_ref()));
    }
}

fn hold_time(time: &Spanned<crate::config::values::Time>, findings: &mut Findings) -> Duration {
    let hold = time.get_ref().0;
    // RFC 4271 section 4.2: zero or at least three seconds, in whole seconds.
    let valid = hold.is_zero() || (3..=65_535).contains(&hold.as_secs());
    if !valid || hold.subsec_nanos() != 0 {
        let reason = format!(
            "must be 0s or 3s to 65535s in whole seconds, not {}",
            time.get_ref()
        );
        findings.refuse(time, "bgp.neighbor.hold-time", reason);
    }
    hold
}

fn local_address(local: &Spanned<IpAddr>, remote: IpAddr, findings: &mut Findings) {
    let address = findings.unicast(local, "bgp.neighbor.local");
    if address.is_ipv4() != remote.is_ipv4() {
        let reason = format!(
            "{address} is {}, but the neighbour {remote} is {}",
            family(address),
            family(remote)
        );
        findings.refuse(local, "bgp.neighbor.local", reason);
    }
    if address == remote {
        findings.refuse(
            local,
            "bgp.neighbor.local",
            format!("{address} is the neighbour's own address"),
        );
    }
}

fn families(written: &file::Neighbor, findings: &mut Findings) -> Families {
    let Some(listed) = &written.families else {
        return if written.address.get_ref().is_ipv4() {
            Families::IPV4
        } else {
            Families::IPV6
        };
    };
    if listed.get_ref().is_empty() {
        findings.refuse(
            listed,
            "bgp.neighbor.families",
            "is empty: nothing could be announced",
        );
    }
    let mut families = Families::default();
    for listed in listed.get_ref() {
        families.insert(match listed {
            file::Family::Ipv4 => bgp::Family::Ipv4,
            file::Family::Ipv6 => bgp::Family::Ipv6,
        });
    }
    families
}

fn next_hops(written: &file::Neighbor, families: Families, findings: &mut Findings) -> NextHops {
    let (ipv4, ipv6) = (&written.next_hop.ipv4, &written.next_hop.ipv6);
    if let Some(hop) = ipv4 {
        let address = IpAddr::V4(*hop.get_ref());
        next_hop(
            hop,
            address,
            families.ipv4,
            "bgp.neighbor.next-hop.ipv4",
            findings,
        );
    }
    if let Some(hop) = ipv6 {
        let address = IpAddr::V6(*hop.get_ref());
        next_hop(
            hop,
            address,
            families.ipv6,
            "bgp.neighbor.next-hop.ipv6",
            findings,
        );
    }
    NextHops {
        ipv4: ipv4.as_ref().map(|hop| *hop.get_ref()),
        ipv6: ipv6.as_ref().map(|hop| *hop.get_ref()),
        ..NextHops::default()
    }
}

fn next_hop<T>(at: &Spanned<T>, address: IpAddr, used: bool, key: &str, findings: &mut Findings) {
    if !super::is_unicast(address) {
        findings.refuse(at, key, format!("{address} is no unicast address"));
    }
    if !used {
        findings.refuse(
            at,
            key,
            format!("families does not list {}", family(address).to_lowercase()),
        );
    }
}

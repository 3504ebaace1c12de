//! Attributes of a VIP that its services ask for.
//!
//! A VIP is one route, whatever the number of its services: each key may be set by any of them, the same key by
//! several only with the same value, and communities add up.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp::{Community, Overrides};
use toml::Spanned;

use super::super::{Findings, is_unicast};
use crate::config::file;
use crate::desired::Aggregate;

pub(in crate::config::check) fn overrides(
    file: &file::File,
    aggregates: &[Aggregate],
    findings: &mut Findings,
) -> BTreeMap<IpAddr, Overrides> {
    let mut all: BTreeMap<IpAddr, Overrides> = BTreeMap::new();
    for service in &file.service {
        let Some(at) = &service.announce else { continue };
        let vip = *service.vip.get_ref();
        let instance = service
            .instance
            .as_ref()
            .map_or("default", |name| &name.get_ref().0);
        let hidden = aggregates.iter().find(|aggregate| {
            aggregate.summary_only && aggregate.instance == instance && aggregate.prefix.contains(&vip)
        });
        if let Some(aggregate) = hidden {
            let reason = format!(
                "{vip} is announced as a part of {} only (bgp.aggregate.summary-only): this has no effect",
                aggregate.prefix
            );
            findings.refuse(at, "service.announce", reason);
        }
        merge(all.entry(vip).or_default(), at.get_ref(), vip, findings);
    }
    all
}

fn merge(into: &mut Overrides, written: &file::Announce, vip: IpAddr, findings: &mut Findings) {
    one(
        &mut into.med,
        written.med.as_ref(),
        |med| med,
        "med",
        vip,
        findings,
    );
    one(
        &mut into.local_pref,
        written.local_pref.as_ref(),
        |preference| preference,
        "local-pref",
        vip,
        findings,
    );
    if let Some(at) = &written.prepend {
        super::prepend(at, "service.announce.prepend", findings);
    }
    let narrow = |times| u8::try_from(times).unwrap_or(u8::MAX);
    one(
        &mut into.prepend,
        written.prepend.as_ref(),
        narrow,
        "prepend",
        vip,
        findings,
    );
    one(
        &mut into.origin,
        written.origin.as_ref(),
        super::origin,
        "origin",
        vip,
        findings,
    );
    if let Some(at) = &written.next_hop {
        next_hop(at, vip, findings);
    }
    one(
        &mut into.next_hop,
        written.next_hop.as_ref(),
        |hop| hop,
        "next-hop",
        vip,
        findings,
    );
    for text in &written.communities {
        match text.get_ref().0 {
            Community::Standard(value) => add(&mut into.communities, value),
            Community::Extended(value) => add(&mut into.extended_communities, value),
            Community::Large(value) => add(&mut into.large_communities, value),
        }
    }
}

/// The order of the services must not matter.
fn add<T: Ord>(list: &mut Vec<T>, value: T) {
    if let Err(place) = list.binary_search(&value) {
        list.insert(place, value);
    }
}

fn one<W: Copy, T: PartialEq + Copy>(
    into: &mut Option<T>,
    written: Option<&Spanned<W>>,
    convert: impl Fn(W) -> T,
    name: &str,
    vip: IpAddr,
    findings: &mut Findings,
) {
    let Some(at) = written else { return };
    let value = convert(*at.get_ref());
    if into.is_some_and(|other| other != value) {
        let reason = format!(
            "another service of {vip} asks for a different one, and the VIP is one route: set it once"
        );
        findings.refuse(at, &format!("service.announce.{name}"), reason);
    }
    *into = Some(value);
}

fn next_hop(at: &Spanned<IpAddr>, vip: IpAddr, findings: &mut Findings) {
    const KEY: &str = "service.announce.next-hop";
    let address = *at.get_ref();
    if !is_unicast(address) || address.is_loopback() {
        findings.refuse(at, KEY, format!("{address} cannot be a next hop"));
    }
    // The other way round has a way: RFC 8950.
    if address.is_ipv4() && vip.is_ipv6() {
        let reason = format!("{address} is IPv4, and the route of {vip} cannot carry it");
        findings.refuse(at, KEY, reason);
    }
}

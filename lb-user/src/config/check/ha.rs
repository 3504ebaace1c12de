//! Peers, instances and the synchronisation between nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, family};
use crate::config::file;
use crate::desired::{HaPeer, Instance, Sync, instance_id};

/// Narrow enough for every later use of it, such as VRRP's.
const PRIORITIES: std::ops::RangeInclusive<u32> = 1..=255;

pub(super) fn peers(file: &file::File, findings: &mut Findings) -> BTreeMap<String, HaPeer> {
    let mut peers = BTreeMap::new();
    for written in &file.ha.peer {
        let name = written.name.get_ref().0.clone();
        let address = findings.unicast(&written.address, "ha.peer.address");
        let local = findings.unicast(&written.local, "ha.peer.local");
        if name == file.node.name.get_ref().0 {
            findings.refuse(
                &written.name,
                "ha.peer.name",
                format!("`{name}` is this node itself (node.name)"),
            );
        }
        if address.is_ipv4() != local.is_ipv4() {
            let reason = format!(
                "{local} is {}, but the peer's {address} is {}",
                family(local),
                family(address)
            );
            findings.refuse(&written.local, "ha.peer.local", reason);
        }
        if address == local {
            findings.refuse(
                &written.local,
                "ha.peer.local",
                format!("{local} is the peer's own address"),
            );
        }
        if peers
            .insert(
                name.clone(),
                HaPeer {
                    name: name.clone(),
                    address,
                    local,
                },
            )
            .is_some()
        {
            findings.refuse(
                &written.name,
                "ha.peer.name",
                format!("peer `{name}` is defined twice"),
            );
        }
    }
    if let Some(second) = file.ha.peer.get(1) {
        findings.refuse(
            &second.name,
            "ha.peer",
            "a cluster has two nodes: only one peer is supported",
        );
    }
    if let (Some(peer), None) = (file.ha.peer.first(), &file.sync) {
        let reason = format!(
            "peer `{}` needs a [sync] section: roles and flows are exchanged there",
            peer.name.get_ref().0
        );
        findings.refuse(&peer.name, "ha.peer", reason);
    }
    peers
}

pub(super) fn instances(file: &file::File, findings: &mut Findings) -> BTreeMap<String, Instance> {
    let mut instances: BTreeMap<String, Instance> = BTreeMap::new();
    let mut floating = BTreeSet::new();
    for written in &file.ha.instance {
        let name = written.name.get_ref().0.clone();
        let priority = *written.priority.get_ref();
        if !PRIORITIES.contains(&priority) {
            findings.refuse(
                &written.priority,
                "ha.instance.priority",
                format!("must be 1 to 255, not {priority}"),
            );
        }
        for entry in &written.addresses {
            let address = floating_address(entry, findings);
            if !floating.insert(address) {
                findings.refuse(
                    entry,
                    "ha.instance.addresses",
                    format!("{address} is held by two instances"),
                );
            }
        }
        let instance = Instance {
            id: instance_id(&name),
            name: name.clone(),
            priority,
            preempt: written.preempt,
            addresses: written
                .addresses
                .iter()
                .map(|address| address.get_ref().0.clone())
                .collect(),
            vip_interface: written
                .vip_interface
                .as_ref()
                .map(|interface| interface.0.clone()),
        };
        if let Some(other) = instances.values().find(|other| other.id == instance.id) {
            let reason = match other.name == name {
                true => format!("instance `{name}` is defined twice"),
                false => format!(
                    "`{name}` and `{}` share one identity: rename one of them",
                    other.name
                ),
            };
            findings.refuse(&written.name, "ha.instance.name", reason);
        }
        instances.insert(name, instance);
    }
    if let Some(excess) = file.ha.instance.get(::ha::MAX_INSTANCES) {
        findings.refuse(
            &excess.name,
            "ha.instance",
            format!("more than {} instances", ::ha::MAX_INSTANCES),
        );
    }
    instances.entry("default".to_owned()).or_insert_with(|| Instance {
        id: instance_id("default"),
        name: "default".to_owned(),
        priority: 100,
        preempt: true,
        addresses: Vec::new(),
        vip_interface: None,
    });
    instances
}

fn floating_address(
    entry: &toml::Spanned<crate::config::values::Floating>,
    findings: &mut Findings,
) -> std::net::IpAddr {
    let address = entry.get_ref().0.address;
    if !super::is_unicast(address) || address.is_loopback() {
        findings.refuse(
            entry,
            "ha.instance.addresses",
            format!("{address} cannot move between nodes"),
        );
    }
    address
}

pub(super) fn sync(
    file: &file::File,
    known: &BTreeMap<String, HaPeer>,
    findings: &mut Findings,
) -> Option<Sync> {
    let at = file.sync.as_ref()?;
    let written = at.get_ref();
    if known.is_empty() {
        findings.refuse(
            at,
            "sync",
            "needs [[ha.peer]]: there is nobody to synchronise with",
        );
    }
    let listen = findings.socket_address(&written.listen, "sync.listen");
    let mut peers = BTreeMap::new();
    for peer in &written.peer {
        let name = peer.name.get_ref().0.clone();
        let address = findings.socket_address(&peer.address, "sync.peer.address");
        if !super::is_unicast(address.ip()) {
            findings.refuse(
                &peer.address,
                "sync.peer.address",
                format!("{} is no unicast address", address.ip()),
            );
        }
        if address.is_ipv4() != listen.is_ipv4() {
            let reason = format!("{address} and sync.listen {listen} are of different families");
            findings.refuse(&peer.address, "sync.peer.address", reason);
        }
        if !known.contains_key(&name) {
            findings.refuse(
                &peer.name,
                "sync.peer.name",
                format!("no [[ha.peer]] is called `{name}`"),
            );
        }
        if peers.insert(name.clone(), address).is_some() {
            findings.refuse(
                &peer.name,
                "sync.peer.name",
                format!("peer `{name}` is defined twice"),
            );
        }
    }
    for missing in known.keys().filter(|name| !peers.contains_key(*name)) {
        findings.refuse(
            at,
            "sync.peer",
            format!("[[ha.peer]] `{missing}` has no [[sync.peer]]"),
        );
    }
    Some(Sync {
        listen,
        certificate: findings.absolute(&written.certificate, "sync.certificate"),
        key: findings.absolute(&written.key, "sync.key"),
        ca: findings.absolute(&written.ca, "sync.ca"),
        peers,
    })
}

//! The election as the API shows it, with the moments that the pure core does not keep.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use api::{HaInstance, HaStatus};
use ha::{InstanceId, Liveness};

use super::holder::Holder;
use crate::desired::{HaPeer, Instance};

/// Moments that only the thread knows.
pub(super) struct Observed {
    since: Vec<Instant>,
    heard: BTreeMap<String, Instant>,
}

impl Observed {
    pub(super) fn new(now: Instant, instances: &[Instance]) -> Self {
        Self {
            since: vec![now; instances.len()],
            heard: BTreeMap::new(),
        }
    }

    pub(super) fn role_changed(&mut self, instance: InstanceId, now: Instant) {
        let slot = usize::try_from(instance.0)
            .ok()
            .and_then(|index| self.since.get_mut(index));
        if let Some(since) = slot {
            *since = now;
        }
    }

    /// A hello of `node` arrived. Only names that are peers are ever looked up; strangers are not kept.
    pub(super) fn heard(&mut self, node: &str, now: Instant) {
        if self.heard.len() < ha::MAX_INSTANCES || self.heard.contains_key(node) {
            self.heard.insert(node.to_owned(), now);
        }
    }
}

pub(super) fn ha(
    status: &ha::Status,
    observed: &Observed,
    peers: &BTreeMap<IpAddr, HaPeer>,
    holder: &Holder,
    now: Instant,
) -> HaStatus {
    HaStatus {
        node: status.node.clone(),
        draining: status.draining,
        drained: status.drained,
        uplink: status.uplink,
        caught_up: status.caught_up,
        instances: status
            .instances
            .iter()
            .map(|instance| self::instance(instance, status, observed, holder, now))
            .collect(),
        peers: status
            .peers
            .iter()
            .map(|peer| self::peer(peer, observed, peers, now))
            .collect(),
    }
}

fn instance(
    instance: &ha::InstanceStatus,
    status: &ha::Status,
    observed: &Observed,
    holder: &Holder,
    now: Instant,
) -> HaInstance {
    let index = usize::try_from(instance.instance.0).unwrap_or(usize::MAX);
    let since = observed.since.get(index).copied().unwrap_or(now);
    let holding_peer = status
        .peers
        .iter()
        .find(|peer| {
            peer.roles
                .iter()
                .any(|(name, _, holds)| *holds && *name == instance.name)
        })
        .map(|peer| peer.node.clone());
    let master = if instance.holds {
        status.node.clone()
    } else {
        holding_peer.unwrap_or_default()
    };
    let addresses = if instance.holds {
        holder.placed(instance.instance.0)
    } else {
        &[]
    };
    HaInstance {
        name: instance.name.clone(),
        role: instance.role.name().to_owned(),
        master,
        priority: instance.priority,
        preempt: instance.preempt,
        since_ms: milliseconds(now.saturating_duration_since(since)),
        cause: instance.cause.name().to_owned(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
    }
}

fn peer(
    peer: &ha::PeerStatus,
    observed: &Observed,
    peers: &BTreeMap<IpAddr, HaPeer>,
    now: Instant,
) -> api::HaPeer {
    let address = peers
        .iter()
        .find(|(_, known)| known.name == peer.node)
        .map(|(address, _)| address.to_string());
    let age = observed
        .heard
        .get(&peer.node)
        .map(|at| milliseconds(now.saturating_duration_since(*at)));
    api::HaPeer {
        name: peer.node.clone(),
        address: address.unwrap_or_default(),
        alive: peer.liveness == Liveness::Up,
        hello_age_ms: age,
        roles: peer
            .roles
            .iter()
            .map(|(name, role, _)| format!("{name}={role}"))
            .collect(),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The speaker as the API shows it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use api::Neighbor;
use bgp::{BfdState, PeerStatus, Speaker};

use super::neighbors::Neighbors;

/// Routes are not part of it: there may be a hundred thousand, see `Command::Routes`.
pub(super) fn neighbors(speaker: &Speaker, neighbors: &Neighbors, now: Instant) -> Vec<Neighbor> {
    let mut known: Vec<Neighbor> = speaker
        .peers()
        .iter()
        .map(|peer| neighbor(neighbors, peer, now))
        .collect();
    let waiting = neighbors.named().filter_map(|(key, peer)| {
        let reason = peer.told.as_ref().err()?;
        Some(Neighbor {
            address: key.to_string(),
            description: peer.config.description.clone(),
            state: "idle".to_owned(),
            bfd: "unknown".to_owned(),
            last_error: Some(reason.clone()),
            ..Neighbor::default()
        })
    });
    known.extend(waiting);
    known.sort_by(|a, b| key(&a.address).cmp(&key(&b.address)));
    known
}

/// Addresses by value, before names.
fn key(name: &str) -> (bool, Option<IpAddr>, &str) {
    let address = name.parse().ok();
    (address.is_none(), address, name)
}

fn neighbor(neighbors: &Neighbors, peer: &PeerStatus, now: Instant) -> Neighbor {
    let counters = peer.counters;
    Neighbor {
        address: neighbors.name(peer.id),
        remote_as: peer.remote_as.unwrap_or(0),
        description: peer.description.clone(),
        state: peer.state.to_string(),
        since_ms: milliseconds(now.saturating_duration_since(peer.since)),
        bfd: match peer.bfd {
            BfdState::Unknown => "unknown",
            BfdState::Up => "up",
            BfdState::Down => "down",
        }
        .to_owned(),
        local: peer.local.map(|address| address.to_string()),
        router_id: peer.router_id.as_ref().map(Ipv4Addr::to_string),
        hold_time_ms: peer.hold_time.map(milliseconds),
        families: peer.families.iter().map(|family| family.to_string()).collect(),
        capabilities: peer.capabilities.clone(),
        advertised: count(peer.advertised),
        received: count(peer.received),
        updates_in: counters.updates_in,
        updates_out: counters.updates_out,
        messages_in: counters.messages_in,
        messages_out: counters.messages_out,
        notifications_in: counters.notifications_in,
        notifications_out: counters.notifications_out,
        flaps: counters.flaps,
        attributes_discarded: counters.attributes_discarded,
        treated_as_withdraw: counters.treated_as_withdraw,
        last_error: neighbors
            .note(peer.id)
            .filter(|_| peer.enabled)
            .or_else(|| peer.last_error.clone()),
        ..Neighbor::default()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

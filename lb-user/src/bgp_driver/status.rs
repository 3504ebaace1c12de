//! The speaker as the API shows it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use api::{Neighbor, Route};
use bgp::{BfdState, Cause, PeerStatus, RouteStatus, Speaker};

/// Routes shown per neighbour.
const ROUTES: usize = 1000;

pub(super) fn neighbors(speaker: &Speaker, now: Instant) -> Vec<Neighbor> {
    let mut peers = speaker.peers();
    peers.sort_by_key(|peer| peer.address);
    peers.iter().map(|peer| neighbor(speaker, peer, now)).collect()
}

fn neighbor(speaker: &Speaker, peer: &PeerStatus, now: Instant) -> Neighbor {
    let counters = peer.counters;
    Neighbor {
        address: peer.address.to_string(),
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
        last_error: peer.last_error.clone(),
        routes: speaker
            .adj_rib_out(peer.id)
            .iter()
            .take(ROUTES)
            .map(route)
            .collect(),
    }
}

fn route(route: &RouteStatus) -> Route {
    let attributes = &route.attributes;
    Route {
        prefix: route.prefix.to_string(),
        next_hop: route.next_hop.to_string(),
        as_path: attributes.as_path.asns().collect(),
        med: attributes.med.unwrap_or(0),
        local_pref: attributes.local_pref,
        communities: attributes
            .communities
            .iter()
            .map(|value| community(*value))
            .collect(),
    }
}

/// `65535:0`, as operators write it.
fn community(value: u32) -> String {
    format!("{}:{}", value >> 16, value & 0xffff)
}

/// Why routes were sent, in one word or two.
pub(super) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::SessionUp => "session-up".to_owned(),
        Cause::Role { preference, .. } => format!("role {preference}"),
        Cause::Announcements => "announcements".to_owned(),
        Cause::Configuration => "configuration".to_owned(),
        Cause::RouteRefresh { family } => format!("route-refresh {family}"),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

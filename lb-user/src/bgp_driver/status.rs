//! The speaker as the API shows it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use api::{Neighbor, NeighborSettings};
use bgp::{Authentication, BfdMode, BfdState, Hops, PeerConfig, PeerStatus, Role, Speaker};

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
            remote_as_expected: peer.config.remote_as.to_string(),
            description: peer.config.description.clone(),
            state: "idle".to_owned(),
            enabled: peer.disabled.is_none(),
            bfd: bfd(BfdState::Unknown, Some(&peer.config)),
            configured: settings(&peer.config),
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
    let config = neighbors
        .told(peer.id)
        .or_else(|| neighbors.template(peer.address));
    Neighbor {
        address: neighbors.name(peer.id),
        remote_as: peer.remote_as.unwrap_or(0),
        remote_as_expected: config.map_or(String::new(), |config| config.remote_as.to_string()),
        description: peer.description.clone(),
        state: peer.state.to_string(),
        since_ms: milliseconds(now.saturating_duration_since(peer.since)),
        enabled: peer.enabled,
        dynamic: peer.dynamic,
        idle_hold_ms: peer
            .idle_hold
            .map(|until| milliseconds(until.saturating_duration_since(now))),
        bfd: bfd(peer.bfd, config),
        local: peer.local.map(|address| address.to_string()),
        router_id: peer.router_id.as_ref().map(Ipv4Addr::to_string),
        hold_time_ms: peer.hold_time.map(milliseconds),
        keepalive_ms: peer.keepalive.map(milliseconds),
        families: peer.families.iter().map(|family| family.to_string()).collect(),
        capabilities: peer.capabilities.clone(),
        configured: config.map(settings).unwrap_or_default(),
        advertised: count(peer.advertised),
        received: count(peer.received),
        accepted: count(peer.accepted),
        stale: count(peer.stale),
        updates_in: counters.updates_in,
        updates_out: counters.updates_out,
        messages_in: counters.messages_in,
        messages_out: counters.messages_out,
        notifications_in: counters.notifications_in,
        notifications_out: counters.notifications_out,
        refreshes_in: counters.refreshes_in,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
        connects: counters.connects,
        accepts: counters.accepts,
        collisions: counters.collisions,
        established: counters.established,
        flaps: counters.flaps,
        attributes_discarded: counters.attributes_discarded,
        treated_as_withdraw: counters.treated_as_withdraw,
        routes_rejected: counters.routes_rejected,
        last_error: neighbors.note(peer.id).or_else(|| peer.last_error.clone()),
    }
}

fn bfd(state: BfdState, config: Option<&PeerConfig>) -> String {
    match state {
        _ if config.is_some_and(|config| config.bfd == BfdMode::Off) => "off",
        BfdState::Unknown => "unknown",
        BfdState::Up => "up",
        BfdState::Held => "held",
        BfdState::Down => "down",
    }
    .to_owned()
}

/// What the configuration says; never a secret.
fn settings(config: &PeerConfig) -> NeighborSettings {
    let policy =
        |policy: &Option<std::sync::Arc<bgp::Policy>>| policy.as_ref().map(|policy| policy.name.clone());
    NeighborSettings {
        port: config.port,
        passive: config.passive,
        hold_time_ms: milliseconds(config.hold_time),
        connect_retry_ms: milliseconds(config.connect_retry),
        families: config.families.iter().map(|family| family.to_string()).collect(),
        hops: match config.transport.hops {
            Hops::Security(hops) => format!("gtsm {hops}"),
            Hops::Limit(hops) => format!("ttl {hops}"),
        },
        authentication: match &config.transport.authentication {
            None => "none",
            Some(Authentication::Md5(_)) => "md5",
            Some(Authentication::Ao(_)) => "ao",
        }
        .to_owned(),
        bfd: match config.bfd {
            BfdMode::Off => "off",
            BfdMode::On => "on",
            BfdMode::Strict => "strict",
        }
        .to_owned(),
        role: config.role.map(|role| {
            match role {
                Role::Provider => "provider",
                Role::RouteServer => "route-server",
                Role::RouteServerClient => "route-server-client",
                Role::Customer => "customer",
                Role::Peer => "peer",
            }
            .to_owned()
        }),
        import: policy(&config.import),
        export: policy(&config.export),
        max_prefixes: config.max_prefixes.limit,
        add_path: config.add_path,
        extended_messages: config.extended_messages,
        graceful_restart_helper: config.graceful_restart.helper,
        graceful_restart_restarter: config.graceful_restart.restarter,
        graceful_shutdown: config.graceful_shutdown,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

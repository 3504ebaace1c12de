//! Between the entries of the flow table and the records of synchronisation.

use std::net::IpAddr;
use std::time::Duration;

use lb_common::{Address, Flow, FlowFlags, FlowKey, Port, Seen};
use sync::{FlowIdentity, FlowRecord, FlowState};

use super::catalog::Catalog;
use crate::desired::{self, Protocol, ServiceKey};

/// Milliseconds between two ticks are 1.05: precise enough for an age, and never a float.
pub(super) fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos() >> 20).unwrap_or(u32::MAX / 2)
}

/// Now, as the packet path stamps flows.
pub(super) fn now() -> u32 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE);
    let nanoseconds = time.map_or(0, |time| Duration::from(time).as_nanos());
    Flow::ticks(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn endpoint(address: Address, port: Port) -> sync::Endpoint {
    sync::Endpoint::new(address.ip(), port.get())
}

/// The client's direction of an entry, whichever it is.
pub(super) fn identity(key: &FlowKey) -> FlowIdentity {
    FlowIdentity {
        protocol: key.protocol,
        client: endpoint(key.src, key.sport),
        vip: endpoint(key.dst, key.dport),
    }
}

pub(super) fn key(identity: &FlowIdentity) -> FlowKey {
    let side = |endpoint: sync::Endpoint| (Address::from(endpoint.address), Port::new(endpoint.port));
    FlowKey::new(side(identity.client), side(identity.vip), identity.protocol)
}

/// A record of a flow whose client's direction is `key` and `flow`.
pub(super) fn record(key: &FlowKey, flow: &Flow, reverse: Option<&Flow>, now: u32) -> FlowRecord {
    let idle = reverse.map_or(flow.idle_ms(now), |reverse| {
        flow.idle_ms(now).min(reverse.idle_ms(now))
    });
    let closed = |flow: &Flow| flow.seen & Seen::FIN != 0;
    let state = match (closed(flow), reverse.is_some_and(closed)) {
        _ if flow.has(FlowFlags::CLOSED) => FlowState::Closing,
        (true, true) => FlowState::Closing,
        (true, false) => FlowState::ClientClosed,
        (false, true) => FlowState::BackendClosed,
        (false, false) => FlowState::Established,
    };
    let mut flags = sync::FlowFlags::default();
    if flow.has(FlowFlags::DISPLACED) {
        flags = flags.with(sync::FlowFlags::DISPLACED);
    }
    if flow.has(FlowFlags::DERIVED) {
        flags = flags.with(sync::FlowFlags::DERIVED);
    }
    FlowRecord {
        identity: identity(key),
        backend: endpoint(flow.address, flow.dport),
        snat: flow
            .has(FlowFlags::SOURCE_NAT)
            .then(|| endpoint(key.dst, flow.sport)),
        state,
        age: Duration::from_millis(idle),
        flags,
    }
}

/// Both entries of a flow.
pub(super) struct Pair {
    pub(super) key: FlowKey,
    pub(super) flow: Flow,
    pub(super) reverse_key: FlowKey,
    pub(super) reverse: Flow,
}

/// Why a record does not fit here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    Service,
    Backend,
    Mode,
    Family,
    State,
}

/// The entries that a peer's record asks for, when this node's own configuration agrees.
pub(super) fn pair(record: &FlowRecord, catalog: &Catalog, now: u32) -> Result<Pair, Misfit> {
    let (identity, backend) = (&record.identity, &record.backend);
    if record.state == FlowState::Opening {
        return Err(Misfit::State);
    }
    let protocol = [Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .find(|known| known.number() == identity.protocol)
        .ok_or(Misfit::Service)?;
    let service_key = ServiceKey {
        vip: identity.vip.address,
        port: identity.vip.port,
        protocol,
    };
    let entry = catalog.entries.get(&service_key).ok_or(Misfit::Service)?;
    let service = entry.service.as_ref().ok_or(Misfit::Service)?;
    let known =
        |endpoint: &desired::Endpoint| (endpoint.address, endpoint.port) == (backend.address, backend.port);
    let retired = entry.retired.iter().map(|(_, endpoint)| endpoint);
    if !service.endpoints.iter().chain(retired).any(known) {
        return Err(Misfit::Backend);
    }
    let source = match (service.mode, record.snat) {
        (desired::Mode::Default, None) => identity.client.port,
        (desired::Mode::FullNat, Some(snat)) if snat.address == identity.vip.address => snat.port,
        _ => return Err(Misfit::Mode),
    };
    let family = |address: IpAddr| address.is_ipv4();
    if family(identity.client.address) != family(identity.vip.address)
        || family(backend.address) != family(identity.vip.address)
    {
        return Err(Misfit::Family);
    }
    Ok(entries(record, source, entry.id, now))
}

/// The backend's direction of a flow, as far as the client's direction tells.
pub(super) fn reverse(key: &FlowKey, flow: &Flow) -> (FlowKey, Flow) {
    let reverse_key = flow.reply_key(key);
    let mut reverse = Flow {
        address: if flow.has(FlowFlags::SOURCE_NAT) {
            key.src
        } else {
            key.dst
        },
        sport: key.dport,
        dport: key.sport,
        service: flow.service,
        flags: flow.flags | FlowFlags::REVERSE,
        seen: Seen::SYN | Seen::ACK,
        last_seen: flow.last_seen,
        ..Flow::default()
    };
    reverse.set_deltas(&reverse_key);
    (reverse_key, reverse)
}

fn entries(record: &FlowRecord, source: u16, service: u32, now: u32) -> Pair {
    let key = key(&record.identity);
    let mut flags = FlowFlags::REMOTE;
    for (theirs, ours) in [
        (sync::FlowFlags::DISPLACED, FlowFlags::DISPLACED),
        (sync::FlowFlags::DERIVED, FlowFlags::DERIVED),
    ] {
        if record.flags.contains(theirs) {
            flags |= ours;
        }
    }
    if record.snat.is_some() {
        flags |= FlowFlags::SOURCE_NAT;
    }
    if record.state == FlowState::Closing {
        flags |= FlowFlags::CLOSED;
    }
    let seen = |closed: &[FlowState]| {
        let fin = if closed.contains(&record.state) {
            Seen::FIN
        } else {
            0
        };
        Seen::SYN | Seen::ACK | fin
    };
    let last_seen = now.wrapping_sub(ticks(record.age));
    let mut flow = Flow {
        address: record.backend.address.into(),
        sport: Port::new(source),
        dport: Port::new(record.backend.port),
        service: u16::try_from(service).unwrap_or(u16::MAX),
        flags,
        seen: seen(&[FlowState::ClientClosed, FlowState::Closing]),
        last_seen,
        ..Flow::default()
    };
    flow.set_deltas(&key);
    let (reverse_key, mut reverse) = reverse(&key, &flow);
    reverse.seen = seen(&[FlowState::BackendClosed, FlowState::Closing]);
    Pair {
        key,
        flow,
        reverse_key,
        reverse,
    }
}

//! Packets of flows that this node has never seen.
//!
//! A peer may have died with the only record of them. In the client's direction the service and the
//! 5-tuple give the backend and the port again; in the backend's direction the endpoint gives the VIP.

use crate::create::{answers, create, fill};
use crate::header::{Packet, protocol};
use crate::{
    Backend, Counter, DropReason, Endpoint, EndpointKey, Flow, FlowFlags, FlowKey, Frame, Route, RouteQuery,
    Seen, Service, ServiceKey, Tables, Tier,
};

/// A flow made for the packet; or null, and why the packet is dropped, if it is. (Not an enum with fields: the
/// verifier wants every word written that is ever copied.)
pub(crate) type Unknown = (*mut Flow, Option<DropReason>);

/// None of our business.
const PASS: Unknown = (core::ptr::null_mut(), None);

#[inline(always)]
const fn dropped(reason: DropReason) -> Unknown {
    (core::ptr::null_mut(), Some(reason))
}

#[inline(always)]
pub(crate) fn unknown<F: Frame, T: Tables>(frame: &mut F, tables: &T, packet: &Packet, now: u64) -> Unknown {
    let key = &packet.key;
    if let Some(service) = tables.service(&ServiceKey::new(key.dst, key.dport, key.protocol)) {
        return request(tables, packet, &service, now);
    }
    if tables.is_vip(&key.dst) {
        return dropped(DropReason::NoService);
    }
    match tables.endpoint(&EndpointKey::new(key.src, key.sport, key.protocol)) {
        Some(endpoint) => reply(frame, tables, packet, &endpoint, now),
        None => PASS,
    }
}

/// From a client to a service.
#[inline(always)]
fn request<T: Tables>(tables: &T, packet: &Packet, service: &Service, now: u64) -> Unknown {
    if packet.fragment {
        return dropped(DropReason::Fragment);
    }
    if packet.ttl <= 1 {
        return dropped(DropReason::TimeToLive);
    }
    let mut flags = 0;
    if packet.key.protocol == protocol::TCP {
        match packet.flags & (Seen::SYN | Seen::ACK | Seen::RST | Seen::FIN) {
            Seen::SYN => {}
            tcp if tcp & Seen::RST != 0 => return dropped(DropReason::UnknownReset),
            tcp if tcp & Seen::SYN != 0 || tcp & Seen::ACK == 0 => {
                return dropped(DropReason::UnknownSegment);
            }
            _ => flags = FlowFlags::DERIVED,
        }
    }
    match create(tables, packet, service, flags, now) {
        Ok(flow) => {
            if flags != 0 {
                tables.count(Counter::FlowDerived);
            }
            (flow, None)
        }
        Err(reason) => dropped(reason),
    }
}

/// From an endpoint of a `default` service to somebody.
#[inline(always)]
fn reply<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    packet: &Packet,
    endpoint: &Endpoint,
    now: u64,
) -> Unknown {
    let key = &packet.key;
    let tcp = key.protocol == protocol::TCP;
    if tcp && packet.flags & (Seen::SYN | Seen::ACK) == Seen::SYN {
        // The backend opens a connection of its own.
        return PASS;
    }
    let query = RouteQuery {
        src: endpoint.vip,
        dst: key.dst,
        sport: endpoint.port.0,
        dport: key.dport.0,
        protocol: key.protocol,
        length: packet.length,
    };
    if let Route::Local = frame.route(&query) {
        // To this node itself: the answer to a health check.
        return PASS;
    }
    if packet.fragment {
        return dropped(DropReason::Fragment);
    }
    if packet.ttl <= 1 {
        return dropped(DropReason::TimeToLive);
    }
    if tcp && packet.flags & Seen::RST != 0 {
        return dropped(DropReason::UnknownReset);
    }
    if tcp && packet.flags & Seen::ACK == 0 {
        return dropped(DropReason::UnknownSegment);
    }
    if endpoint.ambiguous != 0 {
        return dropped(DropReason::UnknownReply);
    }
    match adopt(tables, packet, endpoint, now) {
        Ok(flow) => (flow, None),
        Err(reason) => dropped(reason),
    }
}

/// Makes both entries from a reply.
#[inline(always)]
fn adopt<T: Tables>(
    tables: &T,
    packet: &Packet,
    endpoint: &Endpoint,
    now: u64,
) -> Result<*mut Flow, DropReason> {
    let key = &packet.key;
    let client = FlowKey::new((key.dst, key.dport), (endpoint.vip, endpoint.port), key.protocol);
    let backend = Backend {
        address: key.src,
        port: key.sport,
        used: 1,
    };
    let scratch = tables.scratch().ok_or(DropReason::Table)?;
    // SAFETY: one room per CPU, and a packet is not interrupted by another one on its CPU.
    let scratch = unsafe { &mut *scratch };
    fill(
        scratch,
        &client,
        endpoint.service,
        &backend,
        FlowFlags::DERIVED,
        now,
    );
    scratch.reverse_key = *key;
    scratch.forward.set_deltas(&scratch.forward_key);
    scratch.reverse.set_deltas(&scratch.reverse_key);
    scratch.reverse.seen = packet.flags;
    if tables.flow(Tier::Established, &scratch.forward_key).is_some() {
        // The client is served by another backend, or this half was lost: only the client can tell.
        return Err(DropReason::WrongBackend);
    }
    match tables.flow(Tier::Embryonic, &scratch.forward_key) {
        // SAFETY: an entry of the table; see `Flow` about concurrent writers.
        Some(flow) if unsafe { (*flow).address != key.src || (*flow).dport != key.sport } => {
            return Err(DropReason::WrongBackend);
        }
        Some(_) => {}
        None => {
            if !tables.insert(Tier::Embryonic, &scratch.forward_key, &scratch.forward) {
                return Err(DropReason::Table);
            }
        }
    }
    if !answers(&scratch.reverse, &scratch.reverse_key, &scratch.forward_key)
        || !tables.insert(Tier::Embryonic, &scratch.reverse_key, &scratch.reverse)
    {
        return Err(DropReason::Table);
    }
    tables.count(Counter::FlowDerived);
    Ok(&raw mut scratch.reverse)
}

//! New flows: selection of the backend and of the source port.

use crate::hash::{PROBES, five_tuple, probe};
use crate::header::Packet;
use crate::{
    Backend, Counter, DropReason, Flow, FlowFlags, FlowKey, Mode, Port, Scratch, Service, ServiceKey, Tables,
    Tier,
};

/// Whether an entry of the reverse direction answers this client on this VIP.
#[inline(always)]
pub(crate) fn answers(reverse: &Flow, reverse_key: &FlowKey, key: &FlowKey) -> bool {
    let (src, dst) = reverse.addresses(reverse_key);
    dst == key.src && reverse.dport == key.sport && src == key.dst && reverse.sport == key.dport
}

/// Makes both entries of a flow in the embryonic tier; the forward one is in the scratch room.
#[inline(always)]
pub(crate) fn create<T: Tables>(
    tables: &T,
    packet: &Packet,
    service: &Service,
    flags: u8,
    now: u64,
) -> Result<*mut Flow, DropReason> {
    let hash = five_tuple(&packet.key);
    let backend = select(tables, service, hash)?;
    let scratch = tables.scratch().ok_or(DropReason::Table)?;
    // SAFETY: one room per CPU, and a packet is not interrupted by another one on its CPU.
    let scratch = unsafe { &mut *scratch };
    if service.mode == Mode::FullNat as u32 {
        fill(
            scratch,
            &packet.key,
            service.id,
            &backend,
            flags | FlowFlags::SOURCE_NAT,
            now,
        );
        claim_port(tables, scratch, hash)?;
    } else {
        fill(scratch, &packet.key, service.id, &backend, flags, now);
        if !claim(tables, scratch) {
            return Err(DropReason::NoPort);
        }
    }
    scratch.forward.set_deltas(&scratch.forward_key);
    scratch.forward.seen = packet.flags;
    if !tables.insert(Tier::Embryonic, &scratch.forward_key, &scratch.forward) {
        return beaten(tables, scratch);
    }
    tables.count(Counter::FlowCreated);
    tables.count_flow(service.id);
    Ok(&raw mut scratch.forward)
}

/// The forward key is taken since it was looked for: another CPU has a packet of the same client. When it chose the
/// same, the reverse entry is that flow's, and this packet goes the same way.
#[inline(always)]
fn beaten<T: Tables>(tables: &T, scratch: &mut Scratch) -> Result<*mut Flow, DropReason> {
    if let Some(winner) = tables.flow(Tier::Embryonic, &scratch.forward_key) {
        // SAFETY: an entry of the table; see `Flow` about concurrent writers.
        let reply = unsafe { &*winner }.reply_key(&scratch.forward_key);
        if reply.is(&scratch.reverse_key) {
            return Ok(&raw mut scratch.forward);
        }
    }
    tables.remove(Tier::Embryonic, &scratch.reverse_key);
    Err(DropReason::Table)
}

#[inline(always)]
fn select<T: Tables>(tables: &T, service: &Service, hash: u64) -> Result<Backend, DropReason> {
    if service.table_size == 0 {
        return Err(DropReason::NoBackend);
    }
    let row = (hash >> 32) as u32 % service.table_size;
    let id = tables
        .maglev(service.table_offset.wrapping_add(row))
        .ok_or(DropReason::Table)?;
    let backend = tables.backend(id).ok_or(DropReason::Table)?;
    if backend.used == 0 {
        return Err(DropReason::NoBackend);
    }
    Ok(backend)
}

/// Both entries, without what the port and the direction of the packet decide.
#[inline(always)]
pub(crate) fn fill(
    scratch: &mut Scratch,
    key: &FlowKey,
    service: u32,
    backend: &Backend,
    flags: u8,
    now: u64,
) {
    scratch.forward_key = *key;
    scratch.forward = Flow {
        address: backend.address,
        sport: key.sport,
        dport: backend.port,
        service: service as u16,
        flags,
        last_seen: Flow::ticks(now),
        ..Flow::default()
    };
    scratch.reverse = Flow {
        address: if flags & FlowFlags::SOURCE_NAT != 0 {
            key.src
        } else {
            key.dst
        },
        sport: key.dport,
        dport: key.sport,
        service: service as u16,
        flags: flags | FlowFlags::REVERSE,
        last_seen: Flow::ticks(now),
        ..Flow::default()
    };
}

/// Takes the first free port of the probe sequence. Ports of services on the VIP are left out: a
/// reply to them would look like a request.
#[inline(always)]
fn claim_port<T: Tables>(tables: &T, scratch: &mut Scratch, hash: u64) -> Result<(), DropReason> {
    let (vip, protocol) = (scratch.forward_key.dst, scratch.forward_key.protocol);
    let mut attempt = 0;
    while attempt < PROBES {
        let port = Port::new(probe(hash, attempt));
        if tables.service(&ServiceKey::new(vip, port, protocol)).is_none() {
            scratch.forward.sport = port;
            if attempt > 0 {
                scratch.forward.flags |= FlowFlags::DISPLACED;
                scratch.reverse.flags |= FlowFlags::DISPLACED;
            }
            if claim(tables, scratch) {
                if attempt > 0 {
                    tables.count(Counter::FlowDisplaced);
                }
                return Ok(());
            }
        }
        attempt += 1;
    }
    Err(DropReason::NoPort)
}

/// Inserts the reverse entry, unless another flow has its key.
#[inline(always)]
fn claim<T: Tables>(tables: &T, scratch: &mut Scratch) -> bool {
    scratch.reverse_key = scratch.forward.reply_key(&scratch.forward_key);
    if let Some(existing) = tables.flow(Tier::Established, &scratch.reverse_key) {
        // SAFETY: an entry of the table; see `Flow` about concurrent writers.
        if !answers(unsafe { &*existing }, &scratch.reverse_key, &scratch.forward_key) {
            return false;
        }
        tables.remove(Tier::Established, &scratch.reverse_key);
    }
    if let Some(existing) = tables.flow(Tier::Embryonic, &scratch.reverse_key) {
        // SAFETY: as above.
        if !answers(unsafe { &*existing }, &scratch.reverse_key, &scratch.forward_key) {
            return false;
        }
        tables.remove(Tier::Embryonic, &scratch.reverse_key);
    }
    scratch.reverse.set_deltas(&scratch.reverse_key);
    tables.insert(Tier::Embryonic, &scratch.reverse_key, &scratch.reverse)
}

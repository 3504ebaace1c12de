//! Sends a packet of a known flow on its way.

use core::mem::offset_of;

use crate::header::{ETHERNET, IPV4, IPV6, Packet, protocol};
use crate::{
    Address, Counter, DropReason, Flow, FlowFlags, FlowKey, Frame, NextHop, Route, RouteQuery, Tables,
    Verdict, checksum, load, store,
};

/// What one less in the TTL adds to the IPv4 header's sum: the TTL is the first byte of its word.
pub(crate) const ONE_HOP: u16 = !u16::from_ne_bytes([1, 0]);

/// Rewrites the packet as the flow says and finds its way out.
#[inline(always)]
pub(crate) fn transmit<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    packet: &Packet,
    flow: &mut Flow,
    now: u64,
) -> Verdict {
    if packet.ttl <= 1 {
        return Verdict::Drop(DropReason::TimeToLive);
    }
    let stamp = Flow::stamp(tables.settings().fib_epoch, now);
    let mut hop = cached(tables, flow, stamp);
    let mut verdict = Verdict::Transmit(hop.ifindex);
    if hop.tag == 0 {
        match look_up(frame, tables, packet, flow, stamp) {
            Route::Via(found) => {
                hop = found;
                verdict = Verdict::Transmit(hop.ifindex);
            }
            Route::Unresolved(ifindex) => {
                tables.count(Counter::Unresolved);
                verdict = Verdict::Resolve(ifindex);
            }
            Route::Local | Route::NoRoute => return Verdict::Drop(DropReason::NoRoute),
            Route::ForwardingOff => return Verdict::Drop(DropReason::ForwardingOff),
            Route::TooBig => return Verdict::Drop(DropReason::TooBig),
        }
    }
    let bytes = packet.length as u64 + ETHERNET as u64;
    tables.count_packet(flow.service as u32, flow.has(FlowFlags::REVERSE), bytes);
    match rewrite(frame, packet, flow, &hop) {
        Some(()) => verdict,
        None => Verdict::Drop(DropReason::Malformed),
    }
}

/// The next hop of the flow's last packet, while it is sure to be right; without tag: none. (Not an
/// `Option`: the verifier wants every word written that is ever copied.)
#[inline(always)]
fn cached<T: Tables>(tables: &T, flow: &Flow, stamp: u32) -> NextHop {
    if flow.hop != 0
        && flow.hop_stamp == stamp
        && let Some(hop) = tables.hop(flow.hop)
    {
        // SAFETY: a slot of the array, there for as long as the program runs.
        return unsafe { taken(hop, flow.hop) };
    }
    NextHop::default()
}

/// Puts a next hop into a slot that other CPUs may be reading. Volatile, so that the compiler keeps both stores
/// of the tag and their places: whoever reads in between must find the tag missing.
///
/// # Safety
/// A slot that is there for as long as the call takes.
#[inline(always)]
unsafe fn publish(slot: *mut NextHop, hop: &NextHop) {
    // SAFETY: fields of the slot.
    unsafe {
        (&raw mut (*slot).tag).write_volatile(0);
        (&raw mut (*slot).ifindex).write_volatile(hop.ifindex);
        (&raw mut (*slot).destination).write_volatile(hop.destination);
        (&raw mut (*slot).source).write_volatile(hop.source);
        (&raw mut (*slot).tag).write_volatile(hop.tag);
    }
}

/// The next hop of a slot if it has this tag before and after the rest is read; else one without tag.
///
/// # Safety
/// As for [`publish`].
#[inline(always)]
unsafe fn taken(slot: *const NextHop, tag: u32) -> NextHop {
    // SAFETY: fields of the slot.
    unsafe {
        if (&raw const (*slot).tag).read_volatile() == tag {
            let hop = NextHop {
                tag,
                ifindex: (&raw const (*slot).ifindex).read_volatile(),
                destination: (&raw const (*slot).destination).read_volatile(),
                source: (&raw const (*slot).source).read_volatile(),
            };
            if (&raw const (*slot).tag).read_volatile() == tag {
                return hop;
            }
        }
    }
    NextHop::default()
}

#[inline(always)]
fn look_up<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    packet: &Packet,
    flow: &mut Flow,
    stamp: u32,
) -> Route {
    tables.count(Counter::RouteLookup);
    let (src, dst) = flow.addresses(&packet.key);
    let route = frame.route(&RouteQuery {
        src,
        dst,
        sport: flow.sport.0,
        dport: flow.dport.0,
        protocol: packet.key.protocol,
        length: packet.length,
    });
    let Route::Via(hop) = route else { return route };
    let hop = hop.sealed();
    if let Some(slot) = tables.hop(hop.tag) {
        // SAFETY: a slot of the array, there for as long as the program runs.
        unsafe {
            if (&raw const (*slot).tag).read_volatile() != hop.tag {
                publish(slot, &hop);
            }
        }
        flow.hop = hop.tag;
        flow.hop_stamp = stamp;
    }
    Route::Via(hop)
}

/// Without a next hop the link layer header is left to the kernel.
#[inline(always)]
fn rewrite<F: Frame>(frame: &mut F, packet: &Packet, flow: &Flow, hop: &NextHop) -> Option<()> {
    let udp = packet.key.protocol == protocol::UDP;
    let field = packet.transport + if udp { 6 } else { 16 };
    frame.add_to_checksum(field, flow.address_delta, flow.port_delta, udp, packet.ipv6)?;
    let ports = frame.at(packet.transport, 4)?;
    // SAFETY: `at` promised 4 bytes.
    unsafe {
        store(ports, 0, flow.sport.0);
        store(ports, 2, flow.dport.0);
    }
    let hops = u8::from(hop.tag != 0 || !F::KERNEL_FORWARDS);
    let frame = if packet.ipv6 {
        let frame = frame.at(0, ETHERNET + IPV6)?;
        // SAFETY: `at` promised the Ethernet header and 40 bytes more.
        unsafe { rewrite_ipv6(frame.add(ETHERNET), flow.addresses(&packet.key), hops) };
        frame
    } else {
        let frame = frame.at(0, ETHERNET + IPV4)?;
        // SAFETY: `at` promised the Ethernet header and 20 bytes more.
        unsafe { rewrite_ipv4(frame.add(ETHERNET), flow, &packet.key, hops) };
        frame
    };
    if hop.tag != 0 {
        // SAFETY: both cover 12 bytes: the two addresses lie side by side in either.
        unsafe {
            let addresses = (&raw const *hop)
                .cast::<u8>()
                .add(offset_of!(NextHop, destination));
            store(frame, 0, load::<[u32; 3]>(addresses, 0));
        }
    }
    Some(())
}

/// Back to the station the frame came from.
///
/// # Safety
/// 14 bytes at `ethernet`.
#[inline(always)]
pub(crate) unsafe fn turn_link(ethernet: *mut u8) {
    // SAFETY: all offsets are within 14 bytes.
    unsafe {
        let (destination, source): ([u16; 3], [u16; 3]) = (load(ethernet, 0), load(ethernet, 6));
        store(ethernet, 0, source);
        store(ethernet, 6, destination);
    }
}

/// # Safety
/// 20 bytes at `ip`.
#[inline(always)]
unsafe fn rewrite_ipv4(ip: *mut u8, flow: &Flow, key: &FlowKey, hops: u8) {
    let (src, dst) = flow.addresses(key);
    // SAFETY: all offsets are within 20 bytes.
    unsafe {
        *ip.add(8) -= hops;
        let delta = checksum::fold(flow.address_delta as u32 + ONE_HOP as u32 * hops as u32);
        store(ip, 10, checksum::updated(load(ip, 10), delta));
        store(ip, 12, src.0[3]);
        store(ip, 16, dst.0[3]);
    }
}

/// # Safety
/// 40 bytes at `ip`.
#[inline(always)]
unsafe fn rewrite_ipv6(ip: *mut u8, (src, dst): (Address, Address), hops: u8) {
    // SAFETY: all offsets are within 40 bytes.
    unsafe {
        *ip.add(7) -= hops;
        store(ip, 8, src);
        store(ip, 24, dst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicBool, Ordering};

    struct Slot(UnsafeCell<NextHop>);

    // SAFETY: what this test is about: all accesses are volatile.
    unsafe impl Sync for Slot {}

    fn numbered(number: u32) -> NextHop {
        let bytes = number.to_be_bytes();
        let mac = [2, 0, bytes[0], bytes[1], bytes[2], bytes[3]];
        NextHop {
            tag: 0,
            ifindex: number,
            destination: mac,
            source: mac,
        }
        .sealed()
    }

    /// One CPU writes one next hop after the other, another one reads: never half of one and half of the next.
    #[test]
    fn a_next_hop_is_read_as_a_whole() {
        let slot = Slot(UnsafeCell::new(numbered(0)));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let slot = &slot;
                (1..2_000_000).for_each(|number| {
                    // SAFETY: the slot outlives the thread.
                    unsafe { publish(slot.0.get(), &numbered(number)) };
                });
                over.store(true, Ordering::Relaxed);
            });
            let mut whole = 0_u32;
            while whole == 0 || !over.load(Ordering::Relaxed) {
                // SAFETY: as above.
                let (tag, hop) = unsafe {
                    let tag = (&raw const (*slot.0.get()).tag).read_volatile();
                    (tag, taken(slot.0.get(), tag))
                };
                if hop.tag != 0 {
                    assert_eq!(hop, numbered(hop.ifindex), "of {tag:x}");
                    whole += 1;
                }
            }
        });
    }
}

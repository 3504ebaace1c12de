//! Sends a packet of a known flow on its way.

use core::mem::offset_of;

use crate::header::{ETHERNET, IPV4, IPV6, Packet, protocol};
use crate::{
    Counter, DropReason, Flow, Frame, NextHop, Route, RouteQuery, Tables, Verdict, checksum, load, store,
};

/// What one less in the TTL adds to the IPv4 header's sum: the TTL is the first byte of its word.
const ONE_HOP: u16 = !u16::from_ne_bytes([1, 0]);

/// Seconds of the next-hop cache (2^30 ns).
#[inline(always)]
const fn second(now: u64) -> u32 {
    (now >> 30) as u32
}

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
    let bytes = frame.length() as u64;
    let epoch = tables.settings().fib_epoch;
    let fresh = flow.hop.ifindex != 0 && flow.hop.epoch == epoch && flow.hop.second == second(now);
    if !fresh {
        tables.count(Counter::RouteLookup);
        match look_up(frame, packet, flow) {
            Route::Via(hop) => {
                // Invalid while it is being written: another CPU may read it.
                flow.hop.ifindex = 0;
                flow.hop = NextHop {
                    epoch,
                    second: second(now),
                    ..hop
                };
            }
            Route::Unresolved(ifindex) => {
                return match rewrite(frame, packet, flow, None) {
                    Some(()) => {
                        tables.count(Counter::Unresolved);
                        tables.count_packet(flow.service, flow.has(crate::FlowFlags::REVERSE), bytes);
                        Verdict::Resolve(ifindex)
                    }
                    None => Verdict::Drop(DropReason::Malformed),
                };
            }
            Route::Local | Route::NoRoute => return Verdict::Drop(DropReason::NoRoute),
            Route::ForwardingOff => return Verdict::Drop(DropReason::ForwardingOff),
            Route::TooBig => return Verdict::Drop(DropReason::TooBig),
        }
    }
    let hop = flow.hop;
    match rewrite(frame, packet, flow, Some(&hop)) {
        Some(()) => {
            tables.count_packet(flow.service, flow.has(crate::FlowFlags::REVERSE), bytes);
            Verdict::Transmit(hop.ifindex)
        }
        None => Verdict::Drop(DropReason::Malformed),
    }
}

#[inline(always)]
fn look_up<F: Frame>(frame: &mut F, packet: &Packet, flow: &Flow) -> Route {
    frame.route(&RouteQuery {
        src: flow.src,
        dst: flow.dst,
        sport: flow.sport.0,
        dport: flow.dport.0,
        protocol: packet.key.protocol,
        length: packet.length,
    })
}

/// Without a next hop the link layer header is left to the kernel.
#[inline(always)]
fn rewrite<F: Frame>(frame: &mut F, packet: &Packet, flow: &Flow, hop: Option<&NextHop>) -> Option<()> {
    let udp = packet.key.protocol == protocol::UDP;
    let field = packet.transport + if udp { 6 } else { 16 };
    frame.add_to_checksum(field, flow.address_delta, flow.port_delta, udp, packet.ipv6)?;
    let ports = frame.at(packet.transport, 4)?;
    // SAFETY: `at` promised 4 bytes.
    unsafe {
        store(ports, 0, flow.sport.0);
        store(ports, 2, flow.dport.0);
    }
    let hops = u8::from(hop.is_some() || !F::KERNEL_FORWARDS);
    let frame = if packet.ipv6 {
        let frame = frame.at(0, ETHERNET + IPV6)?;
        // SAFETY: `at` promised the Ethernet header and 40 bytes more.
        unsafe { rewrite_ipv6(frame.add(ETHERNET), flow, hops) };
        frame
    } else {
        let frame = frame.at(0, ETHERNET + IPV4)?;
        // SAFETY: `at` promised the Ethernet header and 20 bytes more.
        unsafe { rewrite_ipv4(frame.add(ETHERNET), flow, hops) };
        frame
    };
    if let Some(hop) = hop {
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

/// # Safety
/// 20 bytes at `ip`.
#[inline(always)]
unsafe fn rewrite_ipv4(ip: *mut u8, flow: &Flow, hops: u8) {
    // SAFETY: all offsets are within 20 bytes.
    unsafe {
        *ip.add(8) -= hops;
        let delta = checksum::fold(flow.address_delta as u32 + ONE_HOP as u32 * hops as u32);
        store(ip, 10, checksum::updated(load(ip, 10), delta));
        store(ip, 12, flow.src.0[3]);
        store(ip, 16, flow.dst.0[3]);
    }
}

/// # Safety
/// 40 bytes at `ip`.
#[inline(always)]
unsafe fn rewrite_ipv6(ip: *mut u8, flow: &Flow, hops: u8) {
    // SAFETY: all offsets are within 40 bytes.
    unsafe {
        *ip.add(7) -= hops;
        store(ip, 8, flow.src);
        store(ip, 24, flow.dst);
    }
}

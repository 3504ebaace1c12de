//! What is neither TCP nor UDP, and what is too broken to tell.

use crate::header::{Class, ETHERNET, IPV4, IPV6, Packet};
use crate::rewrite::turn_link;
use crate::{Address, Counter, DropReason, Frame, Tables, Verdict, checksum, load, store};

/// TTL and hop limit of an answer.
const TTL: u8 = 64;

/// To a VIP: echo is answered, neighbour discovery is the kernel's, the rest is dropped (invariant
/// I1: the local stack would answer). To others: none of our business.
#[inline(always)]
pub(crate) fn other<F: Frame, T: Tables>(frame: &mut F, tables: &T, packet: &Packet) -> Verdict {
    if !tables.is_vip(&packet.key.dst) {
        return Verdict::Pass;
    }
    if let Class::Unusable(reason) = packet.class {
        return Verdict::Drop(reason);
    }
    let Some(header) = frame.at(packet.transport, 8) else {
        return Verdict::Drop(DropReason::Malformed);
    };
    // SAFETY: `at` promised 8 bytes.
    let (kind, code) = unsafe { (*header, *header.add(1)) };
    match (packet.ipv6, kind) {
        // RFC 4861 section 6.1 and 7.1: solicitations and advertisements come with hop limit 255.
        (true, 133..=136) if packet.ttl == 255 => Verdict::Pass,
        (false, 8) | (true, 128) if code == 0 => match answer(frame, packet) {
            Some(()) => {
                tables.count(Counter::EchoReply);
                Verdict::Reply
            }
            None => Verdict::Drop(DropReason::Malformed),
        },
        _ => Verdict::Drop(DropReason::Icmp),
    }
}

/// Turns an echo request into its reply. Swapping addresses changes no checksum.
#[inline(always)]
fn answer<F: Frame>(frame: &mut F, packet: &Packet) -> Option<()> {
    let (request, reply) = if packet.ipv6 { (128, 129) } else { (8, 0) };
    let delta = checksum::difference(u16::from_ne_bytes([request, 0]), u16::from_ne_bytes([reply, 0]));
    frame.add_to_checksum(packet.transport + 2, 0, delta, false, packet.ipv6)?;
    let kind = frame.at(packet.transport, 1)?;
    // SAFETY: `at` promised the byte.
    unsafe { *kind = reply };
    let ip = if packet.ipv6 { IPV6 } else { IPV4 };
    let (src, dst) = (packet.key.src, packet.key.dst);
    let ethernet = if packet.ipv6 {
        frame.at(0, ETHERNET + IPV6)?
    } else {
        frame.at(0, ETHERNET + IPV4)?
    };
    // SAFETY: `at` promised the Ethernet header and the IP header of the family.
    unsafe {
        if ip == IPV6 {
            swap_ipv6(ethernet.add(ETHERNET), src, dst);
        } else {
            swap_ipv4(ethernet.add(ETHERNET), src, dst);
        }
        turn_link(ethernet);
    }
    Some(())
}

/// # Safety
/// 20 bytes at `ip`.
#[inline(always)]
unsafe fn swap_ipv4(ip: *mut u8, src: Address, dst: Address) {
    // SAFETY: all offsets are within 20 bytes.
    unsafe {
        let protocol = *ip.add(9);
        let delta = checksum::difference(
            u16::from_ne_bytes([*ip.add(8), protocol]),
            u16::from_ne_bytes([TTL, protocol]),
        );
        *ip.add(8) = TTL;
        store(ip, 10, checksum::updated(load(ip, 10), delta));
        store(ip, 12, dst.0[3]);
        store(ip, 16, src.0[3]);
    }
}

/// # Safety
/// 40 bytes at `ip`.
#[inline(always)]
unsafe fn swap_ipv6(ip: *mut u8, src: Address, dst: Address) {
    // SAFETY: all offsets are within 40 bytes.
    unsafe {
        *ip.add(7) = TTL;
        store(ip, 8, dst);
        store(ip, 24, src);
    }
}

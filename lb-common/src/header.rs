//! Reads the headers of a frame into one form for both families.

use crate::{Address, DropReason, FlowKey, Frame, Port, load};

pub(crate) const ETHERNET: usize = 14;
pub(crate) const IPV4: usize = 20;
pub(crate) const IPV6: usize = 40;

pub(crate) mod protocol {
    //! IP protocol numbers.
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
    /// Extension headers of RFC 8200 section 4, and those of later registrations.
    pub(crate) const EXTENSIONS: [u8; 9] = [0, 43, 44, 50, 51, 60, 135, 139, 140];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// TCP or UDP.
    Transport,
    Icmp,
    /// Dropped for this reason when it is for a VIP, else none of our business.
    Unusable(DropReason),
}

/// What the path needs to know; ports are 0 unless the class is `Transport`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) key: FlowKey,
    pub(crate) class: Class,
    /// Offset of the transport header.
    pub(crate) transport: usize,
    /// Length of the IP packet.
    pub(crate) length: u16,
    pub(crate) ipv6: bool,
    pub(crate) ttl: u8,
    /// TCP flags; ACK for UDP.
    pub(crate) flags: u8,
    /// A first fragment: the ports are there, those of the next one will not be.
    pub(crate) fragment: bool,
}

/// None: not IP, or too short to say.
#[inline(always)]
pub(crate) fn parse<F: Frame>(frame: &mut F) -> Option<Packet> {
    let ethernet = frame.at(0, ETHERNET + IPV4)?;
    // SAFETY: `at` promised the Ethernet header and 20 bytes more.
    let kind: u16 = unsafe { load(ethernet, 12) };
    if kind == 0x0800_u16.to_be() {
        // SAFETY: as above.
        return Some(unsafe { ipv4(frame, ethernet.add(ETHERNET)) });
    }
    if kind == 0x86dd_u16.to_be() {
        let ethernet = frame.at(0, ETHERNET + IPV6)?;
        // SAFETY: `at` promised the Ethernet header and 40 bytes more.
        return Some(unsafe { ipv6(frame, ethernet.add(ETHERNET)) });
    }
    None
}

/// # Safety
/// 20 bytes at `ip`.
#[inline(always)]
unsafe fn ipv4<F: Frame>(frame: &mut F, ip: *const u8) -> Packet {
    // SAFETY: all offsets are within 20 bytes.
    let (first, length, fragment, ttl, protocol, src, dst) = unsafe {
        (
            *ip,
            u16::from_be(load(ip, 2)),
            u16::from_be(load(ip, 6)),
            *ip.add(8),
            *ip.add(9),
            load::<u32>(ip, 12),
            load::<u32>(ip, 16),
        )
    };
    let header = (first as usize & 0x0f) << 2;
    let mut packet = Packet {
        key: FlowKey::new(
            (Address::mapped(src), Port(0)),
            (Address::mapped(dst), Port(0)),
            protocol,
        ),
        class: Class::Unusable(DropReason::Malformed),
        transport: ETHERNET + header,
        length,
        ipv6: false,
        ttl,
        flags: 0,
        fragment: fragment & 0x2000 != 0,
    };
    let whole = frame.holds(length as usize + ETHERNET);
    if first >> 4 != 4 || header < IPV4 || (length as usize) < header || !whole {
        return packet;
    }
    if fragment & 0x1fff != 0 {
        packet.class = Class::Unusable(DropReason::Fragment);
        return packet;
    }
    transport(frame, &mut packet, length as usize - header, protocol::ICMP);
    packet
}

/// # Safety
/// 40 bytes at `ip`.
#[inline(always)]
unsafe fn ipv6<F: Frame>(frame: &mut F, ip: *const u8) -> Packet {
    // SAFETY: all offsets are within 40 bytes.
    let (first, payload, protocol, ttl, src, dst) = unsafe {
        (
            *ip,
            u16::from_be(load(ip, 4)),
            *ip.add(6),
            *ip.add(7),
            Address(load(ip, 8)),
            Address(load(ip, 24)),
        )
    };
    let mut packet = Packet {
        key: FlowKey::new((src, Port(0)), (dst, Port(0)), protocol),
        class: Class::Unusable(DropReason::Malformed),
        transport: ETHERNET + IPV6,
        length: payload.saturating_add(IPV6 as u16),
        ipv6: true,
        ttl,
        flags: 0,
        fragment: false,
    };
    let whole = frame.holds(payload as usize + ETHERNET + IPV6);
    // In here an IPv4 address is a v4-mapped one: a packet that carries one in its IPv6 header would be taken for a
    // packet of an IPv4 flow. RFC 4291 section 2.5.5.2: such addresses stand for IPv4 nodes; none belongs on a wire.
    if first >> 4 != 6 || !whole || is_mapped(&src) || is_mapped(&dst) {
        return packet;
    }
    if is_extension(protocol) {
        packet.class = Class::Unusable(DropReason::ExtensionHeader);
        return packet;
    }
    transport(frame, &mut packet, payload as usize, protocol::ICMPV6);
    packet
}

/// As [`Address::is_ipv4`], in one step: the verifier follows each branch to the end.
#[inline(always)]
fn is_mapped(address: &Address) -> bool {
    core::hint::black_box(address.0[0] | address.0[1] | (address.0[2] ^ Address::MAPPED)) == 0
}

#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    let mut i = 0;
    while i < protocol::EXTENSIONS.len() {
        if protocol::EXTENSIONS[i] == protocol {
            return true;
        }
        i += 1;
    }
    false
}

/// Ports and flags, or the class that says why there are none.
#[inline(always)]
fn transport<F: Frame>(frame: &mut F, packet: &mut Packet, payload: usize, icmp: u8) {
    let protocol = packet.key.protocol;
    let size = if protocol == protocol::TCP { 20 } else { 8 };
    if protocol != protocol::TCP && protocol != protocol::UDP && protocol != icmp {
        packet.class = Class::Unusable(DropReason::Protocol);
        return;
    }
    if payload < size {
        return;
    }
    if protocol == icmp {
        let fragment = packet.fragment;
        packet.class = if fragment {
            Class::Unusable(DropReason::Fragment)
        } else {
            Class::Icmp
        };
        return;
    }
    let Some(header) = frame.at(packet.transport, 8) else {
        return;
    };
    // SAFETY: `at` promised 8 bytes.
    (packet.key.sport, packet.key.dport) = unsafe { (Port(load(header, 0)), Port(load(header, 2))) };
    packet.flags = crate::Seen::ACK;
    if protocol == protocol::TCP {
        let Some(header) = frame.at(packet.transport, 20) else {
            return;
        };
        // SAFETY: `at` promised 20 bytes.
        packet.flags = unsafe { *header.add(13) };
    }
    packet.class = Class::Transport;
}

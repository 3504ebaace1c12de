//! How far away a neighbour may be: the TTL that is sent and the least one that is accepted (RFC 5082).
//!
//! A connecting socket has both before its SYN. A listener is for all neighbours, so it accepts what the least
//! strict of them needs; the SYN of a connection, which the kernel keeps, is judged again by the neighbour whose
//! it is, and its socket gets the neighbour's own limits when it is accepted.

use std::io;
use std::os::fd::BorrowedFd;

use bgp::Hops;
use nix::libc;

use super::socket_option;

/// Room for the IP and TCP headers of a SYN.
const SYN: usize = 512;

/// Which IP a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ip {
    V4,
    V6,
}

/// The least TTL accepted; 0: any (RFC 5082 section 3).
pub(super) fn least(hops: Hops) -> u8 {
    match hops {
        Hops::Security(away) => u8::MAX - away.max(1).saturating_sub(1),
        Hops::Limit(_) => 0,
    }
}

fn sent(hops: Hops) -> u8 {
    match hops {
        Hops::Security(_) => u8::MAX,
        Hops::Limit(limit) => limit.max(1),
    }
}

/// For a socket of one neighbour.
pub(super) fn limit(socket: BorrowedFd<'_>, ip: Ip, hops: Hops) -> io::Result<()> {
    set_sent(socket, ip, sent(hops))?;
    set_least(socket, ip, least(hops))
}

/// For a listener: `all` are the neighbours that may come. Returns the least TTL it accepts.
pub(super) fn limit_listener(
    socket: BorrowedFd<'_>,
    ip: Ip,
    all: impl Iterator<Item = Hops> + Clone,
) -> io::Result<u8> {
    // A neighbour that accepts 255 only would not see our SYN-ACK otherwise.
    if let Some(sent) = all.clone().map(sent).max() {
        set_sent(socket, ip, sent)?;
    }
    let least = all.map(least).min().unwrap_or(0);
    set_least(socket, ip, least)?;
    Ok(least)
}

fn set_sent(socket: BorrowedFd<'_>, ip: Ip, ttl: u8) -> io::Result<()> {
    let (level, name) = match ip {
        Ip::V4 => (libc::IPPROTO_IP, libc::IP_TTL),
        Ip::V6 => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    };
    socket_option::set_number(socket, level, name, i32::from(ttl))
}

fn set_least(socket: BorrowedFd<'_>, ip: Ip, ttl: u8) -> io::Result<()> {
    let (level, name) = match ip {
        Ip::V4 => (libc::IPPROTO_IP, libc::IP_MINTTL),
        Ip::V6 => (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT),
    };
    socket_option::set_number(socket, level, name, i32::from(ttl))
}

/// Makes a listener keep the SYN of every connection.
pub(super) fn keep_syns(listener: BorrowedFd<'_>) -> io::Result<()> {
    socket_option::set_number(listener, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, 1)
}

/// The TTL with which the neighbour's SYN came. `None`: the kernel did not keep it (SYN cookies, which
/// a flood causes).
pub(super) fn of_syn(accepted: BorrowedFd<'_>) -> Option<u8> {
    let mut syn = [0; SYN];
    let length = socket_option::get(accepted, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, &mut syn).ok()?;
    ttl(syn.get(..length)?)
}

fn ttl(packet: &[u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => packet.get(8).copied(),
        6 => packet.get(7).copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hop_is_255_and_every_further_one_less() {
        let cases = [
            (Hops::Security(1), 255, 255),
            (Hops::Security(2), 255, 254),
            (Hops::Security(255), 255, 1),
            (Hops::Security(0), 255, 255),
            (Hops::Limit(1), 1, 0),
            (Hops::Limit(0), 1, 0),
            (Hops::Limit(64), 64, 0),
        ];
        for (hops, ttl, accepted) in cases {
            assert_eq!((sent(hops), least(hops)), (ttl, accepted), "{hops:?}");
        }
    }

    #[test]
    fn the_ttl_of_a_packet_is_found_in_both_versions_and_nowhere_else() {
        let mut packet = [0; 40];
        (packet[0], packet[8]) = (0x45, 64);
        assert_eq!(ttl(&packet), Some(64));
        (packet[0], packet[7]) = (0x60, 255);
        assert_eq!(ttl(&packet), Some(255));
        assert_eq!(ttl(&packet[..4]), None);
        assert_eq!(ttl(&[]), None);
        assert_eq!(ttl(&[0; 40]), None);
    }
}

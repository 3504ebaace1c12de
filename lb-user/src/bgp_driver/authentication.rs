//! Keys of TCP-MD5 (RFC 2385) and TCP-AO (RFC 5925) on sockets, and what the kernel says about wrong ones.
//!
//! The kernel drops a segment with a wrong or missing signature without a word: both sides see a connect that is
//! not answered. The counters of the network namespace tell that there were such segments, not whose they were.

use std::io;
use std::os::fd::BorrowedFd;

use bgp::{AoKey, Authentication, Secret};
use ipnet::IpNet;
use nix::libc;

use super::socket_option::{self, STORAGE, put, put_address};

/// `linux/tcp.h`.
const TCP_AO_ADD_KEY: i32 = 38;
const TCP_AO_DEL_KEY: i32 = 39;
/// `TCP_MD5SIG_FLAG_PREFIX`.
const MD5_PREFIX: u8 = 1;
/// Longest key of either, and longest name of an algorithm with its final zero.
const KEY: usize = 80;
const ALGORITHM: usize = 64;
/// Sizes of `struct tcp_md5sig`, `tcp_ao_add` and `tcp_ao_del`.
const MD5: usize = STORAGE + 8 + KEY;
const AO_ADD: usize = STORAGE + ALGORITHM + 16 + KEY;
const AO_DEL: usize = STORAGE + 16;

/// Counters of this thread's network namespace.
const NETSTAT: &str = "/proc/thread-self/net/netstat";

/// Gives a socket the key for whoever is at `peer`: one address, or on a listener a prefix. One that is there
/// is replaced. The error is for people.
pub(super) fn install(
    socket: BorrowedFd<'_>,
    peer: IpNet,
    authentication: &Authentication,
) -> Result<(), String> {
    match authentication {
        Authentication::Md5(secret) => {
            md5(socket, peer, secret.0.as_bytes()).map_err(|error| match error.raw_os_error() {
                Some(libc::ENOPROTOOPT) => "this kernel has no TCP-MD5 (CONFIG_TCP_MD5SIG)".to_owned(),
                Some(libc::EINVAL) => "the password has to have 1 to 80 bytes".to_owned(),
                _ => format!("the kernel refuses the password: {error}"),
            })
        }
        Authentication::Ao(keys) if keys.is_empty() => Err("TCP-AO without a key".to_owned()),
        Authentication::Ao(keys) => {
            let added = keys.iter().try_for_each(|key| ao_add(socket, peer, key));
            if added.is_err() {
                // All or none: the next attempt would fail at those that are there already.
                remove(socket, peer, authentication);
            }
            added
        }
    }
}

/// Takes the key away; one that is not there is of no consequence.
pub(super) fn remove(socket: BorrowedFd<'_>, peer: IpNet, authentication: &Authentication) {
    match authentication {
        Authentication::Md5(Secret(_)) => {
            let _ = md5(socket, peer, &[]);
        }
        Authentication::Ao(keys) => {
            for key in keys {
                let _ = socket_option::set(
                    socket,
                    libc::IPPROTO_TCP,
                    TCP_AO_DEL_KEY,
                    &ao_del_value(peer, key),
                );
            }
        }
    }
}

fn md5(socket: BorrowedFd<'_>, peer: IpNet, key: &[u8]) -> io::Result<()> {
    if key.len() > KEY {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let whole = peer.prefix_len() == peer.max_prefix_len();
    let name = if whole {
        libc::TCP_MD5SIG
    } else {
        libc::TCP_MD5SIG_EXT
    };
    socket_option::set(socket, libc::IPPROTO_TCP, name, &md5_value(peer, key))
}

/// `struct tcp_md5sig`; an empty key removes.
fn md5_value(peer: IpNet, key: &[u8]) -> [u8; MD5] {
    let mut value = [0; MD5];
    put(&mut value, 0, &storage(peer));
    if peer.prefix_len() != peer.max_prefix_len() {
        put(&mut value, STORAGE, &[MD5_PREFIX, peer.prefix_len()]);
    }
    put(
        &mut value,
        STORAGE + 2,
        &u16::try_from(key.len()).unwrap_or(0).to_ne_bytes(),
    );
    put(&mut value, STORAGE + 8, key);
    value
}

fn ao_add(socket: BorrowedFd<'_>, peer: IpNet, key: &AoKey) -> Result<(), String> {
    let id = format!("TCP-AO key {}/{}", key.send_id, key.receive_id);
    if key.secret.0.is_empty() || key.secret.0.len() > KEY {
        return Err(format!("{id}: the secret has to have 1 to {KEY} bytes"));
    }
    if key.algorithm.len() >= ALGORITHM {
        return Err(format!("{id}: no algorithm has so long a name"));
    }
    socket_option::set(
        socket,
        libc::IPPROTO_TCP,
        TCP_AO_ADD_KEY,
        &ao_add_value(peer, key),
    )
    .map_err(|error| match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => {
            "this kernel has no TCP-AO (RFC 5925, CONFIG_TCP_AO), and without it the neighbour is not connected"
                .to_owned()
        }
        Some(libc::ENOENT) => format!("{id}: the kernel has no algorithm {}", key.algorithm),
        _ => format!("{id}: {error}"),
    })
}

/// `struct tcp_ao_add`: the length of the MAC is left to the kernel, which takes the 96 bits of RFC 5926.
fn ao_add_value(peer: IpNet, key: &AoKey) -> [u8; AO_ADD] {
    let mut value = [0; AO_ADD];
    put(&mut value, 0, &storage(peer));
    put(&mut value, STORAGE, key.algorithm.as_bytes());
    let tail = STORAGE + ALGORITHM;
    let length = u8::try_from(key.secret.0.len()).unwrap_or(0);
    put(
        &mut value,
        tail + 10,
        &[peer.prefix_len(), key.send_id, key.receive_id, 0, 0, length],
    );
    put(&mut value, tail + 16, key.secret.0.as_bytes());
    value
}

/// `struct tcp_ao_del`.
fn ao_del_value(peer: IpNet, key: &AoKey) -> [u8; AO_DEL] {
    let mut value = [0; AO_DEL];
    put(&mut value, 0, &storage(peer));
    put(
        &mut value,
        STORAGE + 10,
        &[peer.prefix_len(), key.send_id, key.receive_id],
    );
    value
}

fn storage(peer: IpNet) -> [u8; STORAGE] {
    let mut storage = [0; STORAGE];
    put_address(&mut storage, peer.network());
    storage
}

/// Segments that the kernel has dropped because of their signature, since the namespace exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Signed with another key.
    pub(super) failure: u64,
    /// Not signed.
    pub(super) not_found: u64,
    /// Signed, and no key is configured.
    pub(super) unexpected: u64,
}

impl Dropped {
    /// All zero where the kernel does not tell.
    pub(super) fn now() -> Self {
        std::fs::read_to_string(NETSTAT).map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    /// Pairs of lines: names, then figures.
    fn parse(text: &str) -> Self {
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (Some(names), Some(figures)) = (lines.next(), lines.next()) else {
            return Self::default();
        };
        let mut dropped = Self::default();
        for (name, figure) in names.split_whitespace().zip(figures.split_whitespace()) {
            let figure = || figure.parse().unwrap_or(0);
            match name {
                "TCPMD5Failure" | "TCPAOBad" => dropped.failure += figure(),
                "TCPMD5NotFound" | "TCPAORequired" => dropped.not_found += figure(),
                "TCPMD5Unexpected" | "TCPAOKeyNotFound" => dropped.unexpected += figure(),
                _ => {}
            }
        }
        dropped
    }

    /// What has come since `before`, in words, as seen by one with or without a password.
    pub(super) fn since(self, before: Dropped, password: bool) -> Option<&'static str> {
        if password && self.failure > before.failure {
            Some("segments with a wrong signature came: the passwords differ")
        } else if password && self.not_found > before.not_found {
            Some("segments without a signature came: somebody has no password set")
        } else if !password && self.unexpected > before.unexpected {
            Some("signed segments came: somebody has a password set, and here is none")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AoKey {
        AoKey {
            send_id: 7,
            receive_id: 8,
            algorithm: "hmac(sha1)".to_owned(),
            secret: Secret("secret".to_owned()),
        }
    }

    /// The offsets are those of `linux/tcp.h`.
    #[test]
    fn the_layouts_are_those_of_the_kernel() {
        let host: IpNet = "192.0.2.1/32".parse().unwrap();
        let net: IpNet = "192.0.2.77/24".parse().unwrap();
        let md5 = md5_value(host, b"abc");
        assert_eq!(md5.len(), 216);
        assert_eq!(md5[128..136], [0, 0, 3, 0, 0, 0, 0, 0]);
        assert_eq!(&md5[136..139], b"abc");
        assert_eq!(md5_value(net, b"abc")[128..130], [1, 24]);
        assert_eq!(md5_value(net, b"abc")[4..8], [192, 0, 2, 0]);

        let add = ao_add_value(host, &key());
        assert_eq!(add.len(), 288);
        assert_eq!(&add[128..139], b"hmac(sha1)\0");
        assert_eq!(add[192..202], [0; 10]);
        assert_eq!(add[202..208], [32, 7, 8, 0, 0, 6]);
        assert_eq!(&add[208..214], b"secret");
        let del = ao_del_value(host, &key());
        assert_eq!(del.len(), 144);
        assert_eq!(del[138..141], [32, 7, 8]);
    }

    #[test]
    fn the_counters_of_the_kernel_become_words() {
        let text = "TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure\n\
                    TcpExt: 1 2 3 4\nIpExt: InNoRoutes\nIpExt: 9\n";
        let now = Dropped::parse(text);
        assert_eq!(
            now,
            Dropped {
                failure: 4,
                not_found: 2,
                unexpected: 3
            }
        );
        assert_eq!(now.since(now, true), None);
        let before = Dropped { failure: 3, ..now };
        assert!(now.since(before, true).unwrap().contains("wrong signature"));
        assert_eq!(now.since(before, false), None);
        let before = Dropped { unexpected: 0, ..now };
        assert!(now.since(before, false).unwrap().contains("here is none"));
        assert_eq!(Dropped::parse("nonsense"), Dropped::default());
    }
}

//! A raw ICMPv6 socket on one interface that sends and hears nothing but router messages; needs CAP_NET_RAW.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::Message;
use crate::bgp_driver::socket_option;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// What was sent on this link and came over no router (RFC 4861 section 6.1).
const HOP_LIMIT: u8 = 255;
/// `ICMPV6_FILTER` of the kernel; a bit that is set blocks its type.
const ICMPV6_FILTER: i32 = 1;
/// Longer ones carry more than we want to know, and are cut, which makes them malformed: an Ethernet frame.
const MESSAGE: usize = 1500;

pub(super) struct LinkSocket {
    socket: AsyncFd<Socket>,
    scope: u32,
    link_address: Option<[u8; 6]>,
}

impl LinkSocket {
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let scope = if_nametoindex(interface)
            .map_err(|_| io::Error::new(io::ErrorKind::NotFound, "there is no such interface"))?;
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.set_nonblocking(true)?;
        // First of all: nothing but these two.
        socket_option::set(socket.as_fd(), libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &filter())?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_unicast_hops_v6(u32::from(HOP_LIMIT))?;
        socket.set_multicast_hops_v6(u32::from(HOP_LIMIT))?;
        socket.set_multicast_if_v6(scope)?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_recv_hoplimit_v6(true)?;
        socket.join_multicast_v6(&ALL_ROUTERS, scope)?;
        // SAFETY: a `Socket` owns its descriptor, always returns the same, and closes it only when dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE)? };
        Ok(LinkSocket {
            socket,
            scope,
            link_address: link_address(interface),
        })
    }

    /// Index of the interface.
    pub(super) fn scope(&self) -> u32 {
        self.scope
    }

    pub(super) fn send(&self, message: Message) -> io::Result<()> {
        let to = match message {
            Message::Solicitation => ALL_ROUTERS,
            Message::Advertisement => ALL_NODES,
        };
        let to = SocketAddr::from(SocketAddrV6::new(to, 0, 0, self.scope));
        let bytes = message.encode(self.link_address);
        self.socket.get_ref().send_to(&bytes, &to.into()).map(drop)
    }

    /// The next message; `None` for one that does not count.
    pub(super) async fn receive(&self) -> io::Result<Option<(Ipv6Addr, Message)>> {
        self.socket.async_io(Interest::READABLE, receive).await
    }
}

fn receive(socket: &Socket) -> io::Result<Option<(Ipv6Addr, Message)>> {
    let mut bytes = [0; MESSAGE];
    let mut control = nix::cmsg_space!(libc::c_int);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg::<SockaddrIn6>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let on_link = received
        .cmsgs()?
        .any(|message| matches!(message, ControlMessageOwned::Ipv6HopLimit(limit) if limit == i32::from(HOP_LIMIT)));
    let (source, length) = (received.address.map(|source| source.ip()), received.bytes);
    let Some(source) = source.filter(Ipv6Addr::is_unicast_link_local).filter(|_| on_link) else {
        // A solicitation may come from a host that has no address yet; it is asked for by nobody here.
        return Ok(None);
    };
    let message = bytes.get(..length).and_then(Message::decode);
    Ok(message.map(|message| (source, message)))
}

/// 256 types, one bit each in words of 32.
fn filter() -> [u8; 32] {
    let mut words = [u32::MAX; 8];
    for kind in [133_u8, 134] {
        if let Some(word) = words.get_mut(usize::from(kind >> 5)) {
            *word &= !(1 << (kind & 31));
        }
    }
    let mut bytes = [0; 32];
    for (to, from) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&from.to_ne_bytes());
    }
    bytes
}

fn link_address(interface: &str) -> Option<[u8; 6]> {
    let addresses = nix::ifaddrs::getifaddrs().ok()?;
    addresses
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr()?.addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_lets_two_types_through() {
        let bytes = filter();
        let open: Vec<usize> = (0..256)
            .filter(|kind| {
                let word: [u8; 4] = bytes[kind / 32 * 4..][..4].try_into().unwrap();
                u32::from_ne_bytes(word) & (1 << (kind % 32)) == 0
            })
            .collect();
        assert_eq!(open, [133, 134]);
    }
}

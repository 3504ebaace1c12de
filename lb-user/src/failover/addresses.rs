//! Floating addresses and VIPs as addresses of an interface, through a blocking rtnetlink socket of its own.
//!
//! Used by the failover thread only. One request, one acknowledgement of the kernel, microseconds apart; a
//! receive time-out bounds what a kernel that does not answer could cost. Adding what is there and removing
//! what is not are successes, so that a repeated claim or release is harmless.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use rtnetlink::AddressMessageBuilder;

/// How long the kernel may take to acknowledge.
const ACKNOWLEDGEMENT: Duration = Duration::from_millis(200);
/// An acknowledgement echoes the request's header; with extended text it stays far below this.
const RECEIVE_BUFFER: usize = 8192;
/// Replies that belong to an earlier request which had timed out are skipped, up to this many.
const STALE_REPLIES: usize = 16;

/// Adds and removes addresses of interfaces.
pub struct Addresses {
    socket: Socket,
    sequence: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}

impl Addresses {
    /// Opens the netlink socket in the network namespace of the calling thread.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The request is not echoed in the acknowledgement of a failure.
        socket.set_cap_ack(true)?;
        let micros = i64::try_from(ACKNOWLEDGEMENT.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: the descriptor belongs to `socket`, which outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
        setsockopt(&descriptor, ReceiveTimeout, &TimeVal::new(0, micros))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Adds `address` to the interface; IPv6 without duplicate address detection, which would hold it back.
    pub fn add(&mut self, ifindex: u32, address: IpNet) -> io::Result<()> {
        self.request(Change::Add, ifindex, address)
    }

    /// Removes `address` from the interface. Returns whether it was there.
    pub fn remove(&mut self, ifindex: u32, address: IpNet) -> io::Result<bool> {
        match self.request(Change::Remove, ifindex, address) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn request(&mut self, change: Change, ifindex: u32, address: IpNet) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let body = message(ifindex, address);
        let (body, flags) = match change {
            Change::Add => (
                RouteNetlinkMessage::NewAddress(body),
                NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            ),
            Change::Remove => (RouteNetlinkMessage::DelAddress(body), NLM_F_REQUEST | NLM_F_ACK),
        };
        let mut request = NetlinkMessage::from(body);
        request.header.flags = flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.acknowledgement()
    }

    fn acknowledgement(&self) -> io::Result<()> {
        for _ in 0..STALE_REPLIES {
            let mut buffer = Vec::with_capacity(RECEIVE_BUFFER);
            self.socket.recv(&mut buffer, 0)?;
            let reply = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&buffer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if reply.header.sequence_number != self.sequence {
                continue;
            }
            if let NetlinkPayload::Error(error) = reply.payload {
                return match error.code {
                    None => Ok(()),
                    Some(code) => Err(io::Error::from_raw_os_error(code.get().saturating_abs())),
                };
            }
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no acknowledgement among the kernel's replies",
        ))
    }
}

fn message(ifindex: u32, address: IpNet) -> AddressMessage {
    match address.addr() {
        IpAddr::V4(host) => AddressMessageBuilder::<std::net::Ipv4Addr>::new()
            .index(ifindex)
            .address(host, address.prefix_len())
            .build(),
        IpAddr::V6(host) => {
            let mut message = AddressMessageBuilder::<std::net::Ipv6Addr>::new()
                .index(ifindex)
                .address(host, address.prefix_len())
                .build();
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
            message
        }
    }
}

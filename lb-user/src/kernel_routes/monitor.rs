//! Listens to the kernel: who but us changed links, addresses or routes.
//!
//! It must never decide what matters to a route; it only leaves out what we did ourselves. An overflow of the socket means
//! that everything is looked at again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use rtnetlink::MulticastGroup;
use tracing::warn;

use super::inbox::{Inbox, Touched};
use super::requests::Frame;
use super::route::Observed;

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Nexthop,
];
const SOCKET_BUFFER: i32 = 1 << 20;
const DATAGRAM: usize = 64 * 1024;
/// How soon the thread notices that nobody needs it any more.
const LOOK: i64 = 1;
const AFTER_ERROR: Duration = Duration::from_millis(200);

pub(super) struct Monitor {
    socket: Socket,
    inbox: Arc<Inbox>,
    /// The port of the socket that changes routes; that may be another one some day.
    ours: Arc<AtomicU32>,
    links: BTreeMap<u32, LinkFlags>,
}

impl Monitor {
    /// Listens from now on, in the network namespace of the calling thread.
    pub(super) fn open(inbox: Arc<Inbox>, ours: Arc<AtomicU32>) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_rx_buf_sz(SOCKET_BUFFER)?;
        for group in GROUPS {
            socket.add_membership(group as u32)?;
        }
        // SAFETY: the descriptor belongs to `socket`, which outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
        setsockopt(&descriptor, ReceiveTimeout, &TimeVal::new(LOOK, 0))?;
        Ok(Self {
            socket,
            inbox,
            ours,
            links: BTreeMap::new(),
        })
    }

    pub(super) fn run(mut self) {
        let mut buffer = Vec::with_capacity(DATAGRAM);
        while !self.inbox.is_closed() {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => self.datagram(&buffer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.inbox.disturbed(),
                Err(error) => {
                    warn!(%error, "netlink socket of the route monitor");
                    self.inbox.disturbed();
                    thread::sleep(AFTER_ERROR);
                }
            }
        }
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let mut touched = Vec::new();
        let mut disturbed = false;
        let _: Result<(), Infallible> = Frame::each(bytes, |frame| {
            if frame.port != self.ours.load(Ordering::Relaxed) {
                disturbed |= self.message(frame, &mut touched);
            }
            Ok(())
        });
        if disturbed {
            self.inbox.disturbed();
        } else if !touched.is_empty() {
            self.inbox.touched(&touched);
        }
    }

    /// Returns whether anything may have become of the routes.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "of some sixty kinds of messages these matter"
    )]
    fn message(&mut self, frame: &Frame<'_>, touched: &mut Vec<Touched>) -> bool {
        match frame.decode() {
            Some(RouteNetlinkMessage::NewLink(link)) => self.link(&link, true),
            Some(RouteNetlinkMessage::DelLink(link)) => self.link(&link, false),
            Some(RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route)) => {
                touched.extend(Observed::parse(&route).map(|route| Touched {
                    prefix: route.prefix,
                    ours: route.is_ours(),
                }));
                false
            }
            // With its last address a link loses its routes, and the kernel does not tell which.
            Some(RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_)) => true,
            Some(_) => false,
            // Of a newer kernel, such as a change of a next hop object.
            None => true,
        }
    }

    /// Links tell more than whether they carry packets.
    fn link(&mut self, link: &LinkMessage, present: bool) -> bool {
        let index = link.header.index;
        let relevant = LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp;
        let flags = link.header.flags.intersection(relevant);
        if present {
            self.links.insert(index, flags) != Some(flags)
        } else {
            self.links.remove(&index);
            true
        }
    }
}

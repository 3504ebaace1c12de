//! Link monitor: what the kernel says about links, addresses, routes and neighbours.
//!
//! Purpose: (1) carrier loss is known in milliseconds, long before a BFD detection time; (2) the data path
//! caches next hops, and a change of routes or neighbours makes it ask the FIB again (epoch of the FIB).
//!
//! Runs on a thread of its own, SCHED_FIFO like the failover thread, blocked in `recv` on a netlink socket.
//! Everything found in one burst of messages costs one [`LinkChange::Forwarding`]. When the socket overflows the links are
//! read again and the epoch moves: nothing is lost, some work is repeated.
//!
//! It must never decide anything: it tells the callback, which hands on without blocking.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use rtnetlink::MulticastGroup;
use tracing::{debug, warn};

use crate::realtime;

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Nexthop,
];
/// Room for a burst of changes (a full table that is replaced overflows it, and is survived).
const SOCKET_BUFFER: usize = 1 << 20;
const DATAGRAM: usize = 64 * 1024;
/// Neighbours whose link-layer address is remembered; beyond it every change counts.
const NEIGHBOURS: usize = 16_384;
/// Pause after an unexpected error of the socket, so that it cannot spin a real-time thread.
const AFTER_ERROR: Duration = Duration::from_millis(200);

/// What the monitor tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// The link carries traffic, or no longer does. Also told once for each link at start.
    Carrier { ifindex: u32, name: String, up: bool },
    /// Routes, addresses or neighbours changed: a cached next hop may be wrong.
    Forwarding,
}

/// Starts the monitor. `tell` is called on its thread and must not block.
pub fn spawn(tell: impl FnMut(LinkChange) + Send + 'static) -> io::Result<JoinHandle<()>> {
    let mut monitor = Monitor::open(tell)?;
    thread::Builder::new().name("links".into()).spawn(move || {
        realtime::enter("links", realtime::LINKS);
        monitor.run();
    })
}

struct Monitor<F> {
    socket: Socket,
    tell: F,
    links: BTreeMap<u32, (String, bool)>,
    neighbours: BTreeMap<(u32, IpAddr), Vec<u8>>,
}

impl<F: FnMut(LinkChange)> Monitor<F> {
    fn open(tell: F) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_rx_buf_sz(i32::try_from(SOCKET_BUFFER).unwrap_or(i32::MAX))?;
        for group in GROUPS {
            socket.add_membership(group as u32)?;
        }
        let mut monitor = Self {
            socket,
            tell,
            links: BTreeMap::new(),
            neighbours: BTreeMap::new(),
        };
        monitor.request_links()?;
        Ok(monitor)
    }

    fn request_links(&mut self) -> io::Result<()> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).map(|_| ())
    }

    fn run(&mut self) {
        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            let mut forwarding = false;
            let mut flags = 0;
            // One blocking receive, then whatever else has arrived.
            loop {
                buffer.clear();
                match self.socket.recv(&mut buffer, flags) {
                    Ok(_) => {
                        forwarding |= self.datagram(&buffer);
                        // A storm of messages must not keep the failover thread, which has the same priority,
                        // from running.
                        thread::yield_now();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        forwarding = true;
                        self.recover(&error);
                        break;
                    }
                }
                flags = libc::MSG_DONTWAIT;
            }
            if forwarding {
                (self.tell)(LinkChange::Forwarding);
            }
        }
    }

    fn recover(&mut self, error: &io::Error) {
        if error.raw_os_error() == Some(libc::ENOBUFS) {
            debug!("netlink overflow: reading the links again");
        } else {
            warn!(%error, "netlink socket of the link monitor");
            thread::sleep(AFTER_ERROR);
        }
        self.neighbours.clear();
        if let Err(error) = self.request_links() {
            warn!(%error, "cannot read the links again");
        }
    }

    /// Handles every message of a datagram. Returns whether forwarding may have changed.
    fn datagram(&mut self, mut bytes: &[u8]) -> bool {
        let mut forwarding = false;
        // A netlink header has 16 bytes, its length comes first, in host order.
        while let Some(length) = bytes
            .first_chunk::<4>()
            .map(|raw| u32::from_ne_bytes(*raw) as usize)
        {
            let Some(message) = bytes.get(..length).filter(|_| length >= 16) else {
                break;
            };
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
                Ok(message) => {
                    if let NetlinkPayload::InnerMessage(inner) = message.payload {
                        forwarding |= self.message(&inner);
                    }
                }
                // A message of a newer kernel: something changed that is not understood.
                Err(_) => forwarding = true,
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        forwarding
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "of some sixty kinds of messages these matter"
    )]
    fn message(&mut self, message: &RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.link(link, true),
            RouteNetlinkMessage::DelLink(link) => self.link(link, false),
            RouteNetlinkMessage::NewNeighbour(neighbour) => self.neighbour(neighbour, true),
            RouteNetlinkMessage::DelNeighbour(neighbour) => self.neighbour(neighbour, false),
            RouteNetlinkMessage::NewAddress(_)
            | RouteNetlinkMessage::DelAddress(_)
            | RouteNetlinkMessage::NewRoute(_)
            | RouteNetlinkMessage::DelRoute(_) => true,
            _ => false,
        }
    }

    fn link(&mut self, link: &LinkMessage, present: bool) -> bool {
        let ifindex = link.header.index;
        let name = link.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute {
                Some(name.clone())
            } else {
                None
            }
        });
        let name = name
            .or_else(|| self.links.get(&ifindex).map(|(name, _)| name.clone()))
            .unwrap_or_default();
        // RUNNING follows the operational state: carrier and, above it, whatever the device waits for.
        let up = present && link.header.flags.contains(LinkFlags::Up | LinkFlags::Running);
        let before = self.links.get(&ifindex).map(|(_, up)| *up);
        if present {
            self.links.insert(ifindex, (name.clone(), up));
        } else {
            self.links.remove(&ifindex);
            self.neighbours.retain(|(index, _), _| *index != ifindex);
        }
        if before == Some(up) {
            return false;
        }
        (self.tell)(LinkChange::Carrier { ifindex, name, up });
        // A new link that is down is no next hop.
        up || before.is_some()
    }

    /// Neighbours change state every few seconds; only another link-layer address, or its loss, matters.
    fn neighbour(&mut self, neighbour: &NeighbourMessage, present: bool) -> bool {
        let mut destination = None;
        let mut lladdr = None;
        for attribute in &neighbour.attributes {
            #[allow(clippy::wildcard_enum_match_arm, reason = "only the two addresses are wanted")]
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
                    destination = Some(IpAddr::V4(*address));
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                    destination = Some(IpAddr::V6(*address));
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => lladdr = Some(bytes.clone()),
                _ => {}
            }
        }
        // Bridge forwarding entries come over the same group and carry no IP address.
        let Some(destination) = destination else {
            return false;
        };
        let unusable = matches!(
            neighbour.header.state,
            NeighbourState::Failed | NeighbourState::Incomplete | NeighbourState::None
        );
        let key = (neighbour.header.ifindex, destination);
        match lladdr.filter(|_| present && !unusable) {
            Some(lladdr) if self.neighbours.len() < NEIGHBOURS || self.neighbours.contains_key(&key) => {
                self.neighbours.insert(key, lladdr.clone()) != Some(lladdr)
            }
            Some(_) => true,
            None => self.neighbours.remove(&key).is_some(),
        }
    }
}

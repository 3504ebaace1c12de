//! Watches the routing table of a namespace: every route that appears or goes, stamped on a thread of its own.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;

use crate::clock::monotonic_ns;
use crate::error::{Context, Result};
use crate::netns::Netns;

/// RTMGRP_IPV4_ROUTE and RTMGRP_IPV6_ROUTE.
const GROUPS: u32 = 0x40 | 0x400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouteChange {
    pub(super) at_ns: u64,
    pub(super) destination: IpAddr,
    pub(super) gateway: Option<IpAddr>,
    pub(super) present: bool,
}

/// Ends with this value.
pub(super) struct RouteWatch {
    changes: Arc<Mutex<Vec<RouteChange>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RouteWatch {
    pub(super) fn start(netns: &Netns) -> Result<Self> {
        let socket = netns
            .run(open)?
            .context(|| format!("route monitor in {}", netns.name()))?;
        let changes = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, ended) = (Arc::clone(&changes), Arc::clone(&stop));
        let thread = std::thread::spawn(move || watch(&socket, &log, &ended));
        Ok(Self {
            changes,
            stop,
            thread: Some(thread),
        })
    }

    /// When the route to a destination began to lead over a gateway, the first time after `since`.
    pub(super) fn switched(&self, destination: IpAddr, gateway: IpAddr, since: u64) -> Option<u64> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes
            .iter()
            .filter(|change| change.present && change.at_ns >= since)
            .find(|change| change.destination == destination && change.gateway == Some(gateway))
            .map(|change| change.at_ns)
    }
}

impl Drop for RouteWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> nix::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
    Ok(socket)
}

fn watch(socket: &OwnedFd, changes: &Mutex<Vec<RouteChange>>, stop: &AtomicBool) {
    super::become_fifo();
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) else {
            continue;
        };
        let now = monotonic_ns();
        let found = parse(buffer.get(..length).unwrap_or_default(), now);
        changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(found);
    }
}

/// All route messages of a datagram.
fn parse(mut bytes: &[u8], now: u64) -> Vec<RouteChange> {
    let mut found = Vec::new();
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
        let length = (message.header.length as usize).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(inner) = message.payload {
            if let RouteNetlinkMessage::NewRoute(route) = &inner {
                found.extend(change(route, true, now));
            } else if let RouteNetlinkMessage::DelRoute(route) = &inner {
                found.extend(change(route, false, now));
            }
        }
        match bytes.get(length..) {
            Some(rest) if length > 0 => bytes = rest,
            _ => break,
        }
    }
    found
}

fn change(route: &RouteMessage, present: bool, at_ns: u64) -> Option<RouteChange> {
    let address = |address: &RouteAddress| {
        if let RouteAddress::Inet(v4) = address {
            Some(IpAddr::V4(*v4))
        } else if let RouteAddress::Inet6(v6) = address {
            Some(IpAddr::V6(*v6))
        } else {
            None
        }
    };
    let (mut destination, mut gateway) = (None, None);
    for attribute in &route.attributes {
        if let RouteAttribute::Destination(to) = attribute {
            destination = address(to);
        } else if let RouteAttribute::Gateway(via) = attribute {
            gateway = address(via);
        }
    }
    Some(RouteChange {
        at_ns,
        destination: destination?,
        gateway,
        present,
    })
}

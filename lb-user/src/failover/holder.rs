//! The addresses that move with a role: which there are, whether this node holds them, and moving them.
//!
//! Claiming tells the neighbourhood and adds the addresses, at once and in this order: the frames do not need the
//! address, and the traffic takes a while to turn. The telling is repeated after 100 ms, 300 ms and 1 s, because a
//! single frame may be lost or ignored. Both are idempotent, so a change of the configuration simply claims again, and
//! a link that is back claims what it carries. While an instance is not held its addresses are removed,
//! also those that an earlier run of the daemon left behind.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tracing::warn;

use super::addresses::Addresses;
use super::frames;
use super::interfaces::{Interface, Interfaces};
use super::packet_socket::PacketSocket;

/// When the neighbourhood is told again, counted from the claim.
const REPETITIONS: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
];

/// An address and the interface it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    pub address: IpNet,
    pub interface: String,
}

impl std::fmt::Display for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.address, self.interface)
    }
}

#[derive(Default)]
struct Group {
    placed: Vec<Placed>,
    held: bool,
    /// When the neighbourhood is told again, and of what; soonest first.
    repetitions: Vec<(Instant, Vec<Placed>)>,
}

impl Group {
    fn repeat_later(&mut self, placed: &[Placed], now: Instant) {
        let later = REPETITIONS.iter().map(|delay| (now + *delay, placed.to_vec()));
        self.repetitions.extend(later);
        self.repetitions.sort_by_key(|(at, _)| *at);
    }
}

/// Owns the sockets through which addresses move.
pub struct Holder {
    addresses: Addresses,
    packets: PacketSocket,
    interfaces: Interfaces,
    groups: BTreeMap<u32, Group>,
}

impl Holder {
    /// Opens the sockets in advance. Needs CAP_NET_ADMIN and CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            addresses: Addresses::open()?,
            packets: PacketSocket::open()?,
            interfaces: Interfaces::read()?,
            groups: BTreeMap::new(),
        })
    }

    /// Sets the addresses of an instance. A held instance gains and loses addresses at once.
    pub fn put(&mut self, instance: u32, placed: Vec<Placed>, now: Instant) {
        self.reread();
        let group = self.groups.entry(instance).or_default();
        let gone: Vec<Placed> = std::mem::take(&mut group.placed)
            .into_iter()
            .filter(|old| !placed.contains(old))
            .collect();
        group.placed = placed;
        let held = group.held;
        self.remove_addresses(&gone);
        if held {
            self.claim(instance, now);
        }
    }

    /// Removes addresses that an earlier run left and no instance has. Returns those that were there.
    pub fn give_up(&mut self, left: &[Placed]) -> Vec<Placed> {
        let wanted = |placed: &Placed| self.groups.values().any(|group| group.placed.contains(placed));
        let left: Vec<Placed> = left.iter().filter(|placed| !wanted(placed)).cloned().collect();
        self.remove_addresses(&left)
    }

    /// Forgets an instance and gives its addresses up.
    pub fn forget(&mut self, instance: u32) {
        self.release(instance);
        self.groups.remove(&instance);
    }

    /// Tells the neighbourhood and adds the addresses. Returns those that this node now holds.
    pub fn claim(&mut self, instance: u32, now: Instant) -> Vec<Placed> {
        let group = self.groups.entry(instance).or_default();
        group.held = true;
        group.repetitions.clear();
        let placed = group.placed.clone();
        self.claim_addresses(instance, placed, now)
    }

    fn claim_addresses(&mut self, instance: u32, placed: Vec<Placed>, now: Instant) -> Vec<Placed> {
        if let Some(group) = self.groups.get_mut(&instance).filter(|_| !placed.is_empty()) {
            group.repeat_later(&placed, now);
        }
        for placed in &placed {
            match self.interfaces.get(&placed.interface) {
                Some(interface) => self.tell(placed, interface),
                None => warn!(address = %placed, "no such interface: the address waits for it"),
            }
        }
        placed
            .into_iter()
            .filter(|placed| self.add_address(placed))
            .collect()
    }

    /// Removes the addresses. Returns those that were there.
    pub fn release(&mut self, instance: u32) -> Vec<Placed> {
        let Some(group) = self.groups.get_mut(&instance) else {
            return Vec::new();
        };
        group.held = false;
        group.repetitions.clear();
        let placed = group.placed.clone();
        self.remove_addresses(&placed)
    }

    /// Whether the instance is claimed.
    pub fn holds(&self, instance: u32) -> bool {
        self.groups.get(&instance).is_some_and(|group| group.held)
    }

    /// The addresses of an instance, held or not.
    pub fn placed(&self, instance: u32) -> &[Placed] {
        self.groups
            .get(&instance)
            .map_or(&[], |group| group.placed.as_slice())
    }

    /// The interfaces without which an instance cannot be served.
    pub fn interfaces_needed(&self) -> impl Iterator<Item = &str> {
        self.groups
            .values()
            .flat_map(|group| group.placed.iter().map(|placed| placed.interface.as_str()))
    }

    /// A link came, went or changed. When it carries again, what is held on it is claimed again, because the
    /// neighbourhood may be another one and the kernel forgets IPv6 addresses of a link that was down.
    pub fn link_changed(&mut self, link: &str, up: bool, now: Instant) {
        if !self.interfaces_needed().any(|needed| needed == link) {
            return;
        }
        self.reread();
        if !up {
            return;
        }
        let concerned: Vec<(u32, Vec<Placed>)> = self
            .groups
            .iter()
            .filter(|(_, group)| group.held)
            .map(|(instance, group)| {
                let placed = group.placed.iter().filter(|placed| placed.interface == link);
                (*instance, placed.cloned().collect())
            })
            .collect();
        for (instance, placed) in concerned {
            self.claim_addresses(instance, placed, now);
        }
    }

    /// When [`Self::repeat`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.groups
            .values()
            .filter_map(|group| group.repetitions.first().map(|(at, _)| *at))
            .min()
    }

    /// Tells the neighbourhood again where it is due.
    pub fn repeat(&mut self, now: Instant) {
        let mut due = Vec::new();
        for group in self.groups.values_mut() {
            let waiting = group.repetitions.partition_point(|(at, _)| *at <= now);
            due.extend(group.repetitions.drain(..waiting).flat_map(|(_, placed)| placed));
        }
        for placed in due {
            if let Some(interface) = self.interfaces.get(&placed.interface) {
                self.tell(&placed, interface);
            }
        }
    }

    fn reread(&mut self) {
        match Interfaces::read() {
            Ok(interfaces) => self.interfaces = interfaces,
            Err(error) => warn!(%error, "cannot read the interfaces"),
        }
    }

    fn add_address(&mut self, placed: &Placed) -> bool {
        let Some(interface) = self.interfaces.get(&placed.interface) else {
            return false;
        };
        let added = self.addresses.add(interface.index, placed.address);
        if let Err(error) = &added {
            warn!(address = %placed, %error, "cannot add the address");
        }
        added.is_ok()
    }

    fn tell(&self, placed: &Placed, interface: Interface) {
        // A loopback or a tunnel: nobody there resolves addresses.
        if interface.mac == frames::Mac::default() {
            return;
        }
        for frame in frames::claim(interface.mac, placed.address.addr()) {
            if let Err(error) = self.packets.send(interface.index, &frame) {
                warn!(address = %placed, %error, "cannot tell the neighbours");
            }
        }
    }

    fn remove_addresses(&mut self, gone: &[Placed]) -> Vec<Placed> {
        let mut removed = Vec::new();
        for placed in gone {
            let Some(interface) = self.interfaces.get(&placed.interface) else {
                continue;
            };
            match self.addresses.remove(interface.index, placed.address) {
                Ok(true) => removed.push(placed.clone()),
                Ok(false) => {}
                Err(error) => warn!(address = %placed, %error, "cannot remove the address"),
            }
        }
        removed
    }
}

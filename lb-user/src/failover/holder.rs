//! The addresses that move with a role: which there are, whether this node holds them, and moving them.
//!
//! Claiming adds the addresses and tells the neighbourhood at once; the telling is repeated after 100 ms,
//! 300 ms and 1 s, because a single frame may be lost or ignored. Both are idempotent, so a change of the
//! configuration or of a link simply claims again. While an instance is not held its addresses are removed,
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
    /// Moments at which the neighbourhood is told again, soonest first.
    repetitions: Vec<Instant>,
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

    /// Adds the addresses and tells the neighbourhood. Returns those that this node now holds.
    pub fn claim(&mut self, instance: u32, now: Instant) -> Vec<Placed> {
        let group = self.groups.entry(instance).or_default();
        group.held = true;
        group.repetitions = REPETITIONS.iter().map(|delay| now + *delay).collect();
        let placed = group.placed.clone();
        placed
            .into_iter()
            .filter(|placed| self.claim_address(placed))
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

    /// A link came, went or changed: what is held is claimed again, because the kernel forgets IPv6 addresses
    /// of a link that was down.
    pub fn links_changed(&mut self, now: Instant) {
        self.reread();
        let held: Vec<u32> = self
            .groups
            .iter()
            .filter(|(_, group)| group.held)
            .map(|(instance, _)| *instance)
            .collect();
        for instance in held {
            self.claim(instance, now);
        }
    }

    /// When [`Self::repeat`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.groups
            .values()
            .filter_map(|group| group.repetitions.first().copied())
            .min()
    }

    /// Tells the neighbourhood again where it is due.
    pub fn repeat(&mut self, now: Instant) {
        let mut due = Vec::new();
        for group in self.groups.values_mut() {
            let before = group.repetitions.len();
            group.repetitions.retain(|at| *at > now);
            if group.repetitions.len() < before {
                due.extend(group.placed.iter().cloned());
            }
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

    fn claim_address(&mut self, placed: &Placed) -> bool {
        let Some(interface) = self.interfaces.get(&placed.interface) else {
            warn!(address = %placed, "no such interface: the address waits for it");
            return false;
        };
        let added = self.addresses.add(interface.index, placed.address);
        // Told even if adding failed: an address that is there already is the likely reason.
        self.tell(placed, interface);
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

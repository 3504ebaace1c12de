//! Frame and tables on the host: for tests, simulation and dry runs.

use crate::{
    Address, Backend, Counter, DropReason, EchoPeerKey, Endpoint, EndpointKey, EventKind, Flow, FlowEvent,
    FlowKey, Frame, NextHop, Route, RouteQuery, Scratch, Service, ServiceKey, ServiceStats, Settings, Tables,
    Tier, checksum, map,
};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::{BTreeMap, BTreeSet};

type Entries = RefCell<BTreeMap<FlowKey, Box<UnsafeCell<Flow>>>>;

/// The maps; the fields are public so that a test can fill and read them.
#[derive(Default)]
pub struct HostTables {
    pub settings: Cell<Settings>,
    pub vips: BTreeSet<Address>,
    pub services: BTreeMap<ServiceKey, Service>,
    pub maglev: Vec<u32>,
    pub backends: Vec<Backend>,
    pub endpoints: BTreeMap<EndpointKey, Endpoint>,
    pub echo_peers: BTreeSet<EchoPeerKey>,
    pub counters: RefCell<BTreeMap<Counter, u64>>,
    pub drops: RefCell<BTreeMap<DropReason, u64>>,
    pub stats: RefCell<BTreeMap<u32, ServiceStats>>,
    pub events: RefCell<Vec<FlowEvent>>,
    established: Entries,
    embryonic: Entries,
    hops: RefCell<BTreeMap<u32, Box<UnsafeCell<NextHop>>>>,
    scratch: UnsafeCell<Scratch>,
}

impl HostTables {
    fn tier(&self, tier: Tier) -> &Entries {
        match tier {
            Tier::Embryonic => &self.embryonic,
            Tier::Established => &self.established,
        }
    }

    /// A copy of all entries of a tier, in key order.
    pub fn flows(&self, tier: Tier) -> Vec<(FlowKey, Flow)> {
        // SAFETY: entries are only written within `forward`, which is not running.
        self.tier(tier)
            .borrow()
            .iter()
            .map(|(key, flow)| (*key, unsafe { *flow.get() }))
            .collect()
    }
}

impl Tables for HostTables {
    fn settings(&self) -> Settings {
        self.settings.get()
    }

    fn is_vip(&self, address: &Address) -> bool {
        self.vips.contains(address)
    }

    fn service(&self, key: &ServiceKey) -> Option<Service> {
        self.services.get(key).copied()
    }

    fn maglev(&self, index: u32) -> Option<u32> {
        self.maglev.get(index as usize).copied()
    }

    fn backend(&self, id: u32) -> Option<Backend> {
        self.backends.get(id as usize).copied()
    }

    fn endpoint(&self, key: &EndpointKey) -> Option<Endpoint> {
        self.endpoints.get(key).copied()
    }

    fn is_echo_peer(&self, key: &EchoPeerKey) -> bool {
        self.echo_peers.contains(key)
    }

    fn hop(&self, tag: u32) -> Option<*mut NextHop> {
        Some(
            self.hops
                .borrow_mut()
                .entry(tag % map::HOPS_SIZE)
                .or_default()
                .get(),
        )
    }

    fn flow(&self, tier: Tier, key: &FlowKey) -> Option<*mut Flow> {
        self.tier(tier).borrow().get(key).map(|flow| flow.get())
    }

    fn insert(&self, tier: Tier, key: &FlowKey, flow: &Flow) -> bool {
        let mut entries = self.tier(tier).borrow_mut();
        if entries.contains_key(key) {
            return false;
        }
        entries.insert(*key, Box::new(UnsafeCell::new(*flow)));
        true
    }

    fn remove(&self, tier: Tier, key: &FlowKey) {
        self.tier(tier).borrow_mut().remove(key);
    }

    fn scratch(&self) -> Option<*mut Scratch> {
        Some(self.scratch.get())
    }

    fn count(&self, counter: Counter) {
        *self.counters.borrow_mut().entry(counter).or_default() += 1;
    }

    fn count_drop(&self, reason: DropReason) {
        *self.drops.borrow_mut().entry(reason).or_default() += 1;
    }

    fn count_packet(&self, service: u32, reverse: bool, bytes: u64) {
        let mut stats = self.stats.borrow_mut();
        let stats = stats.entry(service).or_default();
        if reverse {
            stats.reply_packets += 1;
            stats.reply_bytes += bytes;
        } else {
            stats.packets += 1;
            stats.bytes += bytes;
        }
    }

    fn count_flow(&self, service: u32) {
        self.stats.borrow_mut().entry(service).or_default().flows += 1;
    }

    fn emit(&self, kind: EventKind, key: &FlowKey, flow: &Flow) -> bool {
        self.events.borrow_mut().push(FlowEvent {
            kind: kind as u32,
            pad: 0,
            key: *key,
            flow: *flow,
        });
        true
    }
}

/// Bytes in memory and a routing table that is a function. `KERNEL`: as XDP, where the kernel forwards
/// what could not be resolved.
pub struct HostFrame<'a, R: FnMut(&RouteQuery) -> Route, const KERNEL: bool> {
    pub bytes: &'a mut [u8],
    pub for_us: bool,
    pub ingress: u32,
    pub routes: R,
}

impl<R: FnMut(&RouteQuery) -> Route, const KERNEL: bool> Frame for HostFrame<'_, R, KERNEL> {
    const KERNEL_FORWARDS: bool = KERNEL;

    fn at(&mut self, offset: usize, size: usize) -> Option<*mut u8> {
        let end = offset.checked_add(size)?;
        self.bytes.get_mut(offset..end).map(<[u8]>::as_mut_ptr)
    }

    fn holds(&mut self, size: usize) -> bool {
        size <= self.bytes.len()
    }

    fn is_for_us(&mut self) -> bool {
        self.for_us
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn add_to_checksum(
        &mut self,
        offset: usize,
        addresses: u16,
        ports: u16,
        udp: bool,
        ipv6: bool,
    ) -> Option<()> {
        let _ = ipv6;
        let field = self.bytes.get_mut(offset..offset.checked_add(2)?)?;
        let old = u16::from_ne_bytes(<[u8; 2]>::try_from(&*field).ok()?);
        field.copy_from_slice(&checksum::transport(old, addresses, ports, udp).to_ne_bytes());
        Some(())
    }

    fn route(&mut self, query: &RouteQuery) -> Route {
        (self.routes)(query)
    }
}

//! The maps, and the packet path's view of them.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, DevMapHash, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use lb_common::{
    Address, Backend, Counter, DropReason, EchoPeerKey, Endpoint, EndpointKey, EventKind, Flow, FlowEvent,
    FlowKey, Interface, NextHop, Scratch, Service, ServiceKey, ServiceStats, Settings, Tables, Tier, map,
};

#[map]
static SERVICES: HashMap<ServiceKey, Service> = HashMap::with_max_entries(map::SERVICES_SIZE, 0);
#[map]
static VIPS: HashMap<Address, u32> = HashMap::with_max_entries(map::VIPS_SIZE, 0);
#[map]
static MAGLEV: Array<u32> = Array::with_max_entries(map::MAGLEV_SIZE, 0);
#[map]
static BACKENDS: Array<Backend> = Array::with_max_entries(map::BACKENDS_SIZE, 0);
#[map]
static ENDPOINTS: HashMap<EndpointKey, Endpoint> = HashMap::with_max_entries(map::ENDPOINTS_SIZE, 0);
#[map]
static ECHO_PEERS: HashMap<EchoPeerKey, u32> = HashMap::with_max_entries(map::ECHO_PEERS_SIZE, 0);
#[map]
static ESTABLISHED: HashMap<FlowKey, Flow> = HashMap::with_max_entries(map::ESTABLISHED_SIZE, 0);
#[map]
static EMBRYONIC: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(map::EMBRYONIC_SIZE, 0);
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(map::COUNTERS_SIZE, 0);
#[map]
static SERVICE_STATS: PerCpuArray<ServiceStats> = PerCpuArray::with_max_entries(map::SERVICES_SIZE, 0);
#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(map::EVENTS_SIZE, 0);
#[map]
static INTERFACES: Array<Interface> = Array::with_max_entries(map::INTERFACES_SIZE, 0);
#[map]
static HOPS: Array<NextHop> = Array::with_max_entries(map::HOPS_SIZE, 0);
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(crate) static PORTS: DevMapHash = DevMapHash::with_max_entries(map::PORTS_SIZE, 0);

/// The slot of an interface; it may hold another one.
#[inline(always)]
pub(crate) fn interface(ifindex: u32) -> Option<&'static Interface> {
    INTERFACES.get(ifindex % map::INTERFACES_SIZE)
}

#[inline(always)]
fn add(slot: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(slot) {
        // SAFETY: the slot of this CPU.
        unsafe { *counter += 1 };
    }
}

/// The maps of this object.
pub(crate) struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn settings(&self) -> Settings {
        SETTINGS.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn is_vip(&self, address: &Address) -> bool {
        VIPS.get_ptr(address).is_some()
    }

    #[inline(always)]
    fn service(&self, key: &ServiceKey) -> Option<Service> {
        // SAFETY: user space replaces the entry as a whole.
        unsafe { SERVICES.get(key).copied() }
    }

    #[inline(always)]
    fn maglev(&self, index: u32) -> Option<u32> {
        MAGLEV.get(index).copied()
    }

    #[inline(always)]
    fn backend(&self, id: u32) -> Option<Backend> {
        BACKENDS.get(id).copied()
    }

    #[inline(always)]
    fn endpoint(&self, key: &EndpointKey) -> Option<Endpoint> {
        // SAFETY: user space replaces the entry as a whole.
        unsafe { ENDPOINTS.get(key).copied() }
    }

    #[inline(always)]
    fn is_echo_peer(&self, key: &EchoPeerKey) -> bool {
        ECHO_PEERS.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn hop(&self, tag: u32) -> Option<*mut NextHop> {
        HOPS.get_ptr_mut(tag % map::HOPS_SIZE)
    }

    #[inline(always)]
    fn flow(&self, tier: Tier, key: &FlowKey) -> Option<*mut Flow> {
        match tier {
            Tier::Embryonic => EMBRYONIC.get_ptr_mut(key),
            Tier::Established => ESTABLISHED.get_ptr_mut(key),
        }
    }

    #[inline(always)]
    fn insert(&self, tier: Tier, key: &FlowKey, flow: &Flow) -> bool {
        match tier {
            Tier::Embryonic => EMBRYONIC.insert(key, flow, BPF_NOEXIST as u64).is_ok(),
            Tier::Established => ESTABLISHED.insert(key, flow, BPF_NOEXIST as u64).is_ok(),
        }
    }

    #[inline(always)]
    fn remove(&self, tier: Tier, key: &FlowKey) {
        let _ = match tier {
            Tier::Embryonic => EMBRYONIC.remove(key),
            Tier::Established => ESTABLISHED.remove(key),
        };
    }

    #[inline(always)]
    fn scratch(&self) -> Option<*mut Scratch> {
        SCRATCH.get_ptr_mut(0)
    }

    #[inline(always)]
    fn count(&self, counter: Counter) {
        add(counter.index());
    }

    #[inline(always)]
    fn count_drop(&self, reason: DropReason) {
        add(reason.index());
    }

    #[inline(always)]
    fn count_packet(&self, service: u32, reverse: bool, bytes: u64) {
        let Some(stats) = SERVICE_STATS.get_ptr_mut(service) else {
            return;
        };
        // SAFETY: the slot of this CPU.
        let stats = unsafe { &mut *stats };
        if reverse {
            stats.reply_packets += 1;
            stats.reply_bytes += bytes;
        } else {
            stats.packets += 1;
            stats.bytes += bytes;
        }
    }

    #[inline(always)]
    fn count_flow(&self, service: u32) {
        if let Some(stats) = SERVICE_STATS.get_ptr_mut(service) {
            // SAFETY: the slot of this CPU.
            unsafe { (*stats).flows += 1 };
        }
    }

    #[inline(always)]
    fn emit(&self, kind: EventKind, key: &FlowKey, flow: &Flow) -> bool {
        let Some(mut event) = EVENTS.reserve::<FlowEvent>(0) else {
            return false;
        };
        let record = event.as_mut_ptr();
        // SAFETY: the reserved room holds the whole record.
        unsafe {
            (*record).kind = kind as u32;
            (*record).pad = 0;
            (*record).key = *key;
            (*record).flow = *flow;
        }
        event.submit(0);
        true
    }
}

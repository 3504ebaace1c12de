//! The maps as the packet path sees them.

use crate::{
    Address, Backend, Counter, DropReason, EchoPeerKey, Endpoint, EndpointKey, EventKind, Flow, FlowKey,
    NextHop, Service, ServiceKey, Settings,
};

/// The two tiers of the flow table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tier {
    /// LRU: new flows evict each other.
    Embryonic,
    /// Plain hash: nobody's SYN evicts anything (invariant I7).
    Established,
}

/// Room for the two entries of a new flow: a BPF stack has 512 bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Scratch {
    pub forward_key: FlowKey,
    pub reverse_key: FlowKey,
    pub forward: Flow,
    pub reverse: Flow,
}

/// Entries are handed out as pointers because other CPUs write them at the same time.
pub trait Tables {
    fn settings(&self) -> Settings;
    fn is_vip(&self, address: &Address) -> bool;
    fn service(&self, key: &ServiceKey) -> Option<Service>;
    fn maglev(&self, index: u32) -> Option<u32>;
    fn backend(&self, id: u32) -> Option<Backend>;
    fn endpoint(&self, key: &EndpointKey) -> Option<Endpoint>;
    fn is_echo_peer(&self, key: &EchoPeerKey) -> bool;

    /// The slot of a next hop with this tag; it may hold another one.
    fn hop(&self, tag: u32) -> Option<*mut NextHop>;

    fn flow(&self, tier: Tier, key: &FlowKey) -> Option<*mut Flow>;
    /// False when the key is there already or there is no room.
    fn insert(&self, tier: Tier, key: &FlowKey, flow: &Flow) -> bool;
    fn remove(&self, tier: Tier, key: &FlowKey);
    fn scratch(&self) -> Option<*mut Scratch>;

    fn count(&self, counter: Counter);
    fn count_drop(&self, reason: DropReason);
    fn count_packet(&self, service: u32, reverse: bool, bytes: u64);
    fn count_flow(&self, service: u32);
    /// False when the event is lost.
    fn emit(&self, kind: EventKind, key: &FlowKey, flow: &Flow) -> bool;
}

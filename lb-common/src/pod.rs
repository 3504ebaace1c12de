//! Lets aya move the records in and out of maps.

use crate::{
    Address, Backend, EchoPeerKey, Endpoint, EndpointKey, Flow, FlowEvent, FlowKey, Interface, Service,
    ServiceKey, ServiceStats, Settings,
};

macro_rules! plain {
    ($($record:ty),*) => {$(
        // SAFETY: repr(C) or transparent, Copy, made of integers only, every bit pattern is valid and
        // all padding is named.
        unsafe impl aya::Pod for $record {}
    )*};
}

plain!(
    Address,
    Backend,
    EchoPeerKey,
    Endpoint,
    EndpointKey,
    Flow,
    FlowEvent,
    FlowKey,
    Interface,
    Service,
    ServiceKey,
    ServiceStats,
    Settings
);

//! Services, backends and endpoints.

use crate::{Address, Port};

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ServiceKey {
    pub vip: Address,
    pub port: Port,
    pub protocol: u8,
    pub pad: u8,
}

impl ServiceKey {
    #[inline(always)]
    pub const fn new(vip: Address, port: Port, protocol: u8) -> Self {
        Self {
            vip,
            port,
            protocol,
            pad: 0,
        }
    }
}

#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The destination is rewritten, the client's address is kept; replies pass the load balancer.
    Default = 0,
    /// The source becomes the VIP as well.
    FullNat = 1,
}

/// Replaced as a whole, so that mode and table always belong together.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Service {
    pub id: u32,
    /// [`Mode`] as a number: a map value may hold anything.
    pub mode: u32,
    /// Extent of this service in the MAGLEV array; size 0: no backend.
    pub table_offset: u32,
    pub table_size: u32,
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Backend {
    pub address: Address,
    pub port: Port,
    /// 0: the slot is empty.
    pub used: u16,
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct EndpointKey {
    pub address: Address,
    pub port: Port,
    pub protocol: u8,
    pub pad: u8,
}

impl EndpointKey {
    #[inline(always)]
    pub const fn new(address: Address, port: Port, protocol: u8) -> Self {
        Self {
            address,
            port,
            protocol,
            pad: 0,
        }
    }
}

/// Which VIP a backend of a `default` service answers for.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Endpoint {
    pub vip: Address,
    pub port: Port,
    /// Not 0: it serves several, so that a reply of an unknown flow cannot be attributed.
    pub ambiguous: u16,
    pub service: u32,
    pub backend: u32,
}

/// Per CPU and service.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceStats {
    pub packets: u64,
    pub bytes: u64,
    pub reply_packets: u64,
    pub reply_bytes: u64,
    pub flows: u64,
}

const _: () = assert!(
    size_of::<ServiceKey>() == 20
        && size_of::<Service>() == 16
        && size_of::<Backend>() == 20
        && size_of::<EndpointKey>() == 20
        && size_of::<Endpoint>() == 28
);

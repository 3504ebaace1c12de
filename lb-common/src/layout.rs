//! Names, sizes and version of the maps.

use crate::Address;

/// Changes whenever a record or the meaning of a map changes. The daemon adopts only maps of its
/// own version.
pub const LAYOUT_VERSION: u32 = 3;

/// Written by user space, read by every packet.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Any change of routes, neighbours or links makes every cached next hop invalid.
    pub fib_epoch: u32,
    pub pad: u32,
}

/// An interface with a program on it; the slot is `ifindex % INTERFACES_SIZE`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interface {
    pub ifindex: u32,
    pub mac: [u8; 6],
    pub pad: [u8; 2],
}

/// A neighbour whose BFD Echo packets are sent back; the value in the map is 1.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct EchoPeerKey {
    /// The destination of its packets: an address of its own.
    pub address: Address,
    /// Where they come in.
    pub ifindex: u32,
}

impl EchoPeerKey {
    /// In place of an ifindex: the kernel numbers interfaces from 1.
    pub const ANY_INTERFACE: u32 = 0;

    #[inline(always)]
    pub const fn new(address: Address, ifindex: u32) -> Self {
        Self { address, ifindex }
    }
}

const _: () = assert!(size_of::<EchoPeerKey>() == 20);

pub mod map {
    //! One name per map, as in the object, in the pin folder and in messages.

    pub const SERVICES: &str = "SERVICES";
    pub const VIPS: &str = "VIPS";
    pub const MAGLEV: &str = "MAGLEV";
    pub const BACKENDS: &str = "BACKENDS";
    pub const ENDPOINTS: &str = "ENDPOINTS";
    pub const ESTABLISHED: &str = "ESTABLISHED";
    pub const EMBRYONIC: &str = "EMBRYONIC";
    pub const COUNTERS: &str = "COUNTERS";
    pub const SERVICE_STATS: &str = "SERVICE_STATS";
    pub const SETTINGS: &str = "SETTINGS";
    pub const EVENTS: &str = "EVENTS";
    pub const INTERFACES: &str = "INTERFACES";
    /// Next hops, by the low bits of their tag.
    pub const HOPS: &str = "HOPS";
    pub const SCRATCH: &str = "SCRATCH";
    /// Interfaces an XDP program may redirect to.
    pub const PORTS: &str = "PORTS";
    pub const ECHO_PEERS: &str = "ECHO_PEERS";

    pub const SERVICES_SIZE: u32 = 4096;
    pub const VIPS_SIZE: u32 = 4096;
    pub const MAGLEV_SIZE: u32 = 1 << 20;
    pub const BACKENDS_SIZE: u32 = 1 << 16;
    pub const ENDPOINTS_SIZE: u32 = 1 << 16;
    /// Two entries a flow. The daemon's `max-flows` overrides it.
    pub const ESTABLISHED_SIZE: u32 = 1 << 19;
    pub const EMBRYONIC_SIZE: u32 = 1 << 17;
    pub const COUNTERS_SIZE: u32 = 64;
    /// Bytes.
    pub const EVENTS_SIZE: u32 = 1 << 22;
    pub const INTERFACES_SIZE: u32 = 1024;
    /// A power of two.
    pub const HOPS_SIZE: u32 = 4096;
    pub const PORTS_SIZE: u32 = 256;
    /// As many as BFD sessions on one node may ever be.
    pub const ECHO_PEERS_SIZE: u32 = 1024;
}

//! A packet, wherever it is.

use crate::{Address, NextHop};

/// What the routing table is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteQuery {
    pub src: Address,
    pub dst: Address,
    pub sport: u16,
    pub dport: u16,
    pub protocol: u8,
    /// Length of the IP packet.
    pub length: u16,
}

/// What it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// Interface and both MAC addresses are filled in.
    Via(NextHop),
    /// The route is known, the neighbour is not.
    Unresolved(u32),
    /// The destination is this host, a broadcast or a multicast address.
    Local,
    NoRoute,
    ForwardingOff,
    TooBig,
}

/// A frame that starts with its Ethernet header.
pub trait Frame {
    /// Whether the kernel decrements the TTL of a packet that is passed up to be resolved.
    const KERNEL_FORWARDS: bool;

    /// Pointer to `size` bytes at `offset` that may be read and written, unless the frame ends
    /// before. Valid until the next call of [`Frame::add_to_checksum`].
    fn at(&mut self, offset: usize, size: usize) -> Option<*mut u8>;

    /// Whether it has this many bytes, including those that are not in linear memory.
    fn holds(&mut self, size: usize) -> bool;

    /// Whether the link layer destination is this host: a switch also floods what is for others.
    fn is_for_us(&mut self) -> bool;

    /// Number of the interface it came in by.
    fn ingress(&self) -> u32;

    /// Adds to the transport checksum at `offset`. Where the checksum is left to the hardware only
    /// the pseudo header, that is the addresses, is in it yet. For UDP 0 means "none" and stays.
    fn add_to_checksum(
        &mut self,
        offset: usize,
        addresses: u16,
        ports: u16,
        udp: bool,
        ipv6: bool,
    ) -> Option<()>;

    fn route(&mut self, query: &RouteQuery) -> Route;
}

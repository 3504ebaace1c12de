//! What the packet path tells user space.

use crate::{Flow, FlowKey};

#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// Both directions were seen: the flow is in the established table.
    Established = 0,
    /// FIN in both directions, or RST.
    Closed = 1,
}

/// A hint, not a truth: the ring may overflow, the table is what counts (invariant I8).
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowEvent {
    /// [`EventKind`] as a number.
    pub kind: u32,
    pub pad: u32,
    /// The client's direction, always.
    pub key: FlowKey,
    pub flow: Flow,
}

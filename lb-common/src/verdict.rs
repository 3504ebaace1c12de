//! What becomes of a packet.

use crate::DropReason;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not ours: up to the stack, untouched.
    Pass,
    Drop(DropReason),
    /// Rewritten up to its MAC addresses: out of the interface.
    Transmit(u32),
    /// Rewritten; the kernel resolves the neighbour on the interface and sends it.
    Resolve(u32),
    /// Answered in place: back out of the interface it came in by.
    Reply,
}

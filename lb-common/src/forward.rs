//! The packet path: one function, whatever runs it.

use crate::derive::{Unknown, unknown};
use crate::header::{Class, Packet, parse};
use crate::rewrite::transmit;
use crate::state::{TURNING, disowned, promote, restarts, touch, turn};
use crate::{Counter, DropReason, Flow, Frame, Tables, Tier, Verdict, echo, icmp};

/// Decides about a packet and rewrites it in place. `now` is CLOCK_MONOTONIC in nanoseconds; a
/// coarse clock will do.
#[inline(always)]
pub fn forward<F: Frame, T: Tables>(frame: &mut F, tables: &T, now: u64) -> Verdict {
    let verdict = decide(frame, tables, now);
    match verdict {
        Verdict::Drop(reason) => tables.count_drop(reason),
        Verdict::Pass => tables.count(Counter::Passed),
        Verdict::Transmit(_) | Verdict::Resolve(_) | Verdict::Reply => {}
    }
    verdict
}

#[inline(always)]
fn decide<F: Frame, T: Tables>(frame: &mut F, tables: &T, now: u64) -> Verdict {
    let Some(packet) = parse(frame) else {
        return Verdict::Pass;
    };
    if !frame.is_for_us() {
        return Verdict::Pass;
    }
    if packet.class != Class::Transport {
        return icmp::other(frame, tables, &packet);
    }
    let (tier, (flow, reason)) = find(frame, tables, &packet, now);
    if flow.is_null() {
        return match reason {
            Some(reason) => Verdict::Drop(reason),
            None => echo::reflect(frame, tables, &packet),
        };
    }
    // A barrier: what the compiler would carry over from one way of finding the flow is not there, for
    // the verifier, on the other ways.
    // SAFETY: an entry of the table, or the scratch room of this CPU; see `Flow` about other writers.
    let flow = unsafe { &mut *core::hint::black_box(flow) };
    let verdict = transmit(frame, tables, &packet, flow, now);
    if tier == Some(Tier::Embryonic) {
        promote(tables, &packet, flow);
    }
    verdict
}

/// The flow of a packet and the tier it was found in; None: it is new.
#[inline(always)]
fn find<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    packet: &Packet,
    now: u64,
) -> (Option<Tier>, Unknown) {
    let fragment = (core::ptr::null_mut(), Some(DropReason::Fragment));
    if let Some(flow) = tables.flow(Tier::Established, &packet.key) {
        if packet.fragment {
            return (None, fragment);
        }
        // SAFETY: an entry of the table; see `Flow` about concurrent writers.
        if advance(tables, Tier::Established, packet, unsafe { &mut *flow }, now) {
            return (Some(Tier::Established), (flow, None));
        }
    } else if let Some(flow) = tables.flow(Tier::Embryonic, &packet.key) {
        if packet.fragment {
            return (None, fragment);
        }
        // SAFETY: as above.
        if disowned(packet, unsafe { &*flow }) {
            return (None, (core::ptr::null_mut(), Some(DropReason::UnknownReset)));
        }
        // SAFETY: as above.
        if advance(tables, Tier::Embryonic, packet, unsafe { &mut *flow }, now) {
            return (Some(Tier::Embryonic), (flow, None));
        }
    }
    (None, unknown(frame, tables, packet, now))
}

/// Notes a packet of a known flow. False: the flow has ended and this packet starts a new one.
#[inline(always)]
fn advance<T: Tables>(tables: &T, tier: Tier, packet: &Packet, flow: &mut Flow, now: u64) -> bool {
    if packet.flags & TURNING != 0 {
        if restarts(packet, flow) {
            let other = flow.reply_key(&packet.key);
            tables.remove(tier, &other);
            tables.remove(tier, &packet.key);
            tables.count(Counter::FlowRestarted);
            return false;
        }
        turn(tables, tier, packet, flow);
    }
    touch(tables, packet, flow, now);
    if tier == Tier::Embryonic {
        flow.seen |= packet.flags;
    }
    true
}

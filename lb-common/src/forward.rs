//! The packet path: one function, whatever runs it.

use crate::derive::{Unknown, unknown};
use crate::header::{Class, Packet, parse};
use crate::rewrite::transmit;
use crate::state::{TURNING, promote, restarts, touch, turn};
use crate::{Counter, DropReason, Flow, Frame, Tables, Tier, Verdict, icmp};

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
    if let Some(flow) = tables.flow(Tier::Established, &packet.key) {
        // SAFETY: an entry of the table; see `Flow` about concurrent writers.
        if let Some(verdict) = known(
            frame,
            tables,
            Tier::Established,
            &packet,
            unsafe { &mut *flow },
            now,
        ) {
            return verdict;
        }
    } else if let Some(flow) = tables.flow(Tier::Embryonic, &packet.key) {
        // SAFETY: as above.
        if let Some(verdict) = known(
            frame,
            tables,
            Tier::Embryonic,
            &packet,
            unsafe { &mut *flow },
            now,
        ) {
            return verdict;
        }
    }
    match unknown(frame, tables, &packet, now) {
        // SAFETY: the scratch room of this CPU.
        Unknown::Flow(flow) => transmit(frame, tables, &packet, unsafe { &mut *flow }, now),
        Unknown::Drop(reason) => Verdict::Drop(reason),
        Unknown::Pass => Verdict::Pass,
    }
}

/// A packet of a known flow. None: the flow has ended and this packet starts a new one.
#[inline(always)]
fn known<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    tier: Tier,
    packet: &Packet,
    flow: &mut Flow,
    now: u64,
) -> Option<Verdict> {
    if packet.fragment {
        return Some(Verdict::Drop(DropReason::Fragment));
    }
    if packet.flags & TURNING != 0 {
        if restarts(packet, flow) {
            let other = flow.reply_key(packet.key.protocol);
            tables.remove(tier, &other);
            tables.remove(tier, &packet.key);
            tables.count(Counter::FlowRestarted);
            return None;
        }
        turn(tables, tier, packet, flow);
    }
    touch(tables, packet, flow, now);
    if tier == Tier::Embryonic {
        flow.seen |= packet.flags;
    }
    let verdict = transmit(frame, tables, packet, flow, now);
    if tier == Tier::Embryonic {
        promote(tables, packet, flow);
    }
    Some(verdict)
}

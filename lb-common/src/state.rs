//! How packets change a flow: handshake, promotion, close, restart.

use crate::header::{Packet, protocol};
use crate::{Counter, EventKind, Flow, FlowFlags, FlowKey, Seen, Tables, Tier};

/// Flags that change more than the time of the last packet.
pub(crate) const TURNING: u8 = Seen::FIN | Seen::SYN | Seen::RST;

/// A SYN of the client on a flow that has ended starts a new one (RFC 9293 section 3.6.1: the
/// port pair may be reused).
#[inline(always)]
pub(crate) fn restarts(packet: &Packet, flow: &Flow) -> bool {
    packet.key.protocol == protocol::TCP
        && packet.flags & (Seen::SYN | Seen::ACK | Seen::RST) == Seen::SYN
        && flow.flags & (FlowFlags::CLOSED | FlowFlags::REVERSE) == FlowFlags::CLOSED
}

/// A RST is all that the backend has said of a flow that was taken up mid-stream: it is likely that it does not
/// know the flow, because the flow's own backend is another one. That is nobody's reason to reset the client
/// (invariant I1).
#[inline(always)]
pub(crate) fn disowned(packet: &Packet, flow: &Flow) -> bool {
    const TAKEN_UP: u8 = FlowFlags::REVERSE | FlowFlags::DERIVED;
    packet.flags & Seen::RST != 0
        && packet.key.protocol == protocol::TCP
        && flow.flags & TAKEN_UP == TAKEN_UP
        && flow.seen == 0
}

/// Stamps the flow with this packet.
#[inline(always)]
pub(crate) fn touch<T: Tables>(tables: &T, packet: &Packet, flow: &mut Flow, now: u64) {
    let ticks = Flow::ticks(now);
    if flow.last_seen != ticks {
        flow.last_seen = ticks;
    }
    if flow.flags & (FlowFlags::REMOTE | FlowFlags::CLOSED) != 0 {
        let revived =
            flow.has(FlowFlags::CLOSED) && flow.seen & Seen::RST != 0 && packet.flags & TURNING == 0;
        if flow.has(FlowFlags::REMOTE) || revived {
            own(tables, packet, flow, revived);
        }
    }
}

/// Notes FIN and RST; when both sides have ended, the flow is closed.
#[inline(always)]
pub(crate) fn turn<T: Tables>(tables: &T, tier: Tier, packet: &Packet, flow: &mut Flow) {
    flow.seen |= packet.flags & (TURNING | Seen::ACK);
    if packet.flags & (Seen::FIN | Seen::RST) == 0 || flow.has(FlowFlags::CLOSED) {
        return;
    }
    let key = flow.reply_key(&packet.key);
    let Some(other) = tables.flow(tier, &key) else {
        return;
    };
    // SAFETY: an entry of the table; see `Flow` about concurrent writers.
    let other = unsafe { &mut *other };
    if flow.seen & Seen::RST != 0 || other.seen & Seen::FIN != 0 {
        flow.flags |= FlowFlags::CLOSED;
        other.flags |= FlowFlags::CLOSED;
        tables.count(Counter::FlowClosed);
        if tier == Tier::Established {
            report(tables, EventKind::Closed, (&packet.key, flow), (&key, other));
        }
    }
}

/// The flow is this node's: a packet of it came by here. Revived: whoever seemed to send RST goes on
/// talking, so it was not theirs.
#[inline(always)]
fn own<T: Tables>(tables: &T, packet: &Packet, flow: &mut Flow, revived: bool) {
    let mut gone = FlowFlags::REMOTE;
    if revived {
        flow.seen &= !Seen::RST;
        gone |= FlowFlags::CLOSED;
    }
    flow.flags &= !gone;
    let key = flow.reply_key(&packet.key);
    if let Some(other) = tables.flow(Tier::Established, &key) {
        // SAFETY: an entry of the table; see `Flow` about concurrent writers.
        let other = unsafe { &mut *other };
        other.flags &= !gone;
        report(tables, EventKind::Established, (&packet.key, flow), (&key, other));
    }
}

/// Whether the flow has proved to be alive in both directions.
#[inline(always)]
fn is_established(packet: &Packet, flow: &Flow, other: &Flow) -> bool {
    if flow.flags & FlowFlags::CLOSED != 0 {
        return false;
    }
    if packet.key.protocol != protocol::TCP || flow.has(FlowFlags::DERIVED) {
        return flow.seen & other.seen & Seen::ACK != 0;
    }
    let (client, server) = if flow.has(FlowFlags::REVERSE) {
        (other, flow)
    } else {
        (flow, other)
    };
    client.seen & Seen::ACK != 0 && server.seen & Seen::SYN != 0
}

/// Moves a flow that has proved to be alive where no one's SYN can evict it.
#[inline(always)]
pub(crate) fn promote<T: Tables>(tables: &T, packet: &Packet, flow: &Flow) {
    let key = flow.reply_key(&packet.key);
    let Some(other) = tables.flow(Tier::Embryonic, &key) else {
        return;
    };
    // SAFETY: an entry of the table; see `Flow` about concurrent writers.
    let other = unsafe { &*other };
    if !is_established(packet, flow, other) {
        return;
    }
    if !tables.insert(Tier::Established, &key, other) {
        tables.count(Counter::EstablishedFull);
        return;
    }
    if !tables.insert(Tier::Established, &packet.key, flow) {
        tables.remove(Tier::Established, &key);
        tables.count(Counter::EstablishedFull);
        return;
    }
    tables.count(Counter::FlowEstablished);
    report(tables, EventKind::Established, (&packet.key, flow), (&key, other));
    tables.remove(Tier::Embryonic, &key);
    tables.remove(Tier::Embryonic, &packet.key);
}

/// Events name the client's direction, whichever packet caused them.
#[inline(always)]
fn report<T: Tables>(tables: &T, kind: EventKind, this: (&FlowKey, &Flow), other: (&FlowKey, &Flow)) {
    let (key, flow) = if this.1.has(FlowFlags::REVERSE) {
        other
    } else {
        this
    };
    if !tables.emit(kind, key, flow) {
        tables.count(Counter::EventLost);
    }
}

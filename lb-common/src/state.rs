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

/// The other half of a flow; None when it is missing, or when another flow has its key by now: halves are evicted
/// one by one.
#[inline(always)]
fn other_half<T: Tables>(tables: &T, tier: Tier, packet: &Packet, key: &FlowKey) -> Option<*mut Flow> {
    let other = tables.flow(tier, key)?;
    // SAFETY: an entry of the table; see `Flow` about concurrent writers.
    unsafe { &*other }.reply_key(key).is(&packet.key).then_some(other)
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
    let Some(other) = other_half(tables, tier, packet, &key) else {
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
    if let Some(other) = other_half(tables, Tier::Established, packet, &key) {
        // SAFETY: an entry of the table; see `Flow` about concurrent writers.
        let other = unsafe { &mut *other };
        other.flags &= !gone;
        // Its end was reported, and whoever hears of it again would keep it.
        if !flow.has(FlowFlags::CLOSED) {
            report(tables, EventKind::Established, (&packet.key, flow), (&key, other));
        }
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
    let Some(other) = other_half(tables, Tier::Embryonic, packet, &key) else {
        if !flow.has(FlowFlags::REVERSE) {
            // Without it no answer finds the way: the client's next packet makes both again.
            tables.remove(Tier::Embryonic, &packet.key);
        }
        return;
    };
    // SAFETY: an entry of the table; see `Flow` about concurrent writers.
    let other = unsafe { &*other };
    if !is_established(packet, flow, other) {
        return;
    }
    // The reverse half first, whichever packet came: of two CPUs that promote one flow the second fails here, where
    // it has nothing of the first one's to take back.
    let reverse = flow.has(FlowFlags::REVERSE);
    let halves = [(&key, other), (&packet.key, flow)];
    let [first, second] = if reverse { [halves[1], halves[0]] } else { halves };
    if !tables.insert(Tier::Established, first.0, first.1) {
        tables.count(Counter::EstablishedFull);
        return;
    }
    if !tables.insert(Tier::Established, second.0, second.1) {
        tables.remove(Tier::Established, first.0);
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

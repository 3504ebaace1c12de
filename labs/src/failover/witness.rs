//! The timeline of a fault, put together from witnesses: the wire, the router's packets and routes, the daemon that
//! takes over, the probe, the flows.

use std::net::IpAddr;

use super::bed::{Bed, Event, PROBE_VIP, other, uplink};
use super::birdlog;
use super::outcome::{Mark, Moment, Phase};
use super::tap::Seen;
use crate::error::Context;
use crate::running::PowerCut;

struct Collector<'a> {
    phase: &'a Phase,
    moments: Vec<Moment>,
}

impl Collector<'_> {
    fn add(&mut self, at_ns: Option<u64>, lane: &str, mark: Mark, text: impl Into<String>) {
        if let Some(at_ns) = at_ns {
            let ms = self.phase.since_zero(at_ns);
            self.moments.push(Moment {
                ms,
                lane: lane.to_owned(),
                mark,
                text: text.into(),
            });
        }
    }

    fn sorted(mut self) -> Vec<Moment> {
        // Whoever sends an UPDATE notes it after the call, when it may have arrived already: what looks simultaneous
        // is shown in the order of cause and effect.
        self.moments
            .sort_by_key(|moment| ((moment.ms * 10.0).round() as i64, moment.mark));
        self.moments
    }
}

/// Who saw what after the power of `dead` was cut.
pub(super) fn of_power_loss(bed: &Bed, dead: &str, cut: PowerCut, phase: &Phase) -> Vec<Moment> {
    let survivor = other(dead);
    let events = bed.timeline(survivor);
    let from_dead = uplink(dead);
    let mut collector = Collector {
        phase,
        moments: Vec::new(),
    };
    let router_heard = bed.tap.last(from_dead, Seen::Bfd, cut.cut_ns);
    collector.add(
        router_heard,
        "router",
        Mark::LastBfdPacket,
        format!("last BFD packet of {dead}"),
    );
    let survivor_heard = last_packet(&events, dead, cut.cut_ns);
    collector.add(
        survivor_heard,
        survivor,
        Mark::LastBfdPacket,
        format!("last BFD packet of {dead}"),
    );
    collector.add(
        Some(cut.cut_ns),
        dead,
        Mark::Cut,
        "power cut: both directions silent",
    );
    collector.add(Some(cut.killed_ns), dead, Mark::Killed, "every process killed");
    role_and_update(bed, survivor, &events, cut.cut_ns, &mut collector);
    let detected = down(&events, dead, cut.cut_ns).map(|event| event.monotonic_ns);
    collector.add(
        detected,
        survivor,
        Mark::PeerDetects,
        format!("BFD: {dead} is down"),
    );
    let log = bed.running.node("router").map(|router| router.log().to_owned());
    let log = log.and_then(|file| std::fs::read_to_string(&file).context(|| file.display().to_string()));
    let gave_up = log.ok().and_then(|log| birdlog::gave_up(&log, dead, cut.cut_ns));
    collector.add(
        gave_up,
        "router",
        Mark::RouterDetects,
        format!("bird gives {dead} up"),
    );
    traffic(bed, survivor, cut.cut_ns, &mut collector);
    collector.sorted()
}

/// Who saw what when the roles moved from one node to the other on purpose or by pre-emption.
pub(super) fn of_hand_over(bed: &Bed, to: &str, what: &str, phase: &Phase) -> Vec<Moment> {
    let events = bed.timeline(to);
    let mut collector = Collector {
        phase,
        moments: Vec::new(),
    };
    collector.add(Some(phase.zero_ns), other(to), Mark::Command, what);
    role_and_update(bed, to, &events, phase.zero_ns, &mut collector);
    traffic(bed, to, phase.zero_ns, &mut collector);
    collector.sorted()
}

fn role_and_update(bed: &Bed, node: &str, events: &[Event], since: u64, collector: &mut Collector<'_>) {
    let first = |kind: &str| {
        events
            .iter()
            .find(|event| event.monotonic_ns >= since && event.kind == kind)
    };
    let master = events.iter().find(|event| {
        event.monotonic_ns >= since && event.kind == "role-changed" && text(event, "to") == "master"
    });
    collector.add(
        master.map(|event| event.monotonic_ns),
        node,
        Mark::Role,
        "becomes MASTER",
    );
    let claimed = first("address-claimed").map(|event| event.monotonic_ns);
    collector.add(
        claimed,
        node,
        Mark::Claimed,
        "claims the gateway address, gratuitous ARP",
    );
    let sent = first("update-sent").map(|event| event.monotonic_ns);
    collector.add(sent, node, Mark::UpdateSent, "first UPDATE sent");
    let arrived = bed.tap.first(uplink(node), Seen::Update, since);
    collector.add(
        arrived,
        "router",
        Mark::UpdateArrives,
        format!("first UPDATE of {node} arrives"),
    );
}

fn traffic(bed: &Bed, via: &str, since: u64, collector: &mut Collector<'_>) {
    let switched = bed.routes.switched(PROBE_VIP, uplink(via), since);
    collector.add(
        switched,
        "router",
        Mark::FibSwitched,
        format!("FIB switched to {via}"),
    );
    let gap = collector.phase.gap;
    collector.add(
        gap.and_then(|gap| gap.next_answered_ns),
        "probe",
        Mark::FirstAnswer,
        "first probe answered",
    );
    let last = gap.and_then(|_| collector.phase.interrupted().map(|stall| stall.end_ns).max());
    collector.add(last, "flows", Mark::LastFlow, "last flow goes on");
}

fn text<'a>(event: &'a Event, field: &str) -> &'a str {
    event
        .fields
        .get(field)
        .and_then(|value| value.as_str())
        .unwrap_or_default()
}

/// The BFD session with a node going down, by any of its addresses.
fn down<'a>(events: &'a [Event], node: &str, since: u64) -> Option<&'a Event> {
    let addresses = [uplink(node), lan(node)].map(|address| address.to_string());
    events.iter().find(|event| {
        event.monotonic_ns >= since
            && event.kind == "bfd-state"
            && text(event, "to") == "down"
            && addresses.iter().any(|address| text(event, "remote") == address)
    })
}

fn last_packet(events: &[Event], node: &str, since: u64) -> Option<u64> {
    down(events, node, since)?.fields.get("last_packet_ns")?.as_u64()
}

/// Address of a balancer on its link to the other.
fn lan(balancer: &str) -> IpAddr {
    IpAddr::from([10, 0, 2, if balancer == "lb1" { 11 } else { 12 }])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_loss_of_the_peer_is_found_among_other_sessions() {
        let event = |at: u64, remote: &str, to: &str| Event {
            monotonic_ns: at,
            kind: "bfd-state".into(),
            fields: BTreeMap::from([
                ("remote".to_owned(), json!(remote)),
                ("to".to_owned(), json!(to)),
                ("last_packet_ns".to_owned(), json!(at - 5)),
            ]),
        };
        let events = [
            event(50, "10.0.2.11", "down"),
            event(150, "10.0.12.1", "down"),
            event(160, "10.0.2.11", "up"),
            event(170, "10.0.2.11", "down"),
        ];
        assert_eq!(
            down(&events, "lb1", 100).map(|event| event.monotonic_ns),
            Some(170)
        );
        assert_eq!(last_packet(&events, "lb1", 100), Some(165));
        assert_eq!(last_packet(&events, "lb2", 100), None);
    }
}

//! What happened and when: a bounded ring of events on CLOCK_MONOTONIC.
//!
//! Written by every driver, also on the failover path, so recording never blocks (see `handoff`); read by the
//! API. Moments are nanoseconds of CLOCK_MONOTONIC, which all network namespaces of one kernel share, so that
//! the timelines of several nodes of a lab can be laid side by side. Never wall-clock time.
//!
//! The newest [`CAPACITY`] events are kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Event, Value};
use nix::time::{ClockId, clock_gettime};

use crate::handoff::{Fold, Handoff};

/// Events kept.
pub const CAPACITY: usize = 8192;
/// Events recorded between two reads before the writer makes room itself.
const QUEUED: usize = 1024;

#[derive(Default)]
struct Ring(VecDeque<Event>);

impl Fold for Ring {
    type Item = Event;

    fn absorb(&mut self, event: Event) {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }
}

/// A handle; clones share the ring.
#[derive(Clone)]
pub struct Timeline(Arc<Handoff<Ring>>);

impl Default for Timeline {
    fn default() -> Self {
        Timeline(Arc::new(Handoff::new(Ring::default(), QUEUED)))
    }
}

impl Timeline {
    pub fn new() -> Self {
        Self::default()
    }

    /// Records something that happens now and returns the moment.
    pub fn record<'a>(&self, kind: &str, fields: impl IntoIterator<Item = (&'a str, Value)>) -> u64 {
        let now = monotonic_ns();
        self.record_at(now, kind, fields);
        now
    }

    /// Records something that happened at a known moment, for example a packet with a kernel timestamp.
    pub fn record_at<'a>(
        &self,
        monotonic_ns: u64,
        kind: &str,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.0.offer(Event {
            monotonic_ns,
            kind: kind.to_owned(),
            fields,
        });
    }

    /// Events of the last `age` (all without one), by moment.
    pub fn events(&self, age: Option<Duration>) -> Vec<Event> {
        let oldest = age.map_or(0, |age| {
            monotonic_ns().saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
        });
        let mut events: Vec<Event> = self.0.read(|ring| {
            ring.0
                .iter()
                .filter(|event| event.monotonic_ns >= oldest)
                .cloned()
                .collect()
        });
        events.sort_by_key(|event| event.monotonic_ns);
        events
    }

    /// Events that found no room.
    pub fn lost(&self) -> u64 {
        self.0.lost()
    }
}

/// CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    // The clock cannot fail on Linux; 0 keeps a nonsense moment from ending the daemon.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|time| Duration::from(time).as_nanos())
        .ok()
        .and_then(|ns| u64::try_from(ns).ok())
        .unwrap_or(0)
}

/// The moment of `instant`, past or future, on the scale of the timeline.
pub fn moment_of(instant: Instant) -> u64 {
    let (reference, now) = (Instant::now(), monotonic_ns());
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    match instant.checked_duration_since(reference) {
        Some(ahead) => now.saturating_add(ns(ahead)),
        None => now.saturating_sub(ns(reference.duration_since(instant))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_ordered_by_moment_and_not_by_arrival() {
        let timeline = Timeline::new();
        let now = timeline.record("second", [("peer", "192.0.2.1".into())]);
        timeline.record_at(now - 1_000, "first", []);
        let events = timeline.events(None);
        assert_eq!(
            events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
            ["first", "second"]
        );
        assert_eq!(events[1].fields["peer"], "192.0.2.1");
    }

    #[test]
    fn the_newest_events_are_kept() {
        let timeline = Timeline::new();
        for number in 0..CAPACITY as u64 + 10 {
            timeline.record_at(number, "tick", []);
        }
        let events = timeline.events(None);
        assert_eq!(events.len(), CAPACITY);
        assert_eq!(events[0].monotonic_ns, 10);
        assert_eq!(timeline.lost(), 0);
    }

    #[test]
    fn old_events_are_left_out_on_demand() {
        let timeline = Timeline::new();
        timeline.record_at(monotonic_ns().saturating_sub(3_600_000_000_000), "old", []);
        timeline.record("new", []);
        let events = timeline.events(Some(Duration::from_secs(60)));
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].kind, "new");
    }

    #[test]
    fn instants_and_moments_are_one_scale() {
        let before = monotonic_ns();
        let moment = moment_of(Instant::now());
        let after = monotonic_ns();
        // Reading the two clocks one after the other may cost a little; a second would be another scale.
        assert!(moment + 1_000_000_000 > before && moment < after + 1_000_000_000);
        assert!(moment_of(Instant::now() + Duration::from_secs(3600)) > after);
    }
}

//! Hysteresis: a session that failed has to stay Up for a while before it counts again (RFC 5882 section 3.2).
//!
//! Nothing here delays a failure, and nothing delays the first Up of a session or its return after a planned end.

use std::time::{Duration, Instant};

use crate::HoldDown;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hold {
    /// What the last failure costs; doubles with the next.
    penalty: Duration,
    /// How long the next Up is held back.
    pending: Duration,
    until: Option<Instant>,
    usable_since: Option<Instant>,
}

impl Hold {
    /// The session is Up. True if it counts at once.
    pub(crate) fn up(&mut self, now: Instant) -> bool {
        let held = !self.pending.is_zero();
        self.until = held.then(|| now + self.pending);
        self.usable_since = (!held).then_some(now);
        !held
    }

    /// The session is no longer Up. A planned end is no failure.
    pub(crate) fn down(&mut self, now: Instant, planned: bool, config: HoldDown) {
        let held = self.until.is_some();
        let stable = self
            .usable_since
            .is_some_and(|since| now >= since + config.longest);
        (self.until, self.usable_since) = (None, None);
        if config.first.is_zero() {
            self.penalty = Duration::ZERO;
        }
        if planned || config.first.is_zero() {
            // What has been held back has not earned its trust by a planned end.
            if !held || config.first.is_zero() {
                self.pending = Duration::ZERO;
            }
            return;
        }
        let doubled = if stable {
            Duration::ZERO
        } else {
            self.penalty.saturating_mul(2)
        };
        self.penalty = doubled.max(config.first).min(config.longest);
        self.pending = self.penalty;
    }

    /// True once, when the hold ends.
    pub(crate) fn ends(&mut self, now: Instant) -> bool {
        let ends = self.until.is_some_and(|until| until <= now);
        if ends {
            self.until = None;
            self.usable_since = Some(now);
        }
        ends
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(crate) fn usable(&self) -> bool {
        self.usable_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: HoldDown = HoldDown {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(8),
    };

    #[allow(
        clippy::disallowed_methods,
        reason = "an Instant can only be had from the clock"
    )]
    fn test_clock() -> Instant {
        Instant::now()
    }

    /// How long it is held when it comes Up at `now`, in seconds.
    fn held(hold: &mut Hold, now: Instant) -> u64 {
        match hold.up(now) {
            true => 0,
            false => (hold.until().unwrap() - now).as_secs(),
        }
    }

    #[test]
    fn the_first_up_counts_at_once_and_failures_double_up_to_the_bound() {
        let now = test_clock();
        let mut hold = Hold::default();
        assert_eq!(held(&mut hold, now), 0);
        for expected in [1, 2, 4, 8, 8] {
            hold.down(now, false, CONFIG);
            assert!(!hold.usable());
            assert_eq!(held(&mut hold, now), expected);
            assert!(!hold.usable() && !hold.ends(now));
        }
        let end = hold.until().unwrap();
        assert!(hold.ends(end) && hold.usable() && !hold.ends(end));
    }

    #[test]
    fn a_stable_session_is_forgiven() {
        let now = test_clock();
        let mut hold = Hold::default();
        hold.up(now);
        hold.down(now, false, CONFIG);
        hold.up(now);
        hold.down(now, false, CONFIG);
        assert_eq!(held(&mut hold, now), 2);
        let end = hold.until().unwrap();
        assert!(hold.ends(end));
        hold.down(end + CONFIG.longest - Duration::from_nanos(1), false, CONFIG);
        assert_eq!(held(&mut hold, now), 4, "not quite");
        let end = hold.until().unwrap();
        assert!(hold.ends(end));
        hold.down(end + CONFIG.longest, false, CONFIG);
        assert_eq!(held(&mut hold, now), 1);
    }

    #[test]
    fn a_planned_end_costs_nothing() {
        let now = test_clock();
        let mut hold = Hold::default();
        hold.up(now);
        hold.down(now, true, CONFIG);
        assert_eq!(held(&mut hold, now), 0);
        hold.down(now, false, CONFIG);
        assert_eq!(held(&mut hold, now), 1);
        hold.down(now, true, CONFIG);
        assert_eq!(held(&mut hold, now), 1, "but it does not cut a hold-down short");
    }

    #[test]
    fn without_a_first_it_always_counts_at_once() {
        let now = test_clock();
        let mut hold = Hold::default();
        for _ in 0..5 {
            assert_eq!(held(&mut hold, now), 0);
            hold.down(now, false, HoldDown::default());
        }
        hold.down(now, false, CONFIG);
        hold.down(
            now,
            false,
            HoldDown {
                first: Duration::ZERO,
                ..CONFIG
            },
        );
        assert_eq!(held(&mut hold, now), 0, "switched off in the middle of a storm");
        hold.down(now, false, CONFIG);
        assert_eq!(held(&mut hold, now), 1, "and on again: it begins anew");
    }
}

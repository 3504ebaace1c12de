//! The Poll Sequence (RFC 5880 section 6.5) and the bound on answers to the peer's Polls.

use std::time::{Duration, Instant};

/// Where our own Poll Sequence stands. A Final carries nothing that tells which Poll it answers, so two
/// sequences are kept apart by one packet without Poll between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Poll {
    #[default]
    Idle,
    /// Packets carry Poll until a Final arrives.
    Active,
    /// As `Active`, but the parameters changed again meanwhile: a second sequence must follow.
    ActiveThenAgain,
    /// The first sequence ended, the next packet goes without Poll, then the second one starts.
    Resting,
}

impl Poll {
    pub(crate) fn start(&mut self) {
        *self = match *self {
            Self::Idle => Self::Active,
            Self::Active | Self::ActiveThenAgain => Self::ActiveThenAgain,
            Self::Resting => Self::Resting,
        };
    }

    /// A Final arrived. True if the peer now knows every parameter.
    pub(crate) fn finish(&mut self) -> bool {
        match *self {
            Self::Active => {
                *self = Self::Idle;
                true
            }
            Self::ActiveThenAgain => {
                *self = Self::Resting;
                false
            }
            Self::Idle | Self::Resting => false,
        }
    }

    /// A packet that could carry Poll was sent.
    pub(crate) fn sent(&mut self) {
        if *self == Self::Resting {
            *self = Self::Active;
        }
    }

    pub(crate) fn bit(self) -> bool {
        matches!(self, Self::Active | Self::ActiveThenAgain)
    }

    pub(crate) fn in_progress(self) -> bool {
        self != Self::Idle
    }
}

/// Bounds the packets that the peer provokes (answers to Polls, news of a change of state), so that it
/// cannot make us send as fast as it likes.
///
/// RFC 5880 section 6.8.7 allows a limit as long as the advertised Desired Min TX Interval is not below the
/// interval that the limit imposes: it refills twice as fast as the configured intervals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerBudget {
    left: u32,
    refilled: Instant,
}

impl AnswerBudget {
    const BURST: u32 = 8;

    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: Self::BURST,
            refilled: now,
        }
    }

    pub(crate) fn take(&mut self, now: Instant, interval: Duration) -> bool {
        let refill = (interval / 2).max(Duration::from_micros(100));
        let earned = now.saturating_duration_since(self.refilled).as_nanos() / refill.as_nanos();
        if earned > 0 {
            self.left = self
                .left
                .saturating_add(u32::try_from(earned).unwrap_or(u32::MAX))
                .min(Self::BURST);
            self.refilled = now;
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_during_a_sequence_causes_a_second_one() {
        let mut poll = Poll::default();
        poll.start();
        poll.start();
        assert!(poll.bit());
        assert!(!poll.finish(), "the second change is not confirmed yet");
        assert!(!poll.bit(), "one packet without Poll separates the sequences");
        assert!(!poll.finish(), "a duplicate of the first Final confirms nothing");
        poll.sent();
        assert!(poll.bit());
        assert!(poll.finish());
        assert!(!poll.in_progress());
    }

    #[test]
    fn answers_are_bounded_and_come_back() {
        let start = test_clock();
        let interval = Duration::from_millis(10);
        let mut budget = AnswerBudget::new(start);
        let granted = (0..1000).filter(|_| budget.take(start, interval)).count();
        assert_eq!(granted, 8);
        let flood =
            (0..10_000u64).filter(|us| budget.take(start + Duration::from_micros(us * 100), interval));
        assert!(
            (190..=201).contains(&flood.count()),
            "one second at one answer each 5 ms"
        );
        assert!(budget.take(start + Duration::from_secs(5), interval));
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "an Instant can only be had from the clock"
    )]
    fn test_clock() -> Instant {
        Instant::now()
    }
}

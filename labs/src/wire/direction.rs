//! One direction of a link: the fate of every frame. Pure: time comes in as an argument.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Counters;
use super::impairment::{Impairment, REORDER_GAP_NS, Randomness};

/// Frames under way at most; what exceeds it is an overrun.
const CAPACITY: usize = 65_536;

pub(super) struct DirectionState {
    impairment: Impairment,
    /// Swallows until this time.
    blackhole_until: u64,
    randomness: Randomness,
    pub(super) counters: Counters,
    queue: BinaryHeap<Reverse<Delayed>>,
    sequence: u64,
    last_release: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Delayed {
    release: u64,
    /// Keeps frames of one release time in order.
    sequence: u64,
    frame: Vec<u8>,
}

/// What becomes of a frame that has just come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Send it as it is, now.
    Pass,
    /// Lost, or kept in the queue.
    Consumed,
}

impl DirectionState {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            impairment: Impairment::default(),
            blackhole_until: 0,
            randomness: Randomness::new(seed),
            counters: Counters::default(),
            queue: BinaryHeap::new(),
            sequence: 0,
            last_release: 0,
        }
    }

    pub(super) fn impair(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// A cut loses what is under way, too.
    pub(super) fn blackhole(&mut self, until: u64) {
        self.blackhole_until = until;
        if until > 0 {
            self.counters.swallowed += self.queue.len() as u64;
            self.queue.clear();
        }
    }

    pub(super) fn admit(&mut self, now: u64, frame: &[u8]) -> Fate {
        self.counters.received += 1;
        if now < self.blackhole_until {
            self.counters.swallowed += 1;
            return Fate::Consumed;
        }
        let plain = self.impairment == Impairment::default();
        if plain && self.queue.is_empty() {
            self.counters.sent += 1;
            return Fate::Pass;
        }
        // All draws for every frame: what one setting does to a frame does not depend on the others.
        let [lost, duplicated, corrupted, reordered, jitter] = [(); 5].map(|()| self.randomness.share());
        let place = self.randomness.next();
        if lost < self.impairment.loss {
            self.counters.lost += 1;
            return Fate::Consumed;
        }
        let mut frame = frame.to_vec();
        if corrupted < self.impairment.corrupt && !frame.is_empty() {
            self.counters.corrupted += 1;
            let bit = usize::try_from(place % (frame.len() as u64 * 8)).unwrap_or(0);
            if let Some(byte) = frame.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a minute at most"
        )]
        let jitter = (jitter * (self.impairment.jitter_us * 1000) as f64) as u64;
        let mut release = now + self.impairment.delay_us * 1000 + jitter;
        if reordered < self.impairment.reorder {
            self.counters.reordered += 1;
            release += REORDER_GAP_NS;
        } else {
            release = release.max(self.last_release);
            self.last_release = release;
        }
        if duplicated < self.impairment.duplicate {
            self.counters.duplicated += 1;
            self.enqueue(release, frame.clone());
        }
        self.enqueue(release, frame);
        Fate::Consumed
    }

    fn enqueue(&mut self, release: u64, frame: Vec<u8>) {
        if self.queue.len() >= CAPACITY {
            self.counters.overrun += 1;
            return;
        }
        self.sequence += 1;
        self.queue.push(Reverse(Delayed {
            release,
            sequence: self.sequence,
            frame,
        }));
    }

    /// The next frame whose time has come.
    pub(super) fn due(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.queue.peek()?.0.release > now {
            return None;
        }
        self.counters.sent += 1;
        self.queue.pop().map(|Reverse(delayed)| delayed.frame)
    }

    pub(super) fn next_release(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(delayed)| delayed.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(direction: &mut DirectionState, now: u64) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| direction.due(now)).collect()
    }

    #[test]
    fn a_plain_direction_passes() {
        let mut direction = DirectionState::new(1);
        assert_eq!(direction.admit(5, b"frame"), Fate::Pass);
        assert_eq!(direction.next_release(), None);
    }

    #[test]
    fn loss_is_as_asked_and_repeatable() {
        let run = |seed| {
            let mut direction = DirectionState::new(seed);
            direction.impair(Impairment {
                loss: 0.1,
                ..Impairment::default()
            });
            (0..100_000_u64)
                .filter(|&i| direction.admit(i, b"x") == Fate::Consumed && direction.due(i).is_none())
                .count()
        };
        let lost = run(7);
        assert!((9_500..10_500).contains(&lost), "{lost}");
        assert_eq!(lost, run(7));
        assert_ne!(lost, run(8));
    }

    #[test]
    fn delay_keeps_the_order_and_jitter_too() {
        let mut direction = DirectionState::new(3);
        direction.impair(Impairment {
            delay_us: 10,
            jitter_us: 50,
            ..Impairment::default()
        });
        for i in 0..200_u8 {
            direction.admit(u64::from(i) * 1000, &[i]);
        }
        assert_eq!(
            direction.next_release().filter(|&at| at >= 10_000),
            direction.next_release()
        );
        let frames = drain(&mut direction, u64::MAX);
        assert_eq!(frames, (0..200_u8).map(|i| vec![i]).collect::<Vec<_>>());
    }

    #[test]
    fn reordered_frames_are_overtaken_and_none_is_missing() {
        let mut direction = DirectionState::new(3);
        direction.impair(Impairment {
            reorder: 0.2,
            ..Impairment::default()
        });
        for i in 0..100_u8 {
            direction.admit(u64::from(i), &[i]);
        }
        let mut frames = drain(&mut direction, u64::MAX);
        assert!(!frames.is_sorted());
        frames.sort();
        assert_eq!(frames, (0..100_u8).map(|i| vec![i]).collect::<Vec<_>>());
    }

    #[test]
    fn corruption_turns_one_bit_and_duplication_repeats() {
        let mut direction = DirectionState::new(3);
        direction.impair(Impairment {
            corrupt: 1.0,
            duplicate: 1.0,
            ..Impairment::default()
        });
        direction.admit(0, &[0; 60]);
        let frames = drain(&mut direction, 0);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0], frames[1]);
        assert_eq!(frames[0].iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    }

    #[test]
    fn a_blackhole_swallows_what_comes_and_what_is_under_way() {
        let mut direction = DirectionState::new(3);
        direction.impair(Impairment {
            delay_us: 10,
            ..Impairment::default()
        });
        direction.admit(0, b"under way");
        direction.blackhole(1000);
        direction.admit(999, b"swallowed");
        direction.admit(1000, b"through");
        assert_eq!(drain(&mut direction, u64::MAX), [b"through".to_vec()]);
        assert_eq!(direction.counters.swallowed, 2);
    }
}

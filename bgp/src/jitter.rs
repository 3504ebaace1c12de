//! Seeded jitter of timers (RFC 4271 section 10): neighbours started together must not stay in step.
use std::time::Duration;

/// SplitMix64: enough for jitter, one word of state, the same on every platform.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Between 0.75 and 1.0 of `base`.
    pub(crate) fn apply(&mut self, base: Duration) -> Duration {
        let step = u32::try_from(self.next() % 1024).unwrap_or(0);
        base.saturating_mul(3072 + step) / 4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_between_three_quarters_and_the_whole_and_repeats_by_seed() {
        let base = Duration::from_secs(4);
        let draw = |seed| {
            let mut jitter = Jitter::new(seed);
            (0..1000).map(|_| jitter.apply(base)).collect::<Vec<_>>()
        };
        let values = draw(7);
        assert!(
            values
                .iter()
                .all(|value| (Duration::from_secs(3)..base).contains(value))
        );
        assert!(values.iter().max() > values.iter().min());
        assert_eq!(values, draw(7));
        assert_ne!(values, draw(8));
    }
}

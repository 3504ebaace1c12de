//! A small seeded generator (SplitMix64) for jitter and discriminators: reproducible, not secret.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    /// RFC 5880 section 6.8.7: 75 to 100 % of the interval, at a multiplier of 1 at most 90 %.
    pub(crate) fn jittered(&mut self, interval: Duration, detect_multiplier: u8) -> Duration {
        let span = if detect_multiplier == 1 { 15 } else { 25 };
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX / 100);
        let slack = u128::from(nanos) * span / 100;
        let added = (slack * u128::from(self.next_u32())) >> 32;
        Duration::from_nanos((u128::from(nanos) * 75 / 100 + added) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_range_and_uses_it() {
        for (multiplier, most) in [(1, 0.9), (2, 1.0), (3, 1.0), (255, 1.0)] {
            let mut random = Random::new(7);
            let interval = Duration::from_millis(10);
            let drawn: Vec<f64> = (0..2000)
                .map(|_| random.jittered(interval, multiplier).as_secs_f64() / interval.as_secs_f64())
                .collect();
            let least_drawn = drawn.iter().copied().fold(f64::MAX, f64::min);
            let most_drawn = drawn.iter().copied().fold(0.0, f64::max);
            assert!(
                (0.75..0.755).contains(&least_drawn),
                "{multiplier}: {least_drawn}"
            );
            assert!(
                most_drawn <= most && most_drawn > most - 0.005,
                "{multiplier}: {most_drawn}"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [random.next_u32(), random.next_u32(), random.next_u32()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}

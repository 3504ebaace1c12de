//! How late something came, as a histogram that never allocates.

use std::time::Duration;

const BUCKETS: usize = 12;

/// Counts by upper bound, with sum and maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    counts: [u64; BUCKETS],
    /// Beyond the last bound.
    beyond: u64,
    sum: Duration,
    max: Duration,
}

impl Delays {
    /// Upper bounds of the buckets; inclusive.
    pub const BOUNDS: [Duration; BUCKETS] = [
        Duration::from_micros(50),
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(500),
    ];

    pub fn count(&mut self, delay: Duration) {
        let bucket = Self::BOUNDS.iter().position(|bound| delay <= *bound);
        let counter = bucket
            .and_then(|bucket| self.counts.get_mut(bucket))
            .unwrap_or(&mut self.beyond);
        *counter = counter.saturating_add(1);
        self.sum = self.sum.saturating_add(delay);
        self.max = self.max.max(delay);
    }

    /// Each bound with how many were at most so late.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        Self::BOUNDS.into_iter().zip(counts)
    }

    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(self.beyond, |sum, count| sum.saturating_add(*count))
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    pub fn max(&self) -> Duration {
        self.max
    }

    pub fn mean(&self) -> Duration {
        let nanos = self.sum.as_nanos() / u128::from(self.total().max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// An upper bound of the quantile, `per_mille` of 1000: that of its bucket, and never above the maximum.
    pub fn quantile(&self, per_mille: u64) -> Duration {
        let rank = self.total().saturating_mul(per_mille).div_ceil(1000);
        let bucket = self.cumulative().find(|(_, count)| *count >= rank);
        bucket.map_or(self.max, |(bound, _)| bound.min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_fall_into_their_buckets() {
        let mut delays = Delays::default();
        assert_eq!(
            (delays.quantile(990), delays.mean()),
            (Duration::ZERO, Duration::ZERO)
        );
        for micros in [0, 50, 51, 2_500, 600_000] {
            delays.count(Duration::from_micros(micros));
        }
        let cumulative: Vec<u64> = delays.cumulative().map(|(_, count)| count).collect();
        assert_eq!(cumulative, [2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]);
        assert_eq!(delays.total(), 5);
        assert_eq!(delays.max(), Duration::from_millis(600));
        assert_eq!(delays.quantile(500), Duration::from_micros(100));
        assert_eq!(delays.quantile(800), Duration::from_micros(2_500));
        assert_eq!(
            delays.quantile(990),
            Duration::from_millis(600),
            "beyond the last bound"
        );
    }

    #[test]
    fn no_quantile_is_above_the_maximum() {
        let mut delays = Delays::default();
        delays.count(Duration::from_micros(60));
        assert_eq!(delays.quantile(500), Duration::from_micros(60));
    }
}

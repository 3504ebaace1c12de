//! How long changes were unprotected: a histogram with buckets of an eighth of a power of two.

use std::time::Duration;

/// Buckets for each power of two.
const PARTS: u64 = 8;
const BUCKETS: usize = 64 * 8;

#[derive(Clone, Debug)]
pub(super) struct Lag {
    counts: Vec<u64>,
    total: u64,
    pub(super) newest: Duration,
    pub(super) longest: Duration,
}

impl Default for Lag {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            newest: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }
}

impl Lag {
    pub(super) fn record(&mut self, lag: Duration, changes: u32) {
        let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
            *count += u64::from(changes);
            self.total += u64::from(changes);
        }
        self.newest = lag;
        self.longest = self.longest.max(lag);
    }

    /// The smallest lag that at least `per_mille` of a thousand changes did not exceed, at most an eighth too long.
    pub(super) fn quantile(&self, per_mille: u64) -> Duration {
        let rank = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper(index)).min(self.longest);
            }
        }
        self.longest
    }
}

fn bucket(micros: u64) -> usize {
    let index = if micros < PARTS {
        micros
    } else {
        let power = u64::from(micros.ilog2());
        // Three bits below the leading one.
        (power - 2) * PARTS + ((micros >> (power - 3)) & (PARTS - 1))
    };
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The largest value that falls into the bucket.
fn upper(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    if index < PARTS {
        return index;
    }
    let (power, part) = (index / PARTS + 2, index % PARTS);
    let next = u128::from(PARTS + part + 1) << (power - 3);
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket() {
        for micros in (0..5000).chain([1 << 20, (1 << 33) + 12345, u64::MAX]) {
            let index = bucket(micros);
            assert!(upper(index) >= micros, "{micros}");
            assert!(index == 0 || upper(index - 1) < micros, "{micros}");
        }
    }

    #[test]
    fn quantiles() {
        let mut lag = Lag::default();
        assert_eq!(lag.quantile(990), Duration::ZERO);
        lag.record(Duration::from_micros(100), 990);
        lag.record(Duration::from_millis(30), 10);
        assert!(lag.quantile(500) >= Duration::from_micros(100));
        assert!(lag.quantile(990) <= Duration::from_micros(113));
        assert_eq!(lag.quantile(991), Duration::from_millis(30));
        assert_eq!(lag.longest, Duration::from_millis(30));
    }
}

//! How often something may happen.

use std::time::{Duration, Instant};

/// A bucket of tokens that refills with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// One token.
    each: Duration,
    /// A full bucket, as the time in which it refills.
    full: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl Budget {
    /// `burst` at once, `rate` a second in the long run.
    pub(super) fn new(now: Instant, rate: u32, burst: u32) -> Self {
        let each = Duration::from_secs(1) / rate.max(1);
        Budget {
            each,
            full: each * burst,
            full_at: now,
        }
    }

    /// Takes a token. `Err`: there is none for so long.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let next = self.full_at.max(now) + self.each;
        match next.saturating_duration_since(now).checked_sub(self.full) {
            Some(late) if !late.is_zero() => Err(late),
            _ => {
                self.full_at = next;
                Ok(())
            }
        }
    }

    /// Nothing was taken lately.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(start, 10, 3);
        for _ in 0..3 {
            assert_eq!(budget.take(start), Ok(()));
        }
        assert_eq!(budget.take(start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_millis(100);
        assert_eq!(budget.take(later), Ok(()));
        assert!(budget.take(later).is_err());
        assert!(!budget.is_full(later));
        assert!(budget.is_full(later + Duration::from_secs(1)));
    }
}

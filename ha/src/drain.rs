//! A drain in progress: how long it is waited for, and how it ended.

use std::time::Instant;

use crate::config::Timing;

#[derive(Debug)]
pub(crate) struct Drain {
    limit: Instant,
    alone: Instant,
    /// What was last said about its end: whether everything was taken over.
    outcome: Option<bool>,
}

impl Drain {
    pub(crate) fn new(now: Instant, timing: &Timing) -> Self {
        Self {
            limit: now + timing.drain_limit,
            alone: now + timing.drain_alone,
            outcome: None,
        }
    }

    /// A drain that goes on is not prolonged; one that has ended, well or not, is judged anew: its heir may be gone.
    pub(crate) fn ask_again(&mut self, now: Instant, timing: &Timing) {
        if self.outcome.is_some() {
            *self = Self::new(now, timing);
        }
    }

    /// When [`Self::watch`] may have something to say; without an heir the next hello is waited for.
    pub(crate) fn deadline(&self, next_hello: Instant) -> Option<Instant> {
        let running = self.outcome.is_none();
        running.then(|| self.limit.min(self.alone.max(next_hello)))
    }

    /// What is to be said now. A drain that nobody answered in time may still be answered later.
    pub(crate) fn watch(&mut self, now: Instant, complete: bool, heir: bool) -> Option<bool> {
        let ended = complete || now >= self.limit || (!heir && now >= self.alone);
        let news = match self.outcome {
            None => ended,
            Some(earlier) => complete && !earlier,
        };
        news.then(|| *self.outcome.insert(complete))
    }
}

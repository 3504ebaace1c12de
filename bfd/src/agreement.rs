//! What our packets say and what is in force (RFC 5880 section 6.8.3).
//!
//! The two differ while a Poll Sequence has not told the peer yet: a slower transmission, a shorter detection time and
//! the end of demand mode must wait for its Final.

use std::time::Duration;

/// Values that both sides have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) desired_min_tx: Duration,
    pub(crate) required_min_rx: Duration,
    /// The D bit: the peer is to be silent.
    pub(crate) demand: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreement {
    /// What our packets carry.
    pub(crate) advertised: Terms,
    /// What timers are set by.
    pub(crate) effective: Terms,
}

impl Agreement {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            advertised: terms,
            effective: terms,
        }
    }

    /// Advertises other terms from now on. True if the peer has to be told by a Poll Sequence.
    pub(crate) fn advertise(&mut self, terms: Terms) -> bool {
        let changed = self.advertised != terms;
        self.advertised = terms;
        changed
    }

    /// What may be in force already although the peer may not know.
    pub(crate) fn anticipate(&mut self) {
        let (old, new) = (self.effective, self.advertised);
        self.effective = Terms {
            desired_min_tx: old.desired_min_tx.min(new.desired_min_tx),
            required_min_rx: old.required_min_rx.max(new.required_min_rx),
            demand: old.demand || new.demand,
        };
    }

    /// The peer knows.
    pub(crate) fn settle(&mut self) {
        self.effective = self.advertised;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_the_peer_nothing_holds_at_once_and_the_rest_waits() {
        let terms = |tx, rx, demand| Terms {
            desired_min_tx: Duration::from_millis(tx),
            required_min_rx: Duration::from_millis(rx),
            demand,
        };
        let mut agreement = Agreement::new(terms(10, 10, false));
        assert!(!agreement.advertise(terms(10, 10, false)));
        assert!(agreement.advertise(terms(100, 100, true)));
        agreement.anticipate();
        assert_eq!(agreement.effective, terms(10, 100, true));
        agreement.settle();
        assert_eq!(agreement.effective, terms(100, 100, true));
        assert!(agreement.advertise(terms(10, 10, false)));
        agreement.anticipate();
        assert_eq!(agreement.effective, terms(10, 100, true));
        agreement.settle();
        assert_eq!(agreement.effective, terms(10, 10, false));
    }
}

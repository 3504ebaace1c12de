//! Connecting, and the timer that brings a neighbour back from whatever has ended.
//!
//! A refused or unanswered connect costs nobody anything and is repeated at the configured pace. A neighbour that
//! answers and then ends the session, again and again, is asked less and less often (RFC 4271 section 8.1.1,
//! DampPeerOscillations), up to a bound. What it opens itself is accepted all the same: its own timers pace it.
use std::time::{Duration, Instant};

use crate::collision::Initiator;
use crate::connection::Connection;
use crate::io::Output;
use crate::peer::Peer;
use crate::session::State;
use crate::speaker::Shared;
use crate::status::BfdState;

/// A session that lived this long was a good one.
const STABLE: Duration = Duration::from_secs(60);
/// Doublings of the connect retry time at the most, and where they end.
const MAX_DOUBLINGS: u32 = 5;
const MAX_DELAY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Retry {
    /// Next attempt to connect; while held back by BFD, also the end of that.
    pub(super) at: Option<Instant>,
    /// Connections in a row that the neighbour answered and that came to nothing.
    failures: u32,
}

impl Retry {
    /// A connection that had been answered has ended; `established` is how long the session lived, if it did.
    pub(super) fn failed(&mut self, established: Option<Duration>) {
        self.failures = match established {
            Some(lived) if lived >= STABLE => 0,
            Some(_) | None => self.failures.saturating_add(1),
        };
    }

    pub(super) fn forgive(&mut self) {
        self.failures = 0;
    }

    fn delay(&self, base: Duration) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(MAX_DOUBLINGS);
        base.saturating_mul(1 << doublings).min(MAX_DELAY.max(base))
    }
}

impl Peer {
    fn may_connect(&self) -> bool {
        self.enabled && !self.is_held() && self.idle_hold.is_none() && !self.config.passive
    }

    /// By BFD: for a moment after it has failed, and while it has to prove itself.
    pub(super) fn is_held(&self) -> bool {
        self.held || self.bfd == BfdState::Held
    }

    fn busy(&self) -> bool {
        self.connections.iter().any(Connection::holds_back_connect)
    }

    pub(super) fn connect(&mut self, now: Instant, shared: &mut Shared) {
        if !self.may_connect() || self.busy() {
            return;
        }
        let connection = shared.allocate_connection();
        shared.owners.insert(connection, self.id);
        self.connections
            .push(Connection::new(connection, Initiator::Local, None));
        self.counters.connects += 1;
        // RFC 4271 section 8.2.2: in Connect the retry timer bounds the attempt.
        self.retry.at = Some(now + shared.jitter.apply(self.config.connect_retry));
        let remote = self.config.remote();
        let transport = self.config.transport.clone();
        shared.outputs.push_back(Output::Connect {
            peer: self.id,
            connection,
            transport,
            remote,
        });
    }

    /// The way back from whatever has ended.
    pub(super) fn ensure_retry(&mut self, now: Instant, shared: &mut Shared) {
        let needed =
            self.enabled && self.idle_hold.is_none() && (self.held || self.may_connect() && !self.busy());
        if needed && self.retry.at.is_none() {
            let delay = if self.held {
                self.config.connect_retry
            } else {
                self.retry.delay(self.config.connect_retry)
            };
            self.retry.at = Some(now + shared.jitter.apply(delay));
        }
    }

    /// Gives up the attempt under way, if any, and makes another.
    pub(super) fn retry_now(&mut self, now: Instant, shared: &mut Shared) {
        self.abandon_connect(shared);
        self.connect(now, shared);
    }

    pub(super) fn abandon_connect(&mut self, shared: &mut Shared) {
        self.retry.at = None;
        let pending = self
            .connections
            .iter()
            .find(|connection| connection.state == State::Connect);
        if let Some(pending) = pending
            .map(|connection| connection.id)
            .and_then(|id| self.take(id))
        {
            shared.close(pending.id);
        }
    }

    pub(super) fn retry_due(&mut self, now: Instant, shared: &mut Shared) {
        if self.retry.at.is_none_or(|retry| retry > now) {
            return;
        }
        self.held = false;
        if self
            .connections
            .iter()
            .any(|connection| connection.state == State::Connect)
        {
            self.unexplained("connect timed out");
        }
        self.retry_now(now, shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn failures_double_the_delay_up_to_a_bound_and_a_stable_session_forgives() {
        let mut retry = Retry::default();
        let mut delays = vec![retry.delay(SECOND)];
        for _ in 0..8 {
            retry.failed(Some(STABLE - SECOND));
            delays.push(retry.delay(SECOND));
        }
        let seconds: Vec<u64> = delays.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 32, 32]);
        assert_eq!(retry.delay(10 * SECOND), MAX_DELAY);
        assert_eq!(
            retry.delay(120 * SECOND),
            120 * SECOND,
            "never sooner than configured"
        );
        retry.failed(Some(STABLE));
        assert_eq!(retry.delay(SECOND), SECOND);
        retry.failed(None);
        retry.failed(None);
        retry.forgive();
        assert_eq!(retry.delay(SECOND), SECOND);
    }
}

//! What BFD says of a neighbour, and what that means to its session (RFC 5882 section 10.2).
use std::time::Instant;

use crate::connection::Connection;
use crate::peer::Peer;
use crate::session::{self, Failure, State};
use crate::speaker::Shared;
use crate::status::BfdState;
use crate::wire::Cease;

impl Peer {
    /// RFC 9384: ends the session at once. A neighbour whose BFD was never up is not judged by it.
    ///
    /// Nobody has told us that the neighbour's BFD survives its control plane, so its forwarding counts as lost
    /// too, and nothing of it is kept (RFC 5882 section 4.3).
    pub(crate) fn bfd_down(&mut self, now: Instant, shared: &mut Shared) {
        let was_up = matches!(self.bfd, BfdState::Up | BfdState::Held);
        self.bfd = BfdState::Down;
        if was_up && self.enabled {
            self.held = true;
            self.retry.at = None;
            self.close_all(now, shared, &Failure::notify(Cease::BfdDown.into()));
            self.drop_stale(shared);
        }
    }

    /// BFD is up after a failure, and has to stay so for a while: a session that is not there yet waits for that. One that
    /// is there is ended by the next failure, as always.
    pub(crate) fn bfd_held(&mut self) {
        self.bfd = BfdState::Held;
    }

    pub(crate) fn bfd_up(&mut self, now: Instant, shared: &mut Shared) {
        self.bfd = BfdState::Up;
        self.release(now, shared);
    }

    /// Without BFD nothing holds the session back, and a later BFD session has not been up yet.
    pub(crate) fn bfd_forgotten(&mut self, now: Instant, shared: &mut Shared) {
        self.bfd = BfdState::Unknown;
        self.release(now, shared);
    }

    /// What has waited for BFD goes on.
    fn release(&mut self, now: Instant, shared: &mut Shared) {
        self.held = false;
        let waiting = |connection: &&Connection| matches!(connection.state, State::AwaitBfd { .. });
        while let Some(id) = self
            .connections
            .iter()
            .find(waiting)
            .map(|connection| connection.id)
        {
            let Some(connection) = self.take(id) else { break };
            self.advance(now, shared, connection, session::Event::BfdUp);
        }
        if self
            .connections
            .iter()
            .all(|connection| connection.state == State::Connect)
        {
            self.retry_now(now, shared);
        }
    }
}

//! How connections end: by collision, by failure, by decree; and what is said then.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::graceful::{is_one_of, last_word};
use super::limits::Warned;
use crate::collision::{self, Identity, Initiator, Phase, Verdict};
use crate::connection::Connection;
use crate::io::{ConnectionId, Event, Output};
use crate::peer::Peer;
use crate::session::{Failure, Negotiated, State};
use crate::speaker::Shared;
use crate::wire::{Cease, Message, Notification};

/// Connections that crossed have met by then.
const CROSSING: Duration = Duration::from_secs(10);

impl Peer {
    /// A connection that comes while the session is up. One that the two of us have just opened crosswise is
    /// another matter than one of a neighbour that has restarted.
    pub(super) fn may_be_restart(&self, now: Instant, negotiated: &Negotiated) -> bool {
        negotiated.restart.is_some() && now.saturating_duration_since(self.since) >= CROSSING
    }

    /// Collision detection when an OPEN has arrived on `new` (RFC 4271 section 6.8).
    pub(super) fn survives(&mut self, now: Instant, shared: &mut Shared, new: &Connection) -> bool {
        let Some(link) = new.state.link() else { return true };
        let local = Identity {
            identifier: shared.config.router_id,
            asn: shared.config.local_as,
        };
        let remote = Identity {
            identifier: link.negotiated.identifier,
            asn: link.negotiated.asn,
        };
        let restarting = link
            .negotiated
            .restart
            .as_ref()
            .is_some_and(|restart| restart.restarting);
        let others: Vec<(ConnectionId, Initiator, Phase)> = self
            .connections
            .iter()
            .map(|connection| (connection.id, connection.initiator, connection.phase()))
            .collect();
        for (id, initiator, phase) in others {
            if phase == Phase::Established && restarting {
                self.replace_session(now, shared, id);
                continue;
            }
            match collision::resolve(local, remote, (initiator, phase), new.initiator) {
                Verdict::KeepBoth => {}
                Verdict::CloseNew => return false,
                Verdict::CloseExisting => {
                    if let Some(existing) = self.take(id) {
                        self.close_collided(shared, &existing);
                    }
                }
            }
        }
        true
    }

    /// RFC 4724 section 4.2: the neighbour has restarted, its old connection is closed without a word.
    fn replace_session(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId) {
        if let Some(old) = self.take(id) {
            shared.close(id);
            let failure = Failure::local("the neighbour has restarted");
            self.ended(now, shared, &failure, old.agreed());
        }
    }

    pub(super) fn close_collided(&mut self, shared: &mut Shared, connection: &Connection) {
        self.counters.collisions += 1;
        self.say_goodbye(shared, connection.id, &Cease::Collision.into());
        self.event(
            shared,
            Event::Collision {
                closed: connection.id,
            },
        );
    }

    fn say_goodbye(&mut self, shared: &mut Shared, connection: ConnectionId, notification: &Notification) {
        self.counters.notifications_out += 1;
        self.send(shared, connection, &Message::Notification(notification.clone()));
        shared.close(connection);
    }

    /// RFC 9687 section 4: the neighbour does not read. It will not read this either, unless it wakes up.
    pub(super) fn send_hold_expired(&mut self, now: Instant, shared: &mut Shared, connection: &Connection) {
        self.event(shared, Event::SendHoldExpired);
        let failure = Failure::notify(Notification::SEND_HOLD_TIMER_EXPIRED);
        self.fail(now, shared, connection.id, &failure, true, connection.agreed());
    }

    pub(super) fn close_all(&mut self, now: Instant, shared: &mut Shared, failure: &Failure) {
        for connection in std::mem::take(&mut self.connections) {
            if connection.state == State::Connect {
                shared.close(connection.id);
            } else {
                self.fail(now, shared, connection.id, failure, true, connection.agreed());
            }
        }
    }

    /// `agreed`: what was, if the connection was established.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        id: ConnectionId,
        failure: &Failure,
        transport_up: bool,
        agreed: Option<Arc<Negotiated>>,
    ) {
        match &failure.notification {
            Some(notification) if transport_up => {
                let notification = last_word(notification, agreed.as_deref());
                self.say_goodbye(shared, id, &notification);
            }
            Some(_) | None => shared.close(id),
        }
        self.ended(now, shared, failure, agreed);
    }

    pub(super) fn ended(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        failure: &Failure,
        agreed: Option<Arc<Negotiated>>,
    ) {
        let lived = agreed
            .is_some()
            .then(|| now.saturating_duration_since(self.since));
        // Of two connections that crossed, one always ends; that says nothing about the neighbour.
        // Some add a text to it.
        let lost = |received: &Notification| is_one_of(received, &[Cease::Collision]);
        let collided = failure.received.as_ref().is_some_and(lost);
        if !collided {
            self.retry.failed(lived);
        }
        let explained = failure.notification.is_some() || failure.received.is_some();
        if agreed.is_some() || explained && !collided {
            self.last_error = Some(failure.reason.clone());
            self.explained = explained;
        } else {
            self.unexplained(&failure.reason);
        }
        let reason = failure.reason.clone();
        let Some(negotiated) = agreed else {
            self.event(shared, Event::ConnectionLost { reason });
            return;
        };
        self.counters.flaps += 1;
        self.rib.clear();
        self.refreshes_lost();
        self.warned = Warned::default();
        self.monitor_down(shared, failure);
        self.lost(now, shared, failure, &negotiated);
        shared.outputs.push_back(Output::PeerDown {
            peer: self.id,
            reason,
        });
    }

    /// Something has come to nothing without a session and without a word. What a NOTIFICATION said before is why.
    pub(super) fn unexplained(&mut self, reason: &str) {
        if !self.explained {
            self.last_error = Some(reason.to_owned());
        }
    }
}

//! How connections end: by collision, by failure, by decree; and what is said then.
use std::time::Instant;

use crate::collision::{self, Identity, Initiator, Phase, Verdict};
use crate::connection::Connection;
use crate::io::{ConnectionId, Event, Output};
use crate::peer::Peer;
use crate::session::Failure;
use crate::session::State;
use crate::speaker::Shared;
use crate::wire::{Cease, Message, Notification};

impl Peer {
    /// Collision detection when an OPEN has arrived on `new` (RFC 4271 section 6.8).
    pub(super) fn survives(&mut self, shared: &mut Shared, new: &Connection) -> bool {
        let Some(link) = new.state.link() else { return true };
        let local = Identity {
            identifier: shared.config.router_id,
            asn: shared.config.local_as,
        };
        let remote = Identity {
            identifier: link.negotiated.identifier,
            asn: link.negotiated.asn,
        };
        let others: Vec<(ConnectionId, Initiator, Phase)> = self
            .connections
            .iter()
            .map(|connection| (connection.id, connection.initiator, connection.phase()))
            .collect();
        for (id, initiator, phase) in others {
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
        self.send(
            shared,
            connection,
            &Message::Notification(notification.clone()),
            true,
        );
        shared.close(connection);
    }

    /// RFC 9687 section 4: the neighbour does not read. It will not read this either, unless it wakes up.
    pub(super) fn send_hold_expired(&mut self, now: Instant, shared: &mut Shared, connection: &Connection) {
        self.event(shared, Event::SendHoldExpired);
        let failure = Failure::notify(Notification::SEND_HOLD_TIMER_EXPIRED);
        self.fail(now, shared, connection, &failure, true, connection.phase());
    }

    pub(super) fn close_all(&mut self, now: Instant, shared: &mut Shared, failure: &Failure) {
        for connection in std::mem::take(&mut self.connections) {
            if connection.state == State::Connect {
                shared.close(connection.id);
            } else {
                self.fail(now, shared, &connection, failure, true, connection.phase());
            }
        }
    }

    pub(super) fn fail(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        connection: &Connection,
        failure: &Failure,
        transport_up: bool,
        phase: Phase,
    ) {
        match &failure.notification {
            Some(notification) if transport_up => self.say_goodbye(shared, connection.id, notification),
            Some(_) | None => shared.close(connection.id),
        }
        self.ended(now, shared, phase, &failure.reason);
    }

    pub(super) fn ended(&mut self, now: Instant, shared: &mut Shared, phase: Phase, reason: &str) {
        let established = (phase == Phase::Established).then(|| now.saturating_duration_since(self.since));
        self.retry.failed(established);
        self.last_error = Some(reason.to_owned());
        let reason = reason.to_owned();
        if phase == Phase::Established {
            self.counters.flaps += 1;
            self.rib.clear();
            self.forget_imported(shared);
            shared.outputs.push_back(Output::PeerDown {
                peer: self.id,
                reason,
            });
        } else {
            self.event(shared, Event::ConnectionLost { reason });
        }
    }
}

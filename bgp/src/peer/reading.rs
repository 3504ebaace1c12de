//! Bytes of a neighbour: cut into messages, counted, and what they say about routes taken over.
use std::time::Instant;

use crate::io::{ConnectionId, Event};
use crate::peer::Peer;
use crate::session;
use crate::speaker::Shared;
use crate::wire::{Decoded, Effect, Message};

impl Peer {
    pub(crate) fn received(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
            return;
        };
        self.counters.bytes_in += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        connection.framer.push(bytes);
        while let Some(mut connection) = self.take(id) {
            let event = match connection.next_message() {
                None => {
                    self.connections.push(connection);
                    return self.answer_refreshes(now, shared, id);
                }
                Some(Ok(message)) => {
                    self.count_in(&message);
                    if matches!(message, Message::Update(_)) {
                        self.monitor_received(shared, connection.framer.last());
                    }
                    session::Event::Message(message)
                }
                Some(Err(error)) => session::Event::Malformed(error),
            };
            self.advance(now, shared, connection, event);
        }
    }

    fn count_in(&mut self, message: &Message) {
        self.counters.messages_in += 1;
        match message {
            Message::Update(_) => self.counters.updates_in += 1,
            Message::Notification(_) => self.counters.notifications_in += 1,
            Message::RouteRefresh(_) => self.counters.refreshes_in += 1,
            Message::Open(_) | Message::Keepalive => {}
        }
    }

    pub(super) fn routes(&mut self, now: Instant, shared: &mut Shared, decoded: &Decoded) {
        if let Some(family) = decoded.end_of_rib() {
            self.end_of_rib(shared, family);
            return;
        }
        let limit = self.config.max_prefixes.limit;
        let updated = self.adj_rib_in.update(decoded, limit);
        self.imported(shared, &updated.changed);
        self.report_faults(shared, decoded);
        self.check_limits(now, shared, updated.beyond);
        self.check_memory(now, shared);
    }

    fn report_faults(&mut self, shared: &mut Shared, decoded: &Decoded) {
        let Some(effect) = decoded.effect() else { return };
        if effect == Effect::AttributeDiscard {
            self.counters.attributes_discarded += 1;
        } else {
            self.counters.treated_as_withdraw += 1;
        }
        let worst = decoded.faults.iter().find(|fault| fault.effect == effect);
        let detail = worst.map(|fault| fault.error.to_string()).unwrap_or_default();
        self.event(
            shared,
            Event::UpdateError {
                effect: effect.name(),
                detail,
            },
        );
    }
}

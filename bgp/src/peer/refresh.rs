//! Asking for routes again, and telling them again (RFC 2918, RFC 7313).
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::{Families, Family};
use crate::io::{Cause, ConnectionId, Direction};
use crate::peer::Peer;
use crate::speaker::Shared;
use crate::wire::{Message, RouteRefresh};

/// How long a neighbour that has begun to tell everything again may take (RFC 7313 section 4).
const LIMIT: Duration = Duration::from_secs(600);

/// Families that the neighbour is telling again, and until when.
#[derive(Debug, Default)]
pub(crate) struct Refreshes(BTreeMap<Family, Instant>);

impl Refreshes {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().copied().min()
    }
}

impl Peer {
    /// The operator wants it. Towards a neighbour that cannot be asked, what is known of it is judged again.
    pub(crate) fn refresh_asked(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        direction: Direction,
        families: Families,
    ) {
        let Some((id, negotiated)) = self.session() else {
            return;
        };
        for family in negotiated.families.intersection(families).iter() {
            match direction {
                Direction::Out => self.tell_again(now, shared, id, family),
                Direction::In if negotiated.refresh => {
                    let request = RouteRefresh::new(family, RouteRefresh::REQUEST);
                    self.send(shared, id, &Message::RouteRefresh(request));
                }
                Direction::In => self.reimport(shared),
            }
        }
    }

    /// The neighbour asks. That costs it a few octets and us a table, so requests are gathered until all that has
    /// been read is understood, and until the neighbour has read what it was told before.
    pub(super) fn refresh_wanted(&mut self, id: ConnectionId, family: Family) {
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) {
            connection.asked.insert(family);
        }
    }

    pub(super) fn answer_refreshes(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId) {
        let Some(connection) = self
            .connections
            .iter_mut()
            .find(|connection| connection.id == id && connection.send_hold.is_none())
        else {
            return;
        };
        for family in std::mem::take(&mut connection.asked).iter() {
            self.tell_again(now, shared, id, family);
        }
    }

    /// RFC 7313 section 4: between the two markers is everything that there is.
    pub(super) fn tell_again(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId, family: Family) {
        let marked = self
            .session()
            .is_some_and(|(_, negotiated)| negotiated.enhanced_refresh);
        let marker = |peer: &mut Peer, shared: &mut Shared, subtype| {
            if marked {
                let marker = RouteRefresh::new(family, subtype);
                peer.send(shared, id, &Message::RouteRefresh(marker));
            }
        };
        marker(self, shared, RouteRefresh::BEGIN);
        self.announce(now, shared, Cause::RouteRefresh { family });
        marker(self, shared, RouteRefresh::END);
    }

    /// RFC 7313 section 4: what is not told again until the end marker goes. After a restart End-of-RIB has to come
    /// first, and the marker is ignored.
    pub(super) fn refresh_begins(&mut self, now: Instant, family: Family) {
        if !self.graceful.waits_for(family) {
            self.adj_rib_in.mark_stale(family);
            self.refreshes.0.insert(family, now + LIMIT);
        }
    }

    pub(super) fn refresh_ends(&mut self, shared: &mut Shared, family: Family) {
        if self.refreshes.0.remove(&family).is_some() {
            self.sweep(shared, family);
        }
    }

    /// The session is lost in between. What has not been told again yet is as good as the rest of it: a restart of
    /// the neighbour shall not cost it its routes (RFC 4724 section 4.2).
    pub(super) fn refreshes_lost(&mut self) {
        for family in std::mem::take(&mut self.refreshes.0).into_keys() {
            self.adj_rib_in.unmark_stale(family);
        }
    }

    pub(super) fn refreshes_due(&mut self, now: Instant, shared: &mut Shared) {
        for family in Family::ALL {
            if self.refreshes.0.get(&family).is_some_and(|until| *until <= now) {
                self.refresh_ends(shared, family);
            }
        }
    }
}

//! Where the session of a neighbour meets the Loc-RIB.
//!
//! Every change of the Adj-RIB-In is followed by `Peer::imported`; what that leaves to the kernel is said when the
//! speaker settles the Loc-RIB, at the end of the input.
use std::sync::Arc;

use super::adj_rib_in::PathKey;
use super::decision;
use super::judge::{Judge, Neighbor, Rejection};
use crate::io::{Direction, Event};
use crate::peer::Peer;
use crate::speaker::Shared;

impl Peer {
    /// The session is established: from now on paths are those of this neighbour, as it has introduced itself.
    /// Paths kept from the session before are judged again when it is not quite the same any more.
    pub(crate) fn import_begins(&mut self, shared: &mut Shared) {
        let Some(connection) = self.established() else {
            return;
        };
        let Some(link) = connection.state.link() else {
            return;
        };
        let neighbor = Neighbor {
            peer: self.id,
            internal: link.negotiated.asn == shared.config.local_as,
            asn: link.negotiated.asn,
            router_id: link.negotiated.identifier,
            address: self.config.address,
            scope: self.config.scope,
            local: connection.local.map(|local| local.ip().to_canonical()),
        };
        // RFC 8212 section 2.
        if self.config.import.is_none() && !neighbor.internal {
            let direction = Direction::In;
            self.event(shared, Event::NoPolicy { direction });
        }
        let known = self.adj_rib_in.neighbor.replace(Arc::new(neighbor));
        if known != self.adj_rib_in.neighbor {
            self.reimport(shared);
        }
    }

    /// The paths with these keys have come, have changed or have gone.
    pub(crate) fn imported(&mut self, shared: &mut Shared, changed: &[PathKey]) {
        for key in changed {
            self.judge(shared, key);
        }
    }

    /// The policy, or something else that verdicts depend on, is another one.
    pub(crate) fn reimport(&mut self, shared: &mut Shared) {
        let keys = self.adj_rib_in.keys();
        self.imported(shared, &keys);
    }

    /// The neighbour is removed, or its session is over and nothing is kept.
    pub(crate) fn forget_imported(&mut self, shared: &mut Shared) {
        let keys = self.adj_rib_in.clear();
        self.imported(shared, &keys);
    }

    fn judge(&mut self, shared: &mut Shared, key: &PathKey) {
        let (prefix, path_id) = *key;
        let verdict = match (&self.adj_rib_in.neighbor, self.adj_rib_in.get(key).cloned()) {
            (Some(neighbor), Some(path)) => {
                let neighbor = Arc::clone(neighbor);
                let judge = Judge {
                    neighbor: &neighbor,
                    peer: &self.config,
                    speaker: &shared.config,
                };
                let verdict = judge.verdict(prefix, &path, &mut self.adj_rib_in.attributes);
                self.note(shared, key, path.rejection, verdict.as_ref().err().copied());
                verdict.ok().map(|accepted| decision::Path {
                    neighbor,
                    path_id,
                    attributes: accepted.attributes,
                    gateway: accepted.gateway,
                    on_link: accepted.on_link,
                    neighbor_as: accepted.neighbor_as,
                })
            }
            (None, _) | (_, None) => None,
        };
        match verdict {
            Some(path) => shared.loc_rib.insert(prefix, path),
            None => shared.loc_rib.remove(prefix, self.id, path_id),
        }
    }

    fn note(
        &mut self,
        shared: &mut Shared,
        key: &PathKey,
        before: Option<Rejection>,
        now: Option<Rejection>,
    ) {
        self.adj_rib_in.judged(key, now.map_or(Ok(()), Err));
        if now == before {
            return;
        }
        match now {
            None | Some(Rejection::NoPolicy) => {}
            Some(Rejection::RouteLeak) => {
                self.counters.routes_rejected += 1;
                self.event(shared, Event::RouteLeak { prefix: key.0 });
            }
            Some(_) => self.counters.routes_rejected += 1,
        }
    }
}

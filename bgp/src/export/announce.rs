//! Telling a neighbour its routes: policy, next hop, difference, packing, output.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::adj_rib_out::{Changes, NextHop, Route, Routes, family_of};
use super::pack::pack;
use crate::attributes::PathAttributes;
use crate::config::{Families, Family};
use crate::io::{Cause, ConnectionId, Event, Output};
use crate::ladder::{self, Audience};
use crate::peer::Peer;
use crate::session::State;
use crate::speaker::Shared;

impl Peer {
    /// Sends what the neighbour does not know yet, or for a refresh what it asked for.
    pub(crate) fn announce(&mut self, now: Instant, shared: &mut Shared, cause: Cause) {
        let Some(connection) = self.established() else {
            return;
        };
        let Some(link) = connection.state.link() else {
            return;
        };
        let (id, families, four_octet) = (
            connection.id,
            link.negotiated.families,
            link.negotiated.four_octet,
        );
        let local = connection.local.map(|address| address.ip().to_canonical());
        if cause == Cause::SessionUp {
            self.report_missing_next_hops(shared, families, local);
        }
        let desired = self.desired(shared, families, local);
        let mut changes = self.rib.replace(desired);
        if let Cause::RouteRefresh { family } = cause {
            let withdraw = changes.withdraw;
            changes = Changes {
                withdraw,
                ..self.rib.refresh(family)
            };
        }
        self.send_changes(now, shared, id, &changes, four_octet, cause);
    }

    fn send_changes(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        id: ConnectionId,
        changes: &Changes,
        four_octet: bool,
        cause: Cause,
    ) {
        if changes.is_empty() {
            return;
        }
        // The attributes are bounded by `policy`, so that a message always has room for a prefix.
        let Ok(packed) = pack(changes, four_octet) else {
            return;
        };
        let messages = u64::try_from(packed.messages).unwrap_or(u64::MAX);
        self.counters.messages_out += messages;
        self.counters.updates_out += messages;
        self.send_bytes(shared, id, packed.bytes);
        shared.outputs.push_back(Output::UpdateSent {
            peer: self.id,
            announced: changes.announced(),
            withdrawn: changes.withdraw.len(),
            messages: packed.messages,
            cause,
            summary: changes.summary(),
        });
        for connection in &mut self.connections {
            if let State::Established(link) = &mut connection.state {
                link.arm_keepalive(now, &mut shared.jitter);
            }
        }
    }

    fn desired(&self, shared: &Shared, families: Families, local: Option<IpAddr>) -> Routes {
        let audience = Audience {
            local_as: shared.config.local_as,
            internal: self.internal(shared),
            ladder: self.config.ladder.as_ref().unwrap_or(&shared.config.ladders.all),
        };
        // Equal attributes are one allocation, however many prefixes have them.
        let mut known: BTreeMap<PathAttributes, Arc<PathAttributes>> = BTreeMap::new();
        let mut routes = Routes::new();
        for (prefix, attributes) in ladder::attributes(&shared.announcements, &shared.roles, audience) {
            let family = family_of(&prefix);
            let Some(next_hop) = self.next_hop(family, local).filter(|_| families.contains(family)) else {
                continue;
            };
            let attributes = match known.get(&attributes) {
                Some(attributes) => Arc::clone(attributes),
                None => {
                    let shared = Arc::new(attributes.clone());
                    known.insert(attributes, Arc::clone(&shared));
                    shared
                }
            };
            routes.insert(prefix, Route { next_hop, attributes });
        }
        routes
    }

    /// The configured one, or the local address of the connection when it is of the family.
    fn next_hop(&self, family: Family, local: Option<IpAddr>) -> Option<NextHop> {
        let configured = &self.config.next_hops;
        let (address, link_local) = match family {
            Family::Ipv4 => (
                configured.ipv4.map(IpAddr::V4).or(local.filter(IpAddr::is_ipv4)),
                None,
            ),
            Family::Ipv6 => (
                configured.ipv6.map(IpAddr::V6).or(local.filter(IpAddr::is_ipv6)),
                configured.ipv6_link_local,
            ),
        };
        address.map(|address| NextHop { address, link_local })
    }

    fn report_missing_next_hops(&self, shared: &mut Shared, families: Families, local: Option<IpAddr>) {
        for family in families
            .iter()
            .filter(|family| self.next_hop(*family, local).is_none())
        {
            self.event(shared, Event::NoNextHop { family });
        }
    }
}

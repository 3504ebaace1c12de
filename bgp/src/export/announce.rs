//! Telling a neighbour its routes: table, difference, messages.
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use super::audience::{Audience, NextHop, Offer};
use super::changes::Changes;
use super::pack::Batch;
use super::table::Table;
use crate::config::{Family, Role};
use crate::connection::Connection;
use crate::io::{Cause, ConnectionId, Direction, Event, Output};
use crate::peer::Peer;
use crate::session::{Link, State};
use crate::speaker::Shared;
use crate::status::RouteStatus;
use crate::wire::Encoding;

/// What one neighbour has been told; nothing before the first announcement.
#[derive(Debug, Default)]
pub(crate) struct AdjRibOut {
    told: Option<Arc<Table>>,
}

impl AdjRibOut {
    pub(crate) fn len(&self) -> usize {
        self.told.as_ref().map_or(0, |table| table.len())
    }

    pub(crate) fn clear(&mut self) {
        self.told = None;
    }
}

impl Peer {
    /// Sends what the neighbour does not know yet, or for a refresh what it asked for.
    pub(crate) fn announce(&mut self, now: Instant, shared: &mut Shared, cause: Cause) {
        let Some((connection, link)) = self
            .established()
            .and_then(|connection| Some((connection, connection.state.link()?)))
        else {
            return;
        };
        let (id, encoding) = (connection.id, link.negotiated.encoding());
        let audience = self.audience(shared, connection, link);
        if cause == Cause::SessionUp {
            self.report_silence(shared, &audience);
        }
        let wanted = shared
            .exports
            .table(&shared.roles, &shared.config.ladders, audience);
        let changes = match cause {
            Cause::RouteRefresh { family } => Arc::new(self.refresh(shared, &wanted, family)),
            Cause::SessionUp | Cause::Role { .. } | Cause::Announcements | Cause::Configuration => {
                shared.exports.changes(self.rib.told.as_ref(), &wanted)
            }
        };
        self.rib.told = Some(wanted);
        self.send_changes(now, shared, id, &changes, encoding, cause);
    }

    /// The family again, and what has come up beside it.
    fn refresh(&self, shared: &mut Shared, wanted: &Arc<Table>, family: Family) -> Changes {
        let pending = shared.exports.changes(self.rib.told.as_ref(), wanted);
        let again = Changes::everything(wanted, Some(family));
        again.and_others(&pending, family)
    }

    fn send_changes(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        id: ConnectionId,
        changes: &Changes,
        encoding: Encoding,
        cause: Cause,
    ) {
        if changes.is_empty() {
            return;
        }
        let batch = Batch::new(changes, encoding);
        let (messages, bytes) = batch.size();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.counters.messages_out += count(messages);
        self.counters.updates_out += count(messages);
        self.counters.bytes_out += count(bytes);
        let monitored = shared.monitoring.then_some(self.id);
        shared.outputs.push_updates(id, batch, monitored);
        shared.outputs.push_back(Output::UpdateSent {
            peer: self.id,
            announced: changes.announced(),
            withdrawn: changes.withdrawn(),
            messages,
            cause,
            summary: changes.summary(),
        });
        for connection in &mut self.connections {
            if let State::Established(link) = &mut connection.state {
                link.arm_keepalive(now, &mut shared.jitter);
            }
        }
    }

    fn audience(&self, shared: &Shared, connection: &Connection, link: &Link) -> Audience {
        let local = connection.local.map(|address| address.ip().to_canonical());
        let internal = self.internal(shared);
        Audience {
            local_as: shared.config.local_as,
            internal,
            ladder: self.config.ladder.clone(),
            export: self.config.export.clone(),
            families: link.negotiated.families,
            ipv4: self.offer(Family::Ipv4, local, link.negotiated.extended_next_hop),
            ipv6: self.offer(Family::Ipv6, local, false),
            extended_next_hop: link.negotiated.extended_next_hop,
            graceful_shutdown: self.config.graceful_shutdown,
            // RFC 9234 section 5: towards customers, peers and clients of a route server; outside the AS only.
            only_to_customer: !internal
                && match self.config.role {
                    Some(Role::Provider | Role::RouteServer | Role::Peer) => true,
                    Some(Role::Customer | Role::RouteServerClient) | None => false,
                },
        }
    }

    /// What is configured, or the local address of the connection. For IPv4 over IPv6 the IPv6 one serves when the
    /// neighbour understands it (`extended`, RFC 8950).
    fn offer(&self, family: Family, local: Option<IpAddr>, extended: bool) -> Offer {
        let configured = &self.config.next_hops;
        let ipv6 = || Offer {
            usual: configured
                .ipv6
                .map(IpAddr::V6)
                .or(local.filter(IpAddr::is_ipv6))
                .map(|address| self.beside_link_local(address)),
            own: local
                .filter(IpAddr::is_ipv6)
                .map(|address| self.beside_link_local(address)),
        };
        match family {
            Family::Ipv6 => ipv6(),
            Family::Ipv4 => {
                let own = local.filter(IpAddr::is_ipv4).map(NextHop::from);
                let usual = configured.ipv4.map(|address| IpAddr::V4(address).into()).or(own);
                let fallback = if extended { ipv6() } else { Offer::default() };
                Offer {
                    usual: usual.or(fallback.usual),
                    own: own.or(fallback.own),
                }
            }
        }
    }

    /// RFC 2545 section 3: a link-local address goes beside the global one, or, where there is no global one, alone.
    fn beside_link_local(&self, address: IpAddr) -> NextHop {
        let link_local = match address {
            IpAddr::V6(address) if address.is_unicast_link_local() => None,
            IpAddr::V6(_) => self.config.next_hops.ipv6_link_local,
            IpAddr::V4(_) => None,
        };
        NextHop { address, link_local }
    }

    /// Says once for a session why the neighbour will hear nothing, or nothing of a family.
    fn report_silence(&self, shared: &mut Shared, audience: &Audience) {
        if audience.hears_nothing() {
            let direction = Direction::Out;
            self.event(shared, Event::NoPolicy { direction });
            return;
        }
        let silent = |family: &Family| audience.offer(*family).usual.is_none();
        for family in audience.families.iter().filter(silent) {
            self.event(shared, Event::NoNextHop { family });
        }
    }

    /// What it has been told from `first` on, in the order of the prefixes.
    pub(crate) fn advertised(&self, first: Bound<IpNet>) -> impl Iterator<Item = RouteStatus> {
        let routes = self.rib.told.iter().flat_map(move |table| table.from(first));
        routes.map(|(prefix, route)| RouteStatus {
            peer: self.id,
            prefix,
            path_id: 0,
            next_hop: route.next_hop.address,
            link_local: route.next_hop.link_local,
            attributes: Arc::clone(&route.attributes),
            stale: false,
            best: false,
            reason: None,
        })
    }
}

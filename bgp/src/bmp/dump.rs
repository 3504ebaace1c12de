//! The state of the speaker as the messages that would have led to it, in slices.
//!
//! A station that connects late first hears who is up, then follows what happens, and in between gets the routes that were
//! there, slice by slice. A slice tells what is true when it is made, so the order of slices and events does not matter:
//! a route that was withdrawn meanwhile is in no later slice.
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::message::{self, Rib};
use super::{Feed, Session};
use crate::attributes::PathAttributes;
use crate::config::{Family, PeerId};
use crate::speaker::Speaker;
use crate::status::{RouteQuery, RouteStatus, Table};
use crate::wire::{Attribute, Encoding, Message, MpReach, Nlri, Update};

/// Routes of a slice: what is made of them costs the speaker well below a millisecond.
const SLICE: usize = 256;
/// Prefixes of an UPDATE: they fit, whatever their length, beside attributes of half of the message.
const PREFIXES: usize = 64;

/// How far a station has been told.
#[derive(Clone, Debug)]
pub struct Dump {
    left: VecDeque<(PeerId, Rib)>,
    after: Option<(IpNet, PeerId, u32)>,
}

/// What the prefixes of an UPDATE share.
type Shared = (Family, IpAddr, Option<Ipv6Addr>, Arc<PathAttributes>);

impl Feed {
    /// A dump of all that is up.
    pub fn dump(&self) -> Dump {
        let both = |peer: &PeerId| [(*peer, Rib::In), (*peer, Rib::Out)];
        Dump {
            left: self.sessions.keys().flat_map(both).collect(),
            after: None,
        }
    }

    /// The next messages; `None` when everything has been told. They may be empty.
    pub fn slice(&self, at: Duration, dump: &mut Dump, speaker: &Speaker) -> Option<Vec<u8>> {
        let (peer, rib) = *dump.left.front()?;
        let mut out = Vec::new();
        // It may have gone since the dump began, and its routes with it.
        let Some(session) = self.sessions.get(&peer) else {
            dump.next();
            return Some(out);
        };
        let routes = speaker.routes(&RouteQuery {
            table: match rib {
                Rib::In => Table::Received,
                Rib::Out => Table::Advertised,
            },
            peer: Some(peer),
            family: None,
            within: None,
            after: dump.after,
            limit: SLICE,
        });
        session.tell(at, rib, &routes, &mut out);
        let reached = routes.last().map(|last| (last.prefix, last.peer, last.path_id));
        match reached {
            Some(_) if routes.len() >= SLICE && reached > dump.after => dump.after = reached,
            Some(_) | None => {
                session.end_of_rib(at, rib, &mut out);
                dump.next();
            }
        }
        Some(out)
    }
}

impl Dump {
    fn next(&mut self) {
        self.left.pop_front();
        self.after = None;
    }
}

impl Session {
    fn tell(&self, at: Duration, rib: Rib, routes: &[RouteStatus], out: &mut Vec<u8>) {
        let mut groups: BTreeMap<Shared, Vec<Nlri>> = BTreeMap::new();
        for route in routes {
            let nlri = Nlri {
                prefix: route.prefix,
                path_id: route.path_id,
            };
            let shared = (
                nlri.family(),
                route.next_hop,
                route.link_local,
                Arc::clone(&route.attributes),
            );
            groups.entry(shared).or_default().push(nlri);
        }
        for (shared, prefixes) in &groups {
            for prefixes in prefixes.chunks(PREFIXES) {
                if !self.update(at, rib, update(shared, prefixes.to_vec()), out) {
                    for prefix in prefixes {
                        self.update(at, rib, update(shared, vec![*prefix]), out);
                    }
                }
            }
        }
    }

    /// RFC 7854 section 5: after the initial table.
    fn end_of_rib(&self, at: Duration, rib: Rib, out: &mut Vec<u8>) {
        for family in self.families.iter() {
            self.update(at, rib, Update::end_of_rib(family), out);
        }
    }

    /// Returns whether it fits a message.
    fn update(&self, at: Duration, rib: Rib, update: Update, out: &mut Vec<u8>) -> bool {
        let encoding = match rib {
            Rib::In => self.encoding,
            // Several paths are never announced.
            Rib::Out => Encoding {
                extended: true,
                ..Encoding::default()
            },
        };
        let encoded = Message::Update(update.into()).encode(encoding);
        if let Ok(update) = &encoded {
            out.extend(message::route_monitoring(self.identity, at, rib, false, update));
        }
        encoded.is_ok()
    }
}

fn update((family, next_hop, link_local, told): &Shared, prefixes: Vec<Nlri>) -> Update {
    let mut attributes = Vec::new();
    let mut nlri = Vec::new();
    match (family, next_hop) {
        (Family::Ipv4, IpAddr::V4(address)) => {
            attributes.push(Attribute::NextHop(*address));
            nlri = prefixes;
        }
        (Family::Ipv4 | Family::Ipv6, _) => attributes.push(Attribute::MpReach(MpReach {
            family: *family,
            next_hop: *next_hop,
            link_local: *link_local,
            prefixes,
        })),
    }
    attributes.extend(path_attributes(told));
    attributes.sort_by_key(Attribute::code);
    Update {
        withdrawn: Vec::new(),
        attributes,
        nlri,
    }
}

fn path_attributes(told: &PathAttributes) -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::Origin(told.origin),
        Attribute::AsPath(told.as_path.0.clone()),
    ];
    attributes.extend(told.med.map(Attribute::Med));
    attributes.extend(told.local_pref.map(Attribute::LocalPref));
    attributes.extend(told.atomic_aggregate.then_some(Attribute::AtomicAggregate));
    attributes.extend(told.aggregator.map(Attribute::Aggregator));
    attributes.extend(told.originator_id.map(Attribute::OriginatorId));
    attributes.extend(told.only_to_customer.map(Attribute::OnlyToCustomer));
    if !told.communities.is_empty() {
        attributes.push(Attribute::Communities(told.communities.clone()));
    }
    if !told.cluster_list.is_empty() {
        attributes.push(Attribute::ClusterList(told.cluster_list.clone()));
    }
    if !told.extended_communities.is_empty() {
        attributes.push(Attribute::ExtendedCommunities(told.extended_communities.clone()));
    }
    if !told.large_communities.is_empty() {
        attributes.push(Attribute::LargeCommunities(told.large_communities.clone()));
    }
    attributes.extend(told.unknown.iter().cloned());
    attributes
}

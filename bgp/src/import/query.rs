//! Routes of one of the tables, in parts: each answer starts where the last one ended.
//!
//! Tables are ordered by prefix, and are entered where the answer begins, so its cost is that of its rows. Only
//! those that a question about one neighbour skips (paths of it that are not used, say) are looked at in vain.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use ipnet::IpNet;

use super::LocRib;
use super::adj_rib_in::{Path, PathKey};
use super::decision::{self, Decision};
use crate::config::{Family, PeerId};
use crate::peer::Peer;
use crate::status::{RouteQuery, RouteStatus, Table};

pub(crate) fn routes(
    peers: &BTreeMap<PeerId, Peer>,
    loc_rib: &LocRib,
    query: &RouteQuery,
) -> Vec<RouteStatus> {
    let asked = peers
        .values()
        .filter(|peer| query.peer.is_none_or(|wanted| wanted == peer.id));
    match query.table {
        Table::Advertised => advertised(asked, query),
        Table::Received => received(asked, loc_rib, query),
        Table::Accepted | Table::Best => accepted(peers, loc_rib, query),
    }
}

/// The prefixes between which the answer lies, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    first: IpNet,
    last: IpNet,
}

impl Window {
    /// `None`: nothing can be in it.
    fn new(query: &RouteQuery) -> Option<Self> {
        let mut window = match query.family {
            None => Window::all(Family::Ipv4).until(Window::all(Family::Ipv6)),
            Some(family) => Window::all(family),
        };
        if let Some(within) = query.within {
            let within = Window::inside(within.trunc());
            window = Window {
                first: window.first.max(within.first),
                last: window.last.min(within.last),
            };
        }
        if let Some((prefix, _, _)) = query.after {
            window.first = window.first.max(prefix);
        }
        (window.first <= window.last).then_some(window)
    }

    fn all(family: Family) -> Self {
        Window::inside(match family {
            Family::Ipv4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Family::Ipv6 => IpNet::V6(ipnet::Ipv6Net::default()),
        })
    }

    /// A prefix sorts before those inside it, and its last host after them.
    fn inside(prefix: IpNet) -> Self {
        let last: IpAddr = prefix.broadcast();
        Window {
            first: prefix,
            last: IpNet::from(last),
        }
    }

    fn until(self, other: Window) -> Window {
        Window {
            first: self.first,
            last: other.last,
        }
    }

    /// The keys of one neighbour that come after the last answer.
    fn keys(self, query: &RouteQuery, peer: PeerId) -> (Bound<PathKey>, Bound<PathKey>) {
        let last = Bound::Included((self.last, u32::MAX));
        let first = match query.after {
            Some((prefix, shown, path_id)) if prefix == self.first => match peer.cmp(&shown) {
                std::cmp::Ordering::Less => Bound::Excluded((prefix, u32::MAX)),
                std::cmp::Ordering::Equal => Bound::Excluded((prefix, path_id)),
                std::cmp::Ordering::Greater => Bound::Included((prefix, 0)),
            },
            Some(_) | None => Bound::Included((self.first, 0)),
        };
        (first, last)
    }
}

/// Merges what the neighbours are told by prefix; each table is read as far as its rows are shown.
fn advertised<'a>(peers: impl Iterator<Item = &'a Peer>, query: &RouteQuery) -> Vec<RouteStatus> {
    let Some(window) = Window::new(query) else {
        return Vec::new();
    };
    let mut heads = BTreeMap::new();
    for peer in peers {
        let (first, _) = window.keys(query, peer.id);
        let mut rows = peer.advertised(first.map(|(prefix, _)| prefix));
        if let Some(row) = rows.next() {
            heads.insert((row.prefix, peer.id), (row, rows));
        }
    }
    let mut shown = Vec::new();
    while shown.len() < query.limit
        && let Some(((prefix, peer), (row, mut rows))) = heads.pop_first()
        && prefix <= window.last
    {
        shown.push(row);
        if let Some(row) = rows.next() {
            heads.insert((row.prefix, peer), (row, rows));
        }
    }
    shown
}

/// Merges the tables of the neighbours by prefix; each of them is read as far as its rows are shown.
fn received<'a>(
    peers: impl Iterator<Item = &'a Peer>,
    loc_rib: &LocRib,
    query: &RouteQuery,
) -> Vec<RouteStatus> {
    let Some(window) = Window::new(query) else {
        return Vec::new();
    };
    let mut heads = BTreeMap::new();
    for peer in peers {
        let (first, last) = window.keys(query, peer.id);
        let mut rows = peer.adj_rib_in.range((first, last));
        if let Some((key, path)) = rows.next() {
            heads.insert((key.0, peer.id, key.1), (path, rows));
        }
    }
    let mut shown = Vec::new();
    let mut verdicts = Verdicts::new(loc_rib);
    while shown.len() < query.limit
        && let Some(((prefix, peer, path_id), (path, mut rows))) = heads.pop_first()
    {
        shown.push(as_received((prefix, peer, path_id), path, &mut verdicts));
        if let Some((key, path)) = rows.next() {
            heads.insert((key.0, peer, key.1), (path, rows));
        }
    }
    shown
}

fn as_received(key: (IpNet, PeerId, u32), path: &Path, verdicts: &mut Verdicts<'_>) -> RouteStatus {
    let (prefix, peer, path_id) = key;
    let (best, reason) = match path.rejection {
        Some(rejection) => (false, Some(rejection.text())),
        None => verdicts.of(prefix, (peer, path_id)),
    };
    RouteStatus {
        peer,
        prefix,
        path_id,
        next_hop: path.received.next_hop,
        link_local: path.received.link_local,
        attributes: Arc::clone(&path.received.attributes),
        stale: path.stale.is_some(),
        best,
        reason,
    }
}

/// What the Loc-RIB says of a path; paths to one prefix follow each other, and it is decided once.
struct Verdicts<'a> {
    loc_rib: &'a LocRib,
    last: Option<(IpNet, Decision)>,
}

impl<'a> Verdicts<'a> {
    fn new(loc_rib: &'a LocRib) -> Self {
        Verdicts { loc_rib, last: None }
    }

    fn of(&mut self, prefix: IpNet, key: (PeerId, u32)) -> (bool, Option<&'static str>) {
        let Some(entry) = self.loc_rib.table().get(&prefix) else {
            return (false, None);
        };
        let decision = match self.last.take().filter(|(last, _)| *last == prefix) {
            Some((_, decision)) => decision,
            None => self.loc_rib.decide(&prefix, entry),
        };
        let index = entry.paths.binary_search_by_key(&key, decision::Path::key);
        let verdict = index.ok().and_then(|index| decision.reasons.get(index).copied());
        self.last = Some((prefix, decision));
        match verdict {
            Some(reason) => (reason.is_none(), reason),
            None => (false, None),
        }
    }
}

/// With `Table::Best` only the paths in use.
fn accepted(peers: &BTreeMap<PeerId, Peer>, loc_rib: &LocRib, query: &RouteQuery) -> Vec<RouteStatus> {
    let Some(window) = Window::new(query) else {
        return Vec::new();
    };
    let table = loc_rib.table();
    let prefixes: Box<dyn Iterator<Item = IpNet>> = match query.peer {
        None => Box::new(table.range(window.first..=window.last).map(|(prefix, _)| *prefix)),
        Some(id) => match peers.get(&id) {
            Some(peer) => Box::new(prefixes_of(peer, window.keys(query, id))),
            None => return Vec::new(),
        },
    };
    let mut shown = Vec::new();
    for prefix in prefixes {
        let Some(entry) = table.get(&prefix) else { continue };
        let decision = loc_rib.decide(&prefix, entry);
        for (path, reason) in entry.paths.iter().zip(decision.reasons) {
            let (peer, path_id) = path.key();
            let asked = query.peer.is_none_or(|wanted| wanted == peer)
                && query.after.is_none_or(|after| after < (prefix, peer, path_id))
                && (query.table == Table::Accepted || reason.is_none());
            if !asked {
                continue;
            }
            if shown.len() >= query.limit {
                return shown;
            }
            let received = peers
                .get(&peer)
                .and_then(|peer| peer.adj_rib_in.get(&(prefix, path_id)));
            shown.push(RouteStatus {
                peer,
                prefix,
                path_id,
                next_hop: path.gateway.address,
                link_local: None,
                attributes: Arc::clone(&path.attributes),
                stale: received.is_some_and(|path| path.stale.is_some()),
                best: reason.is_none(),
                reason,
            });
        }
    }
    shown
}

/// Those to which the neighbour has a path that was accepted, each once.
fn prefixes_of(peer: &Peer, keys: (Bound<PathKey>, Bound<PathKey>)) -> impl Iterator<Item = IpNet> {
    let accepted = peer.adj_rib_in.range(keys).filter(|(_, path)| path.accepted);
    let mut last = None;
    accepted
        .map(|((prefix, _), _)| *prefix)
        .filter(move |prefix| last.replace(*prefix) != Some(*prefix))
}

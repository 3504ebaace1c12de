//! The ways to next hops, as the kernel's table has them without our own routes. Pure.
//!
//! A next hop on a link is reached over that link. Any other one is reached through the gateways of the route that
//! covers it, the default route included: kernel routes have gateways on links, so the answer is final. A route of ours is
//! no answer: it stands on such an answer itself, and would fall with it, and rise again without it, for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::route::{Observed, Way, Ways};

/// An address, and the link that it belongs to, or 0.
pub(super) type NextHop = (IpAddr, u32);

/// How a next hop is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolution {
    /// 0: on a link.
    pub(super) metric: u32,
    pub(super) ways: Ways,
}

/// `None`: the route does not lead there, or not any more.
pub(super) fn resolve(next_hop: IpAddr, route: &Observed) -> Option<Resolution> {
    if !route.unicast || route.alive.is_empty() {
        return None;
    }
    let direct = route.alive.iter().all(|way| way.gateway.is_none());
    let way = |way: &Way| Way {
        gateway: Some(way.gateway.unwrap_or(next_hop)),
        link: way.link,
    };
    Some(Resolution {
        metric: if direct { 0 } else { route.metric.max(1) },
        ways: route.alive.iter().map(way).collect(),
    })
}

/// Finds the most specific route of others for next hops that are covered by one of ours.
#[derive(Debug, Default)]
pub(super) struct Beneath(BTreeMap<NextHop, Option<Observed>>);

impl Beneath {
    pub(super) fn add(&mut self, next_hop: NextHop) {
        self.0.insert(next_hop, None);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One route of the main table.
    pub(super) fn look(&mut self, route: &Observed) {
        if route.is_ours() {
            return;
        }
        for ((address, scope), best) in &mut self.0 {
            let on_scope = |way: &Way| *scope == 0 || way.link == *scope;
            if !route.prefix.contains(address) || !route.ways.iter().any(on_scope) {
                continue;
            }
            let rank = |route: &Observed| (u8::MAX - route.prefix.prefix_len(), route.metric);
            if best.as_ref().is_none_or(|best| rank(route) < rank(best)) {
                *best = Some(route.clone());
            }
        }
    }

    pub(super) fn resolutions(self) -> impl Iterator<Item = (NextHop, Option<Resolution>)> {
        self.0.into_iter().map(|(next_hop, route)| {
            let resolution = route.and_then(|route| resolve(next_hop.0, &route));
            (next_hop, resolution)
        })
    }
}

/// The next hops that somebody wants to know of, and what is known.
#[derive(Debug, Default)]
pub(super) struct NextHops {
    known: BTreeMap<NextHop, Option<Resolution>>,
    /// Those that the speaker asked for, and what it was told.
    tracked: BTreeMap<NextHop, Option<Option<u32>>>,
}

impl NextHops {
    /// Tracks one, and tells of it again even if it is tracked already: who asks knows nothing.
    pub(super) fn track(&mut self, next_hop: NextHop) {
        self.tracked.insert(next_hop, None);
    }

    pub(super) fn untrack(&mut self, next_hop: NextHop) {
        self.tracked.remove(&next_hop);
    }

    pub(super) fn tracked(&self) -> BTreeSet<NextHop> {
        self.tracked.keys().copied().collect()
    }

    pub(super) fn knows(&self, next_hop: &NextHop) -> bool {
        self.known.contains_key(next_hop)
    }

    pub(super) fn learn(&mut self, next_hop: NextHop, resolution: Option<Resolution>) {
        self.known.insert(next_hop, resolution);
    }

    /// Forgets those that nobody needs.
    pub(super) fn retain(&mut self, needed: &BTreeSet<NextHop>) {
        self.known.retain(|next_hop, _| needed.contains(next_hop));
    }

    pub(super) fn resolution(&self, next_hop: &NextHop) -> Option<&Resolution> {
        self.known.get(next_hop)?.as_ref()
    }

    /// A route to this prefix would matter to one of them.
    pub(super) fn any_within(&self, prefix: IpNet) -> bool {
        self.known.keys().any(|(address, _)| prefix.contains(address))
    }

    /// What the speaker has to be told, each news once.
    pub(super) fn news(&mut self) -> Vec<(NextHop, Option<u32>)> {
        let mut news = Vec::new();
        for (next_hop, told) in &mut self.tracked {
            let Some(resolution) = self.known.get(next_hop) else {
                continue;
            };
            let metric = resolution.as_ref().map(|resolution| resolution.metric);
            if told.replace(metric) != Some(metric) {
                news.push((*next_hop, metric));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests;

//! Which of the paths to a prefix is used: the decision process of RFC 4271 section 9.1.2.
//!
//! Every step leaves, of the paths that are still in, those that are best in one respect. MEDs are compared within
//! each neighbouring AS in a step of its own, so the outcome does not depend on the order of arrival ("deterministic
//! MED"). A missing MED is 0. Paths that are still equal after the step of the interior cost share the traffic, up
//! to the configured number of gateways; their AS paths have to be of the same length, not the same.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::judge::{LLGR_STALE, Neighbor};
use crate::attributes::PathAttributes;
use crate::config::PeerId;
use crate::io::Gateway;

/// Of a path that says nothing of it.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// A path in the Loc-RIB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) neighbor: Arc<Neighbor>,
    pub(crate) path_id: u32,
    pub(crate) attributes: Arc<PathAttributes>,
    pub(crate) gateway: Gateway,
    /// Of no use unless it is on a link of this node, at no cost.
    pub(crate) on_link: bool,
    pub(crate) neighbor_as: Option<u32>,
}

impl Path {
    pub(crate) fn key(&self) -> (PeerId, u32) {
        (self.neighbor.peer, self.path_id)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// For each path why it is not used; `None`: it is.
    pub(crate) reasons: Vec<Option<&'static str>>,
    /// In order, without duplicates.
    pub(crate) gateways: Vec<Gateway>,
}

/// `cost`: how far the gateway of a path is, 0 on a link, `None` when there is no way.
pub(crate) fn decide(paths: &[Path], cost: impl Fn(&Path) -> Option<u32>, multipath: usize) -> Decision {
    let costs: Vec<Option<u32>> = paths.iter().map(cost).collect();
    let mut contest = Contest::new(paths);
    contest.keep(
        |index, _| costs.get(index).copied().flatten().is_some(),
        "no way to its next hop",
    );
    // RFC 4271 section 6.3.
    contest.keep(
        |index, path| !path.on_link || costs.get(index).copied().flatten() == Some(0),
        "its next hop is not on a link",
    );
    // RFC 9494 section 4.3.
    contest.least(
        |_, path| path.attributes.communities.contains(&LLGR_STALE),
        "long-lived stale",
    );
    contest.least(
        |_, path| u32::MAX - path.attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
        "lower LOCAL_PREF",
    );
    contest.least(|_, path| path.attributes.as_path.length(), "longer AS path");
    contest.least(|_, path| path.attributes.origin, "worse origin");
    contest.least_med();
    contest.least(|_, path| path.neighbor.internal, "from inside the AS");
    contest.least(|index, _| costs.get(index).copied().flatten(), "farther next hop");
    contest.share(multipath.max(1))
}

struct Contest<'a> {
    paths: &'a [Path],
    alive: Vec<usize>,
    reasons: Vec<Option<&'static str>>,
}

impl<'a> Contest<'a> {
    fn new(paths: &'a [Path]) -> Self {
        Contest {
            paths,
            alive: (0..paths.len()).collect(),
            reasons: vec![None; paths.len()],
        }
    }

    fn keep(&mut self, stays: impl Fn(usize, &Path) -> bool, reason: &'static str) {
        let Contest {
            paths,
            alive,
            reasons,
        } = self;
        alive.retain(|index| {
            let stays = paths.get(*index).is_some_and(|path| stays(*index, path));
            if let Some(slot) = reasons.get_mut(*index).filter(|_| !stays) {
                *slot = Some(reason);
            }
            stays
        });
    }

    fn least<K: Ord>(&mut self, key: impl Fn(usize, &Path) -> K, reason: &'static str) {
        if self.alive.len() < 2 {
            return;
        }
        let paths = self.paths;
        let least = self
            .alive
            .iter()
            .filter_map(|index| paths.get(*index).map(|path| key(*index, path)))
            .min();
        self.keep(|index, path| Some(key(index, path)) == least, reason);
    }

    /// RFC 4271 section 9.1.2.2 (c).
    fn least_med(&mut self) {
        if self.alive.len() < 2 {
            return;
        }
        let med = |path: &Path| path.attributes.med.unwrap_or(0);
        let mut least: BTreeMap<Option<u32>, u32> = BTreeMap::new();
        for path in self.alive.iter().filter_map(|index| self.paths.get(*index)) {
            let entry = least.entry(path.neighbor_as).or_insert(u32::MAX);
            *entry = (*entry).min(med(path));
        }
        self.keep(
            |_, path| least.get(&path.neighbor_as) == Some(&med(path)),
            "higher MED",
        );
    }

    /// The rest are of equal cost. The tie-breakers (RFC 4271 section 9.1.2.2 (f) and (g), RFC 4456 section 9)
    /// order them; the first is the best, the others join until there are enough gateways.
    fn share(mut self, multipath: usize) -> Decision {
        let paths = self.paths;
        let alive = self.alive.iter().copied();
        let mut order: Vec<(TieBreaker, usize)> = alive
            .filter_map(|index| Some((tie_breaker(paths.get(index)?), index)))
            .collect();
        order.sort_unstable();
        let best = order.first().map(|(best, _)| *best);
        let mut gateways: Vec<Gateway> = Vec::new();
        for (tie, index) in order {
            let Some(path) = paths.get(index) else { continue };
            if gateways.contains(&path.gateway) {
                continue;
            }
            if gateways.len() < multipath {
                gateways.push(path.gateway);
            } else if let (Some(slot), Some(best)) = (self.reasons.get_mut(index), best) {
                *slot = Some(tie_reason(&best, &tie));
            }
        }
        gateways.sort_unstable();
        Decision {
            reasons: self.reasons,
            gateways,
        }
    }
}

/// The last three only make the order total: several neighbours may have the same link-local address.
type TieBreaker = (Ipv4Addr, usize, IpAddr, u32, PeerId, u32);

fn tie_breaker(path: &Path) -> TieBreaker {
    let Path {
        neighbor, attributes, ..
    } = path;
    (
        // RFC 4456 section 9: instead of the identifier of the neighbour.
        attributes.originator_id.unwrap_or(neighbor.router_id),
        attributes.cluster_list.len(),
        neighbor.address,
        neighbor.scope,
        neighbor.peer,
        path.path_id,
    )
}

fn tie_reason(best: &TieBreaker, other: &TieBreaker) -> &'static str {
    if best.0 != other.0 {
        "higher router identifier"
    } else if best.1 != other.1 {
        "longer cluster list"
    } else if (best.2, best.3, best.4) != (other.2, other.3, other.4) {
        "higher address of the neighbour"
    } else {
        "higher path identifier"
    }
}

#[cfg(test)]
mod tests;

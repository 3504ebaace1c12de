//! Adj-RIB-In of one neighbour: all that it announces now, as received, before policy.
//!
//! Also kept while the neighbour restarts (RFC 4724 section 4.2, RFC 9494 section 4.2): a path is then stale until
//! it is announced again or swept. Every method that changes paths returns the keys of those whose verdict may be
//! another one now; `Peer::imported` is to be called with them.
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;
use std::sync::Arc;

use ipnet::IpNet;

use super::intern::{Interner, Octets};
use super::judge::{Neighbor, Rejection};
use crate::attributes::PathAttributes;
use crate::config::{Families, Family};
use crate::wire::{Decoded, Effect};

/// 65535:7 (RFC 9494 section 3.3).
pub(crate) const NO_LLGR: u32 = 0xffff_0007;

/// Prefix and path identifier (RFC 7911); 0 without ADD-PATH.
pub(crate) type PathKey = (IpNet, u32);

/// Paths that a neighbour may have to one prefix: more than anybody shares traffic over, and few enough to compare.
const PATHS_PER_PREFIX: usize = 256;

/// What an UPDATE says of all its prefixes; the attributes by themselves, because tables of results share them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Received {
    pub(crate) attributes: Arc<PathAttributes>,
    pub(crate) next_hop: IpAddr,
    /// RFC 2545 section 3.
    pub(crate) link_local: Option<Ipv6Addr>,
}

impl Octets for PathAttributes {
    fn octets(&self) -> usize {
        PathAttributes::octets(self)
    }
}

impl Octets for Received {
    fn octets(&self) -> usize {
        size_of::<Self>()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stale {
    /// The neighbour restarts, or is sending its table again.
    Restart,
    LongLived,
}

#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) received: Arc<Received>,
    pub(crate) stale: Option<Stale>,
    /// `None` before it was judged, and when it was accepted.
    pub(crate) rejection: Option<Rejection>,
    pub(crate) accepted: bool,
}

/// What an UPDATE has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Updated {
    pub(crate) changed: Vec<PathKey>,
    /// Families that wanted more paths than they may have, altogether or to one prefix; those beyond the limit were ignored.
    pub(crate) beyond: Families,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    paths: usize,
    stale: usize,
    accepted: usize,
}

#[derive(Debug, Default)]
pub(crate) struct AdjRibIn {
    paths: BTreeMap<PathKey, Path>,
    ipv4: Counts,
    ipv6: Counts,
    routes: Interner<Received>,
    pub(super) attributes: Interner<PathAttributes>,
    /// Whom the paths come from; outlives the session, as they do.
    pub(super) neighbor: Option<Arc<Neighbor>>,
}

impl AdjRibIn {
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Paths of the family, stale ones included.
    pub(crate) fn count(&self, family: Family) -> usize {
        self.counts(family).paths
    }

    pub(crate) fn stale(&self, family: Family) -> usize {
        self.counts(family).stale
    }

    pub(crate) fn accepted(&self, family: Family) -> usize {
        self.counts(family).accepted
    }

    /// Of whom the paths come from.
    pub(crate) fn remote_as(&self) -> Option<u32> {
        self.neighbor.as_ref().map(|neighbor| neighbor.asn)
    }

    pub(crate) fn get(&self, key: &PathKey) -> Option<&Path> {
        self.paths.get(key)
    }

    pub(crate) fn keys(&self) -> Vec<PathKey> {
        self.paths.keys().copied().collect()
    }

    pub(super) fn range(
        &self,
        bounds: (Bound<PathKey>, Bound<PathKey>),
    ) -> impl Iterator<Item = (&PathKey, &Path)> {
        self.paths.range(bounds)
    }

    /// Takes over what an UPDATE says. With `limit` paths in a family, no further ones are added to it.
    pub(crate) fn update(&mut self, decoded: &Decoded, limit: u32) -> Updated {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut updated = Updated::default();
        for prefix in decoded.withdrawn() {
            let key = (prefix.prefix, prefix.path_id);
            if self.remove(&key) {
                updated.changed.push(key);
            }
        }
        if decoded.effect() >= Some(Effect::TreatAsWithdraw) {
            return updated;
        }
        let attributes = PathAttributes::from_update(decoded);
        for reachable in decoded.announced_by_next_hop() {
            let received = self.received(&attributes, reachable.next_hop, reachable.link_local);
            for nlri in reachable.nlri {
                self.announce((nlri.prefix, nlri.path_id), &received, limit, &mut updated);
            }
        }
        updated
    }

    /// Everything of the family is stale until it is announced again. What a first restart has made stale stays
    /// so; RFC 4724 section 4.2 wants it swept before.
    pub(crate) fn mark_stale(&mut self, family: Family) {
        let mut marked = 0;
        for path in of_family_mut(&mut self.paths, family) {
            if path.stale.is_none() {
                path.stale = Some(Stale::Restart);
                marked += 1;
            }
        }
        self.counts_mut(family).stale += marked;
    }

    /// Takes `mark_stale` back.
    pub(crate) fn unmark_stale(&mut self, family: Family) {
        let mut unmarked = 0;
        for path in of_family_mut(&mut self.paths, family) {
            if path.stale == Some(Stale::Restart) {
                path.stale = None;
                unmarked += 1;
            }
        }
        self.counts_mut(family).stale -= unmarked;
    }

    /// The restart time is over and stale routes are kept longer (RFC 9494 section 4.2), but for those that ask
    /// not to be.
    pub(crate) fn long_lived(&mut self, family: Family) -> Vec<PathKey> {
        let refuses = |path: &Path| path.received.attributes.communities.contains(&NO_LLGR);
        let mut changed = self.remove_all(family, |path| path.stale.is_some() && refuses(path));
        for (key, path) in of_family(&mut self.paths, family) {
            if path.stale == Some(Stale::Restart) {
                path.stale = Some(Stale::LongLived);
                changed.push(*key);
            }
        }
        changed
    }

    /// The neighbour has told everything (End-of-RIB), or has had its time: what is stale goes.
    pub(crate) fn sweep_stale(&mut self, family: Family) -> Vec<PathKey> {
        if self.counts(family).stale == 0 {
            return Vec::new();
        }
        self.remove_all(family, |path| path.stale.is_some())
    }

    /// One family goes: it is no longer negotiated.
    pub(crate) fn clear_family(&mut self, family: Family) -> Vec<PathKey> {
        self.remove_all(family, |_| true)
    }

    pub(crate) fn clear(&mut self) -> Vec<PathKey> {
        let keys = self.keys();
        self.paths.clear();
        (self.ipv4, self.ipv6) = Default::default();
        (self.routes, self.attributes) = Default::default();
        keys
    }

    /// Notes the verdict on a path that is there.
    pub(super) fn judged(&mut self, key: &PathKey, verdict: Result<(), Rejection>) {
        let Some(path) = self.paths.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut path.accepted, verdict.is_ok());
        path.rejection = verdict.err();
        let after = path.accepted;
        let counts = self.counts_mut(Family::of(&key.0));
        counts.accepted = counts.accepted + usize::from(after) - usize::from(before);
    }

    /// What the attributes of paths take, received ones and what the policy made of them, is more than half of
    /// `octets` even without those that no path has any more. Those may take the other half, so that they are looked
    /// for only after as much has been received anew.
    pub(crate) fn is_heavy(&mut self, octets: usize) -> bool {
        if self.attributes.octets() <= octets {
            return false;
        }
        self.routes.sweep();
        self.attributes.sweep();
        self.attributes.octets() > octets / 2
    }

    fn received(
        &mut self,
        attributes: &PathAttributes,
        next_hop: IpAddr,
        link_local: Option<Ipv6Addr>,
    ) -> Arc<Received> {
        let attributes = self.attributes.intern(attributes.clone());
        self.routes.intern(Received {
            attributes,
            next_hop,
            link_local,
        })
    }

    fn announce(&mut self, key: PathKey, received: &Arc<Received>, limit: usize, updated: &mut Updated) {
        let family = Family::of(&key.0);
        let full = self.counts(family).paths >= limit || self.crowded(&key);
        match self.paths.entry(key) {
            Entry::Vacant(_) if full => {
                updated.beyond.insert(family);
                return;
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Path {
                    received: Arc::clone(received),
                    stale: None,
                    rejection: None,
                    accepted: false,
                });
                self.counts_mut(family).paths += 1;
            }
            Entry::Occupied(mut occupied) => {
                let path = occupied.get_mut();
                let stale = path.stale.take();
                let same = Arc::ptr_eq(&path.received, received) || path.received == *received;
                if !same {
                    path.received = Arc::clone(received);
                }
                self.counts_mut(family).stale -= usize::from(stale.is_some());
                // LLGR_STALE was attached, and has to go.
                if same && stale != Some(Stale::LongLived) {
                    return;
                }
            }
        }
        updated.changed.push(key);
    }

    /// Without ADD-PATH there is one path to a prefix.
    fn crowded(&self, key: &PathKey) -> bool {
        let (prefix, path_id) = *key;
        let paths = || self.paths.range((prefix, 0)..=(prefix, u32::MAX));
        path_id != 0 && paths().take(PATHS_PER_PREFIX).count() == PATHS_PER_PREFIX
    }

    fn remove(&mut self, key: &PathKey) -> bool {
        let Some(path) = self.paths.remove(key) else {
            return false;
        };
        self.uncount(Family::of(&key.0), &path);
        true
    }

    fn remove_all(&mut self, family: Family, condition: impl Fn(&Path) -> bool) -> Vec<PathKey> {
        let keys: Vec<PathKey> = of_family(&mut self.paths, family)
            .filter(|(_, path)| condition(path))
            .map(|(key, _)| *key)
            .collect();
        for key in &keys {
            self.remove(key);
        }
        keys
    }

    fn uncount(&mut self, family: Family, path: &Path) {
        let counts = self.counts_mut(family);
        counts.paths -= 1;
        counts.stale -= usize::from(path.stale.is_some());
        counts.accepted -= usize::from(path.accepted);
    }

    fn counts(&self, family: Family) -> &Counts {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }

    fn counts_mut(&mut self, family: Family) -> &mut Counts {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

fn of_family(
    paths: &mut BTreeMap<PathKey, Path>,
    family: Family,
) -> impl Iterator<Item = (&PathKey, &mut Path)> {
    paths
        .iter_mut()
        .filter(move |((prefix, _), _)| Family::of(prefix) == family)
}

fn of_family_mut(paths: &mut BTreeMap<PathKey, Path>, family: Family) -> impl Iterator<Item = &mut Path> {
    of_family(paths, family).map(|(_, path)| path)
}

#[cfg(test)]
mod tests;

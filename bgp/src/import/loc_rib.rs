//! Loc-RIB: the accepted paths of all neighbours, and what of them the kernel has.
//!
//! Changes only mark prefixes; `settle` decides each marked prefix once and says what has become different. A
//! prefix that this speaker announces itself stays its own: it is never handed to the kernel, and neither is one
//! whose next hop is such a prefix.
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::decision::{self, Decision, Path};
use super::next_hops::NextHops;
use crate::config::PeerId;
use crate::io::{Gateway, Output, RouteChange};

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// In the order of neighbour and path identifier.
    pub(super) paths: Vec<Path>,
    installed: Vec<Gateway>,
}

#[derive(Debug)]
pub(crate) struct LocRib {
    table: BTreeMap<IpNet, Entry>,
    next_hops: NextHops,
    /// What this speaker announces itself.
    own: BTreeSet<IpNet>,
    dirty: BTreeSet<IpNet>,
    multipath: usize,
    closed: bool,
}

impl LocRib {
    pub(crate) fn new(multipath: u8) -> Self {
        LocRib {
            table: BTreeMap::new(),
            next_hops: NextHops::default(),
            own: BTreeSet::new(),
            dirty: BTreeSet::new(),
            multipath: multipath.into(),
            closed: false,
        }
    }

    /// The path of a neighbour to a prefix is this one now.
    pub(super) fn insert(&mut self, prefix: IpNet, path: Path) {
        if self.closed {
            return;
        }
        let (peer, path_id) = path.key();
        let user = (prefix, peer, path_id);
        let entry = self.table.entry(prefix).or_default();
        match entry.paths.binary_search_by_key(&(peer, path_id), Path::key) {
            Ok(index) => {
                let Some(slot) = entry.paths.get_mut(index) else {
                    return;
                };
                if *slot == path {
                    return;
                }
                if slot.gateway != path.gateway {
                    self.next_hops.release(slot.gateway, user);
                    self.next_hops.hold(path.gateway, user);
                }
                *slot = path;
            }
            Err(index) => {
                self.next_hops.hold(path.gateway, user);
                entry.paths.insert(index, path);
            }
        }
        self.dirty.insert(prefix);
    }

    pub(super) fn remove(&mut self, prefix: IpNet, peer: PeerId, path_id: u32) {
        let Some(entry) = self.table.get_mut(&prefix) else {
            return;
        };
        if let Ok(index) = entry.paths.binary_search_by_key(&(peer, path_id), Path::key) {
            let path = entry.paths.remove(index);
            self.next_hops.release(path.gateway, (prefix, peer, path_id));
            self.dirty.insert(prefix);
        }
    }

    /// The whole set of prefixes that this speaker announces, whether it can serve them now or not.
    pub(crate) fn set_own(&mut self, prefixes: impl Iterator<Item = IpNet>) {
        let own: BTreeSet<IpNet> = prefixes.map(|prefix| prefix.trunc()).collect();
        for prefix in own.symmetric_difference(&self.own) {
            if self.table.contains_key(prefix) {
                self.dirty.insert(*prefix);
            }
            let gateway = Gateway {
                address: prefix.addr(),
                scope: 0,
            };
            if prefix.prefix_len() == prefix.max_prefix_len() {
                self.dirty.extend(self.next_hops.users(&gateway));
            }
        }
        self.own = own;
    }

    pub(crate) fn next_hop(&mut self, gateway: &Gateway, metric: Option<u32>) {
        if self.next_hops.answer(gateway, metric) {
            self.dirty.extend(self.next_hops.users(gateway));
        }
    }

    /// Everything leaves the kernel, and nothing comes any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for (prefix, entry) in &mut self.table {
            for path in entry.paths.drain(..) {
                let (peer, path_id) = path.key();
                self.next_hops.release(path.gateway, (*prefix, peer, path_id));
            }
            self.dirty.insert(*prefix);
        }
    }

    /// To be called once after every input: one output for all that it has changed.
    pub(crate) fn settle(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut changes = Vec::new();
        for prefix in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.table.get(&prefix) else {
                continue;
            };
            let next_hops = self.decide(&prefix, entry).gateways;
            let Some(entry) = self.table.get_mut(&prefix) else {
                continue;
            };
            if entry.installed != next_hops {
                entry.installed.clone_from(&next_hops);
                changes.push(RouteChange { prefix, next_hops });
            }
            if entry.paths.is_empty() {
                self.table.remove(&prefix);
            }
        }
        if !changes.is_empty() {
            outputs.push(Output::Routes(changes));
        }
        self.next_hops.settle(&mut outputs);
        outputs
    }

    pub(super) fn decide(&self, prefix: &IpNet, entry: &Entry) -> Decision {
        if self.own.contains(prefix) {
            return Decision {
                reasons: vec![Some("announced by this speaker itself"); entry.paths.len()],
                gateways: Vec::new(),
            };
        }
        let cost = |path: &Path| {
            let own = self.own.contains(&IpNet::from(path.gateway.address));
            self.next_hops.metric(&path.gateway).filter(|_| !own)
        };
        decision::decide(&entry.paths, cost, self.multipath)
    }

    pub(super) fn table(&self) -> &BTreeMap<IpNet, Entry> {
        &self.table
    }
}

//! How far the next hops of the paths are, as far as it is known, and which prefixes use which.
//!
//! A next hop is asked for while a path has it (`Output::TrackNextHop`) and is taken as unreachable until the answer
//! comes. Changes within one input meet before anything is said, so a path that is withdrawn and announced again
//! asks nothing.
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::config::PeerId;
use crate::io::{Gateway, Output};

/// A path: its prefix, its neighbour, its identifier.
pub(crate) type User = (IpNet, PeerId, u32);

#[derive(Debug, Default)]
struct Tracked {
    metric: Option<u32>,
    users: BTreeSet<User>,
    asked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct NextHops {
    table: BTreeMap<Gateway, Tracked>,
    /// Those whose first user has come or whose last one has gone since the last time.
    touched: BTreeSet<Gateway>,
}

impl NextHops {
    pub(crate) fn metric(&self, gateway: &Gateway) -> Option<u32> {
        self.table.get(gateway)?.metric
    }

    pub(crate) fn hold(&mut self, gateway: Gateway, user: User) {
        let tracked = self.table.entry(gateway).or_default();
        if tracked.users.is_empty() {
            self.touched.insert(gateway);
        }
        tracked.users.insert(user);
    }

    pub(crate) fn release(&mut self, gateway: Gateway, user: User) {
        if let Some(tracked) = self.table.get_mut(&gateway) {
            tracked.users.remove(&user);
            if tracked.users.is_empty() {
                self.touched.insert(gateway);
            }
        }
    }

    pub(crate) fn users(&self, gateway: &Gateway) -> impl Iterator<Item = IpNet> {
        self.table
            .get(gateway)
            .into_iter()
            .flat_map(|tracked| tracked.users.iter().map(|(prefix, _, _)| *prefix))
    }

    /// Whether the answer is a new one.
    pub(crate) fn answer(&mut self, gateway: &Gateway, metric: Option<u32>) -> bool {
        match self.table.get_mut(gateway) {
            Some(tracked) => std::mem::replace(&mut tracked.metric, metric) != metric,
            None => false,
        }
    }

    pub(crate) fn settle(&mut self, outputs: &mut Vec<Output>) {
        for gateway in std::mem::take(&mut self.touched) {
            let Gateway { address, scope } = gateway;
            let Some(tracked) = self.table.get_mut(&gateway) else {
                continue;
            };
            let used = !tracked.users.is_empty();
            let asked = std::mem::replace(&mut tracked.asked, used);
            if used && !asked {
                outputs.push(Output::TrackNextHop { address, scope });
            }
            if !used {
                self.table.remove(&gateway);
                if asked {
                    outputs.push(Output::UntrackNextHop { address, scope });
                }
            }
        }
    }
}

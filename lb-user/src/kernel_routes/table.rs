//! What is desired, what the kernel has, and why they differ. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bgp::Gateway;
use ipnet::IpNet;

use super::next_hops::{NextHop, NextHops};
use super::plan::{Actual, Operation, done, plan};
use super::requests::Refusal;
use super::route::{Observed, Ways};
use super::status::{RouteProblem, Status};

/// Problems that the status lists.
const PROBLEMS: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Table {
    metric: u32,
    desired: BTreeMap<IpNet, Vec<Gateway>>,
    actual: Actual,
    /// Of an earlier daemon, and not announced again so far.
    inherited: BTreeSet<IpNet>,
    /// Routes of others with our metric: replacing ours might hit theirs.
    rivals: BTreeMap<IpNet, u8>,
    /// Routes of others with a better metric: ours is there, and not used.
    better: BTreeMap<IpNet, (u8, u32)>,
    refused: BTreeMap<IpNet, String>,
}

/// The kernel's table, as it is read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    actual: Actual,
    rivals: BTreeMap<IpNet, u8>,
    better: BTreeMap<IpNet, (u8, u32)>,
}

impl Table {
    pub(super) fn new(metric: u32) -> Self {
        Self {
            metric,
            ..Self::default()
        }
    }

    pub(super) fn metric(&self) -> u32 {
        self.metric
    }

    pub(super) fn desire(&mut self, prefix: IpNet, next_hops: Vec<Gateway>) {
        self.inherited.remove(&prefix);
        self.refused.remove(&prefix);
        if next_hops.is_empty() {
            self.desired.remove(&prefix);
        } else {
            self.desired.insert(prefix, next_hops);
        }
    }

    pub(super) fn desires(&self, prefix: &IpNet) -> bool {
        self.desired.contains_key(prefix)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.desired.is_empty() && self.actual.is_empty()
    }

    /// The next hops of all desired routes.
    pub(super) fn next_hops(&self) -> impl Iterator<Item = NextHop> {
        self.desired
            .values()
            .flatten()
            .map(|gateway| (gateway.address, gateway.scope))
    }

    /// One route of the kernel's.
    pub(super) fn look(&self, route: &Observed, reading: &mut Reading) {
        let at = route.prefix;
        if route.is_ours() {
            let routes = reading.actual.entry(at).or_default();
            // IPv6 may tell next hops one by one.
            routes.entry(route.metric).or_default().extend(&route.ways);
        } else if self.desires(&at) && route.metric == self.metric {
            reading.rivals.insert(at, route.protocol);
        } else if self.desires(&at) && route.metric < self.metric {
            reading.better.insert(at, (route.protocol, route.metric));
        }
    }

    /// The reading is true now. Returns how many of our routes have gone without our doing.
    pub(super) fn believe(&mut self, reading: Reading) -> usize {
        let gone = self
            .actual
            .keys()
            .filter(|prefix| self.desires(prefix) && !reading.actual.contains_key(*prefix))
            .count();
        self.actual = reading.actual;
        self.rivals = reading.rivals;
        self.better = reading.better;
        // What was refused is tried again.
        self.refused.clear();
        gone
    }

    /// All that is there and not desired is of an earlier daemon.
    pub(super) fn inherit(&mut self) {
        let strange = |prefix: &&IpNet| !self.desires(prefix);
        self.inherited = self.actual.keys().filter(strange).copied().collect();
    }

    /// The time of the inherited routes is over.
    pub(super) fn disown(&mut self) -> BTreeSet<IpNet> {
        std::mem::take(&mut self.inherited)
    }

    pub(super) fn clear(&mut self) {
        self.desired.clear();
        self.inherited.clear();
        self.refused.clear();
    }

    pub(super) fn everything(&self) -> BTreeSet<IpNet> {
        self.desired.keys().chain(self.actual.keys()).copied().collect()
    }

    /// What has to be done for these prefixes.
    pub(super) fn plan(&self, prefixes: BTreeSet<IpNet>, next_hops: &NextHops) -> Vec<Operation> {
        let ours = prefixes
            .into_iter()
            .filter(|prefix| !self.inherited.contains(prefix) && !self.refused.contains_key(prefix));
        plan(
            ours,
            self.metric,
            |prefix| self.wanted(prefix, next_hops),
            &self.actual,
        )
    }

    /// The ways that a prefix should have; none if it cannot be installed.
    fn wanted(&self, prefix: &IpNet, next_hops: &NextHops) -> Ways {
        let Some(gateways) = self.desired.get(prefix) else {
            return Ways::new();
        };
        if self.rivals.contains_key(prefix) {
            return Ways::new();
        }
        let usable = |gateway: &&Gateway| prefix.addr().is_ipv4() || gateway.address.is_ipv6();
        gateways
            .iter()
            .filter(usable)
            .filter_map(|gateway| next_hops.resolution(&(gateway.address, gateway.scope)))
            .flat_map(|resolution| resolution.ways.iter().copied())
            .collect()
    }

    /// What became of an operation. Returns whether the kernel has something else than was thought.
    pub(super) fn outcome(&mut self, operation: &Operation, result: Result<(), Refusal>) -> bool {
        let prefix = operation.prefix();
        let Err(refusal) = result else {
            done(operation, self.metric, &mut self.actual);
            return false;
        };
        let surprise = match operation {
            Operation::Remove { .. } if refusal.errno == libc::ESRCH => {
                done(operation, self.metric, &mut self.actual);
                return false;
            }
            Operation::Create { .. } => refusal.errno == libc::EEXIST,
            Operation::Replace { .. } | Operation::Remove { .. } => true,
        };
        self.refused.insert(prefix, refusal.reason);
        surprise
    }

    pub(super) fn has_refusals(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Why a desired route is not in the kernel, or has no effect there.
    fn problem(&self, prefix: &IpNet, next_hops: &NextHops) -> Option<String> {
        if let Some(reason) = self.refused.get(prefix) {
            return Some(format!("the kernel refuses it: {reason}"));
        }
        if let Some(protocol) = self.rivals.get(prefix) {
            return Some(format!(
                "there is a route of protocol {protocol} with the same metric {}",
                self.metric
            ));
        }
        if self.wanted(prefix, next_hops).is_empty() {
            let gateways = self.desired.get(prefix)?;
            if prefix.addr().is_ipv6() && gateways.iter().all(|gateway| gateway.address.is_ipv4()) {
                return Some("an IPv6 route cannot have an IPv4 next hop".to_owned());
            }
            let names: Vec<String> = gateways
                .iter()
                .map(|gateway| gateway.address.to_string())
                .collect();
            return Some(format!("no way to the next hop {}", names.join(", ")));
        }
        let (protocol, metric) = self.better.get(prefix)?;
        Some(format!(
            "not used: a route of protocol {protocol} has the better metric {metric}"
        ))
    }

    pub(super) fn status(&self, next_hops: &NextHops) -> Status {
        let installed = |prefix: &&IpNet| {
            let present = self
                .actual
                .get(*prefix)
                .and_then(|routes| routes.get(&self.metric));
            present.is_some_and(|ways| *ways == self.wanted(prefix, next_hops))
        };
        let installed = self.desired.keys().filter(installed).count();
        let problems = self.desired.keys().filter_map(|prefix| {
            let reason = self.problem(prefix, next_hops)?;
            Some(RouteProblem {
                prefix: *prefix,
                reason,
            })
        });
        Status {
            installed,
            missing: self.desired.len() - installed,
            inherited: self.inherited.len(),
            problems: problems.take(PROBLEMS).collect(),
        }
    }
}

#[cfg(test)]
mod tests;

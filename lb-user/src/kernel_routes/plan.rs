//! The difference between what should be in the kernel and what is. Pure.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::route::Ways;

/// Routes of ours in the kernel, by prefix and metric. There is one for each prefix, unless an earlier version of the
/// daemon, with another metric, has left one.
pub(super) type Actual = BTreeMap<IpNet, BTreeMap<u32, Ways>>;

/// One request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Refused by the kernel when there is one with this prefix and metric, whoever's it is.
    Create {
        prefix: IpNet,
        ways: Ways,
    },
    /// At once: at no time is there none.
    Replace {
        prefix: IpNet,
        ways: Ways,
    },
    Remove {
        prefix: IpNet,
        metric: u32,
    },
}

impl Operation {
    pub(super) fn prefix(&self) -> IpNet {
        match self {
            Operation::Create { prefix, .. }
            | Operation::Replace { prefix, .. }
            | Operation::Remove { prefix, .. } => *prefix,
        }
    }
}

/// What has to be done for these prefixes; `wanted` says what each of them should have, nothing being no route.
/// Removals come last, so that a route that makes way for another one covers until that is there.
pub(super) fn plan(
    prefixes: impl IntoIterator<Item = IpNet>,
    metric: u32,
    wanted: impl Fn(&IpNet) -> Ways,
    actual: &Actual,
) -> Vec<Operation> {
    let nothing = BTreeMap::new();
    let (mut operations, mut removals) = (Vec::new(), Vec::new());
    for prefix in prefixes {
        let ways = wanted(&prefix);
        let present = actual.get(&prefix).unwrap_or(&nothing);
        let current = present.get(&metric);
        let superfluous = |at: &u32| ways.is_empty() || *at != metric;
        removals.extend(
            present
                .keys()
                .copied()
                .filter(superfluous)
                .map(|metric| Operation::Remove { prefix, metric }),
        );
        match current {
            _ if ways.is_empty() => {}
            None => operations.push(Operation::Create { prefix, ways }),
            Some(current) if *current != ways => operations.push(Operation::Replace { prefix, ways }),
            Some(_) => {}
        }
    }
    operations.append(&mut removals);
    operations
}

/// What the kernel has after it has done this.
pub(super) fn done(operation: &Operation, metric: u32, actual: &mut Actual) {
    match operation {
        Operation::Create { prefix, ways } | Operation::Replace { prefix, ways } => {
            actual.entry(*prefix).or_default().insert(metric, ways.clone());
        }
        Operation::Remove { prefix, metric } => {
            if let Some(present) = actual.get_mut(prefix) {
                present.remove(metric);
                if present.is_empty() {
                    actual.remove(prefix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! What is told about the routes.

use ipnet::IpNet;

/// Counts, and the prefixes that need an operator's eye.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Routes that the kernel has as they are desired.
    pub installed: usize,
    /// Desired, and not in the kernel.
    pub missing: usize,
    /// Of an earlier daemon, not yet announced again; removed after the grace.
    pub inherited: usize,
    /// The first of them, by prefix.
    pub problems: Vec<RouteProblem>,
}

/// Why a desired route is not in the kernel, or is there without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteProblem {
    pub prefix: IpNet,
    /// For people.
    pub reason: String,
}

//! Adj-RIB-In of one neighbour: what it announces now, before policy.
use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::wire::Decoded;

/// Prefixes of a neighbour that are told apart for the count; further ones are not counted.
const LIMIT: usize = 65_536;

#[derive(Debug, Default)]
pub(crate) struct AdjRibIn {
    prefixes: BTreeSet<IpNet>,
}

impl AdjRibIn {
    pub(crate) fn len(&self) -> usize {
        self.prefixes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.prefixes.clear();
    }

    pub(crate) fn update(&mut self, decoded: &Decoded) {
        for prefix in decoded.withdrawn() {
            self.prefixes.remove(prefix);
        }
        for prefix in decoded.announced() {
            if self.prefixes.len() < LIMIT {
                self.prefixes.insert(*prefix);
            }
        }
    }
}

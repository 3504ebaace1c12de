//! All that neighbours of one kind are told: a route for each cell.
//!
//! An Adj-RIB-Out (RFC 4271 section 3.2) is a reference to one of these, shared by the neighbours that are told
//! the same; what a change takes is the difference between two of them.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use ipnet::IpNet;

use super::audience::{Audience, Route};
use super::partition::{Cell, Partition};
use crate::config::Ladders;
use crate::ladder::Roles;

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) partition: Arc<Partition>,
    /// As many as the partition has cells.
    routes: Vec<Option<Arc<Route>>>,
}

impl Table {
    pub(crate) fn new(
        partition: Arc<Partition>,
        roles: &Roles,
        ladders: &Ladders,
        audience: &Audience,
    ) -> Self {
        // Equal routes are one allocation, however many cells have them.
        let mut known: BTreeSet<Arc<Route>> = BTreeSet::new();
        let route = |cell: &Cell| {
            let (preference, claim) = partition.class(cell)?.winner(roles)?;
            let route = audience.route(ladders, preference, claim, cell.list.iter().next()?)?;
            match known.get(&route) {
                Some(known) => Some(Arc::clone(known)),
                None => {
                    let route = Arc::new(route);
                    known.insert(Arc::clone(&route));
                    Some(route)
                }
            }
        };
        let routes = partition.cells.iter().map(route).collect();
        Table { partition, routes }
    }

    /// Every cell, with its route when it has one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Cell, Option<&Arc<Route>>)> {
        self.partition
            .cells
            .iter()
            .zip(self.routes.iter().map(Option::as_ref))
    }

    pub(crate) fn announced(&self) -> impl Iterator<Item = (&Cell, &Arc<Route>)> {
        self.rows().filter_map(|(cell, route)| Some((cell, route?)))
    }

    /// What is announced from `first` on, in the order of the prefixes. Each cell is entered there, and read as far as
    /// it is asked for.
    pub(crate) fn from(&self, first: Bound<IpNet>) -> impl Iterator<Item = (IpNet, &Arc<Route>)> {
        // No prefix is in two cells.
        let mut heads = BTreeMap::new();
        for (cell, route) in self.announced() {
            let mut rest = cell.list.from(first);
            if let Some(prefix) = rest.next() {
                heads.insert(prefix, (route, rest));
            }
        }
        std::iter::from_fn(move || {
            let (prefix, (route, mut rest)) = heads.pop_first()?;
            if let Some(next) = rest.next() {
                heads.insert(next, (route, rest));
            }
            Some((prefix, route))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.announced().map(|(cell, _)| cell.list.len()).sum()
    }
}

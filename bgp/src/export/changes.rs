//! The difference between what a neighbour has been told and what it should be told.
//!
//! It runs over the union of both sides, so that nothing stays announced by oversight, and comes grouped by equal
//! attributes, so that a role swap is one set of attributes. Between two tables of the same partition it is a
//! matter of cells, which are handed on as they are; otherwise of prefixes.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::audience::Route;
use super::prefix_list::PrefixList;
use super::table::Table;
use crate::config::Family;

/// What to send, in this order.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) announce: BTreeMap<(Family, Arc<Route>), Vec<Arc<PrefixList>>>,
    pub(crate) withdraw: BTreeMap<Family, Vec<Arc<PrefixList>>>,
}

impl Changes {
    /// From `told` to `wanted`; nothing has been told at first.
    pub(crate) fn between(told: Option<&Arc<Table>>, wanted: &Arc<Table>) -> Self {
        match told {
            None => Changes::everything(wanted, None),
            Some(told) if Arc::ptr_eq(told, wanted) => Changes::default(),
            Some(told) if Arc::ptr_eq(&told.partition, &wanted.partition) => Changes::by_cell(told, wanted),
            Some(told) => Changes::by_prefix(told, wanted),
        }
    }

    /// All of a table again, or of one family of it (RFC 2918 section 4).
    pub(crate) fn everything(table: &Table, family: Option<Family>) -> Self {
        let mut changes = Changes::default();
        for (cell, route) in table.announced() {
            if family.is_none_or(|family| family == cell.list.family()) {
                changes.announce(route, Arc::clone(&cell.list));
            }
        }
        changes
    }

    /// These of one family, and those of the other changes that it does not cover.
    pub(crate) fn and_others(mut self, others: &Changes, family: Family) -> Self {
        for (group, lists) in others.announce.iter().filter(|(group, _)| group.0 != family) {
            self.announce.insert(group.clone(), lists.clone());
        }
        self.withdraw.clone_from(&others.withdraw);
        self
    }

    fn by_cell(told: &Table, wanted: &Table) -> Self {
        let mut changes = Changes::default();
        for ((cell, old), (_, new)) in told.rows().zip(wanted.rows()) {
            match (old, new) {
                (old, new) if old == new => {}
                (_, Some(route)) => changes.announce(route, Arc::clone(&cell.list)),
                (_, None) => changes.withdraw(Arc::clone(&cell.list)),
            }
        }
        changes
    }

    fn by_prefix(told: &Table, wanted: &Table) -> Self {
        let (old, new) = (flat(told), flat(wanted));
        let mut announce: BTreeMap<(Family, &Arc<Route>), PrefixList> = BTreeMap::new();
        let mut withdraw: BTreeMap<Family, PrefixList> = BTreeMap::new();
        let mut old = old.into_iter().peekable();
        let mut gone = |prefix: &IpNet| {
            let family = Family::of(prefix);
            let list = withdraw.entry(family).or_insert_with(|| PrefixList::new(family));
            list.push(prefix);
        };
        for (prefix, route) in new {
            while let Some((absent, _)) = old.next_if(|(known, _)| *known < prefix) {
                gone(&absent);
            }
            let known = old.next_if(|(known, _)| *known == prefix);
            if known.is_none_or(|(_, known)| known != route) {
                let family = Family::of(&prefix);
                let list = announce
                    .entry((family, route))
                    .or_insert_with(|| PrefixList::new(family));
                list.push(&prefix);
            }
        }
        old.for_each(|(absent, _)| gone(&absent));
        let mut changes = Changes::default();
        for ((_, route), list) in announce {
            changes.announce(route, Arc::new(list));
        }
        withdraw
            .into_values()
            .for_each(|list| changes.withdraw(Arc::new(list)));
        changes
    }

    fn announce(&mut self, route: &Arc<Route>, list: Arc<PrefixList>) {
        let group = (list.family(), Arc::clone(route));
        self.announce.entry(group).or_default().push(list);
    }

    fn withdraw(&mut self, list: Arc<PrefixList>) {
        self.withdraw.entry(list.family()).or_default().push(list);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.announce.is_empty() && self.withdraw.is_empty()
    }

    pub(crate) fn announced(&self) -> usize {
        count(self.announce.values().flatten())
    }

    pub(crate) fn withdrawn(&self) -> usize {
        count(self.withdraw.values().flatten())
    }

    /// For people: each set of attributes with its first prefix and their number.
    pub(crate) fn summary(&self) -> String {
        let announced = self
            .announce
            .iter()
            .map(|((_, route), lists)| format!("{}: {}", named(lists), route.attributes));
        let withdrawn = self
            .withdraw
            .values()
            .map(|lists| format!("withdraw {}", named(lists)));
        let total = self.announce.len() + self.withdraw.len();
        let mut parts: Vec<String> = announced.chain(withdrawn).take(MAX_SUMMARY).collect();
        if total > parts.len() {
            parts.push(format!("and {} more", total - parts.len()));
        }
        parts.join("; ")
    }
}

/// Sets of attributes that a summary names.
const MAX_SUMMARY: usize = 8;

fn count<'a>(lists: impl Iterator<Item = &'a Arc<PrefixList>>) -> usize {
    lists.map(|list| list.len()).sum()
}

fn named(lists: &[Arc<PrefixList>]) -> String {
    let first = lists.iter().find_map(|list| list.iter().next());
    match (first, count(lists.iter())) {
        (None, _) => String::new(),
        (Some(only), 1) => only.to_string(),
        (Some(first), count) => format!("{first} and {} more", count - 1),
    }
}

/// In the order of the prefixes. Cells are in order already, which the sort makes use of.
fn flat(table: &Table) -> Vec<(IpNet, &Arc<Route>)> {
    let mut rows = Vec::with_capacity(table.len());
    for (cell, route) in table.announced() {
        rows.extend(cell.list.iter().map(|prefix| (prefix, route)));
    }
    rows.sort_by_key(|(prefix, _)| *prefix);
    rows
}

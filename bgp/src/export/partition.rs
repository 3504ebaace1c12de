//! Classes cut into cells whose prefixes an export policy cannot tell apart.
//!
//! Of all that a policy looks at, only the prefix differs inside a class. Prefixes that the same prefix lists of
//! the policy contain share a cell, and what the policy says of one of them it says of all. The cut depends on
//! the announcements and on those lists, not on roles, so a change of a role finds it done.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::classes::Class;
use super::prefix_list::PrefixList;
use crate::policy::{Policy, PrefixMatch};

#[derive(Debug)]
pub(crate) struct Cell {
    /// Index into `Partition::classes`.
    class: usize,
    pub(crate) list: Arc<PrefixList>,
}

#[derive(Debug)]
pub(crate) struct Partition {
    classes: Arc<Vec<Class>>,
    lists: Vec<Vec<PrefixMatch>>,
    pub(crate) cells: Vec<Cell>,
}

/// Those of the rules that look at the prefix.
pub(crate) fn prefix_lists(policy: Option<&Policy>) -> Vec<Vec<PrefixMatch>> {
    let rules = policy.into_iter().flat_map(|policy| &policy.rules);
    rules
        .map(|rule| rule.matches.prefixes.clone())
        .filter(|list| !list.is_empty())
        .collect()
}

impl Partition {
    pub(crate) fn new(classes: Arc<Vec<Class>>, lists: Vec<Vec<PrefixMatch>>) -> Self {
        let mut cells = Vec::new();
        for (class, list) in classes
            .iter()
            .enumerate()
            .flat_map(|(index, class)| class.lists.iter().map(move |list| (index, list)))
        {
            let parts = cut(list, &lists).into_iter();
            cells.extend(parts.map(|list| Cell { class, list }));
        }
        Partition {
            classes,
            lists,
            cells,
        }
    }

    pub(crate) fn is(&self, classes: &Arc<Vec<Class>>, lists: &[Vec<PrefixMatch>]) -> bool {
        Arc::ptr_eq(&self.classes, classes) && self.lists == lists
    }

    pub(crate) fn class(&self, cell: &Cell) -> Option<&Class> {
        self.classes.get(cell.class)
    }
}

fn cut(whole: &Arc<PrefixList>, lists: &[Vec<PrefixMatch>]) -> Vec<Arc<PrefixList>> {
    if lists.is_empty() {
        return vec![Arc::clone(whole)];
    }
    let mut parts: BTreeMap<Vec<bool>, PrefixList> = BTreeMap::new();
    let mut inside = Vec::new();
    for prefix in whole.iter() {
        inside.clear();
        inside.extend(
            lists
                .iter()
                .map(|list| list.iter().any(|entry| entry.holds(&prefix))),
        );
        match parts.get_mut(inside.as_slice()) {
            Some(part) => part.push(&prefix),
            None => {
                let mut part = PrefixList::new(whole.family());
                part.push(&prefix);
                parts.insert(inside.clone(), part);
            }
        }
    }
    parts.into_values().map(Arc::new).collect()
}

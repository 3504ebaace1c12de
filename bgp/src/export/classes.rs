//! What this node originates, by classes: prefixes that the same services ask for on the same terms.
//!
//! A change of a role is then a matter of a few classes, however many prefixes they have.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::prefix_list::PrefixList;
use crate::config::Family;
use crate::ladder::{Announcement, Overrides, Preference, Roles};

/// That an instance announces a prefix, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) instance: u32,
    pub(crate) overrides: Option<Arc<Overrides>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// In the order of the instances.
    pub(crate) claims: Vec<Claim>,
    /// One for each family that is there.
    pub(crate) lists: Vec<Arc<PrefixList>>,
}

impl Class {
    /// The instance that this node wants most decides; of equal ones, the first.
    pub(crate) fn winner(&self, roles: &Roles) -> Option<(Preference, &Claim)> {
        let candidates = self.claims.iter().map(|claim| {
            let preference = roles.get(&claim.instance).copied();
            (preference.unwrap_or(Preference::Withdrawn), claim)
        });
        // The first of several minima.
        candidates.min_by_key(|(preference, _)| *preference)
    }
}

/// Of two announcements of a prefix for one instance the first one counts.
pub(crate) fn classes(announcements: &[Announcement]) -> Vec<Class> {
    let mut rows: Vec<(IpNet, u32, usize)> = announcements
        .iter()
        .enumerate()
        .filter(|(_, announcement)| announcement.healthy)
        .map(|(index, announcement)| (announcement.prefix.trunc(), announcement.instance, index))
        .collect();
    rows.sort_unstable();
    rows.dedup_by_key(|(prefix, instance, _)| (*prefix, *instance));

    let mut terms = Terms::default();
    let mut classes: BTreeMap<Vec<(u32, usize)>, [PrefixList; 2]> = BTreeMap::new();
    let mut key = Vec::new();
    for claims in rows.chunk_by(|one, other| one.0 == other.0) {
        let Some((prefix, _, _)) = claims.first() else {
            continue;
        };
        key.clear();
        key.extend(claims.iter().map(|(_, instance, index)| {
            let announcement = announcements.get(*index);
            let overrides = announcement.and_then(|announcement| announcement.overrides.as_ref());
            (*instance, terms.number(overrides))
        }));
        let [ipv4, ipv6] = match classes.get_mut(key.as_slice()) {
            Some(lists) => lists,
            None => classes
                .entry(key.clone())
                .or_insert_with(|| Family::ALL.map(PrefixList::new)),
        };
        match prefix {
            IpNet::V4(_) => ipv4.push(prefix),
            IpNet::V6(_) => ipv6.push(prefix),
        }
    }
    classes
        .into_iter()
        .map(|(key, lists)| terms.class(&key, lists))
        .collect()
}

/// Equal overrides have one number and one copy; none is number 0.
#[derive(Default)]
struct Terms<'a> {
    numbers: BTreeMap<&'a Overrides, usize>,
    copies: Vec<Arc<Overrides>>,
}

impl<'a> Terms<'a> {
    fn number(&mut self, overrides: Option<&'a Overrides>) -> usize {
        let Some(overrides) = overrides.filter(|overrides| **overrides != Overrides::default()) else {
            return 0;
        };
        *self.numbers.entry(overrides).or_insert_with(|| {
            self.copies.push(Arc::new(overrides.clone()));
            self.copies.len()
        })
    }

    fn class(&self, key: &[(u32, usize)], lists: [PrefixList; 2]) -> Class {
        let claim = |(instance, number): &(u32, usize)| Claim {
            instance: *instance,
            overrides: number
                .checked_sub(1)
                .and_then(|index| self.copies.get(index))
                .cloned(),
        };
        Class {
            claims: key.iter().map(claim).collect(),
            lists: lists
                .into_iter()
                .filter(|list| !list.is_empty())
                .map(Arc::new)
                .collect(),
        }
    }
}

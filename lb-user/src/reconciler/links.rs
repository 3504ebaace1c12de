//! Interfaces by name, and whether one is still the same.

use std::collections::{BTreeMap, BTreeSet};

use nix::net::if_::if_nametoindex;

/// The index that each interface had when it was last looked at.
pub(super) struct Links {
    known: BTreeMap<String, u32>,
    index: fn(&str) -> Option<u32>,
}

impl Links {
    /// Those of this network namespace.
    pub(super) fn of_the_kernel() -> Self {
        Links {
            known: BTreeMap::new(),
            index: |name| if_nametoindex(name).ok(),
        }
    }

    /// Those of `names` that were made anew since the last look. One that is gone may come again.
    pub(super) fn renewed<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let mut renewed = BTreeSet::new();
        let mut known = BTreeMap::new();
        for name in names {
            let before = self.known.get(name).copied();
            let now = (self.index)(name);
            if let (Some(before), Some(now)) = (before, now)
                && before != now
            {
                renewed.insert(name.to_owned());
            }
            if let Some(index) = now.or(before) {
                known.insert(name.to_owned(), index);
            }
        }
        self.known = known;
        renewed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_was_made_anew_is_noticed_once() {
        let mut links = Links {
            known: BTreeMap::new(),
            index: |_| Some(3),
        };
        let mut look = |index: fn(&str) -> Option<u32>| {
            links.index = index;
            links.renewed(["eth1", "eth1"].into_iter()).len()
        };
        assert_eq!(look(|_| Some(3)), 0, "seen for the first time");
        assert_eq!(look(|_| Some(3)), 0);
        assert_eq!(look(|_| None), 0, "gone");
        assert_eq!(look(|_| Some(4)), 1, "made anew");
        assert_eq!(look(|_| Some(4)), 0);
    }
}

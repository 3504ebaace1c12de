//! Equal values once: thousands of prefixes of a neighbour share a few sets of attributes.
use std::collections::BTreeSet;
use std::sync::Arc;

/// Values that nobody else holds any more are forgotten before the set grows beyond twice what was in use, so it
/// is bounded by what the tables hold.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    values: BTreeSet<Arc<T>>,
    sweep_at: usize,
}

/// Not worth a sweep below this.
const SMALL: usize = 64;

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner {
            values: BTreeSet::new(),
            sweep_at: SMALL,
        }
    }
}

impl<T: Ord> Interner<T> {
    pub(crate) fn intern(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return Arc::clone(known);
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = (self.values.len() * 2).max(SMALL);
        }
        let value = Arc::new(value);
        self.values.insert(Arc::clone(&value));
        value
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_the_unused_are_forgotten() {
        let mut interner = Interner::default();
        let held: Vec<Arc<u32>> = (0..100).map(|value| interner.intern(value)).collect();
        assert!(Arc::ptr_eq(&held[7], &interner.intern(7)));
        for value in 100..100_000 {
            interner.intern(value);
        }
        assert!(interner.len() <= 200, "{} values for 100 in use", interner.len());
        assert!(
            held.iter()
                .all(|value| Arc::ptr_eq(value, &interner.intern(**value)))
        );
    }
}

//! Equal values once: thousands of prefixes of a neighbour share a few sets of attributes.
use std::collections::BTreeSet;
use std::sync::Arc;

/// Values that nobody else holds any more are forgotten before the set grows beyond twice what was in use, so it
/// is bounded by what the tables hold.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    values: BTreeSet<Arc<T>>,
    sweep_at: usize,
    /// What the values take, those included that nobody uses any more.
    octets: usize,
}

/// What a value takes in memory, with all that it owns.
pub(crate) trait Octets {
    fn octets(&self) -> usize;
}

/// Not worth a sweep below this.
const SMALL: usize = 64;

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner {
            values: BTreeSet::new(),
            sweep_at: SMALL,
            octets: 0,
        }
    }
}

impl<T: Ord + Octets> Interner<T> {
    pub(crate) fn intern(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return Arc::clone(known);
        }
        if self.values.len() >= self.sweep_at {
            self.sweep();
        }
        self.octets += value.octets();
        let value = Arc::new(value);
        self.values.insert(Arc::clone(&value));
        value
    }

    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Forgets what nobody uses.
    pub(crate) fn sweep(&mut self) {
        let octets = &mut self.octets;
        self.values.retain(|value| {
            let used = Arc::strong_count(value) > 1;
            if !used {
                *octets = octets.saturating_sub(value.octets());
            }
            used
        });
        self.sweep_at = (self.values.len() * 2).max(SMALL);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Octets for u32 {
        fn octets(&self) -> usize {
            4
        }
    }

    #[test]
    fn octets_are_those_of_different_values() {
        let mut interner = Interner::default();
        let held: Vec<Arc<u32>> = (0..30).map(|value| interner.intern(value % 10)).collect();
        assert_eq!(interner.octets(), 40);
        drop(held.into_iter().skip(1).step_by(10).collect::<Vec<_>>());
        interner.intern(1);
        assert_eq!(interner.octets(), 40, "not swept yet");
        interner.sweep();
        assert_eq!((interner.octets(), interner.len()), (0, 0));
    }

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

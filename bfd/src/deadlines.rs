//! When each session wants to be looked at. Memory is taken when a session is added, never later.
//!
//! A thousand deadlines side by side are searched faster than a tree of them is rebalanced, and without allocation.

use std::time::Instant;

use crate::SessionId;

/// The place of a session; its own until it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// `None`: free, or nothing is due.
    due: Vec<Option<Instant>>,
    owners: Vec<Option<SessionId>>,
}

impl Deadlines {
    pub(crate) fn claim(&mut self, session: SessionId) -> Slot {
        let free = self.owners.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.due.push(None);
            self.owners.push(None);
            self.owners.len() - 1
        });
        if let Some(owner) = self.owners.get_mut(index) {
            *owner = Some(session);
        }
        Slot(index)
    }

    pub(crate) fn release(&mut self, slot: Slot) {
        self.set(slot, None);
        if let Some(owner) = self.owners.get_mut(slot.0) {
            *owner = None;
        }
    }

    pub(crate) fn set(&mut self, slot: Slot, deadline: Option<Instant>) {
        if let Some(due) = self.due.get_mut(slot.0) {
            *due = deadline;
        }
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }

    /// The next session, from `from` on, that is due by `until`, and where to go on.
    pub(crate) fn due(&self, from: usize, until: Instant) -> Option<(SessionId, usize)> {
        let slots = self.due.iter().zip(&self.owners).enumerate().skip(from);
        slots
            .filter(|(_, (due, _))| due.is_some_and(|due| due <= until))
            .find_map(|(index, (_, owner))| owner.map(|session| (session, index + 1)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "an Instant can only be had from the clock"
    )]
    fn the_earliest_comes_first_and_released_places_are_used_again() {
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        let [a, b, c] = [1, 2, 3].map(|id| deadlines.claim(SessionId(id)));
        assert_eq!(deadlines.first(), None);
        deadlines.set(a, Some(later(3)));
        deadlines.set(b, Some(later(1)));
        deadlines.set(c, Some(later(2)));
        assert_eq!(deadlines.first(), Some(later(1)));
        assert_eq!(deadlines.due(0, later(0)), None);
        let (session, next) = deadlines.due(0, later(2)).unwrap();
        assert_eq!(
            (session, deadlines.due(next, later(2)).unwrap().0),
            (SessionId(2), SessionId(3))
        );
        deadlines.release(b);
        assert_eq!(deadlines.first(), Some(later(2)));
        assert_eq!(deadlines.claim(SessionId(4)), b);
        assert_eq!(deadlines.due(0, later(9)).unwrap().0, SessionId(1));
    }
}

//! The maximum of prefixes that a neighbour may announce, by family.
use std::time::Instant;

use crate::config::{Families, Family, MaxPrefixes};
use crate::io::{Direction, Event};
use crate::peer::Peer;
use crate::session::Failure;
use crate::speaker::Shared;
use crate::wire::Notification;

/// What has been said, so that it is said once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Warned {
    near: Families,
    exceeded: Families,
    /// Something was ignored and is still missing, unless the neighbour has announced it again since.
    ignored: Families,
}

/// The operator has changed what kept the neighbour out: it may be let in again.
fn eased(old: &MaxPrefixes, new: &MaxPrefixes) -> bool {
    new.limit > old.limit || new.warn_only && !old.warn_only || new.idle_hold != old.idle_hold
}

impl Peer {
    /// After an UPDATE; in the families of `beyond` it wanted more than there may be.
    pub(super) fn check_limits(&mut self, now: Instant, shared: &mut Shared, beyond: Families) {
        let limits = self.config.max_prefixes;
        for family in Family::ALL {
            let count = u32::try_from(self.adj_rib_in.count(family)).unwrap_or(u32::MAX);
            if beyond.contains(family) {
                self.warned.ignored.insert(family);
            }
            if beyond.contains(family) || count > limits.limit {
                self.exceeded(now, shared, family);
                continue;
            }
            if count < limits.limit {
                self.warned.exceeded.remove(family);
            }
            let near = u64::from(count) * 100 >= u64::from(limits.limit) * u64::from(limits.warning);
            if !near {
                self.warned.near.remove(family);
            } else if count > 0 && !self.warned.near.contains(family) {
                self.warned.near.insert(family);
                let limit = limits.limit;
                self.event(shared, Event::MaxPrefixesNear { family, count, limit });
            }
        }
    }

    /// The limits are other ones, and what they were is `old`. Nobody has to enable a neighbour that they kept out,
    /// and what was ignored has to be told again.
    pub(super) fn limits_changed(&mut self, now: Instant, shared: &mut Shared, old: &MaxPrefixes) {
        let new = self.config.max_prefixes;
        if eased(old, &new) && (self.overflowed || self.idle_hold.is_some()) {
            self.enable(now, shared);
        }
        self.check_limits(now, shared, Families::default());
        if new.limit > old.limit {
            let missing = std::mem::take(&mut self.warned.ignored);
            self.refresh_asked(now, shared, Direction::In, missing);
        }
    }

    fn exceeded(&mut self, now: Instant, shared: &mut Shared, family: Family) {
        let limits = self.config.max_prefixes;
        let limit = limits.limit;
        if !self.warned.exceeded.contains(family) {
            self.warned.exceeded.insert(family);
            self.event(shared, Event::MaxPrefixesExceeded { family, limit });
        }
        if limits.warn_only {
            return;
        }
        self.warned = Warned::default();
        match limits.idle_hold {
            Some(time) => self.idle_hold = Some(now + time),
            None => {
                self.enabled = false;
                self.overflowed = true;
            }
        }
        self.retry.at = None;
        let detail = format!("more than {limit} prefixes of {family}");
        let failure = Failure::detailed(Notification::maximum_prefixes(family, limit), &detail);
        self.close_all(now, shared, &failure);
    }
}

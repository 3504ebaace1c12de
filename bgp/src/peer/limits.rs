//! The maximum of prefixes that a neighbour may announce, by family.
use std::time::Instant;

use crate::config::{Families, Family};
use crate::io::Event;
use crate::peer::Peer;
use crate::session::Failure;
use crate::speaker::Shared;
use crate::wire::Notification;

/// What has been said, so that it is said once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Warned {
    near: Families,
    exceeded: Families,
}

impl Peer {
    /// After an UPDATE; in the families of `beyond` it wanted more than there may be.
    pub(super) fn check_limits(&mut self, now: Instant, shared: &mut Shared, beyond: Families) {
        let limits = self.config.max_prefixes;
        for family in Family::ALL {
            let count = u32::try_from(self.adj_rib_in.count(family)).unwrap_or(u32::MAX);
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
            None => self.enabled = false,
        }
        self.retry.at = None;
        let detail = format!("more than {limit} prefixes of {family}");
        let failure = Failure::detailed(Notification::maximum_prefixes(family, limit), &detail);
        self.close_all(now, shared, &failure);
    }
}

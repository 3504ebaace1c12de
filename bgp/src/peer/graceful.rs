//! Routes that outlive their session: graceful restart as helper (RFC 4724, RFC 8538), long-lived (RFC 9494).
//!
//! By family: the session is lost and the routes become stale; they wait for the neighbour (restart time), then, if
//! both sides have said so, wait longer as routes of last resort; the neighbour comes back and announces them
//! again; what it has not announced when it says End-of-RIB goes. Every wait has an end.
//!
//! Receiving End-of-RIB never holds our own announcements back: nothing of what is announced comes from neighbours
//! (RFC 4724 section 4.1 defers route selection for those that pass routes on).
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::Family;
use crate::io::Event;
use crate::peer::Peer;
use crate::session::{Failure, Negotiated, Restarted};
use crate::speaker::Shared;
use crate::wire::{Cease, Notification};

/// How long a neighbour that is back may take until End-of-RIB (RFC 4724 section 4.2 leaves the bound to us).
const END_OF_RIB_WAIT: Duration = Duration::from_secs(360);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// For the neighbour; what comes after is the long-lived time.
    Restart {
        then: Duration,
    },
    LongLived,
    EndOfRib,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    until: Instant,
    stage: Stage,
}

#[derive(Debug, Default)]
pub(crate) struct Graceful {
    waits: BTreeMap<Family, Wait>,
}

impl Graceful {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waits.values().map(|wait| wait.until).min()
    }

    pub(super) fn waits_for(&self, family: Family) -> bool {
        self.waits.contains_key(&family)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waits.is_empty()
    }
}

impl Peer {
    /// What the next OPEN says of our own restart (RFC 4724 section 4.1): restarted is whoever has not had a session
    /// yet; and what was announced in a session before has been forwarded ever since.
    pub(super) fn restarted(&self, shared: &Shared) -> Restarted {
        let first = self.counters.established == 0;
        Restarted {
            restarting: first && shared.config.restarting,
            forwarding: !first || shared.config.restarting,
        }
    }

    /// The session is lost.
    pub(super) fn lost(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        failure: &Failure,
        negotiated: &Negotiated,
    ) {
        let keep = self.config.graceful_restart.helper && keeps(failure, negotiated);
        for family in Family::ALL {
            let retention = if keep {
                self.retention(family, negotiated)
            } else {
                None
            };
            match retention {
                Some((restart, long_lived)) => self.retain(now, shared, family, restart, long_lived),
                None => self.drop_family(shared, family),
            }
        }
    }

    /// How long routes of the family are kept: for a restart, and beyond it. The neighbour says how long it may
    /// take; how long we wait at the most (RFC 4724 section 4.2) is our own affair, as is what we ask for ourselves.
    fn retention(&self, family: Family, negotiated: &Negotiated) -> Option<(Duration, Duration)> {
        let restart = negotiated.restart.as_ref()?;
        let seconds = |seconds| Duration::from_secs(u64::from(seconds));
        let time = negotiated
            .restart_family(family)
            .map(|_| seconds(u32::from(restart.time)).min(self.config.graceful_restart.restart_time));
        let long_lived = negotiated
            .long_lived_family(family)
            .map(|item| seconds(item.time).min(self.config.graceful_restart.long_lived_time));
        let times = (time.unwrap_or_default(), long_lived.unwrap_or_default());
        (times.0 + times.1 > Duration::ZERO).then_some(times)
    }

    fn retain(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        family: Family,
        restart: Duration,
        then: Duration,
    ) {
        // RFC 9494 section 4.2: a second loss does not prolong the long-lived time.
        let long_lived = self
            .graceful
            .waits
            .get(&family)
            .is_some_and(|wait| wait.stage == Stage::LongLived);
        if !long_lived {
            // RFC 4724 section 4.2: what is stale from the restart before goes.
            self.sweep(shared, family);
        }
        if self.adj_rib_in.accepted(family) == 0 {
            // Nothing that packets follow: no reason to wait, nor to hold the place of a dynamic neighbour.
            self.drop_family(shared, family);
            return;
        }
        self.adj_rib_in.mark_stale(family);
        let count = self.adj_rib_in.stale(family);
        if long_lived {
            // Nor are the routes of the session in between any better than the others.
            let changed = self.adj_rib_in.long_lived(family);
            self.imported(shared, &changed);
            return;
        }
        let wait = Wait {
            until: now + restart,
            stage: Stage::Restart { then },
        };
        self.graceful.waits.insert(family, wait);
        if restart.is_zero() {
            self.graceful_due(now, shared);
        } else {
            let long_lived = false;
            self.event(
                shared,
                Event::StaleRoutes {
                    family,
                    count,
                    long_lived,
                },
            );
        }
    }

    /// The neighbour is back: what it has not kept forwarding goes at once (RFC 4724 section 4.2, RFC 9494 section
    /// 4.2).
    pub(super) fn back(&mut self, now: Instant, shared: &mut Shared, negotiated: &Negotiated) {
        let waits = std::mem::take(&mut self.graceful.waits);
        for (family, wait) in waits {
            let kept = negotiated.families.contains(family)
                && match wait.stage {
                    Stage::Restart { .. } | Stage::EndOfRib => negotiated
                        .restart_family(family)
                        .is_some_and(|item| item.forwarding),
                    Stage::LongLived => negotiated
                        .long_lived_family(family)
                        .is_some_and(|item| item.forwarding),
                };
            if !kept {
                self.sweep(shared, family);
                continue;
            }
            let wait = match wait.stage {
                Stage::LongLived => wait,
                Stage::Restart { .. } | Stage::EndOfRib => Wait {
                    until: now + END_OF_RIB_WAIT,
                    stage: Stage::EndOfRib,
                },
            };
            self.graceful.waits.insert(family, wait);
        }
    }

    pub(super) fn end_of_rib(&mut self, shared: &mut Shared, family: Family) {
        if self.graceful.waits.remove(&family).is_some() {
            self.sweep(shared, family);
        }
    }

    pub(super) fn graceful_due(&mut self, now: Instant, shared: &mut Shared) {
        let due: Vec<(Family, Stage)> = self
            .graceful
            .waits
            .iter()
            .filter(|(_, wait)| wait.until <= now)
            .map(|(family, wait)| (*family, wait.stage))
            .collect();
        for (family, stage) in due {
            self.graceful.waits.remove(&family);
            match stage {
                Stage::Restart { then } if !then.is_zero() => self.keep_longer(now, shared, family, then),
                Stage::Restart { .. } | Stage::LongLived | Stage::EndOfRib => self.sweep(shared, family),
            }
        }
    }

    /// RFC 9494 section 4.2.
    fn keep_longer(&mut self, now: Instant, shared: &mut Shared, family: Family, then: Duration) {
        let changed = self.adj_rib_in.long_lived(family);
        self.imported(shared, &changed);
        let count = self.adj_rib_in.stale(family);
        if count == 0 {
            return;
        }
        let wait = Wait {
            until: now + then,
            stage: Stage::LongLived,
        };
        self.graceful.waits.insert(family, wait);
        let long_lived = true;
        self.event(
            shared,
            Event::StaleRoutes {
                family,
                count,
                long_lived,
            },
        );
    }

    pub(super) fn sweep(&mut self, shared: &mut Shared, family: Family) {
        let changed = self.adj_rib_in.sweep_stale(family);
        self.imported(shared, &changed);
    }

    fn drop_family(&mut self, shared: &mut Shared, family: Family) {
        self.graceful.waits.remove(&family);
        let changed = self.adj_rib_in.clear_family(family);
        self.imported(shared, &changed);
    }

    /// Nothing of the neighbour is kept any more.
    pub(super) fn drop_stale(&mut self, shared: &mut Shared) {
        for family in Family::ALL {
            if self.graceful.waits.remove(&family).is_some() {
                self.sweep(shared, family);
            }
        }
    }
}

/// RFC 4724 section 4.2: only a silent end is a restart. RFC 8538 section 4: where both sides have said so, a
/// NOTIFICATION is, too, unless it is a hard reset. What we end by decree is over.
fn keeps(failure: &Failure, negotiated: &Negotiated) -> bool {
    let allowed = negotiated.notification;
    match (&failure.notification, &failure.received) {
        (None, None) => true,
        (None, Some(received)) => allowed && !received.is_hard_reset(),
        (Some(sent), _) => allowed && !by_decree(sent),
    }
}

fn by_decree(sent: &Notification) -> bool {
    let decrees = [
        Cease::MaximumPrefixes,
        Cease::AdministrativeShutdown,
        Cease::PeerDeconfigured,
        Cease::OtherConfigurationChange,
        Cease::OutOfResources,
        Cease::BfdDown,
    ];
    is_one_of(sent, &decrees)
}

/// RFC 8538 section 5: what has ended for good is said to a neighbour that would otherwise keep our routes.
pub(super) fn last_word(notification: &Notification, negotiated: Option<&Negotiated>) -> Notification {
    let for_good = [
        Cease::MaximumPrefixes,
        Cease::OutOfResources,
        Cease::AdministrativeShutdown,
        Cease::PeerDeconfigured,
    ];
    let keeping = negotiated.is_some_and(|negotiated| negotiated.keeps_ours);
    if keeping && is_one_of(notification, &for_good) {
        Notification::hard_reset(notification)
    } else {
        notification.clone()
    }
}

/// Whatever data it has.
pub(super) fn is_one_of(notification: &Notification, ceases: &[Cease]) -> bool {
    ceases.iter().any(|cease| {
        let cease = Notification::from(*cease);
        (cease.code, cease.subcode) == (notification.code, notification.subcode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_ends_with_decides_what_is_kept() {
        let told = |cease: Cease| Failure::told(cease.into());
        let said = |cease: Cease| Failure::notify(cease.into());
        let hard = Notification::hard_reset(&Cease::AdministrativeShutdown.into());
        // Without the N bit on both sides, and with it.
        let rows = [
            ("the connection breaks", Failure::silent("reset"), [true, true]),
            (
                "the neighbour has restarted",
                Failure::local("restarted"),
                [true, true],
            ),
            (
                "told: shutdown",
                told(Cease::AdministrativeShutdown),
                [false, true],
            ),
            (
                "told: hold timer",
                Failure::told(Notification::HOLD_TIMER_EXPIRED),
                [false, true],
            ),
            ("told: hard reset", Failure::told(hard), [false, false]),
            (
                "said: hold timer",
                Failure::notify(Notification::HOLD_TIMER_EXPIRED),
                [false, true],
            ),
            (
                "said: bad update",
                Failure::notify(Notification::new(3, 1, Vec::new())),
                [false, true],
            ),
            (
                "said: shutdown",
                said(Cease::AdministrativeShutdown),
                [false, false],
            ),
            (
                "said: de-configured",
                said(Cease::PeerDeconfigured),
                [false, false],
            ),
            (
                "said: configuration",
                said(Cease::OtherConfigurationChange),
                [false, false],
            ),
            ("said: BFD down", said(Cease::BfdDown), [false, false]),
            (
                "said: too many prefixes",
                said(Cease::MaximumPrefixes),
                [false, false],
            ),
        ];
        for (name, failure, expected) in rows {
            let kept = [false, true].map(|bit| keeps(&failure, &Negotiated::with_restarts(bit)));
            assert_eq!(kept, expected, "{name}");
        }
    }
}

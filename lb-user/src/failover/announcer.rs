//! How much of the traffic this node asks for: the role, unless it cannot serve.
//!
//! A node whose uplink or backend link is gone may be MASTER all the same, because the peer cannot be seen
//! over that very link. The neighbours that still hear it must then prefer whoever else announces, so it
//! announces itself as the last resort. When the link is back, a peer may have served meanwhile: the node
//! asks for traffic again once it has caught up, or is given a role, or has waited long enough.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bgp::Preference;
use ha::{InstanceId, Role};

/// How long a node that can serve again waits for word of its peer.
const PROBATION: Duration = Duration::from_secs(3);

struct Announced {
    role: Role,
    probation: Option<Instant>,
    last: Option<Preference>,
}

pub(super) struct Announcer {
    instances: BTreeMap<InstanceId, Announced>,
    able: bool,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self {
            instances: BTreeMap::new(),
            able: true,
        }
    }

    /// The election has spoken.
    pub(super) fn set_role(&mut self, instance: InstanceId, role: Role) {
        let last = self.instances.get(&instance).and_then(|announced| announced.last);
        self.instances.insert(
            instance,
            Announced {
                role,
                probation: None,
                last,
            },
        );
    }

    /// Whether this node can serve at all. Told before the election is. `unseen`: a peer cannot be seen, so what it did
    /// meanwhile is not known.
    pub(super) fn set_able(&mut self, able: bool, unseen: bool, now: Instant) {
        self.able = able;
        let probation = (able && unseen).then_some(now + PROBATION);
        for announced in self.instances.values_mut() {
            announced.probation = probation;
        }
    }

    /// The own flow table is equal to the peer's.
    pub(super) fn caught_up(&mut self) {
        for announced in self.instances.values_mut() {
            announced.probation = None;
        }
    }

    /// When [`Self::changes`] may have something new.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.instances
            .values()
            .filter_map(|announced| announced.probation)
            .min()
    }

    /// What has to be announced anew.
    pub(super) fn changes(&mut self, now: Instant) -> Vec<(InstanceId, Preference)> {
        let mut changes = Vec::new();
        for (instance, announced) in &mut self.instances {
            announced.probation = announced.probation.filter(|until| *until > now);
            let serves = self.able && announced.probation.is_none();
            let preference = preference(announced.role, self.able, serves);
            if announced.last.replace(preference) != Some(preference) {
                changes.push((*instance, preference));
            }
        }
        changes
    }
}

fn preference(role: Role, able: bool, serves: bool) -> Preference {
    match role {
        Role::Fault => Preference::Withdrawn,
        // A peer holds the instance; two last resorts would be one too many.
        Role::Joining | Role::Backup if !able => Preference::Withdrawn,
        Role::Joining | Role::Backup | Role::Master | Role::Draining if !serves => Preference::Draining,
        Role::Joining => Preference::Joining,
        Role::Backup => Preference::Backup,
        Role::Master => Preference::Master,
        Role::Draining => Preference::Draining,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: InstanceId = InstanceId(0);

    fn master(now: Instant) -> Announcer {
        let mut announcer = Announcer::new();
        announcer.set_role(ID, Role::Master);
        assert_eq!(announcer.changes(now), [(ID, Preference::Master)]);
        assert_eq!(announcer.changes(now), [], "said once");
        announcer
    }

    #[test]
    fn who_cannot_serve_is_the_last_resort() {
        let now = Instant::now();
        let mut announcer = master(now);
        announcer.set_able(false, true, now);
        assert_eq!(announcer.changes(now), [(ID, Preference::Draining)]);
        announcer.set_role(ID, Role::Fault);
        assert_eq!(announcer.changes(now), [(ID, Preference::Withdrawn)]);
    }

    #[test]
    fn who_can_serve_again_waits_for_word_of_the_peer() {
        let now = Instant::now();
        let lost = |unseen| {
            let mut announcer = master(now);
            announcer.set_able(false, unseen, now);
            announcer.changes(now);
            announcer.set_able(true, unseen, now);
            announcer
        };
        let mut waiting = lost(true);
        assert_eq!(waiting.changes(now), []);
        assert_eq!(waiting.poll_timeout(), Some(now + PROBATION));
        assert_eq!(
            waiting.changes(now + PROBATION),
            [(ID, Preference::Master)],
            "long enough"
        );

        let mut equal = lost(true);
        equal.caught_up();
        assert_eq!(equal.changes(now), [(ID, Preference::Master)], "caught up");

        let mut told = lost(true);
        told.set_role(ID, Role::Backup);
        assert_eq!(told.changes(now), [(ID, Preference::Backup)], "given a role");

        assert_eq!(
            lost(false).changes(now),
            [(ID, Preference::Master)],
            "nothing happened unseen"
        );
    }

    #[test]
    fn of_two_that_cannot_serve_only_the_master_announces() {
        let now = Instant::now();
        let mut announcer = Announcer::new();
        announcer.set_role(ID, Role::Backup);
        announcer.changes(now);
        announcer.set_able(false, false, now);
        assert_eq!(announcer.changes(now), [(ID, Preference::Withdrawn)]);
        announcer.set_role(ID, Role::Master);
        assert_eq!(announcer.changes(now), [(ID, Preference::Draining)]);
    }

    #[test]
    fn a_role_taken_while_unable_does_not_attract() {
        let now = Instant::now();
        let mut announcer = Announcer::new();
        announcer.set_able(false, true, now);
        announcer.set_role(ID, Role::Master);
        assert_eq!(announcer.changes(now), [(ID, Preference::Draining)]);
    }
}

//! What has been said since the configuration was read: by operators about BFD sessions, and by neighbours that came.
//!
//! It lies over the configuration, stays over a reload, and ends with the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bfd::Timing;

use super::{Desired, Found, Session, SessionKey};

/// Other values for a running session; what is `None` stays as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimingChange {
    pub transmit_interval: Option<Duration>,
    pub receive_interval: Option<Duration>,
    pub multiplier: Option<u8>,
}

impl TimingChange {
    pub fn is_empty(&self) -> bool {
        *self == TimingChange::default()
    }

    /// This over `timing`.
    pub fn over(&self, timing: Timing) -> Timing {
        Timing {
            desired_min_tx: self.transmit_interval.unwrap_or(timing.desired_min_tx),
            required_min_rx: self.receive_interval.unwrap_or(timing.required_min_rx),
            detect_multiplier: self.multiplier.unwrap_or(timing.detect_multiplier),
        }
    }

    /// A later change over an earlier one.
    pub fn merge(&mut self, later: TimingChange) {
        self.transmit_interval = later.transmit_interval.or(self.transmit_interval);
        self.receive_interval = later.receive_interval.or(self.receive_interval);
        self.multiplier = later.multiplier.or(self.multiplier);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// By operators.
    pub changes: BTreeMap<SessionKey, TimingChange>,
    /// Administratively down, by operators.
    pub disabled: BTreeSet<SessionKey>,
    /// Neighbours whose address is not in the configuration.
    pub found: BTreeSet<Found>,
}

impl Live {
    /// Drops what concerns sessions that are gone.
    pub fn retain(&mut self, sessions: &BTreeMap<SessionKey, Session>) {
        self.changes.retain(|key, _| sessions.contains_key(key));
        self.disabled.retain(|key| sessions.contains_key(key));
    }
}

impl Desired {
    /// The sessions of the configuration and of those who were found, as operators want them now.
    pub fn bfd_sessions(&self) -> BTreeMap<SessionKey, Session> {
        let mut sessions = self.sessions.clone();
        for found in self
            .live
            .found
            .iter()
            .filter_map(|found| self.awaited.session(found))
        {
            // One that is in the configuration counts before the one of a range.
            match sessions.values_mut().find(|known| known.key.serves(&found.key)) {
                Some(known) => known.users.extend(found.users),
                None => drop(sessions.insert(found.key.clone(), found)),
            }
        }
        for (key, change) in &self.live.changes {
            if let Some(session) = sessions.get_mut(key) {
                session.parameters.timing = change.over(session.parameters.timing);
            }
        }
        sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_change_counts_and_the_rest_stays() {
        let configured = Timing::symmetric(Duration::from_millis(30), 5);
        let mut change = TimingChange {
            multiplier: Some(3),
            ..TimingChange::default()
        };
        assert!(!change.is_empty() && TimingChange::default().is_empty());
        change.merge(TimingChange {
            transmit_interval: Some(Duration::from_millis(10)),
            ..TimingChange::default()
        });
        change.merge(TimingChange {
            transmit_interval: Some(Duration::from_millis(20)),
            ..TimingChange::default()
        });
        let timing = change.over(configured);
        assert_eq!(timing.desired_min_tx, Duration::from_millis(20));
        assert_eq!(timing.required_min_rx, Duration::from_millis(30));
        assert_eq!(timing.detect_multiplier, 3);
    }
}

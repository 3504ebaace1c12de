//! Orders about BFD sessions, as they lie over the configuration.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use bfd::{MAXIMUM_INTERVAL, MINIMUM_INTERVAL};
use tracing::info;

use super::Reconciler;
use super::order::{OrderError, SessionOrder};
use crate::desired::{Found, Session, SessionKey, TimingChange, User};
use crate::status::BfdConfigured;

const INTERVALS: RangeInclusive<Duration> = MINIMUM_INTERVAL..=MAXIMUM_INTERVAL;

impl Reconciler {
    /// Carries an order out, or says why not.
    pub fn order(&mut self, key: &SessionKey, order: SessionOrder) -> Result<(), OrderError> {
        let sessions = self.desired.bfd_sessions();
        let session = find(&sessions, key)?;
        let key = session.key.clone();
        let live = &mut self.desired.live;
        let event = match order {
            SessionOrder::Change(change) => {
                valid(&change)?;
                live.changes.entry(key.clone()).or_default().merge(change);
                "bfd-changed"
            }
            SessionOrder::Reset => {
                live.changes.remove(&key);
                "bfd-reset"
            }
            SessionOrder::Disable { force } => {
                if let Some(peer) = elects(session).filter(|_| !force) {
                    return Err(OrderError::Elects(key, peer.to_owned()));
                }
                live.disabled.insert(key.clone());
                "bfd-disabled"
            }
            SessionOrder::Enable => {
                live.disabled.remove(&key);
                "bfd-enabled"
            }
        };
        let timing = self
            .desired
            .bfd_sessions()
            .get(&key)
            .map(|session| session.parameters.timing);
        if let Some(timing) = timing {
            info!(session = %key, ?timing, "{event} by an operator");
            self.timeline.record(
                event,
                [
                    ("session", key.to_string().into()),
                    ("transmit_interval_us", micros(timing.desired_min_tx).into()),
                    ("receive_interval_us", micros(timing.required_min_rx).into()),
                    ("multiplier", timing.detect_multiplier.into()),
                ],
            );
        }
        self.reconcile();
        let mut failed = self.failed.iter();
        match failed.find(|failed| failed.operation.session() == Some(&key)) {
            Some(failed) => Err(OrderError::Failed {
                operation: failed.operation.to_string(),
                reason: failed.reason.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// A neighbour without a configured address has come or is gone.
    pub fn found(&mut self, neighbour: Found, present: bool) {
        let found = &mut self.desired.live.found;
        if present {
            self.stale |= found.insert(neighbour);
        } else if found.remove(&neighbour) {
            let sessions = self.desired.bfd_sessions();
            self.desired.live.retain(&sessions);
            // At once: one that comes back has a new session, not the old one.
            self.reconcile();
        }
    }

    /// Interfaces that were made anew have another index, which their sessions have to be told.
    pub(super) fn renew_links(&mut self) {
        let sessions = self.desired.bfd_sessions();
        let names = sessions.keys().filter_map(|key| key.interface.as_deref());
        let unsolicited = self
            .desired
            .unsolicited
            .iter()
            .map(|link| link.interface.as_str());
        let renewed = self.links.renewed(names.chain(unsolicited));
        let on_renewed = |key: &SessionKey| key.interface.as_ref().is_some_and(|name| renewed.contains(name));
        for key in sessions.keys().filter(|key| on_renewed(key)) {
            self.actual.doubt_session(key);
            self.actual.echo_peers.remove(key);
            self.stale = true;
        }
        let mut admitting = self.actual.unsolicited.iter().flatten();
        if admitting.any(|link| renewed.contains(&link.interface)) {
            self.actual.unsolicited = None;
            self.stale = true;
        }
    }

    /// What the API shows beside what the sessions say themselves.
    pub(super) fn configured_sessions(&self) -> BTreeMap<String, BfdConfigured> {
        let live = &self.desired.live;
        let configured = |(key, session): (SessionKey, Session)| {
            let configured = BfdConfigured {
                users: session.users.iter().map(ToString::to_string).collect(),
                overridden: live.changes.get(&key).map(shown),
                enabled: !live.disabled.contains(&key),
            };
            (key.to_string(), configured)
        };
        self.desired.bfd_sessions().into_iter().map(configured).collect()
    }
}

fn find<'a>(
    sessions: &'a BTreeMap<SessionKey, Session>,
    key: &SessionKey,
) -> Result<&'a Session, OrderError> {
    let meant = key.among(sessions.keys());
    meant
        .and_then(|key| sessions.get(key))
        .ok_or_else(|| OrderError::NoSession(key.clone()))
}

/// The peer whose life or death the session tells.
fn elects(session: &Session) -> Option<&str> {
    session.users.iter().find_map(|user| match user {
        User::Peer(name) => Some(name.as_str()),
        User::Configuration | User::Neighbor(_) => None,
    })
}

fn valid(change: &TimingChange) -> Result<(), OrderError> {
    let invalid = |field, reason: &str| {
        Err(OrderError::Invalid {
            field,
            reason: reason.to_owned(),
        })
    };
    if change.is_empty() {
        return invalid("body", "names nothing to change");
    }
    for (field, interval) in [
        ("transmit_interval_us", change.transmit_interval),
        ("receive_interval_us", change.receive_interval),
    ] {
        if interval.is_some_and(|interval| !INTERVALS.contains(&interval)) {
            return invalid(field, "must be 1000 to 60000000 (1ms to 60s)");
        }
    }
    if change.multiplier == Some(0) {
        return invalid("multiplier", "must be 1 to 255");
    }
    Ok(())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn shown(change: &TimingChange) -> api::BfdTiming {
    api::BfdTiming {
        transmit_interval_us: change.transmit_interval.map(micros),
        receive_interval_us: change.receive_interval.map(micros),
        multiplier: change.multiplier,
    }
}

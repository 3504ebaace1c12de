//! What happens to the sessions, for people: lines of the log and events of the timeline, with reasons.
//!
//! What a neighbour can cause at will (malformed UPDATEs, leaked routes) is told once a second for each neighbour
//! and kind, so that it cannot push everything else out of the timeline.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use api::Value;
use bgp::{Cause, Direction, Event};
use tracing::{debug, info, warn};

use crate::timeline::Timeline;

/// Between two reports of the same kind that a neighbour can cause at will.
const PAUSE: Duration = Duration::from_secs(1);
/// Reports that are remembered.
const REMEMBERED: usize = 1024;

pub(super) struct Report {
    timeline: Timeline,
    /// By the name of the neighbour: one of a prefix has a new id whenever it comes.
    told: BTreeMap<(String, &'static str), Instant>,
}

/// Of `Output::UpdateSent`.
pub(super) struct Update {
    pub(super) announced: usize,
    pub(super) withdrawn: usize,
    pub(super) messages: usize,
    pub(super) cause: Cause,
    pub(super) summary: String,
}

impl Report {
    pub(super) fn new(timeline: Timeline) -> Self {
        Report {
            timeline,
            told: BTreeMap::new(),
        }
    }

    /// An event of the timeline about one neighbour.
    pub(super) fn record<'a>(
        &self,
        kind: &str,
        neighbor: &str,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) {
        let named = [("neighbor", Value::from(neighbor))];
        self.timeline.record(kind, named.into_iter().chain(fields));
    }

    pub(super) fn up(&self, neighbor: &str, router_id: Ipv4Addr, hold_time: Option<Duration>) {
        let hold_ms = hold_time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let fields = [
            ("router_id", router_id.to_string().into()),
            ("hold_time_ms", hold_ms.into()),
        ];
        self.record("bgp-up", neighbor, fields);
        info!(neighbor, %router_id, "BGP session established");
    }

    pub(super) fn down(&self, neighbor: &str, reason: &str) {
        self.record("bgp-down", neighbor, [("reason", reason.into())]);
        warn!(neighbor, reason, "BGP session down");
    }

    pub(super) fn authentication(&self, neighbor: &str, reason: &str) {
        self.record("bgp-authentication", neighbor, [("reason", reason.into())]);
        warn!(neighbor, reason, "no BGP session: authentication");
    }

    pub(super) fn refused(&self, neighbor: &str, reason: &str) {
        self.record("bgp-refused", neighbor, [("reason", reason.into())]);
        warn!(neighbor, reason, "BGP connection refused");
    }

    pub(super) fn discovered(&self, neighbor: &str, address: &str) {
        self.record("bgp-discovered", neighbor, [("address", address.into())]);
        info!(neighbor, address, "router at the other end of the interface");
    }

    pub(super) fn enabled(&self, neighbor: &str) {
        self.record("bgp-enabled", neighbor, []);
        info!(neighbor, "enabled by an operator");
    }

    pub(super) fn disabled(&self, neighbor: &str, communication: &str) {
        self.record("bgp-disabled", neighbor, [("reason", communication.into())]);
        info!(neighbor, reason = communication, "disabled by an operator");
    }

    pub(super) fn update(&self, neighbor: &str, update: Update) {
        let cause = cause(&update.cause);
        let fields = [
            ("cause", cause.clone().into()),
            ("announced", update.announced.into()),
            ("withdrawn", update.withdrawn.into()),
            ("messages", update.messages.into()),
            ("attributes", update.summary.clone().into()),
        ];
        self.record("update-sent", neighbor, fields);
        info!(
            neighbor,
            cause,
            announced = update.announced,
            withdrawn = update.withdrawn,
            attributes = update.summary,
            "UPDATE sent"
        );
    }

    pub(super) fn event(&mut self, neighbor: &str, event: &Event) {
        match event {
            Event::ConnectFailed { reason } => debug!(neighbor, reason, "BGP connect failed"),
            Event::ConnectionLost { reason } => info!(neighbor, reason, "BGP connection lost"),
            Event::Collision { closed } => {
                debug!(neighbor, connection = closed.0, "BGP connection collision");
            }
            Event::UpdateError { effect, detail } => self.update_error(neighbor, effect, detail),
            Event::NoNextHop { family } => {
                warn!(neighbor, %family, "no next hop to announce: set `next-hop` of the neighbour");
            }
            Event::MaxPrefixesNear { family, count, limit } => {
                let fields = [
                    ("family", family.to_string().into()),
                    ("count", (*count).into()),
                    ("limit", (*limit).into()),
                ];
                self.record("max-prefixes-near", neighbor, fields);
                warn!(neighbor, %family, count, limit, "the neighbour announces almost too many prefixes");
            }
            Event::MaxPrefixesExceeded { family, limit } => {
                let fields = [("family", family.to_string().into()), ("limit", (*limit).into())];
                self.record("max-prefixes-exceeded", neighbor, fields);
                warn!(neighbor, %family, limit, "the neighbour announces too many prefixes");
            }
            Event::NoPolicy { direction } => self.no_policy(neighbor, *direction),
            Event::StaleRoutes {
                family,
                count,
                long_lived,
            } => {
                let fields = [
                    ("family", family.to_string().into()),
                    ("count", (*count).into()),
                    ("long_lived", (*long_lived).into()),
                ];
                self.record("stale-routes", neighbor, fields);
                info!(neighbor, %family, count, long_lived, "routes of the neighbour are kept while it restarts");
            }
            Event::RouteLeak { prefix } => {
                if self.may_tell(neighbor, "route-leak") {
                    self.record("route-leak", neighbor, [("prefix", prefix.to_string().into())]);
                    warn!(neighbor, %prefix, "route leak: it must not have come this way (RFC 9234)");
                }
            }
            Event::SendHoldExpired => {
                self.record("send-hold-expired", neighbor, []);
                warn!(neighbor, "the neighbour does not read (RFC 9687)");
            }
        }
    }

    fn update_error(&mut self, neighbor: &str, effect: &str, detail: &str) {
        if self.may_tell(neighbor, "update-error") {
            let fields = [("effect", effect.into()), ("detail", detail.into())];
            self.record("update-error", neighbor, fields);
            warn!(neighbor, effect, detail, "malformed UPDATE");
        }
    }

    fn no_policy(&self, neighbor: &str, direction: Direction) {
        let (direction, missing) = match direction {
            Direction::In => ("in", "`import` is not set: nothing is imported (RFC 8212)"),
            Direction::Out => ("out", "`export` is not set: nothing is announced (RFC 8212)"),
        };
        self.record("no-policy", neighbor, [("direction", direction.into())]);
        warn!(neighbor, "{missing}");
    }

    /// Whether this has not been told a moment ago.
    fn may_tell(&mut self, neighbor: &str, kind: &'static str) -> bool {
        let now = Instant::now();
        let recent = |at: &Instant| now.saturating_duration_since(*at) < PAUSE;
        let key = (neighbor.to_owned(), kind);
        if self.told.get(&key).is_some_and(recent) {
            return false;
        }
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, at| recent(at));
        }
        // So much at once is enough for anybody to read.
        let room = self.told.len() < REMEMBERED;
        if room {
            self.told.insert(key, now);
        }
        room
    }
}

/// Why routes were sent, in one word or two.
fn cause(cause: &Cause) -> String {
    match cause {
        Cause::SessionUp => "session-up".to_owned(),
        Cause::Role { preference, .. } => format!("role {preference}"),
        Cause::Announcements => "announcements".to_owned(),
        Cause::Configuration => "configuration".to_owned(),
        Cause::RouteRefresh { family } => format!("route-refresh {family}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_remembered_by_name_and_within_bounds() {
        let mut report = Report::new(Timeline::new());
        assert!(report.may_tell("192.0.2.1", "update-error"));
        let told = (0..5 * REMEMBERED)
            .filter(|n| report.may_tell(&format!("neighbour {n}"), "update-error"))
            .count();
        assert!(
            told >= REMEMBERED - 1 && report.told.len() <= REMEMBERED,
            "{told}"
        );
        // After a pause there is room again.
        let Some(earlier) = Instant::now().checked_sub(2 * PAUSE) else {
            return;
        };
        report.told.values_mut().for_each(|at| *at = earlier);
        assert!(report.may_tell("192.0.2.1", "update-error"));
        assert!(!report.may_tell("192.0.2.1", "update-error"));
        assert!(report.may_tell("192.0.2.2", "update-error"));
        assert!(report.told.len() <= REMEMBERED);
    }
}

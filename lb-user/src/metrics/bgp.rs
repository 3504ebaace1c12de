//! Metrics of the BGP neighbours.

use std::time::Duration;

use api::Neighbor;

use super::{Outcome, Scrape, whole};
use crate::status::StatusBoard;

/// Of RFC 4271 section 8.2.2.
const STATES: [&str; 6] = [
    "idle",
    "connect",
    "active",
    "opensent",
    "openconfirm",
    "established",
];

/// A number of a neighbour.
type Number = fn(&Neighbor) -> u64;
/// Numbers by the value of the second label.
type Split = [(&'static str, Number)];

impl Scrape {
    pub(super) fn bgp(&self, board: &StatusBoard) -> Outcome {
        let neighbors = board.neighbors.newest();
        self.sessions(&neighbors)?;
        self.routes(&neighbors)?;
        self.messages(&neighbors)
    }

    fn sessions(&self, neighbors: &[Neighbor]) -> Outcome {
        let label = ["neighbor"];
        let established = self.gauge(
            "baton_bgp_established",
            "1 while the session is established.",
            &label,
        )?;
        let enabled = self.gauge(
            "baton_bgp_enabled",
            "0 while an operator has it shut down.",
            &label,
        )?;
        let since = self.seconds("baton_bgp_state_seconds", "Since the state was entered.", &label)?;
        let state = self.gauge(
            "baton_bgp_state",
            "1 for the state that the session has.",
            &["neighbor", "state"],
        )?;
        for neighbor in neighbors {
            let label = [neighbor.address.as_str()];
            established
                .with_label_values(&label)
                .set(i64::from(neighbor.state == "established"));
            enabled.with_label_values(&label).set(i64::from(neighbor.enabled));
            since
                .with_label_values(&label)
                .set(Duration::from_millis(neighbor.since_ms).as_secs_f64());
            for name in STATES {
                state
                    .with_label_values(&[neighbor.address.as_str(), name])
                    .set(i64::from(neighbor.state == name));
            }
        }
        self.totals(
            neighbors,
            "baton_bgp_flaps_total",
            "Times that the session was lost.",
            |neighbor| neighbor.flaps,
        )
    }

    fn routes(&self, neighbors: &[Neighbor]) -> Outcome {
        let kinds: [(&str, &str, Number); 4] = [
            (
                "baton_bgp_advertised_prefixes",
                "Prefixes announced to it.",
                |neighbor| neighbor.advertised,
            ),
            (
                "baton_bgp_received_prefixes",
                "Paths that it announces.",
                |neighbor| neighbor.received,
            ),
            (
                "baton_bgp_accepted_prefixes",
                "Paths of it that are imported.",
                |neighbor| neighbor.accepted,
            ),
            (
                "baton_bgp_stale_prefixes",
                "Paths of it that are kept while it restarts.",
                |neighbor| neighbor.stale,
            ),
        ];
        for (name, help, number) in kinds {
            let prefixes = self.gauge(name, help, &["neighbor"])?;
            for neighbor in neighbors {
                prefixes
                    .with_label_values(&[neighbor.address.as_str()])
                    .set(whole(number(neighbor)));
            }
        }
        self.totals(
            neighbors,
            "baton_bgp_treated_as_withdraw_total",
            "Received updates whose errors cost their routes (RFC 7606).",
            |neighbor| neighbor.treated_as_withdraw,
        )?;
        self.totals(
            neighbors,
            "baton_bgp_routes_rejected_total",
            "Routes that the import policy, a loop or a leak kept out.",
            |neighbor| neighbor.routes_rejected,
        )
    }

    fn messages(&self, neighbors: &[Neighbor]) -> Outcome {
        self.directions(
            neighbors,
            "baton_bgp_messages_total",
            "Messages of all kinds.",
            &[
                ("in", |neighbor| neighbor.messages_in),
                ("out", |neighbor| neighbor.messages_out),
            ],
        )?;
        self.directions(
            neighbors,
            "baton_bgp_updates_total",
            "UPDATE messages.",
            &[
                ("in", |neighbor| neighbor.updates_in),
                ("out", |neighbor| neighbor.updates_out),
            ],
        )?;
        self.directions(
            neighbors,
            "baton_bgp_notifications_total",
            "NOTIFICATION messages.",
            &[
                ("in", |neighbor| neighbor.notifications_in),
                ("out", |neighbor| neighbor.notifications_out),
            ],
        )?;
        self.directions(
            neighbors,
            "baton_bgp_bytes_total",
            "Bytes of all messages.",
            &[
                ("in", |neighbor| neighbor.bytes_in),
                ("out", |neighbor| neighbor.bytes_out),
            ],
        )
    }

    fn totals(&self, neighbors: &[Neighbor], name: &str, help: &str, number: Number) -> Outcome {
        let counter = self.counter(name, help, &["neighbor"])?;
        for neighbor in neighbors {
            counter
                .with_label_values(&[neighbor.address.as_str()])
                .inc_by(number(neighbor));
        }
        Ok(())
    }

    fn directions(&self, neighbors: &[Neighbor], name: &str, help: &str, split: &Split) -> Outcome {
        let counter = self.counter(name, help, &["neighbor", "direction"])?;
        for neighbor in neighbors {
            for (direction, number) in split {
                counter
                    .with_label_values(&[neighbor.address.as_str(), direction])
                    .inc_by(number(neighbor));
            }
        }
        Ok(())
    }
}

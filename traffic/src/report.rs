//! What the generators print: one line of JSON for each `report`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::message::Kind;
use crate::window::Window;

/// p50, p99 and maximum of a set of values; zeros for an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Quantiles {
    /// Nearest-rank quantiles.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(at).copied().unwrap_or(0.0)
        };
        Self {
            count: values.len(),
            p50: rank(50),
            p99: rank(99),
            max: rank(100),
        }
    }
}

/// How a flow ended that should have lived on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Never established.
    Connect,
    /// RST from the network or from the other end.
    Reset,
    /// The kernel gave up retransmitting.
    Timeout,
    /// The other end closed.
    Closed,
    /// A byte was not the right one.
    Corrupt,
    /// Another backend answered.
    Misdelivered,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowsReport {
    pub now_ns: u64,
    pub flows: usize,
    pub established: usize,
    pub alive: usize,
    /// The longest that any living flow that is not silent by design has gone without progress.
    pub longest_without_progress_ms: f64,
    /// Idle flows that were told to speak and have no answer yet.
    pub unanswered: usize,
    pub establish_ms: Quantiles,
    pub windows: Vec<FlowsWindow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FlowDetail>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowsWindow {
    #[serde(flatten)]
    pub window: Window,
    /// Flows open when the window ended.
    pub alive: usize,
    /// Flows that failed within the window, by how.
    pub failures: BTreeMap<Failure, usize>,
    /// Per flow: the longest wait beyond the usual one.
    pub stall_ms: Quantiles,
    pub stall_ms_by_kind: BTreeMap<Kind, Quantiles>,
    pub worst: Option<Stall>,
    /// Median round trip of ping-pong flows.
    pub response_ms: f64,
    pub retransmits_client: u64,
    pub retransmits_server: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    pub flow: u64,
    pub kind: Kind,
    pub ms: f64,
    /// When it ended.
    pub end_ns: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowDetail {
    pub flow: u64,
    pub kind: Kind,
    pub target: String,
    pub local: Option<String>,
    pub backend: Option<String>,
    pub established_ms: Option<f64>,
    pub sent: u64,
    pub received: u64,
    /// Last verified message.
    pub progress_ns: u64,
    pub retransmits_client: u32,
    pub retransmits_server: u32,
    pub failure: Option<(Failure, String)>,
    pub failed_ns: Option<u64>,
    /// One for each window.
    pub stalls: Vec<Option<Stall>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbeReport {
    pub now_ns: u64,
    pub interval_ms: f64,
    /// Backends that answered.
    pub backends: Vec<String>,
    pub windows: Vec<ProbeWindow>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbeWindow {
    #[serde(flatten)]
    pub window: Window,
    pub sent: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub misdelivered: u64,
    /// Longest run of probes without an answer.
    pub gap: Option<Gap>,
    /// Every run of probes without an answer, first ones only.
    pub gaps: Vec<Gap>,
    pub round_trip_ms: Quantiles,
    /// How late the sender itself was; a large value makes the window worthless.
    pub lateness_ms: Quantiles,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub probes: u64,
    /// `probes` times the interval.
    pub ms: f64,
    pub first_lost_sent_ns: u64,
    pub last_lost_sent_ns: u64,
    /// The first answered probe after the run; absent while it lasts.
    pub next_sent_ns: Option<u64>,
    pub next_answered_ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let values = (1..=200).rev().map(f64::from).collect();
        assert_eq!(
            Quantiles::of(values),
            Quantiles {
                count: 200,
                p50: 100.0,
                p99: 198.0,
                max: 200.0
            }
        );
        assert_eq!(
            Quantiles::of(vec![4.0]),
            Quantiles {
                count: 1,
                p50: 4.0,
                p99: 4.0,
                max: 4.0
            }
        );
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
    }
}

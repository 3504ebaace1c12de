//! What the traffic generators report, as far as the scenario reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Quantiles {
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Quantiles {
    /// Nearest-rank quantiles; zeros for no values.
    #[must_use]
    pub(super) fn of(mut values: Vec<f64>) -> Self {
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

#[derive(Clone, Debug, Deserialize)]
pub(super) struct FlowsReport {
    pub(super) now_ns: u64,
    pub(super) alive: usize,
    pub(super) longest_without_progress_ms: f64,
    pub(super) unanswered: usize,
    pub(super) windows: Vec<FlowsWindow>,
    #[serde(default)]
    pub(super) details: Vec<FlowDetail>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct FlowsWindow {
    pub(super) alive: usize,
    pub(super) failures: BTreeMap<String, usize>,
    pub(super) stall_ms: Quantiles,
    pub(super) stall_ms_by_kind: BTreeMap<String, Quantiles>,
    pub(super) retransmits_client: u64,
    pub(super) retransmits_server: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct FlowDetail {
    pub(super) flow: u64,
    pub(super) kind: String,
    pub(super) target: String,
    pub(super) backend: Option<String>,
    pub(super) progress_ns: u64,
    pub(super) failure: Option<(String, String)>,
    pub(super) failed_ns: Option<u64>,
    /// One for each window.
    pub(super) stalls: Vec<Option<Stall>>,
}

/// The longest wait of a flow within a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stall {
    pub(super) flow: u64,
    pub(super) kind: String,
    pub(super) ms: f64,
    pub(super) end_ns: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ProbeReport {
    pub(super) now_ns: u64,
    pub(super) windows: Vec<ProbeWindow>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ProbeWindow {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    pub(super) misdelivered: u64,
    pub(super) gap: Option<Gap>,
    pub(super) gaps: Vec<Gap>,
    pub(super) round_trip_ms: Quantiles,
    pub(super) lateness_ms: Quantiles,
}

/// A run of probes without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) probes: u64,
    pub(super) ms: f64,
    pub(super) first_lost_sent_ns: u64,
    pub(super) last_lost_sent_ns: u64,
    pub(super) next_sent_ns: Option<u64>,
    pub(super) next_answered_ns: Option<u64>,
}

//! What a run has shown: the content of `failover.json`, and the verdict.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::{Gap, Quantiles, Stall};

#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// `30ms x 5`.
    pub(super) bfd: String,
    pub(super) detection_ms: f64,
    pub(super) flows: usize,
    pub(super) machine: Machine,
    /// In the order in which they happened.
    pub(super) phases: Vec<Phase>,
    /// Over all power losses.
    pub(super) gap_ms: Quantiles,
    /// Over all flows and power losses.
    pub(super) stall_ms: Quantiles,
    pub(super) power_losses: usize,
    pub(super) flows_lost: usize,
    /// RST segments sent by each end, which should be none.
    pub(super) resets_sent: BTreeMap<String, u64>,
    /// What makes the run a failure.
    pub(super) faults: Vec<String>,
    /// What misses a target or puts the measurement in doubt.
    pub(super) remarks: Vec<String>,
    pub(super) passed: bool,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Machine {
    pub(super) kernel: String,
    pub(super) cores: usize,
    pub(super) load: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Nothing happens; shows what the harness itself sees.
    Null,
    /// A silence of known length; shows that the harness measures it.
    KnownBlackhole,
    PowerLoss,
    Return,
    Drain,
}

impl Kind {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Null => "no fault",
            Self::KnownBlackhole => "known blackhole",
            Self::PowerLoss => "power loss",
            Self::Return => "return",
            Self::Drain => "drain",
        }
    }
}

/// One window of the measurement.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Phase {
    pub(super) kind: Kind,
    /// The node that something happens to.
    pub(super) node: String,
    /// The event to which all times are relative.
    pub(super) zero_ns: u64,
    pub(super) flows_alive: usize,
    /// Flows that failed within the window, by how.
    pub(super) failures: BTreeMap<String, usize>,
    pub(super) misdelivered: u64,
    pub(super) probes_sent: u64,
    pub(super) probes_lost: u64,
    pub(super) duplicates: u64,
    pub(super) gap: Option<Gap>,
    pub(super) gaps: Vec<Gap>,
    pub(super) probe_round_trip_ms: Quantiles,
    pub(super) stall_ms: Quantiles,
    pub(super) stall_ms_by_kind: BTreeMap<String, Quantiles>,
    pub(super) retransmits: u64,
    pub(super) timeline: Vec<Moment>,
    pub(super) stalls: Vec<Stall>,
    /// Of the MASTER just before its power went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protection: Option<Protection>,
}

impl Phase {
    pub(super) fn gap_ms(&self) -> f64 {
        self.gap.map_or(0.0, |gap| gap.ms)
    }

    pub(super) fn lost(&self) -> usize {
        self.failures.values().sum()
    }

    pub(super) fn reset(&self) -> usize {
        self.failures.get("reset").copied().unwrap_or(0)
    }

    /// The waits that the fault explains: they overlap the gap and are no shorter than half of it.
    pub(super) fn interrupted(&self) -> impl Iterator<Item = &Stall> {
        let (from, to, length) = self.gap.map_or((0, 0, 0.0), |gap| {
            let to = gap.next_answered_ns.unwrap_or(u64::MAX);
            (gap.first_lost_sent_ns, to, gap.ms / 2.0)
        });
        self.stalls.iter().filter(move |stall| {
            let start = stall.end_ns.saturating_sub((stall.ms * 1e6) as u64);
            stall.kind != "idle" && stall.end_ns >= from && start <= to && stall.ms >= length
        })
    }

    /// Milliseconds from the event of the phase to a moment.
    pub(super) fn since_zero(&self, at_ns: u64) -> f64 {
        (at_ns as f64 - self.zero_ns as f64) / 1e6
    }

    pub(super) fn moment(&self, mark: Mark) -> Option<f64> {
        self.timeline
            .iter()
            .find(|moment| moment.mark == mark)
            .map(|moment| moment.ms)
    }
}

/// From the arrival of the data path's event at the synchronisation until the peer's acknowledgement. The time in the
/// event ring in front of it is not included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Protection {
    pub(super) records: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

/// What the timeline names, in the order of cause and effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mark {
    Command,
    LastBfdPacket,
    Cut,
    Killed,
    PeerDetects,
    Claimed,
    Role,
    UpdateSent,
    UpdateArrives,
    RouterDetects,
    FibSwitched,
    FirstAnswer,
    LastFlow,
}

/// A moment of the timeline, in milliseconds from the event.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Moment {
    pub(super) ms: f64,
    /// Who did or saw it.
    pub(super) lane: String,
    pub(super) mark: Mark,
    pub(super) text: String,
}

impl Outcome {
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Phase> {
        self.phases.iter().filter(move |phase| phase.kind == kind)
    }

    /// Sums up the phases and judges them.
    pub(super) fn conclude(&mut self) {
        self.power_losses = self.of(Kind::PowerLoss).count();
        self.gap_ms = Quantiles::of(self.of(Kind::PowerLoss).map(Phase::gap_ms).collect());
        let stalls = self
            .of(Kind::PowerLoss)
            .flat_map(|phase| phase.stalls.iter().map(|stall| stall.ms));
        self.stall_ms = Quantiles::of(stalls.collect());
        self.flows_lost = self.phases.iter().map(Phase::lost).sum();
        let faults: Vec<String> = self.phases.iter().flat_map(faults_of).collect();
        let resets = self.resets_sent.iter().filter(|&(_, &count)| count > 0);
        let resets: Vec<String> = resets
            .map(|(end, count)| format!("{end} sent {count} RST"))
            .collect();
        let remarks: Vec<String> = self
            .phases
            .iter()
            .flat_map(|phase| self.remarks_of(phase))
            .collect();
        self.faults.extend(faults);
        self.faults.extend(resets);
        self.remarks.extend(remarks);
        self.passed = self.faults.is_empty();
    }

    fn remarks_of(&self, phase: &Phase) -> Option<String> {
        let limit = match phase.kind {
            Kind::Null | Kind::Return => 2.0,
            Kind::Drain => 0.0,
            Kind::PowerLoss => self.detection_ms + 20.0,
            Kind::KnownBlackhole => return None,
        };
        (phase.gap_ms() > limit).then(|| {
            format!(
                "{}: gap of {:.0} ms, target {limit:.0}",
                phase.kind.title(),
                phase.gap_ms()
            )
        })
    }
}

fn faults_of(phase: &Phase) -> Vec<String> {
    let mut faults = Vec::new();
    for (how, count) in &phase.failures {
        faults.push(format!("{}: {count} flows: {how}", phase.kind.title()));
    }
    if phase.misdelivered > 0 {
        faults.push(format!(
            "{}: {} probes misdelivered",
            phase.kind.title(),
            phase.misdelivered
        ));
    }
    faults
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn phase(kind: Kind, gap: u64) -> Phase {
        let gap = gap.checked_sub(1).map(|before| Gap {
            probes: gap,
            ms: gap as f64,
            first_lost_sent_ns: 1_000_500_000,
            last_lost_sent_ns: 1_000_500_000 + before * 1_000_000,
            next_sent_ns: Some(1_000_500_000 + gap * 1_000_000),
            next_answered_ns: Some(1_000_800_000 + gap * 1_000_000),
        });
        let stalls = (0..20).map(|flow| Stall {
            flow,
            kind: ["ping-pong", "up", "down", "idle"][flow as usize % 4].to_owned(),
            ms: 150.0 + flow as f64 * 3.0,
            end_ns: 1_160_000_000 + flow * 3_000_000,
        });
        Phase {
            kind,
            node: "lb1".into(),
            zero_ns: 1_000_000_000,
            flows_alive: 200,
            failures: BTreeMap::new(),
            misdelivered: 0,
            probes_sent: 2000,
            probes_lost: gap.map_or(0, |gap| gap.probes),
            duplicates: 0,
            gap,
            gaps: gap.into_iter().collect(),
            probe_round_trip_ms: Quantiles::default(),
            stall_ms: Quantiles {
                count: 200,
                p50: 150.0,
                p99: 210.0,
                max: 230.0,
            },
            stall_ms_by_kind: BTreeMap::new(),
            retransmits: 17,
            timeline: vec![
                Moment {
                    ms: -12.0,
                    lane: "router".into(),
                    mark: Mark::LastBfdPacket,
                    text: "last BFD packet".into(),
                },
                Moment {
                    ms: 131.0,
                    lane: "lb2".into(),
                    mark: Mark::PeerDetects,
                    text: "detects".into(),
                },
                Moment {
                    ms: 131.4,
                    lane: "lb2".into(),
                    mark: Mark::Role,
                    text: "MASTER".into(),
                },
                Moment {
                    ms: 140.2,
                    lane: "router".into(),
                    mark: Mark::FibSwitched,
                    text: "FIB switched".into(),
                },
            ],
            stalls: stalls.collect(),
            protection: (kind == Kind::PowerLoss).then_some(Protection {
                records: 200,
                p50_ms: 0.4,
                p99_ms: 3.1,
                max_ms: 5.0,
            }),
        }
    }

    #[test]
    fn a_lost_flow_fails_the_run_and_a_long_gap_is_a_remark() {
        let mut outcome = Outcome {
            detection_ms: 150.0,
            ..Outcome::default()
        };
        outcome.phases = vec![
            phase(Kind::Null, 0),
            phase(Kind::PowerLoss, 140),
            phase(Kind::Drain, 0),
        ];
        outcome.conclude();
        assert!(
            outcome.passed && outcome.remarks.is_empty(),
            "{:?}",
            outcome.remarks
        );
        assert_eq!((outcome.power_losses, outcome.gap_ms.max), (1, 140.0));

        let mut outcome = Outcome {
            detection_ms: 30.0,
            ..Outcome::default()
        };
        let failures = BTreeMap::from([("reset".to_owned(), 3)]);
        outcome.phases = vec![
            Phase {
                failures,
                ..phase(Kind::PowerLoss, 140)
            },
            phase(Kind::Drain, 1),
        ];
        outcome.conclude();
        assert!(!outcome.passed);
        assert_eq!((outcome.flows_lost, outcome.remarks.len()), (3, 2));
    }

    #[test]
    fn a_reset_sent_by_an_end_fails_the_run() {
        let mut outcome = Outcome {
            detection_ms: 150.0,
            ..Outcome::default()
        };
        outcome.resets_sent = BTreeMap::from([("be1".to_owned(), 1), ("client".to_owned(), 0)]);
        outcome.conclude();
        assert_eq!(outcome.faults, ["be1 sent 1 RST"]);
    }
}

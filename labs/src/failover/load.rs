//! The load of a run: verified flows and the probe, both on the client, in windows that begin together.

use std::time::Duration;

use super::bed::{Bed, until};
use super::figures::{FlowsReport, ProbeReport, ProbeWindow, Stall};
use super::generator::Generator;
use super::outcome::{Kind, Phase};
use crate::clock::monotonic_ns;
use crate::error::{Error, Result};

const FULLNAT: &str = "203.0.113.10:80";
const DEFAULT: &str = "203.0.113.11:80";
/// A flow that was never copied and whose client is silent goes on with the client's next word.
const KEEPALIVE: &str = "2s";
const PROBE: &str = "203.0.113.12:7";
/// After the last lost probe every flow gets this long to go on before its next news counts: a stream that goes up
/// hears once a second what arrived, and what it hears too early does not include the end of its stall.
const RECOVERY_NS: u64 = 500_000_000;
/// A gap is over when no probe has been lost for so long.
const QUIET_NS: u64 = 300_000_000;
/// hitless.md: a flow counts as lost when it has not gone on within ten seconds.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Load {
    flows: Generator,
    probe: Generator,
    count: usize,
}

impl Load {
    /// Opens all flows, with or without TCP keepalive, half of them through each mode, and starts the probe.
    pub(super) fn start(bed: &Bed, count: usize, keepalive: bool) -> Result<Self> {
        let client = bed.running.node("client")?;
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let total = count.to_string();
        let mut arguments = words(&["--tcp", FULLNAT, "--tcp", DEFAULT, "--count", &total]);
        if keepalive {
            arguments.extend(words(&["--keepalive", KEEPALIVE]));
        }
        let flows = Generator::start(client, "flows", &arguments)?;
        let probe = Generator::start(client, "probe", &words(&["--udp", PROBE]))?;
        let mut load = Self { flows, probe, count };
        let mut alive = 0;
        let opened = until("all flows established", Duration::from_secs(20), || {
            let report: FlowsReport = load.flows.ask("report")?;
            match report.windows.iter().flat_map(|window| &window.failures).next() {
                Some((how, count)) => Err(Error::Expectation(format!("{count} flows failed at once: {how}"))),
                None => {
                    alive = report.alive;
                    Ok(alive == count)
                }
            }
        });
        opened.map_err(|error| Error::Expectation(format!("{error}; {alive} of {count} are")))?;
        until("an answered probe", PATIENCE, || {
            let report: ProbeReport = load.probe.ask("report")?;
            Ok(report
                .windows
                .last()
                .is_some_and(|window| window.round_trip_ms.count > 0)
                && quiet(&report))
        })?;
        Ok(load)
    }

    /// Begins a window.
    pub(super) fn mark(&mut self, name: &str) -> Result<()> {
        self.flows.tell(&format!("mark {name}"))?;
        self.probe.tell(&format!("mark {name}"))
    }

    /// Waits until every flow that still lives has gone on and the probe is answered, then lets the idle flows speak.
    /// What has not gone on when patience ends is lost; that is for the verdict, not an error.
    pub(super) fn settle(&mut self) -> Result<()> {
        let (flows, probe) = (&mut self.flows, &mut self.probe);
        let called = monotonic_ns();
        let settled = until("flows and probe go on", PATIENCE, || {
            let probes: ProbeReport = probe.ask("report")?;
            let gaps = probes.windows.last().into_iter().flat_map(|window| &window.gaps);
            let calm = gaps
                .map(|gap| gap.last_lost_sent_ns + RECOVERY_NS)
                .max()
                .unwrap_or(0);
            let report: FlowsReport = flows.ask("report")?;
            let progress = report.now_ns as f64 - report.longest_without_progress_ms * 1e6;
            Ok(quiet(&probes) && progress > called.max(calm) as f64)
        });
        flows.tell("wake")?;
        let answered = until("idle flows are answered", PATIENCE, || {
            let report: FlowsReport = flows.ask("report")?;
            Ok(report.unanswered == 0)
        });
        for wait in [settled, answered] {
            match wait {
                Err(Error::Expectation(what)) => eprintln!("  {what}"),
                other => other?,
            }
        }
        Ok(())
    }

    /// What the open window has shown.
    pub(super) fn phase(&mut self, kind: Kind, node: &str, zero_ns: u64) -> Result<Phase> {
        let flows: FlowsReport = self.flows.ask("report detail")?;
        let probe: ProbeReport = self.probe.ask("report")?;
        let (Some(window), Some(probes)) = (flows.windows.last(), probe.windows.last()) else {
            return Err(Error::Missing("a report without windows".into()));
        };
        let mut failures = window.failures.clone();
        let stuck = stuck(&flows);
        if stuck > 0 {
            failures.insert("stuck".to_owned(), stuck);
        }
        for flow in flows
            .details
            .iter()
            .filter(|flow| flow.failed_ns.is_some_and(|at| at >= zero_ns))
        {
            let (how, words) = flow.failure.clone().unwrap_or_default();
            let backend = flow.backend.as_deref().unwrap_or("none");
            eprintln!(
                "  flow {} ({}, {} to {backend}): {how}: {words}",
                flow.flow, flow.kind, flow.target
            );
        }
        let stalls: Vec<Stall> = flows
            .details
            .iter()
            .filter_map(|flow| flow.stalls.last().cloned().flatten())
            .collect();
        Ok(Phase {
            kind,
            node: node.to_owned(),
            zero_ns,
            flows_alive: window.alive.saturating_sub(stuck),
            failures,
            misdelivered: probes.misdelivered,
            probes_sent: probes.sent,
            probes_lost: probes.lost,
            duplicates: probes.duplicates,
            gap: probes.gap,
            gaps: probes.gaps.clone(),
            probe_round_trip_ms: probes.round_trip_ms,
            stall_ms: window.stall_ms,
            stall_ms_by_kind: window.stall_ms_by_kind.clone(),
            retransmits: window.retransmits_client + window.retransmits_server,
            timeline: Vec::new(),
            stalls,
            protection: None,
        })
    }

    /// Lost probes of the open window and how late its sender was.
    pub(super) fn probes(&mut self) -> Result<ProbeWindow> {
        let report: ProbeReport = self.probe.ask("report")?;
        report
            .windows
            .into_iter()
            .next_back()
            .ok_or_else(|| Error::Missing("a report without windows".into()))
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// Flows whose connection exists and whose bytes do not move. Idle ones count when they are asked and do not answer.
fn stuck(report: &FlowsReport) -> usize {
    let limit = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
    let living = report
        .details
        .iter()
        .filter(|flow| flow.failure.is_none() && flow.kind != "idle");
    living
        .filter(|flow| flow.progress_ns + limit <= report.now_ns)
        .count()
        + report.unanswered
}

fn quiet(report: &ProbeReport) -> bool {
    report.windows.last().is_some_and(|window| {
        window
            .gaps
            .iter()
            .all(|gap| gap.last_lost_sent_ns + QUIET_NS < report.now_ns)
    })
}

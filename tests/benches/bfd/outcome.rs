//! What the trials of one fault came to.
use crate::clock::milliseconds;
use crate::daemon::BATON;
use crate::detection::DETECTORS;
use crate::figures::Report;
use crate::times::Times;

/// By how much a detection may seem early: stamps of two CPUs.
const EARLY: i64 = -200_000;

const NOTES: [&str; 4] = [
    "p50 / p99 / max from the fault; the same trials for all",
    "packet: the first with Down and diagnostic 1 out of the detector's port, stamped by the kernel",
    "line: the daemon's own, as it comes out of its pipe (ours by a thread without a deadline); timeline: our moment",
    "deadline and floor: the last packet that the detector got, plus the detection time",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Cut,
}

/// Nanoseconds from the fault, for each detector.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trial {
    pub(crate) packet: [i64; 3],
    pub(crate) line: [i64; 3],
    pub(crate) ideal: [i64; 3],
    /// The event of our timeline.
    pub(crate) timeline: Option<i64>,
}

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) trials: Vec<Trial>,
    pub(crate) discarded: usize,
    pub(crate) undetected: [usize; 3],
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Fault::Kill => "SIGKILL",
            Fault::Cut => "silent cut",
        })
    }
}

impl Outcome {
    /// Trials without figures.
    pub(crate) fn void(&self) -> usize {
        self.discarded + self.undetected.iter().sum::<usize>()
    }

    /// A value of each trial, a column for each detector.
    fn columns(&self, of: impl Fn(&Trial, usize) -> i64) -> Vec<(&'static str, Vec<f64>)> {
        let column = |index: usize| -> Vec<f64> {
            let value = |trial: &Trial| milliseconds(of(trial, index));
            self.trials.iter().map(value).collect()
        };
        let kinds = DETECTORS.iter().enumerate();
        kinds.map(|(index, kind)| (kind.name, column(index))).collect()
    }

    /// Detections before an ideal detector's.
    fn early(&self) -> Vec<(&'static str, Option<f64>)> {
        let count = |index: usize| {
            let early = self
                .trials
                .iter()
                .filter(|trial| trial.line[index].min(trial.packet[index]) - trial.ideal[index] < EARLY);
            early.count() as f64
        };
        let kinds = DETECTORS.iter().enumerate();
        kinds
            .map(|(index, kind)| (kind.name, Some(count(index))))
            .collect()
    }

    pub(crate) fn show(&self, times: Times, fault: Fault, circumstances: &str, report: &mut Report) {
        let title = format!(
            "detection, {times}, {fault}: {} trials, {} discarded, undetected {:?}",
            self.trials.len(),
            self.discarded,
            self.undetected
        );
        let mut notes = NOTES.to_vec();
        notes.push(circumstances);
        report.headline(&title, &notes);
        let target = times.detection().as_secs_f64() * 1e3 + 1.0;
        let ideal: Vec<f64> = (self.columns(|trial, index| trial.ideal[index]).into_iter())
            .flat_map(|(_, values)| values)
            .collect();
        let name = |what: &str| format!("{times}, {fault}: {what}");
        let mut packets = self.columns(|trial, index| trial.packet[index]);
        packets.push(("floor", ideal.clone()));
        report.quantiles(&name("to the packet"), &packets, Some(target));
        let mut lines = self.columns(|trial, index| trial.line[index]);
        lines.push(("floor", ideal));
        report.quantiles(&name("to the line"), &lines, Some(target));
        let timeline = self.trials.iter().filter_map(|trial| trial.timeline);
        let timeline = timeline.map(milliseconds).collect();
        report.quantiles(&name("to the timeline"), &[(BATON.name, timeline)], Some(target));
        let late = self.columns(|trial, index| trial.packet[index] - trial.ideal[index]);
        report.quantiles(&name("packet after the deadline"), &late, Some(1.0));
        let late = self.columns(|trial, index| trial.line[index] - trial.ideal[index]);
        report.quantiles(&name("line after the deadline"), &late, Some(1.0));
        report.row(&name("before the deadline"), "trials", &self.early(), Some(0.0));
    }
}

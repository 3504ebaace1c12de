//! The log of every probe and what can be read from it.

use crate::message::Stamp;
use crate::probe::packet::Answer;
use crate::report::{Gap, ProbeReport, ProbeWindow, Quantiles};
use crate::window::{Window, Windows};

/// Runs of lost probes listed for a window; more are counted only.
const MAX_GAPS: usize = 64;
/// Room for an hour at 1 kHz from the start: growing would copy the log while both threads wait for it. Untouched
/// pages cost nothing.
const CAPACITY: usize = 3_600_000;

#[derive(Clone, Copy, Debug)]
struct Probe {
    sent: u64,
    /// By how much the sender missed its own schedule.
    late: u32,
    /// 0 until answered.
    answered: u64,
    duplicates: u16,
    misdelivered: bool,
}

/// Probes by sequence number. Probe `n` is sent from source `n % sources`; each source is one UDP flow.
#[derive(Debug)]
pub struct Log {
    interval: u64,
    probes: Vec<Probe>,
    /// The backend that answered a source first: the one that has to answer all of its probes.
    backends: Vec<Option<Stamp>>,
    /// Answers that no probe of ours explains.
    pub foreign: u64,
}

impl Log {
    #[must_use]
    pub fn new(interval: u64, sources: usize) -> Self {
        Self {
            interval,
            probes: Vec::with_capacity(CAPACITY),
            backends: vec![None; sources.max(1)],
            foreign: 0,
        }
    }

    pub fn sent(&mut self, scheduled: u64, now: u64) {
        let late = u32::try_from(now.saturating_sub(scheduled)).unwrap_or(u32::MAX);
        self.probes.push(Probe {
            sent: now,
            late,
            answered: 0,
            duplicates: 0,
            misdelivered: false,
        });
    }

    pub fn answered(&mut self, answer: &Answer, now: u64) {
        let at = usize::try_from(answer.sequence).unwrap_or(usize::MAX);
        let source = at % self.backends.len();
        let (Some(probe), Some(backend)) = (self.probes.get_mut(at), self.backends.get_mut(source)) else {
            self.foreign += 1;
            return;
        };
        if probe.answered == 0 {
            probe.answered = now;
        } else {
            probe.duplicates = probe.duplicates.saturating_add(1);
        }
        probe.misdelivered |= *backend.get_or_insert(answer.stamp) != answer.stamp;
    }

    /// `until` is the time of the question; probes sent later belong to the next report.
    #[must_use]
    pub fn report(&self, windows: &Windows, until: u64) -> ProbeReport {
        let mut backends: Vec<_> = self.backends.iter().flatten().copied().collect();
        backends.sort_unstable();
        backends.dedup();
        ProbeReport {
            now_ns: until,
            interval_ms: self.interval as f64 / 1e6,
            backends: backends.iter().map(Stamp::to_string).collect(),
            windows: windows
                .all()
                .iter()
                .map(|window| self.window(window, until))
                .collect(),
        }
    }

    fn window(&self, window: &Window, until: u64) -> ProbeWindow {
        let end = window.end_ns.unwrap_or(until);
        let first = self.probes.partition_point(|probe| probe.sent < window.start_ns);
        let last = self.probes.partition_point(|probe| probe.sent < end);
        let probes = self.probes.get(first..last).unwrap_or_default();
        let gaps = self.gaps(first, last);
        let answered = probes.iter().filter(|probe| probe.answered != 0);
        ProbeWindow {
            window: window.clone(),
            sent: probes.len() as u64,
            lost: gaps.iter().map(|gap| gap.probes).sum(),
            duplicates: probes.iter().map(|probe| u64::from(probe.duplicates)).sum(),
            misdelivered: probes.iter().filter(|probe| probe.misdelivered).count() as u64,
            gap: gaps.iter().max_by_key(|gap| gap.probes).copied(),
            gaps: gaps.into_iter().take(MAX_GAPS).collect(),
            round_trip_ms: Quantiles::of(
                answered
                    .map(|probe| probe.answered.saturating_sub(probe.sent) as f64 / 1e6)
                    .collect(),
            ),
            lateness_ms: Quantiles::of(probes.iter().map(|probe| f64::from(probe.late) / 1e6).collect()),
        }
    }

    /// Runs of unanswered probes within the range; a run that crosses its end is cut there.
    fn gaps(&self, first: usize, last: usize) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut open: Option<Gap> = None;
        for probe in self.probes.get(first..last).unwrap_or_default() {
            match (&mut open, probe.answered) {
                (None, 0) => open = Some(self.begin(probe)),
                (Some(gap), 0) => {
                    gap.probes += 1;
                    gap.last_lost_sent_ns = probe.sent;
                }
                (None, _) => {}
                (Some(_), answered) => gaps.extend(open.take().map(|gap| Gap {
                    next_sent_ns: Some(probe.sent),
                    next_answered_ns: Some(answered),
                    ms: gap.probes as f64 * self.interval as f64 / 1e6,
                    ..gap
                })),
            }
        }
        if let Some(gap) = open {
            gaps.push(Gap {
                ms: gap.probes as f64 * self.interval as f64 / 1e6,
                ..gap
            });
        }
        gaps
    }

    fn begin(&self, probe: &Probe) -> Gap {
        Gap {
            probes: 1,
            ms: self.interval as f64 / 1e6,
            first_lost_sent_ns: probe.sent,
            last_lost_sent_ns: probe.sent,
            next_sent_ns: None,
            next_answered_ns: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn answer(sequence: u64, backend: &str) -> Answer {
        Answer {
            sequence,
            stamp: Stamp::new(backend).unwrap(),
            seen_ns: 0,
        }
    }

    /// 1 kHz from time 1 ms on; the probes in `lost` get no answer.
    fn log(count: u64, lost: std::ops::Range<u64>) -> Log {
        let mut log = Log::new(MS, 1);
        for n in 0..count {
            log.sent((n + 1) * MS, (n + 1) * MS);
            if !lost.contains(&n) {
                log.answered(&answer(n, "be1"), (n + 1) * MS + 200_000);
            }
        }
        log
    }

    #[test]
    fn a_run_of_missing_answers_is_the_gap() {
        let log = log(1000, 300..400);
        let report = log.report(&Windows::new(0), u64::MAX);
        let window = &report.windows[0];
        assert_eq!((window.sent, window.lost, window.gaps.len()), (1000, 100, 1));
        let gap = window.gap.unwrap();
        assert_eq!((gap.probes, gap.ms), (100, 100.0));
        assert_eq!(gap.first_lost_sent_ns, 301 * MS);
        assert_eq!(gap.last_lost_sent_ns, 400 * MS);
        assert_eq!(gap.next_sent_ns, Some(401 * MS));
        assert_eq!(gap.next_answered_ns, Some(401 * MS + 200_000));
    }

    #[test]
    fn a_gap_that_still_lasts_has_no_end() {
        let report = log(500, 450..500).report(&Windows::new(0), u64::MAX);
        let gap = report.windows[0].gap.unwrap();
        assert_eq!((gap.probes, gap.next_answered_ns), (50, None));
    }

    #[test]
    fn windows_share_the_probes_between_them_and_later_ones_are_left_out() {
        let log = log(1000, 300..310);
        let mut windows = Windows::new(0);
        windows.mark(200 * MS, "cut");
        windows.mark(600 * MS, "back");
        let report = log.report(&windows, 800 * MS);
        // Probe 0 is sent at 1 ms, so 199 of them precede the first mark.
        let counts: Vec<_> = report
            .windows
            .iter()
            .map(|window| (window.sent, window.lost))
            .collect();
        assert_eq!(counts, [(199, 0), (400, 10), (200, 0)]);
    }

    #[test]
    fn duplicates_and_answers_of_another_backend_are_counted() {
        let mut log = log(10, 0..0);
        log.answered(&answer(3, "be1"), 99 * MS);
        log.answered(&answer(4, "be2"), 99 * MS);
        log.answered(&answer(12, "be2"), 99 * MS);
        let window = &log.report(&Windows::new(0), u64::MAX).windows[0];
        assert_eq!((window.duplicates, window.misdelivered, log.foreign), (2, 1, 1));
    }

    #[test]
    fn several_sources_may_have_different_backends() {
        let mut log = Log::new(MS, 2);
        for n in 0..4 {
            log.sent(n * MS, n * MS);
            log.answered(&answer(n, if n % 2 == 0 { "be1" } else { "be2" }), n * MS + 1);
        }
        let report = log.report(&Windows::new(0), u64::MAX);
        assert_eq!(report.windows[0].misdelivered, 0);
        assert_eq!(report.backends, ["be1", "be2"]);
    }
}

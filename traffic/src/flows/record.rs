//! What is known of one flow, by measurement window.

use std::net::SocketAddr;

use crate::message::{Corrupt, Kind, Message, Stamp};
use crate::report::{Failure, FlowDetail, Stall};
use crate::window::Windows;

/// What a flow saw within one window.
#[derive(Clone, Debug, Default)]
struct Sample {
    /// Longest wait in nanoseconds and its end.
    longest: Option<(u64, u64)>,
    /// Round trips of a ping-pong flow, in microseconds.
    responses: Vec<u32>,
    /// Retransmit counters when the window began.
    retransmits: (u32, u32),
}

/// Why a flow failed, when, and in words.
#[derive(Clone, Debug)]
pub struct End {
    pub failure: Failure,
    pub at: u64,
    pub reason: String,
}

/// A flow from its connect to its end. Its task writes, the report reads; both on one thread.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: u64,
    pub kind: Kind,
    pub target: SocketAddr,
    pub local: Option<SocketAddr>,
    pub backend: Option<Stamp>,
    /// The usual time between two messages that this flow waits for.
    pub period: u64,
    pub started: u64,
    pub established: Option<u64>,
    pub end: Option<End>,
    pub sent: u64,
    pub received: u64,
    /// Last verified message.
    pub progress: u64,
    /// A request without its answer.
    pub asked: Option<u64>,
    pub retransmits_client: u32,
    pub retransmits_server: u32,
    samples: Vec<Sample>,
}

impl Record {
    #[must_use]
    pub fn new(id: u64, kind: Kind, target: SocketAddr, period: u64, windows: usize, now: u64) -> Self {
        Self {
            id,
            kind,
            target,
            local: None,
            backend: None,
            period,
            started: now,
            established: None,
            end: None,
            sent: 0,
            received: 0,
            progress: now,
            asked: None,
            retransmits_client: 0,
            retransmits_server: 0,
            samples: vec![Sample::default(); windows.max(1)],
        }
    }

    /// A new window begins.
    pub fn mark(&mut self) {
        let retransmits = (self.retransmits_client, self.retransmits_server);
        self.samples.push(Sample {
            retransmits,
            ..Sample::default()
        });
    }

    /// A verified message arrived.
    pub fn arrived(&mut self, now: u64, message: &Message, windows: &Windows) {
        self.backend = Some(message.stamp);
        self.received += u64::from(message.length);
        self.retransmits_server = self.retransmits_server.max(message.observation.retransmits);
        if self.established.is_none() {
            self.established = Some(now);
            self.progress = now;
            return;
        }
        match self.kind {
            Kind::PingPong | Kind::Idle => {
                if let Some(asked) = self.asked.take() {
                    let wait = now.saturating_sub(asked);
                    let micros = u32::try_from(wait / 1000).unwrap_or(u32::MAX);
                    self.note(windows.at(now), wait, now);
                    if let Some(sample) = self.samples.get_mut(windows.at(now)) {
                        sample.responses.push(micros);
                    }
                }
            }
            Kind::Down => self.note(windows.at(now), now.saturating_sub(self.progress), now),
            Kind::Up => {
                let end = message.observation.silence_end;
                if end != 0 {
                    let silence = u64::from(message.observation.silence_us) * 1000;
                    self.note(windows.at(end), silence, end);
                }
            }
        }
        self.progress = now;
    }

    fn note(&mut self, window: usize, wait: u64, end: u64) {
        if let Some(sample) = self.samples.get_mut(window) {
            sample.longest = sample.longest.max(Some((wait, end)));
        }
    }

    pub fn failed(&mut self, failure: Failure, at: u64, reason: String) {
        self.end.get_or_insert(End { failure, at, reason });
    }

    #[must_use]
    pub fn alive(&self) -> bool {
        self.established.is_some() && self.end.is_none()
    }

    /// How long the flow has been waiting at `now` for what should have come at once; 0 when it waits for nothing.
    #[must_use]
    pub fn pending(&self, now: u64) -> u64 {
        match self.kind {
            _ if !self.alive() => 0,
            Kind::PingPong | Kind::Idle => self.asked.map_or(0, |asked| now.saturating_sub(asked)),
            Kind::Up | Kind::Down => now.saturating_sub(self.progress),
        }
    }

    /// Longest wait of a window beyond the usual one. The open window counts a wait that still lasts.
    #[must_use]
    pub fn stall(&self, window: usize, windows: &Windows, now: u64) -> Option<Stall> {
        let sample = self.samples.get(window)?;
        let is_open = windows
            .all()
            .get(window)
            .is_some_and(|window| window.end_ns.is_none());
        // The receipts of a flow that goes up are rarer than its messages; what they say is exact.
        let pending = if is_open && self.kind != Kind::Up {
            self.pending(now)
        } else {
            0
        };
        let current = (pending > 0).then_some((pending, now));
        let (wait, end_ns) = sample.longest.max(current)?;
        let usual = match self.kind {
            Kind::PingPong => u64::from(self.median_response(window).unwrap_or(0)) * 1000,
            Kind::Up | Kind::Down => self.period,
            Kind::Idle => 0,
        };
        let ms = wait.saturating_sub(usual) as f64 / 1e6;
        Some(Stall {
            flow: self.id,
            kind: self.kind,
            ms,
            end_ns,
        })
    }

    /// Microseconds.
    #[must_use]
    pub fn median_response(&self, window: usize) -> Option<u32> {
        let mut responses = self.samples.get(window)?.responses.clone();
        responses.sort_unstable();
        responses.get(responses.len() / 2).copied()
    }

    /// Retransmits of the client and of the server within a window.
    #[must_use]
    pub fn retransmits(&self, window: usize) -> (u64, u64) {
        let Some(from) = self.samples.get(window).map(|sample| sample.retransmits) else {
            return (0, 0);
        };
        let to = self
            .samples
            .get(window + 1)
            .map_or((self.retransmits_client, self.retransmits_server), |sample| {
                sample.retransmits
            });
        (
            u64::from(to.0.saturating_sub(from.0)),
            u64::from(to.1.saturating_sub(from.1)),
        )
    }

    #[must_use]
    pub fn detail(&self, windows: &Windows, now: u64) -> FlowDetail {
        FlowDetail {
            flow: self.id,
            kind: self.kind,
            target: self.target.to_string(),
            local: self.local.map(|local| local.to_string()),
            backend: self.backend.map(|backend| backend.to_string()),
            established_ms: self
                .established
                .map(|at| at.saturating_sub(self.started) as f64 / 1e6),
            sent: self.sent,
            received: self.received,
            progress_ns: self.progress,
            retransmits_client: self.retransmits_client,
            retransmits_server: self.retransmits_server,
            failure: self.end.as_ref().map(|end| (end.failure, end.reason.clone())),
            failed_ns: self.end.as_ref().map(|end| end.at),
            stalls: (0..windows.all().len())
                .map(|window| self.stall(window, windows, now))
                .collect(),
        }
    }
}

/// How the words of an error map to a class.
#[must_use]
pub fn classify(error: &std::io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED) => Failure::Reset,
        Some(libc::ETIMEDOUT | libc::EHOSTUNREACH | libc::ENETUNREACH) => Failure::Timeout,
        _ => Failure::Closed,
    }
}

#[must_use]
pub const fn classify_corrupt(error: &Corrupt) -> Failure {
    match error {
        Corrupt::Misdelivered { .. } => Failure::Misdelivered,
        Corrupt::Hello
        | Corrupt::Magic(_)
        | Corrupt::Sequence { .. }
        | Corrupt::Length(_)
        | Corrupt::Payload(_) => Failure::Corrupt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Observation;

    const MS: u64 = 1_000_000;

    fn record(kind: Kind) -> Record {
        let mut record = Record::new(1, kind, ([192, 0, 2, 1], 80).into(), 20 * MS, 1, 0);
        record.arrived(MS, &message(Observation::default()), &Windows::new(0));
        record
    }

    fn message(observation: Observation) -> Message {
        Message {
            stamp: Stamp::new("be1").unwrap(),
            length: 1,
            observation,
        }
    }

    #[test]
    fn a_late_answer_is_a_stall_beyond_the_median() {
        let windows = Windows::new(0);
        let mut record = record(Kind::PingPong);
        for n in 1..=9 {
            record.asked = Some(n * 100 * MS);
            let wait = if n == 5 { 71 * MS } else { MS };
            record.arrived(n * 100 * MS + wait, &message(Observation::default()), &windows);
        }
        let stall = record.stall(0, &windows, 1000 * MS).unwrap();
        assert_eq!((stall.ms, stall.end_ns), (70.0, 571 * MS));
    }

    #[test]
    fn a_wait_that_lasts_counts_in_the_open_window_only() {
        let mut windows = Windows::new(0);
        let mut record = record(Kind::Down);
        record.arrived(21 * MS, &message(Observation::default()), &windows);
        windows.mark(100 * MS, "cut");
        record.mark();
        assert_eq!(record.stall(0, &windows, 500 * MS).unwrap().ms, 0.0);
        assert_eq!(record.stall(1, &windows, 541 * MS).unwrap().ms, 500.0);
    }

    #[test]
    fn the_server_reports_silence_into_the_window_of_its_end() {
        let mut windows = Windows::new(0);
        let mut record = record(Kind::Up);
        windows.mark(500 * MS, "later");
        record.mark();
        let observation = Observation {
            retransmits: 2,
            silence_us: 120_000,
            silence_end: 400 * MS,
        };
        record.arrived(900 * MS, &message(observation), &windows);
        assert_eq!(record.stall(0, &windows, 900 * MS).unwrap().ms, 100.0);
        assert_eq!(record.stall(1, &windows, 900 * MS), None);
        assert_eq!(record.retransmits(1), (0, 2));
    }

    #[test]
    fn the_first_failure_is_kept() {
        let mut record = record(Kind::Idle);
        assert!(record.alive());
        record.failed(Failure::Reset, 5, "reset".to_owned());
        record.failed(Failure::Closed, 6, "closed".to_owned());
        assert!(!record.alive());
        assert_eq!(record.end.unwrap().failure, Failure::Reset);
    }
}

//! What the thread shows of itself and its sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bfd::{Delays, Discards, State, Status};

use super::transmitter::Sent;
use crate::desired::SessionKey;

/// How the kernel schedules the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// The thread has not started yet.
    #[default]
    Unknown,
    Fifo {
        priority: i32,
    },
    /// The ordinary scheduler; `refused` is the error number if SCHED_FIFO was asked for.
    Other {
        refused: Option<i32>,
    },
}

impl Scheduling {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Fifo { .. } => "fifo",
            Self::Other { .. } => "other",
        }
    }

    pub fn is_real_time(self) -> bool {
        matches!(self, Self::Fifo { .. })
    }
}

/// Figures of the thread since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadReport {
    pub scheduling: Scheduling,
    pub memory_locked: bool,
    pub wakeups: u64,
    /// Wake-ups more than a millisecond after the deadline.
    pub late_wakeups: u64,
    /// How long after its deadline each wake-up came.
    pub lateness: Delays,
    /// Datagrams taken from the sockets, valid or not.
    pub received: u64,
    pub receive_errors: u64,
    pub transmitted: u64,
    pub transmit_errors: u64,
    /// Error number of the last failed transmission.
    pub last_transmit_error: Option<i32>,
    /// Sessions that could not be added because there are too many.
    pub refused_sessions: u64,
}

impl ThreadReport {
    pub(super) fn count(&mut self, sent: Sent) {
        self.transmitted += sent.packets;
        self.transmit_errors += sent.errors;
        self.last_transmit_error = sent.last_error.or(self.last_transmit_error);
    }
}

/// A session with its name.
#[derive(Clone, Debug)]
pub struct SessionReport {
    pub key: Arc<SessionKey>,
    pub status: Status,
}

/// A copy of everything, at most 100 ms old while sessions run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub sessions: Vec<SessionReport>,
    pub discards: Discards,
    pub thread: ThreadReport,
}

impl Report {
    /// The sessions in the form of the API.
    pub fn api_sessions(&self) -> Vec<api::BfdSession> {
        let now = Instant::now();
        self.sessions
            .iter()
            .map(|session| api_session(&session.status, now))
            .collect()
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::AdminDown => "admin-down",
        State::Down => "down",
        State::Init => "init",
        State::Up => "up",
    }
}

fn microseconds(duration: Option<Duration>) -> u64 {
    duration.map_or(0, |duration| {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
    })
}

fn api_session(status: &Status, now: Instant) -> api::BfdSession {
    let interface = status
        .config
        .path
        .interface
        .or(status.last_interface)
        .and_then(|index| {
            nix::net::if_::if_indextoname(index)
                .ok()
                .map(|name| name.to_string_lossy().into_owned())
        });
    let since = now.saturating_duration_since(status.since);
    api::BfdSession {
        remote: status.config.path.remote.to_string(),
        local: status.config.path.local.to_string(),
        interface: interface.unwrap_or_default(),
        state: state_name(status.state).to_owned(),
        remote_state: state_name(status.remote_state).to_owned(),
        diagnostic: status.diagnostic.to_string(),
        remote_diagnostic: status.remote_diagnostic.to_string(),
        since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        local_discriminator: status.session.0,
        remote_discriminator: status.remote_discriminator,
        transmit_interval_us: microseconds(status.transmit_interval),
        detection_time_us: microseconds(status.detection_time),
        multiplier: status.config.parameters.timing.detect_multiplier,
        transmitted: status.counters.transmitted,
        received: status.counters.received,
        discarded: status.counters.discards.total(),
        ups: status.counters.ups,
        downs: status.counters.downs,
        ..api::BfdSession::default()
    }
}

//! What the thread shows of itself and its sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bfd::{Delays, Discards, Role, State, Status};

use super::transmitter::Sent;
use crate::desired::SessionKey;
use crate::status::BfdThread;

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
    /// The sessions in the form of the API, by name.
    pub fn api_sessions(&self) -> Vec<api::BfdSession> {
        let now = Instant::now();
        let mut sessions: Vec<&SessionReport> = self.sessions.iter().collect();
        sessions.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        sessions
            .into_iter()
            .map(|report| api_session(report, now))
            .collect()
    }

    /// The thread as the metrics show it.
    pub fn health(&self) -> BfdThread {
        BfdThread {
            thread: self.thread,
            discards: self.discards,
        }
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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn api_session(report: &SessionReport, now: Instant) -> api::BfdSession {
    let status = &report.status;
    let (path, parameters) = (status.config.path, &status.config.parameters);
    let age = |at: Instant| millis(now.saturating_duration_since(at));
    // Unknown until the peer has said it.
    let known = |interval: Duration| {
        if status.remote_discriminator == 0 {
            0
        } else {
            micros(interval)
        }
    };
    let key = parameters.keys.as_ref().map(|keys| keys.sends_with());
    api::BfdSession {
        session: report.key.to_string(),
        remote: path.remote.to_string(),
        local: path.local.to_string(),
        interface: interface(report),
        state: state_name(status.state).to_owned(),
        usable: status.usable,
        enabled: true,
        remote_state: state_name(status.remote_state).to_owned(),
        diagnostic: status.diagnostic.to_string(),
        remote_diagnostic: status.remote_diagnostic.to_string(),
        since_ms: age(status.since),
        users: Vec::new(),
        unsolicited: status.unsolicited,
        multihop: path.hops.is_multi(),
        minimum_ttl: path.hops.minimum_ttl(),
        passive: status.config.role == Role::Passive,
        local_discriminator: status.session.0,
        remote_discriminator: status.remote_discriminator,
        desired_transmit_interval_us: micros(parameters.timing.desired_min_tx),
        required_receive_interval_us: micros(parameters.timing.required_min_rx),
        multiplier: parameters.timing.detect_multiplier,
        overridden: None,
        remote_desired_transmit_interval_us: known(status.remote_desired_min_tx),
        remote_required_receive_interval_us: known(status.remote_required_min_rx),
        remote_multiplier: status.remote_detect_multiplier,
        transmit_interval_us: status.transmit_interval.map_or(0, micros),
        receive_interval_us: known(
            parameters
                .timing
                .required_min_rx
                .max(status.remote_desired_min_tx),
        ),
        detection_time_us: status.detection_time.map_or(0, micros),
        polling: status.polling,
        demand: status.demand,
        demand_interval_us: parameters.demand.map(micros),
        remote_demand: status.remote_demand,
        remote_independent: status.remote_independent,
        key_id: key.map(|(id, _)| id),
        key_algorithm: key.map(|(_, algorithm)| algorithm.to_string()),
        hold_down_first_ms: millis(parameters.hold_down.first),
        hold_down_longest_ms: millis(parameters.hold_down.longest),
        hold_down_left_ms: status
            .held_until
            .map(|until| millis(until.saturating_duration_since(now))),
        last_down: status.last_down.map(|down| api::BfdDown {
            age_ms: age(down.at),
            diagnostic: down.diagnostic.to_string(),
            remote_diagnostic: down.remote_diagnostic.to_string(),
            planned: down.planned,
        }),
        last_packet_ms: status.last_packet.map(age),
        ..figures(status)
    }
}

/// What is counted and measured.
fn figures(status: &Status) -> api::BfdSession {
    let discards = status.counters.discards.iter().filter(|(_, count)| *count > 0);
    let configured = status.config.parameters.echo;
    api::BfdSession {
        echo_transmit_interval_us: configured.transmit.map(micros),
        echo_receive_interval_us: configured.required_min_rx.map(micros),
        remote_echo_receive_interval_us: micros(status.remote_required_min_echo_rx),
        echo_interval_us: status.echo.interval.map(micros),
        echo_proven: status.echo.proven,
        echo_round_trip_us: status.echo.round_trip.map(micros),
        echo_transmitted: status.echo.transmitted,
        echo_returned: status.echo.returned,
        receive_jitter: delays(&status.arrivals),
        transmitted: status.counters.transmitted,
        received: status.counters.received,
        discarded: status.counters.discards.total(),
        discards: discards
            .map(|(reason, count)| (reason.as_str().to_owned(), count))
            .collect(),
        ups: status.counters.ups,
        downs: status.counters.downs,
        held: status.counters.held,
        polls_unanswered: status.counters.polls_unanswered,
        ..api::BfdSession::default()
    }
}

/// The one of the configuration, or the one by which the peer was heard.
fn interface(report: &SessionReport) -> String {
    if let Some(interface) = &report.key.interface {
        return interface.clone();
    }
    let status = &report.status;
    let index = status.config.path.interface.or(status.last_interface);
    let name = index.and_then(|index| nix::net::if_::if_indextoname(index).ok());
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn delays(delays: &Delays) -> api::Delays {
    let bucket = |(bound, count)| api::DelayBucket {
        at_most_us: micros(bound),
        count,
    };
    api::Delays {
        count: delays.total(),
        sum_us: micros(delays.sum()),
        p50_us: micros(delays.quantile(500)),
        p99_us: micros(delays.quantile(990)),
        max_us: micros(delays.max()),
        buckets: delays.cumulative().map(bucket).collect(),
    }
}

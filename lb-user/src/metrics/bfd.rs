//! Metrics of BFD: its thread, and each session.

use std::time::Duration;

use api::BfdSession;

use super::histogram::Counted;
use super::{Outcome, Scrape};
use crate::bfd_thread::ThreadReport;
use crate::status::StatusBoard;

/// As `ThreadReport::scheduling` is called.
const POLICIES: [&str; 3] = ["fifo", "other", "unknown"];

/// A number of a session.
type Number = fn(&BfdSession) -> u64;
type Seconds = fn(&BfdSession) -> Option<Duration>;
type Flag = fn(&BfdSession) -> bool;

impl Scrape {
    pub(super) fn bfd(&self, board: &StatusBoard) -> Outcome {
        let health = board.bfd_thread.newest();
        self.bfd_thread(&health.thread)?;
        let discards = self.counter(
            "baton_bfd_discards_total",
            "Discarded packets of the node, by reason.",
            &["reason"],
        )?;
        for (reason, count) in health.discards.iter() {
            discards.with_label_values(&[reason.as_str()]).inc_by(count);
        }
        let sessions = board.bfd_sessions();
        self.bfd_states(&sessions)?;
        self.bfd_times(&sessions)?;
        self.bfd_totals(&sessions)?;
        let jitter = sessions
            .iter()
            .filter(|session| !session.receive_jitter.buckets.is_empty());
        self.histograms(
            "baton_bfd_receive_jitter_seconds",
            "How much later than agreed the packets of the peer came.",
            jitter.map(jitter_of).collect(),
        )
    }

    fn bfd_thread(&self, thread: &ThreadReport) -> Outcome {
        self.one(
            "baton_bfd_realtime",
            "1 while the BFD thread runs under SCHED_FIFO; 0: detection may come late under load.",
            i64::from(thread.scheduling.is_real_time()),
        )?;
        let policy = self.gauge(
            "baton_bfd_scheduling",
            "1 for the scheduling policy of the BFD thread.",
            &["policy"],
        )?;
        for name in POLICIES {
            policy
                .with_label_values(&[name])
                .set(i64::from(thread.scheduling.as_str() == name));
        }
        self.one(
            "baton_bfd_memory_locked",
            "1 if the memory of the daemon cannot be swapped out.",
            i64::from(thread.memory_locked),
        )?;
        let late = self.seconds(
            "baton_bfd_lateness_max_seconds",
            "Latest wake-up of the BFD thread.",
            &[],
        )?;
        late.with_label_values::<&str>(&[])
            .set(thread.lateness.max().as_secs_f64());
        self.bfd_thread_totals(thread)?;
        let lateness = &thread.lateness;
        let counted = Counted {
            labels: Vec::new(),
            cumulative: lateness
                .cumulative()
                .map(|(bound, count)| (bound.as_secs_f64(), count))
                .collect(),
            count: lateness.total(),
            sum: lateness.sum().as_secs_f64(),
        };
        self.histograms(
            "baton_bfd_wakeup_lateness_seconds",
            "How long after their deadlines the wake-ups of the BFD thread came.",
            vec![counted],
        )
    }

    fn bfd_thread_totals(&self, thread: &ThreadReport) -> Outcome {
        for (name, help, number) in [
            (
                "baton_bfd_wakeups_total",
                "Wake-ups of the BFD thread.",
                thread.wakeups,
            ),
            (
                "baton_bfd_late_wakeups_total",
                "Wake-ups more than a millisecond after the deadline.",
                thread.late_wakeups,
            ),
            (
                "baton_bfd_transmit_errors_total",
                "Packets that could not be sent.",
                thread.transmit_errors,
            ),
            (
                "baton_bfd_receive_errors_total",
                "Failures of reading a socket.",
                thread.receive_errors,
            ),
            (
                "baton_bfd_refused_sessions_total",
                "Sessions that were too many.",
                thread.refused_sessions,
            ),
        ] {
            self.counter(name, help, &[])?
                .with_label_values::<&str>(&[])
                .inc_by(number);
        }
        Ok(())
    }

    fn bfd_states(&self, sessions: &[BfdSession]) -> Outcome {
        let kinds: [(&str, &str, Flag); 4] = [
            ("baton_bfd_session_up", "1 while the session is up.", |session| {
                session.state == "up"
            }),
            (
                "baton_bfd_usable",
                "1 while the session is up and not held back.",
                |session| session.usable,
            ),
            (
                "baton_bfd_held",
                "1 while the session is up and held back because of an earlier failure.",
                |session| session.hold_down_left_ms.is_some(),
            ),
            (
                "baton_bfd_admin_down",
                "1 while the session is administratively down.",
                |session| session.state == "admin-down",
            ),
        ];
        for (name, help, flag) in kinds {
            let gauge = self.gauge(name, help, &["remote"])?;
            for session in sessions {
                gauge
                    .with_label_values(&[session.name()])
                    .set(i64::from(flag(session)));
            }
        }
        Ok(())
    }

    fn bfd_times(&self, sessions: &[BfdSession]) -> Outcome {
        let kinds: [(&str, &str, Seconds); 4] = [
            (
                "baton_bfd_detection_time_seconds",
                "Negotiated detection time.",
                |session| Some(Duration::from_micros(session.detection_time_us)),
            ),
            (
                "baton_bfd_transmit_interval_seconds",
                "Negotiated: between two packets of this node.",
                |session| Some(Duration::from_micros(session.transmit_interval_us)),
            ),
            (
                "baton_bfd_hold_down_left_seconds",
                "Until the session is trusted again; 0 when it is.",
                |session| Some(Duration::from_millis(session.hold_down_left_ms.unwrap_or(0))),
            ),
            (
                "baton_bfd_echo_round_trip_seconds",
                "Of the newest Echo packet that came back.",
                |session| session.echo_round_trip_us.map(Duration::from_micros),
            ),
        ];
        for (name, help, seconds) in kinds {
            let gauge = self.seconds(name, help, &["remote"])?;
            for session in sessions {
                if let Some(time) = seconds(session) {
                    gauge.with_label_values(&[session.name()]).set(time.as_secs_f64());
                }
            }
        }
        Ok(())
    }

    fn bfd_totals(&self, sessions: &[BfdSession]) -> Outcome {
        let kinds: [(&str, &str, Number); 7] = [
            (
                "baton_bfd_transmitted_packets_total",
                "Control packets sent.",
                |session| session.transmitted,
            ),
            (
                "baton_bfd_received_packets_total",
                "Valid control packets.",
                |session| session.received,
            ),
            (
                "baton_bfd_discarded_packets_total",
                "Invalid control packets.",
                |session| session.discarded,
            ),
            (
                "baton_bfd_downs_total",
                "Times that the session left up.",
                |session| session.downs,
            ),
            (
                "baton_bfd_held_returns_total",
                "Returns to up that were held back because of an earlier failure.",
                |session| session.held,
            ),
            (
                "baton_bfd_echo_transmitted_packets_total",
                "Echo packets sent.",
                |session| session.echo_transmitted,
            ),
            (
                "baton_bfd_echo_returned_packets_total",
                "Echo packets that came back.",
                |session| session.echo_returned,
            ),
        ];
        for (name, help, number) in kinds {
            let counter = self.counter(name, help, &["remote"])?;
            for session in sessions {
                counter
                    .with_label_values(&[session.name()])
                    .inc_by(number(session));
            }
        }
        Ok(())
    }
}

fn jitter_of(session: &BfdSession) -> Counted {
    let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
    let jitter = &session.receive_jitter;
    Counted {
        labels: vec![("remote", session.name().to_owned())],
        cumulative: jitter
            .buckets
            .iter()
            .map(|bucket| (seconds(bucket.at_most_us), bucket.count))
            .collect(),
        count: jitter.count,
        sum: seconds(jitter.sum_us),
    }
}

//! What watching costs: CPU time of each daemon with few and with many sessions that have nothing to report.
//!
//! The counterpart is bird2 for all of them. The time is what the kernel has scheduled the threads of the daemon for
//! (`schedstat`, of which utime + stime are the rounded view); of FRR that includes zebra, which does nothing here.
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::clock::{between, milliseconds, nanoseconds};
use crate::daemon::{self, BATON, BIRD, FRR, Kind, Pair, Scheduling};
use crate::figures::Report;
use crate::network::Network;
use crate::packet::{Packet, State};
use crate::tap::{Scope, Tap};
use crate::times::Times;

const TIMES: Times = Times::new(50, 3);
const SUBJECT: &str = "subject";
const MATE: &str = "mate";
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Options {
    pub(crate) sessions: Vec<u32>,
    pub(crate) seconds: u64,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    let title = format!("cpu, sessions with bird2 at {TIMES}, over {} s", options.seconds);
    report.headline(
        &title,
        &["schedstat of all threads of the daemon, ours with data path and all; of FRR bfdd and zebra"],
    );
    for &sessions in &options.sessions {
        let measured: Vec<(&str, Option<Used>)> = [BATON, BIRD, FRR]
            .into_iter()
            .map(|kind| (kind.name, measure(kind, sessions, options.seconds)))
            .collect();
        let column = |figure: fn(&Used) -> Option<f64>| -> Vec<(&str, Option<f64>)> {
            let values = measured.iter();
            values
                .map(|(name, used)| (*name, used.as_ref().and_then(figure)))
                .collect()
        };
        let what = if sessions == 1 { "session" } else { "sessions" };
        let name = format!("{sessions} {what}: CPU time in a second");
        report.row(&name, "ms", &column(|used| Some(used.daemon)), None);
        let name = format!("{sessions} {what}: of that, our BFD thread");
        let ours = column(|used| Some(used.thread).filter(|thread| *thread > 0.0));
        report.row(&name, "ms", &ours, None);
    }
}

/// Milliseconds in a second.
struct Used {
    daemon: f64,
    /// Of the thread `bfd`, which only ours has.
    thread: f64,
}

/// `None` if not all sessions came up and stayed so.
fn measure(kind: Kind, sessions: u32, seconds: u64) -> Option<Used> {
    let network = Network::new(&[SUBJECT, MATE]);
    let [subject, mate] = [SUBJECT, MATE].map(|name| network.node(name));
    let pairs: Vec<Pair> = (1..=sessions)
        .map(|index| Pair {
            local: Ipv4Addr::from(0x0a62_1000 + index),
            remote: Ipv4Addr::from(0x0a62_2000 + index),
        })
        .collect();
    let reversed: Vec<Pair> = pairs
        .iter()
        .map(|pair| Pair {
            local: pair.remote,
            remote: pair.local,
        })
        .collect();
    subject.add_addresses(pairs.iter().map(|pair| pair.local));
    mate.add_addresses(pairs.iter().map(|pair| pair.remote));
    let counterpart = daemon::bird(&network, mate, TIMES, &reversed, Scheduling::Own);
    let daemon = (kind.start)(&network, subject, TIMES, &pairs, Scheduling::Own);
    let give_up = |when: &str| {
        eprintln!(
            "{} with {sessions} sessions: not all are up {when}\n{}",
            kind.name,
            daemon.journal.tail(3)
        );
        None
    };
    if !all_up(&network, sessions, PATIENCE) {
        return give_up("in time");
    }
    let times = || [None, Some("bfd")].map(|thread| subject.run_time(thread));
    let (start, before) = (labs::monotonic_ns(), times());
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
    }
    let (elapsed, after) = (between(start, labs::monotonic_ns()), times());
    if !all_up(&network, sessions, Duration::from_secs(2)) {
        return give_up("any more");
    }
    drop(counterpart);
    let used =
        |index: usize| milliseconds(between(before[index], after[index])) / (milliseconds(elapsed) / 1e3);
    Some(Used {
        daemon: used(0),
        thread: used(1),
    })
}

/// Whether within a time the last packet of both sides of every session is Up, fast and not negotiating.
fn all_up(network: &Network, sessions: u32, patience: Duration) -> bool {
    let tap = Tap::start(&network.switch, Scope::SentExcept(0), Packet::read);
    let deadline = Instant::now() + patience;
    let mut last = BTreeMap::new();
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        for sighting in tap.take() {
            let packet = sighting.packet;
            last.insert((packet.source, packet.destination), sighting);
        }
        let fresh = labs::monotonic_ns() - nanoseconds(TIMES.detection());
        let up = last
            .values()
            .filter(|sighting| {
                let packet = &sighting.packet;
                sighting.at >= fresh
                    && packet.state == State::Up
                    && !packet.negotiates
                    && packet.desired_min_tx == TIMES.interval()
            })
            .count();
        if up == usize::try_from(2 * sessions).unwrap() {
            return true;
        }
    }
    false
}

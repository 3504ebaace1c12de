//! The task of one peer: finds a connection, drives the peering over it, and begins again.
//!
//! Both nodes dial while they have no connection. When two connections meet, the one that the node with the lower name has
//! opened stays, unless it has been silent for longer than a living peer is: then the other end has a reason to come anew.
//! A second connection of the same opener always replaces the first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sync::{Change, Input, Output, Peering};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::endpoint::{Arrival, Complaints, Dialer};
use super::misfits::Misfits;
use super::report::Report;
use super::stream::Outgoing;
use super::table::FlowTable;
use super::{Event, EventSink};
use crate::timeline::Timeline;

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Batches of news taken at once.
const GULP: usize = 64;
/// A living peer sends heartbeats more often than that.
const LIVELY: Duration = Duration::from_millis(1200);
/// A connection that lasted so long was no failed attempt.
const STABLE: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const PUBLISH: Duration = Duration::from_secs(1);

/// What this node has to say to the peer.
#[derive(Debug)]
pub(super) enum Feed {
    Changes(Arc<[Change]>),
    Missed,
    Hello(Vec<u8>),
}

pub(super) struct Parts<T> {
    pub(super) config: sync::Config,
    pub(super) dialer: Dialer,
    pub(super) table: T,
    pub(super) feed: mpsc::Receiver<Feed>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) events: EventSink,
    pub(super) timeline: Timeline,
    pub(super) report: Report,
}

pub(super) struct Peer<T: FlowTable> {
    name: String,
    /// Of two connections the one that this node opened stays.
    first: bool,
    peering: Peering,
    dialer: Dialer,
    table: T,
    walk: Option<(u64, T::Walk)>,
    /// The part of a walk that the peering waits for.
    wanted: Option<(u64, bool)>,
    feed: mpsc::Receiver<Feed>,
    arrivals: mpsc::Receiver<Arrival>,
    events: EventSink,
    timeline: Timeline,
    report: Report,
    complaints: Complaints,
    address: std::net::IpAddr,
    outgoing: Outgoing,
    misfits: Misfits,
    /// The peer's snapshot is complete here.
    caught_up: bool,
    established: bool,
    close: Option<String>,
}

/// How a connection ended.
struct End {
    reason: String,
    next: Option<Arrival>,
}

impl<T: FlowTable> Peer<T> {
    pub(super) fn new(parts: Parts<T>) -> Self {
        let Parts {
            config,
            dialer,
            table,
            feed,
            arrivals,
            events,
            timeline,
            report,
        } = parts;
        Self {
            name: config.peer.clone(),
            first: config.node < config.peer,
            peering: Peering::new(config),
            address: dialer.address().ip(),
            dialer,
            table,
            walk: None,
            wanted: None,
            feed,
            arrivals,
            events,
            timeline,
            report,
            complaints: Complaints::default(),
            outgoing: Outgoing::default(),
            misfits: Misfits::default(),
            caught_up: false,
            established: false,
            close: None,
        }
    }

    pub(super) async fn run(mut self) {
        let (mut next, mut pause) = (None, Duration::ZERO);
        loop {
            let arrival = match next.take() {
                Some(arrival) => arrival,
                None => self.find(&mut pause).await,
            };
            let begun = Instant::now();
            let end = self.converse(arrival).await;
            self.lost(&end.reason);
            next = end.next;
            pause = if begun.elapsed() >= STABLE {
                SHORTEST_PAUSE
            } else {
                longer(pause)
            };
        }
    }

    /// Dials, with growing pauses, until there is a connection or the peer comes by itself.
    async fn find(&mut self, pause: &mut Duration) -> Arrival {
        loop {
            self.publish();
            // Half of the pause is chance, so that two nodes do not keep meeting half-way.
            let jittered = pause.mul_f64(rand::random_range(0.5..1.0));
            let failure = {
                let attempt = async {
                    sleep(jittered).await;
                    self.dialer.dial().await
                };
                tokio::pin!(attempt);
                loop {
                    tokio::select! {
                        biased;
                        result = &mut attempt => match result {
                            Ok(arrival) => return arrival,
                            Err(reason) => break reason,
                        },
                        Some(arrival) = self.arrivals.recv() => return arrival,
                        Some(feed) = self.feed.recv() => feed_peering(&mut self.peering, feed),
                    }
                }
            };
            self.complain(failure);
            *pause = longer(*pause);
        }
    }

    /// Drives the peering over one connection until it ends.
    async fn converse(&mut self, arrival: Arrival) -> End {
        let ours = arrival.ours;
        let (mut reader, mut writer) = tokio::io::split(arrival.stream);
        let mut buffer = vec![0; READ];
        let mut ticker = interval(PUBLISH);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        debug!(peer = self.name, ours, "connected");
        self.peering.handle(heard, Input::Connected);
        loop {
            self.settle().await;
            if let Some(reason) = self.close.take() {
                return End { reason, next: None };
            }
            let deadline = self.peering.poll_timeout();
            tokio::select! {
                result = self.outgoing.advance(&mut writer), if self.outgoing.waits() => {
                    if let Err(error) = result {
                        return End { reason: super::credentials::explain(&error, &self.name), next: None };
                    }
                }
                result = reader.read(&mut buffer) => match result {
                    Ok(0) => return End { reason: "the peer closed the connection".to_owned(), next: None },
                    Ok(count) => {
                        heard = Instant::now();
                        self.peering.handle(heard, Input::Received(buffer.get(..count).unwrap_or_default()));
                    }
                    Err(error) => {
                        return End { reason: super::credentials::explain(&error, &self.name), next: None };
                    }
                },
                Some(feed) = self.feed.recv() => self.gulp(feed),
                () = wait_until(deadline) => self.peering.handle(Instant::now(), Input::Timeout),
                Some(other) = self.arrivals.recv() => {
                    if self.replaces(ours, other.ours, heard) {
                        let reason = "replaced by a newer connection of the peer".to_owned();
                        return End { reason, next: Some(other) };
                    }
                }
                _ = ticker.tick() => self.publish(),
            }
        }
    }

    /// Whether a second connection replaces the one that is used.
    fn replaces(&self, ours: bool, other_ours: bool, heard: Instant) -> bool {
        let preferred = ours == self.first;
        ours == other_ours || !preferred || heard.elapsed() > LIVELY
    }

    fn gulp(&mut self, feed: Feed) {
        feed_peering(&mut self.peering, feed);
        for _ in 0..GULP {
            let Ok(feed) = self.feed.try_recv() else { return };
            feed_peering(&mut self.peering, feed);
        }
    }

    /// Executes what the peering wants until it wants nothing more.
    async fn settle(&mut self) {
        loop {
            while let Some(output) = self.peering.poll_output() {
                self.execute(output);
            }
            let Some((number, first)) = self.wanted.take() else {
                return;
            };
            if first {
                self.walk = Some((number, self.table.walk()));
            }
            let Some((walk, position)) = self.walk.as_mut().filter(|(walk, _)| *walk == number) else {
                return;
            };
            let (records, last) = self.table.next_part(position);
            let chunk = Input::SnapshotChunk {
                walk: *walk,
                records,
                last,
            };
            self.peering.handle(Instant::now(), chunk);
            // A walk over a large table with little to send must not keep the others waiting.
            tokio::task::yield_now().await;
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Send(bytes) => self.outgoing.push(&bytes),
            Output::Established => self.found(),
            Output::AdoptPeerFlows => {
                let flows = self.table.adopt_peer_flows();
                if flows > 0 {
                    info!(
                        peer = self.name,
                        flows, "adopted the flows of an earlier incarnation"
                    );
                }
            }
            Output::SnapshotWanted { walk, first } => self.wanted = Some((walk, first)),
            Output::Apply(changes) => self.apply(&changes),
            Output::PeerSnapshotBegin => {
                self.misfits = Misfits::default();
                self.set_caught_up(false);
            }
            Output::PeerSnapshotEnd { named } => {
                if let Some(named) = named {
                    let ended = self.table.retain_named(&named);
                    debug!(peer = self.name, flows = named.len(), ended, "snapshot received");
                }
                self.snapshot_ended();
            }
            Output::PeerCurrent => {
                self.timeline
                    .record("sync-peer-current", [("peer", self.name.clone().into())]);
                self.publish();
            }
            Output::Acked { changes, lag } => self.report.lag.record(lag, changes),
            Output::PeerHello(bytes) => self.hello(bytes),
            Output::Close { reason } => self.close = Some(reason),
        }
    }

    fn apply(&mut self, changes: &[Change]) {
        let applied = self.table.apply(changes);
        if let Some(reason) = self.misfits.note(&self.name, &applied) {
            self.report.last_error = Some(reason);
        }
        if !applied.answers.is_empty() {
            self.peering
                .handle(Instant::now(), Input::Local(&applied.answers));
        }
    }

    /// Who lacks flows has not caught up: as MASTER it would lose them.
    fn snapshot_ended(&mut self) {
        let missing = self.misfits.missing();
        if missing > 0 {
            warn!(
                peer = self.name,
                missing, "the peer's flows do not fit here: not caught up"
            );
            let fields = [("peer", self.name.clone().into()), ("missing", missing.into())];
            self.timeline.record("sync-incomplete", fields);
        }
        self.set_caught_up(missing == 0);
    }

    /// A peer speaks for itself alone.
    fn hello(&self, bytes: Vec<u8>) {
        match ha::Hello::decode(&bytes) {
            Ok(hello) if hello.node == self.name => (self.events)(&self.name, Event::PeerHello(bytes)),
            Ok(hello) => warn!(
                peer = self.name,
                node = hello.node,
                "a hello in another node's name"
            ),
            Err(error) => warn!(peer = self.name, %error, "malformed hello"),
        }
    }

    fn found(&mut self) {
        info!(peer = self.name, "synchronisation connected");
        self.timeline
            .record("sync-up", [("peer", self.name.clone().into())]);
        self.established = true;
        self.report.last_error = None;
        self.table.set_peer_connected(true);
        self.publish();
    }

    fn lost(&mut self, reason: &str) {
        self.peering.handle(Instant::now(), Input::Disconnected);
        while self.peering.poll_output().is_some() {}
        self.outgoing.clear();
        (self.walk, self.wanted, self.close) = (None, None, None);
        if std::mem::take(&mut self.established) {
            warn!(peer = self.name, reason, "synchronisation lost");
            let fields = [
                ("peer", self.name.clone().into()),
                ("reason", reason.to_owned().into()),
            ];
            self.timeline.record("sync-down", fields);
            self.table.set_peer_connected(false);
            self.report.last_error = Some(reason.to_owned());
        } else {
            self.complain(reason.to_owned());
        }
        self.set_caught_up(false);
        self.publish();
    }

    /// An attempt failed.
    fn complain(&mut self, reason: String) {
        if self.complaints.is_news(self.address, &reason) {
            warn!(peer = self.name, reason, "no synchronisation");
        } else {
            debug!(peer = self.name, reason, "no synchronisation");
        }
        self.report.last_error = Some(reason);
    }

    fn set_caught_up(&mut self, caught_up: bool) {
        if std::mem::replace(&mut self.caught_up, caught_up) != caught_up {
            (self.events)(&self.name, Event::CaughtUp(caught_up));
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.report
            .publish(&self.peering, self.caught_up, self.table.refused());
    }
}

fn feed_peering(peering: &mut Peering, feed: Feed) {
    let now = Instant::now();
    match feed {
        Feed::Changes(changes) => peering.handle(now, Input::Local(&changes)),
        Feed::Missed => peering.handle(now, Input::Missed),
        Feed::Hello(bytes) => peering.handle(now, Input::Hello(bytes)),
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

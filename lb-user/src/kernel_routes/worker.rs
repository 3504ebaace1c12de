//! The thread that changes routes: takes what waits, reads the kernel when something happened, does what the plan says.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::inbox::{Inbox, Waiting};
use super::next_hops::{Beneath, NextHop, NextHops, resolve};
use super::plan::Operation;
use super::requests::Requests;
use super::status::RouteProblem;
use super::table::{Reading, Table};
use super::{NextHopSink, Setup};

/// Changes that come in a burst are looked at once.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Reading takes at most this part of the time, however large the kernel's table is and however often it changes.
const SHARE: u32 = 10;
/// After new routes: somebody else may have better ones to the same prefixes.
const REVIEW: Duration = Duration::from_secs(1);
/// What the kernel refused is tried again after so long, if nothing happens before.
const RETRY: Duration = Duration::from_secs(10);
/// After an error of the socket.
const REOPEN: Duration = Duration::from_secs(1);
/// Readings of a table that does not keep still, one after the other.
const READINGS: usize = 4;
/// Problems that are logged at a time.
const LOGGED: usize = 10;
/// The status is this old at most.
const PUBLISH: Duration = Duration::from_millis(100);

pub(super) struct Worker {
    inbox: Arc<Inbox>,
    /// `None` after an error, until [`Worker::read_at`].
    requests: Option<Requests>,
    ours: Arc<AtomicU32>,
    sink: NextHopSink,
    table: Table,
    next_hops: NextHops,
    /// When the kernel's table has to be read again.
    read_at: Option<Instant>,
    /// Not before.
    read_after: Instant,
    /// Readings in a row that did not explain what the kernel refused.
    surprises: u32,
    /// The table has been read once.
    begun: bool,
    publish_at: Option<Instant>,
    /// What the routes of an earlier daemon have, from the first reading on.
    patience: Duration,
    /// When they have had it.
    grace: Option<Instant>,
    finish: Vec<oneshot::Sender<()>>,
    finished: bool,
    problems: Vec<RouteProblem>,
}

impl Worker {
    pub(super) fn new(setup: Setup, requests: Requests, inbox: Arc<Inbox>, ours: Arc<AtomicU32>) -> Self {
        let now = Instant::now();
        Self {
            inbox,
            requests: Some(requests),
            ours,
            sink: setup.next_hops,
            table: Table::new(setup.metric),
            next_hops: NextHops::default(),
            read_at: None,
            read_after: now,
            surprises: 0,
            begun: false,
            publish_at: None,
            patience: setup.grace,
            grace: None,
            finish: Vec::new(),
            finished: false,
            problems: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        self.attempt(Self::read);
        self.publish();
        loop {
            let deadlines = [self.read_at, self.grace, self.publish_at];
            let waiting = self.inbox.take(deadlines.into_iter().flatten().min());
            if waiting.closed {
                return;
            }
            if self.publish_at.is_some_and(|at| at <= Instant::now()) {
                self.publish_at = None;
                self.publish();
            }
            if waiting.is_empty() && !self.is_due() {
                continue;
            }
            self.attempt(|worker| worker.step(waiting));
            self.publish_at.get_or_insert(Instant::now() + PUBLISH);
        }
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        [self.read_at, self.grace]
            .into_iter()
            .flatten()
            .any(|at| at <= now)
    }

    /// An error of the socket costs the socket; the next one begins by reading.
    fn attempt(&mut self, act: impl FnOnce(&mut Self) -> io::Result<()>) {
        if let Err(error) = act(self) {
            warn!(%error, "netlink socket of the routes");
            self.requests = None;
            self.read_at = Some(Instant::now() + REOPEN);
        }
    }

    fn step(&mut self, waiting: Waiting) -> io::Result<()> {
        let now = Instant::now();
        if (waiting.disturbed && !self.is_idle()) || self.matters(&waiting) {
            self.read_soon(now);
        }
        self.finish.extend(waiting.finish);
        for (next_hop, wanted) in waiting.hops {
            if wanted {
                self.next_hops.track(next_hop);
            } else {
                self.next_hops.untrack(next_hop);
            }
        }
        let mut changed = BTreeSet::new();
        if !self.finished {
            for (prefix, next_hops) in waiting.routes {
                self.table.desire(prefix, next_hops);
                changed.insert(prefix);
            }
            if !changed.is_empty() {
                self.read_at.get_or_insert((now + REVIEW).max(self.read_after));
            }
        }
        if self.grace.is_some_and(|end| end <= now) {
            self.grace = None;
            let disowned = self.table.disown();
            if !disowned.is_empty() {
                info!(
                    routes = disowned.len(),
                    "routes of an earlier daemon that nobody announces are removed"
                );
            }
            changed.extend(disowned);
        }
        if self.read_at.is_some_and(|at| at <= now) {
            self.read()?;
            changed = self.table.everything();
        }
        self.learn()?;
        self.install(changed)?;
        self.end()
    }

    /// Whether a change by others concerns routes or next hops of ours.
    fn matters(&self, waiting: &Waiting) -> bool {
        waiting.touched.iter().any(|route| {
            route.ours || self.table.desires(&route.prefix) || self.next_hops.any_within(route.prefix)
        })
    }

    /// Without a route or a next hop nothing that happens is worth reading a table that may be large.
    fn is_idle(&self) -> bool {
        self.table.is_empty() && self.next_hops.tracked().is_empty()
    }

    fn read_soon(&mut self, now: Instant) {
        let soon = (now + DEBOUNCE).max(self.read_after);
        self.read_at = Some(self.read_at.map_or(soon, |at| at.min(soon)));
    }

    /// Reads the kernel's table, and finds the ways to the next hops anew.
    fn read(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        let mut needed: BTreeSet<NextHop> = self.next_hops.tracked();
        needed.extend(self.table.next_hops());
        self.next_hops.retain(&needed);
        self.ask(&needed)?;
        for _ in 0..READINGS {
            let mut reading = Reading::default();
            let table = &self.table;
            let still =
                requests(&mut self.requests, &self.ours)?.dump(|route| table.look(&route, &mut reading))?;
            let gone = self.table.believe(reading);
            if gone > 0 && still {
                warn!(
                    routes = gone,
                    "the kernel has lost routes of ours: they are installed again"
                );
            }
            if still {
                break;
            }
        }
        if !self.begun {
            self.begun = true;
            self.table.inherit();
            self.grace = Some(Instant::now() + self.patience);
        }
        let end = Instant::now();
        self.read_after = end + DEBOUNCE.max((end - begin) * (SHARE - 1));
        self.read_at = None;
        Ok(())
    }

    /// Next hops that came since the last reading.
    fn learn(&mut self) -> io::Result<()> {
        let wanted = self.next_hops.tracked().into_iter().chain(self.table.next_hops());
        let new: BTreeSet<NextHop> = wanted
            .filter(|next_hop| !self.next_hops.knows(next_hop))
            .collect();
        if !new.is_empty() {
            self.ask(&new)?;
        }
        for ((address, scope), metric) in self.next_hops.news() {
            (self.sink)(address, scope, metric);
        }
        Ok(())
    }

    fn ask(&mut self, next_hops: &BTreeSet<NextHop>) -> io::Result<()> {
        let requests = requests(&mut self.requests, &self.ours)?;
        let mut beneath = Beneath::default();
        for (address, scope) in next_hops.iter().copied() {
            let route = requests.lookup(address, scope)?;
            if route.as_ref().is_some_and(|route| route.is_ours()) {
                beneath.add((address, scope));
                continue;
            }
            let resolution = route.and_then(|route| resolve(address, &route));
            self.next_hops.learn((address, scope), resolution);
        }
        if !beneath.is_empty() {
            requests.dump(|route| beneath.look(&route))?;
            for (next_hop, resolution) in beneath.resolutions() {
                self.next_hops.learn(next_hop, resolution);
            }
        }
        Ok(())
    }

    fn install(&mut self, prefixes: BTreeSet<IpNet>) -> io::Result<()> {
        let operations: Vec<Operation> = self.table.plan(prefixes, &self.next_hops);
        if operations.is_empty() {
            return Ok(());
        }
        let mut surprised = false;
        let metric = self.table.metric();
        let table = &mut self.table;
        requests(&mut self.requests, &self.ours)?.execute(&operations, metric, |operation, result| {
            surprised |= table.outcome(operation, result);
        })?;
        self.surprises = if surprised { self.surprises + 1 } else { 0 };
        if self.table.has_refusals() {
            // What the kernel has is not what was read. If reading again does not help, time may.
            let wait = match self.surprises {
                0 => RETRY,
                times => RETRY.min(DEBOUNCE * (1 << times.min(16))),
            };
            let again = (Instant::now() + wait).max(self.read_after);
            self.read_at = Some(self.read_at.map_or(again, |at| at.min(again)));
        }
        Ok(())
    }

    /// Takes everything out, reads, and takes out what is left.
    fn end(&mut self) -> io::Result<()> {
        if self.finish.is_empty() {
            return Ok(());
        }
        self.finished = true;
        self.table.clear();
        self.read()?;
        self.install(self.table.everything())?;
        for done in self.finish.drain(..) {
            let _ = done.send(());
        }
        Ok(())
    }

    fn publish(&mut self) {
        let status = self.table.status(&self.next_hops);
        if status.problems != self.problems {
            let new: Vec<&RouteProblem> = status
                .problems
                .iter()
                .filter(|problem| !self.problems.contains(problem))
                .collect();
            for problem in new.iter().take(LOGGED) {
                warn!(prefix = %problem.prefix, reason = problem.reason, "route");
            }
            if new.len() > LOGGED {
                warn!(more = new.len() - LOGGED, "routes with problems");
            }
            self.problems.clone_from(&status.problems);
        }
        self.inbox.status.publish(status);
    }
}

/// The socket; a new one after an error.
fn requests<'a>(slot: &'a mut Option<Requests>, ours: &AtomicU32) -> io::Result<&'a mut Requests> {
    if slot.is_none() {
        *slot = Some(Requests::open()?);
    }
    let open = slot.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    ours.store(open.port(), Ordering::Relaxed);
    Ok(open)
}

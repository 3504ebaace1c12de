//! The flow thread: events of the packet path, expiry, figures.
//!
//! It sleeps in poll(2) on the event ring and wakes for events at once and for a slice of the sweep every
//! [`PACE`]. What it learns goes to synchronisation by a bounded channel; when that is full, or when the ring
//! itself overflowed, the reader is told that it has missed something and asks the table. It never waits.

use std::os::fd::AsFd;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use lb_common::{Counter, EventKind, FlowEvent};
use nix::poll::{PollFd, PollFlags, poll};
use sync::Change;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::warn;

use super::error::DataPathError;
use super::figures::Figures;
use super::flow_table::FlowTable;
use super::maps::Streams;
use super::record;
use super::sweep::Sweep;
use crate::status::StatusBoard;

/// Between two slices of the sweep.
const PACE: Duration = Duration::from_millis(25);
/// Between two publications of the figures.
const PUBLISH: Duration = Duration::from_secs(1);
/// Events read in one go.
const BURST: usize = 4096;
/// Batches that may wait for synchronisation.
const QUEUED: usize = 1024;

/// What synchronisation hears of the flows.
#[derive(Debug)]
pub enum FlowNews {
    /// Of this node's own flows, in order.
    Changes(Vec<Change>),
    /// Some changes were lost: only a walk over the table can tell (invariant I8).
    Missed,
}

pub(super) struct FlowThread {
    pub(super) table: FlowTable,
    pub(super) streams: Streams,
    pub(super) board: StatusBoard,
}

struct Worker {
    table: FlowTable,
    streams: Streams,
    figures: Figures,
    news: Sender<FlowNews>,
    missed: bool,
    lost: u64,
}

impl FlowThread {
    pub(super) fn spawn(self) -> Result<(Receiver<FlowNews>, JoinHandle<()>), DataPathError> {
        let (news, reader) = channel(QUEUED);
        let FlowThread {
            table,
            streams,
            board,
        } = self;
        let figures = Figures::new(board, &table);
        let worker = Worker {
            table,
            streams,
            figures,
            news,
            missed: false,
            lost: 0,
        };
        let thread = Builder::new()
            .name("flows".into())
            .spawn(move || worker.run())
            .map_err(|error| DataPathError::Thread("flows", error))?;
        Ok((reader, thread))
    }
}

impl Worker {
    fn run(mut self) {
        let mut sweep = Sweep::new();
        let (mut swept, mut published) = (Instant::now(), Instant::now());
        self.lost = self.figures.count(&self.streams, Counter::EventLost);
        loop {
            let wait = u16::try_from(PACE.saturating_sub(swept.elapsed()).as_millis()).unwrap_or(0);
            self.wait(wait);
            let mut changes = self.events();
            if swept.elapsed() >= PACE {
                swept = Instant::now();
                if let Some(census) = sweep.step(&self.table, &mut changes) {
                    self.figures.take(census);
                }
            }
            if published.elapsed() >= PUBLISH {
                published = Instant::now();
                self.figures.publish(&self.streams);
                self.check_ring();
            }
            self.tell(changes);
        }
    }

    fn wait(&self, milliseconds: u16) {
        // SAFETY: the ring lives as long as the worker.
        let ring = unsafe {
            std::os::fd::BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(&self.streams.events))
        };
        let mut fds = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        // An error means an interrupted wait; the next round waits again.
        let _ = poll(&mut fds, milliseconds);
    }

    fn events(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let now = record::now();
        while changes.len() < BURST {
            let Some(item) = self.streams.events.next() else {
                break;
            };
            if item.len() < size_of::<FlowEvent>() {
                continue;
            }
            // SAFETY: the length was checked, and any bits are a valid record.
            let event: FlowEvent = unsafe { std::ptr::read_unaligned(item.as_ptr().cast()) };
            changes.push(if event.kind == EventKind::Closed as u32 {
                Change::Delete(record::identity(&event.key))
            } else {
                Change::Upsert(record::record(&event.key, &event.flow, None, now))
            });
        }
        changes
    }

    fn check_ring(&mut self) {
        let lost = self.figures.count(&self.streams, Counter::EventLost);
        if lost != self.lost {
            warn!(
                events = lost.saturating_sub(self.lost),
                "the event ring overflowed"
            );
            self.lost = lost;
            self.missed = true;
        }
    }

    fn tell(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() && self.news.try_send(FlowNews::Changes(changes)).is_err() {
            self.missed = true;
        }
        if self.missed && self.news.try_send(FlowNews::Missed).is_ok() {
            self.missed = false;
        }
    }
}

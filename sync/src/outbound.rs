//! What waits for the peer, what is on its way, and the snapshot: decides what to send next.
//!
//! Live changes go before snapshot records. A flow that changed since the walk over the table began is left out of the
//! snapshot: the stream carries something newer about it, and a record read before must not undo that.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::event::Limits;
use crate::message::RecordWriter;
use crate::record::{Change, FlowIdentity, FlowRecord};

#[derive(Debug)]
pub(crate) struct Outbound {
    limits: Limits,
    pending: VecDeque<(Instant, Change)>,
    unacknowledged: VecDeque<InFlight>,
    bytes: usize,
    walk: Walk,
    not_before: Instant,
}

#[derive(Debug)]
enum Walk {
    /// A snapshot is needed; until it begins, changes need not be kept.
    Due,
    Running(Running),
    Done,
}

#[derive(Debug)]
struct Running {
    number: u64,
    asked: bool,
    last: bool,
    records: VecDeque<FlowRecord>,
    touched: HashSet<FlowIdentity>,
    named: u64,
}

/// A data frame that the peer has not acknowledged.
#[derive(Debug)]
struct InFlight {
    sequence: u64,
    sent: Instant,
    bytes: usize,
    cargo: Cargo,
}

#[derive(Debug, Default)]
pub(crate) struct Cargo {
    pub(crate) changes: u32,
    oldest: Option<Instant>,
    end: bool,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// Ask for the walk with this number after the frame that begins the snapshot.
    Begin,
    Batch(Vec<u8>, Cargo),
    Chunk(Vec<u8>),
    End(u64, Cargo),
    Want(u64),
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Queued,
    /// The coming snapshot carries them.
    Dropped,
    /// The peer is too slow: everything that waited was dropped, a new snapshot is due.
    Overflow,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Per frame with local changes: how many, and the lag of the oldest.
    pub(crate) changes: Vec<(u32, Duration)>,
    /// The end of a snapshot was among the frames.
    pub(crate) end: bool,
}

impl Outbound {
    pub(crate) fn new(now: Instant, limits: Limits) -> Self {
        Self {
            limits,
            pending: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            bytes: 0,
            walk: Walk::Due,
            not_before: now,
        }
    }

    pub(crate) fn offer(&mut self, now: Instant, changes: &[Change]) -> Offered {
        if matches!(self.walk, Walk::Due) {
            return Offered::Dropped;
        }
        if self.pending.len() + changes.len() > self.limits.pending_changes {
            self.restart();
            return Offered::Overflow;
        }
        self.pending.extend(changes.iter().map(|change| (now, *change)));
        if self.touch(changes) {
            Offered::Queued
        } else {
            Offered::Overflow
        }
    }

    /// Leaves these flows out of the rest of the snapshot. `false`: too many, it starts again.
    pub(crate) fn touch(&mut self, changes: &[Change]) -> bool {
        if let Walk::Running(running) = &mut self.walk {
            running
                .touched
                .extend(changes.iter().map(|change| *change.identity()));
            if running.touched.len() > self.limits.snapshot_flows {
                self.restart();
                return false;
            }
        }
        true
    }

    /// Forgets what waits; a new snapshot will say it all.
    pub(crate) fn restart(&mut self) {
        self.pending.clear();
        self.walk = Walk::Due;
    }

    /// A chunk of the walk with that number; of any other walk it is worth nothing.
    pub(crate) fn chunk(&mut self, walk: u64, records: Vec<FlowRecord>, last: bool) {
        if let Walk::Running(running) = &mut self.walk
            && running.number == walk
            && running.asked
        {
            running.asked = false;
            running.last = last;
            running.records.extend(records);
        }
    }

    /// What to send next, within the window.
    pub(crate) fn next(&mut self, now: Instant) -> Step {
        if self.bytes >= self.limits.window {
            return Step::Idle;
        }
        if matches!(self.walk, Walk::Due) {
            return if now >= self.not_before {
                Step::Begin
            } else {
                Step::Idle
            };
        }
        if !self.pending.is_empty() {
            return self.batch();
        }
        let Walk::Running(running) = &mut self.walk else {
            return Step::Idle;
        };
        let mut writer = RecordWriter::new();
        while let Some(record) = running.records.pop_front() {
            if !running.touched.contains(&record.identity) {
                writer.push(&Change::Upsert(record));
            }
            if writer.is_full() {
                break;
            }
        }
        if writer.count() > 0 {
            running.named += u64::from(writer.count());
            return Step::Chunk(writer.finish());
        }
        if running.last {
            let named = running.named;
            self.walk = Walk::Done;
            return Step::End(
                named,
                Cargo {
                    end: true,
                    ..Cargo::default()
                },
            );
        }
        if running.asked {
            return Step::Idle;
        }
        running.asked = true;
        Step::Want(running.number)
    }

    fn batch(&mut self) -> Step {
        let mut writer = RecordWriter::new();
        let mut cargo = Cargo::default();
        while !writer.is_full() {
            let Some((at, change)) = self.pending.pop_front() else {
                break;
            };
            cargo.oldest.get_or_insert(at);
            writer.push(&change);
        }
        cargo.changes = writer.count();
        Step::Batch(writer.finish(), cargo)
    }

    /// The frame of [`Step::Begin`] was sent: from here on changes are kept, and the walk may start.
    pub(crate) fn begun(&mut self, now: Instant, number: u64) {
        self.not_before = now + self.limits.resync_pause;
        self.walk = Walk::Running(Running {
            number,
            asked: true,
            last: false,
            records: VecDeque::new(),
            touched: HashSet::new(),
            named: 0,
        });
    }

    pub(crate) fn sent(&mut self, now: Instant, sequence: u64, bytes: usize, cargo: Cargo) {
        self.bytes += bytes;
        self.unacknowledged.push_back(InFlight {
            sequence,
            sent: now,
            bytes,
            cargo,
        });
    }

    pub(crate) fn acknowledged(&mut self, now: Instant, sequence: u64) -> Acknowledged {
        let mut result = Acknowledged::default();
        while let Some(frame) = self
            .unacknowledged
            .pop_front_if(|frame| frame.sequence <= sequence)
        {
            self.bytes = self.bytes.saturating_sub(frame.bytes);
            if let Some(oldest) = frame.cargo.oldest {
                result
                    .changes
                    .push((frame.cargo.changes, now.saturating_duration_since(oldest)));
            }
            // A snapshot that was abandoned meanwhile does not make the peer equal.
            result.end |= frame.cargo.end && matches!(self.walk, Walk::Done);
        }
        result
    }

    /// When the oldest data frame was sent that is not acknowledged.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.unacknowledged.front().map(|frame| frame.sent)
    }

    /// When a postponed snapshot may begin.
    pub(crate) fn due(&self) -> Option<Instant> {
        (matches!(self.walk, Walk::Due) && self.bytes < self.limits.window).then_some(self.not_before)
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

//! Expiry of flows, slice by slice, and the figures that come of looking at all of them.
//!
//! Owner: the flow thread. A flow ends when both directions have been idle for the service's timeout, ten seconds after
//! it was closed, or with its service. What a peer installed stays while the peer is connected: the peer decides, unless
//! its word is overdue.

use std::collections::BTreeMap;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lb_common::{Flow, FlowFlags, FlowKey};
use sync::Change;
use tracing::info;

use super::flow_table::{FlowTable, other_half, remove_both};
use super::record;
use super::table::{Cursor, Expect};

const SLICE: u32 = 2048;
const CLOSED: Duration = Duration::from_secs(10);
/// Neither half of a handshake lasts longer.
const EMBRYONIC: Duration = Duration::from_secs(30);
/// A reverse entry whose client's direction is missing was left by something that went wrong half-way.
const ORPHAN: Duration = Duration::from_secs(10);
/// A pass over a small table is not begun again before.
const PASS: Duration = Duration::from_secs(1);
/// Flows that a listing shows.
pub(super) const LISTED: usize = 1000;

/// What a whole pass found.
#[derive(Default)]
pub(super) struct Census {
    pub(super) established: u64,
    pub(super) embryonic: u64,
    pub(super) by_service: BTreeMap<u32, u64>,
    pub(super) listed: BTreeMap<FlowKey, (Flow, bool)>,
}

impl Census {
    fn see(&mut self, key: &FlowKey, flow: &Flow, established: bool) {
        if flow.has(FlowFlags::REVERSE) {
            return;
        }
        if established {
            self.established += 1;
            *self.by_service.entry(u32::from(flow.service)).or_default() += 1;
        } else {
            self.embryonic += 1;
        }
        self.listed.insert(*key, (*flow, established));
        if self.listed.len() > LISTED {
            self.listed.pop_last();
        }
    }
}

/// A pass over both tiers, in slices.
pub(super) struct Sweep {
    cursor: Cursor,
    embryonic: bool,
    census: Census,
    timeouts: BTreeMap<u32, Duration>,
    resting: bool,
    /// When this pass began, and the one before.
    began: u32,
    before: u32,
}

impl Sweep {
    pub(super) fn new() -> Self {
        let now = record::now();
        Sweep {
            cursor: Cursor::default(),
            embryonic: false,
            census: Census::default(),
            timeouts: BTreeMap::new(),
            resting: false,
            began: now,
            before: now,
        }
    }

    /// One slice. Pushes what peers should know. Returns the census when the pass is complete.
    pub(super) fn step(&mut self, table: &FlowTable, changes: &mut Vec<Change>) -> Option<Census> {
        let now = record::now();
        if self.waits(now) {
            return None;
        }
        // Read for each slice: a flow may be younger than the pass, and its service as well.
        self.timeouts = table
            .0
            .catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .timeouts();
        let mut found: Vec<(FlowKey, Flow)> = Vec::new();
        let maps = &table.0.maps;
        let tier = if self.embryonic {
            &maps.embryonic
        } else {
            &maps.established
        };
        let more = tier.slice(&mut self.cursor, SLICE, |key, flow| found.push((*key, *flow)));
        for (key, flow) in &found {
            self.census.see(key, flow, !self.embryonic);
            if self.embryonic {
                expire_handshake(table, key, flow, now);
            } else if flow.has(FlowFlags::REVERSE) {
                remove_orphan(table, key, flow, now);
            } else {
                self.judge(table, key, flow, now, changes);
            }
        }
        if matches!(more, Ok(Some(()))) {
            return None;
        }
        self.cursor = Cursor::default();
        self.embryonic = !self.embryonic;
        if self.embryonic {
            return None;
        }
        self.resting = true;
        Some(std::mem::take(&mut self.census))
    }

    /// Whether the next pass has to wait for its time.
    fn waits(&mut self, now: u32) -> bool {
        if self.resting && now.wrapping_sub(self.began) < record::ticks(PASS) {
            return true;
        }
        if std::mem::take(&mut self.resting) {
            (self.before, self.began) = (self.began, now);
        }
        false
    }

    /// An established flow, by its client's direction.
    fn judge(&self, table: &FlowTable, key: &FlowKey, flow: &Flow, now: u32, changes: &mut Vec<Change>) {
        let remote = flow.has(FlowFlags::REMOTE);
        let Some(&timeout) = self.timeouts.get(&u32::from(flow.service)) else {
            // Its service is gone.
            let _ = table.remove(key, flow);
            return;
        };
        if !flow.has(FlowFlags::CLOSED) && matches!(heal(table, key, flow), Ok(Healed::Lost)) {
            if !remote {
                changes.push(Change::Delete(record::identity(key)));
            }
            return;
        }
        let limit = limit(flow, timeout, table.0.peer.load(Ordering::Relaxed));
        let forward = idle(flow, now);
        let quarter = timeout / 4;
        if forward > limit {
            // Traffic in one direction alone keeps a flow.
            let other = table.0.maps.established.get(&flow.reply_key(key)).ok().flatten();
            // Read again: it may have spoken since the slice was read.
            let again = table.0.maps.established.get(key).ok().flatten();
            let over = |flow: &Flow| idle(flow, now) > limit;
            if again.as_ref().is_none_or(over) && other.as_ref().is_none_or(over) {
                let gone = table.remove(key, flow).is_ok() && !remote && !flow.has(FlowFlags::CLOSED);
                if gone {
                    changes.push(Change::Delete(record::identity(key)));
                }
                return;
            }
        }
        if !remote && !flow.has(FlowFlags::CLOSED) && self.is_due(key, quarter, now) {
            let record = table.describe(key, flow, now);
            if record.age < quarter {
                changes.push(Change::Upsert(record));
            }
        }
    }

    /// Whether a flow's turn to be announced again came since the pass before. Turns are spread by
    /// the client's port, so that not all flows come at once.
    fn is_due(&self, key: &FlowKey, quarter: Duration, now: u32) -> bool {
        let period = u64::from(record::ticks(quarter).max(1));
        let phase = period * u64::from(key.sport.get()) / 65_536;
        let elapsed = u64::from(now.wrapping_sub(self.before));
        let at = u64::from(now) + phase;
        at / period != at.saturating_sub(elapsed.min(period)) / period
    }
}

/// How long a flow may be idle. A peer names its flows every quarter of the timeout while they are in use, and ends them
/// after it: what it has not said yet counts for them when it is gone, and when it is here and neither is heard the
/// word was lost. Nobody has to say anything about a flow that is closed.
fn limit(flow: &Flow, timeout: Duration, peer: bool) -> Duration {
    if flow.has(FlowFlags::CLOSED) {
        CLOSED.min(timeout)
    } else if flow.has(FlowFlags::REMOTE) && peer {
        timeout + timeout / 2
    } else if flow.has(FlowFlags::REMOTE) {
        timeout + timeout / 4
    } else {
        timeout
    }
}

#[derive(PartialEq, Eq)]
enum Healed {
    /// Nothing was missing, or it is there again.
    Whole,
    /// Another flow has the way back: this one was removed.
    Lost,
}

/// A client's direction without the backend's is healed by no packet: it is found, and forwarded, and no reply ever
/// finds its way. So the way back is made of it again, unless another flow has taken the key: of two flows by one
/// source port the one without a way back ends.
fn heal(table: &FlowTable, key: &FlowKey, flow: &Flow) -> io::Result<Healed> {
    let maps = &table.0.maps;
    let (reverse_key, reverse) = record::reverse(key, flow);
    let is_ours = |half: &Flow| half.reply_key(&reverse_key) == *key;
    let established = maps.established.get(&reverse_key)?;
    if established.as_ref().is_some_and(is_ours) {
        return Ok(Healed::Whole);
    }
    // Read again: the flow may have ended since the slice was read, and its halves go one by one.
    let Some(again) = maps.established.get(key)? else {
        return Ok(Healed::Whole);
    };
    if again.has(FlowFlags::CLOSED) || again.reply_key(key) != reverse_key {
        return Ok(Healed::Whole);
    }
    let taken = established.is_some()
        || maps
            .embryonic
            .get(&reverse_key)?
            .is_some_and(|half| !is_ours(&half));
    if taken {
        maps.established.remove(key)?;
        return Ok(Healed::Lost);
    }
    info!(flow = ?record::identity(key), "the way back was missing");
    match maps.established.put(&reverse_key, &reverse, Expect::Absent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(Healed::Whole),
    }
}

fn idle(flow: &Flow, now: u32) -> Duration {
    Duration::from_millis(flow.idle_ms(now))
}

/// Both halves or none: a client's packets alone keep the way back, too.
fn expire_handshake(table: &FlowTable, key: &FlowKey, flow: &Flow, now: u32) {
    let embryonic = &table.0.maps.embryonic;
    let over = |flow: &Flow| {
        let limit = if flow.has(FlowFlags::CLOSED) {
            CLOSED
        } else {
            EMBRYONIC
        };
        idle(flow, now) > limit
    };
    if over(flow) && matches!(other_half(embryonic, key, flow), Ok(other) if other.as_ref().is_none_or(over))
    {
        let _ = remove_both(embryonic, key, flow);
    }
}

fn remove_orphan(table: &FlowTable, key: &FlowKey, flow: &Flow, now: u32) {
    let maps = &table.0.maps;
    if idle(flow, now) > ORPHAN && matches!(maps.established.get(&flow.reply_key(key)), Ok(None)) {
        let _ = maps.established.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_decides_until_its_word_is_overdue() {
        let timeout = Duration::from_secs(1800);
        let flow = |flags| Flow {
            flags,
            ..Flow::default()
        };
        let remote = flow(FlowFlags::REMOTE);
        assert_eq!(limit(&remote, timeout, true), Duration::from_secs(2700));
        assert_eq!(limit(&remote, timeout, false), Duration::from_secs(2250));
        assert_eq!(limit(&flow(0), timeout, true), timeout);
        assert_eq!(limit(&flow(FlowFlags::CLOSED), timeout, true), CLOSED);
        let closed = flow(FlowFlags::REMOTE | FlowFlags::CLOSED);
        assert_eq!(limit(&closed, timeout, true), CLOSED);
    }
}

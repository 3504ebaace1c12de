//! The established flows, as synchronisation sees them.
//!
//! A flow is two entries, one for each direction. Which node a flow belongs to is a bit: REMOTE says that a peer
//! installed it and that no packet of it came by here since; the packet path clears it. The kernel serialises single
//! entries; what takes several operations is ordered so that a packet in between still finds its way.
//!
//! Any thread may use a handle. Nothing in here waits for anybody.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use lb_common::{Flow, FlowFlags, FlowKey};
use sync::{Change, FlowIdentity, FlowRecord};
use tracing::debug;

use super::catalog::Catalog;
use super::maps::Maps;
use super::record::{self, Misfit, Pair};
use super::table::{Cursor, Expect, Table};

/// Entries read from the map at once.
const SLICE: u32 = 4096;

/// Both nodes may see a flow while its way changes; afterwards one of them is silent for this long.
const MOVED: Duration = Duration::from_secs(2);

/// What became of a peer's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub installed: u64,
    pub deleted: u64,
    /// Named flows that are in use here.
    pub kept: u64,
    /// Did not fit the configuration, or another flow has their port.
    pub refused: u64,
    /// Of those: their service is unknown here.
    pub unknown: u64,
    /// The table is full.
    pub full: u64,
    /// What the peer has to be told: it ended flows that are in use here.
    pub answers: Vec<Change>,
}

pub(super) struct Shared {
    pub(super) maps: Arc<Maps>,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    pub(super) peer: AtomicBool,
    pub(super) refused: AtomicU64,
}

pub(super) type Entries = Table<FlowKey, Flow>;

/// A handle; clones share the table.
#[derive(Clone)]
pub struct FlowTable(pub(super) Arc<Shared>);

/// A walk over the flows that this node owns.
#[derive(Default)]
pub struct Walk {
    cursor: Cursor,
    over: bool,
}

/// The other half of a flow, unless it is missing or another flow has its key by now.
pub(super) fn other_half(table: &Entries, key: &FlowKey, flow: &Flow) -> io::Result<Option<Flow>> {
    let other = flow.reply_key(key);
    Ok(table.get(&other)?.filter(|half| half.reply_key(&other) == *key))
}

/// Removes one half, and the other one when it is of the same flow.
pub(super) fn remove_both(table: &Entries, key: &FlowKey, flow: &Flow) -> io::Result<()> {
    table.remove(key)?;
    if other_half(table, key, flow)?.is_some() {
        table.remove(&flow.reply_key(key))?;
    }
    Ok(())
}

impl FlowTable {
    pub(super) fn new(maps: Arc<Maps>, catalog: Arc<RwLock<Catalog>>) -> Self {
        let (peer, refused) = (AtomicBool::new(false), AtomicU64::new(0));
        FlowTable(Arc::new(Shared {
            maps,
            catalog,
            peer,
            refused,
        }))
    }

    /// While the peer is connected its flows do not expire here.
    pub fn set_peer_connected(&self, connected: bool) {
        self.0.peer.store(connected, Ordering::Relaxed);
    }

    /// Records that did not fit the configuration or the table, since the start.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Installs and removes what a peer says. Idempotent.
    pub fn apply(&self, changes: &[Change]) -> Applied {
        let mut applied = Applied::default();
        let now = record::now();
        for change in changes {
            let result = match change {
                Change::Upsert(record) => self.upsert(record, now, &mut applied),
                Change::Delete(identity) => self.delete(identity, now, &mut applied),
            };
            if let Err(error) = result {
                debug!(%error, flow = ?change.identity(), "the flow table refused a change");
                applied.full += 1;
            }
        }
        self.0
            .refused
            .fetch_add(applied.refused + applied.full, Ordering::Relaxed);
        applied
    }

    fn upsert(&self, record: &FlowRecord, now: u32, applied: &mut Applied) -> io::Result<()> {
        let pair = {
            let catalog = self.0.catalog.read().unwrap_or_else(PoisonError::into_inner);
            record::pair(record, &catalog, now)
        };
        let pair = match pair {
            Ok(pair) => pair,
            Err(misfit) => {
                applied.refused += 1;
                applied.unknown += u64::from(misfit == Misfit::Service);
                return Ok(());
            }
        };
        let table = &self.0.maps.established;
        if let Some(existing) = table.get(&pair.key)? {
            let same = existing.reply_key(&pair.key) == pair.reverse_key;
            let own = !existing.has(FlowFlags::REMOTE) && !existing.has(FlowFlags::CLOSED);
            if own && !self.has_moved(&pair.key, &existing, record, now) {
                // In use here, so this node knows better, also when it says something else.
                applied.kept += 1;
                return Ok(());
            }
            if same && self.saw_the_end(&pair.key, &existing, record, now) {
                applied.kept += 1;
                return Ok(());
            }
            if !same {
                self.remove(&pair.key, &existing)?;
            }
        }
        if !self.claims(&pair, record, now)? {
            applied.refused += 1;
            return Ok(());
        }
        // The reverse one first: a client's packet that finds its entry must find the way back too.
        table.put(&pair.reverse_key, &pair.reverse, Expect::Any)?;
        if let Err(error) = table.put(&pair.key, &pair.flow, Expect::Any) {
            table.remove(&pair.reverse_key)?;
            return Err(error);
        }
        let embryonic = &self.0.maps.embryonic;
        if let Some(flow) = embryonic.get(&pair.key)? {
            remove_both(embryonic, &pair.key, &flow)?;
        }
        embryonic.remove(&pair.reverse_key)?;
        // A packet that restarted or rolled back the former flow may have taken it meanwhile.
        match table.put(&pair.reverse_key, &pair.reverse, Expect::Absent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        applied.installed += 1;
        Ok(())
    }

    /// Whether a flow that came by here was seen by the peer since: it belongs to whom its packets go to.
    fn has_moved(&self, key: &FlowKey, flow: &Flow, record: &FlowRecord, now: u32) -> bool {
        self.describe(key, flow, now).age > record.age + MOVED
    }

    /// Whether a flow was closed here after the peer saw its last packet: such a word does not open it again.
    fn saw_the_end(&self, key: &FlowKey, flow: &Flow, record: &FlowRecord, now: u32) -> bool {
        let closed = flow.has(FlowFlags::CLOSED) && !flow.has(FlowFlags::REMOTE);
        closed && self.describe(key, flow, now).age <= record.age
    }

    /// Whether the reverse key is this flow's. What a hand-over left behind is no obstacle: a flow that has ended,
    /// or that went silent here long before the peer saw the newer one, gives way with both halves; so does one
    /// that has not proved to be alive.
    fn claims(&self, pair: &Pair, record: &FlowRecord, now: u32) -> io::Result<bool> {
        let maps = &self.0.maps;
        let foreign = |table: &Entries| -> io::Result<Option<Flow>> {
            let occupant = table.get(&pair.reverse_key)?;
            Ok(occupant.filter(|reverse| reverse.reply_key(&pair.reverse_key) != pair.key))
        };
        if let Some(reverse) = foreign(&maps.established)? {
            let forward = other_half(&maps.established, &pair.reverse_key, &reverse)?;
            let idle = forward.map_or(u64::MAX, |flow| flow.idle_ms(now));
            let idle = Duration::from_millis(idle.min(reverse.idle_ms(now)));
            if !reverse.has(FlowFlags::CLOSED) && idle <= record.age + MOVED {
                return Ok(false);
            }
            remove_both(&maps.established, &pair.reverse_key, &reverse)?;
        }
        if let Some(reverse) = foreign(&maps.embryonic)? {
            remove_both(&maps.embryonic, &pair.reverse_key, &reverse)?;
        }
        Ok(true)
    }

    fn delete(&self, identity: &FlowIdentity, now: u32, applied: &mut Applied) -> io::Result<()> {
        let key = record::key(identity);
        let Some(flow) = self.0.maps.established.get(&key)? else {
            return Ok(());
        };
        if flow.has(FlowFlags::REMOTE) || flow.has(FlowFlags::CLOSED) {
            self.remove(&key, &flow)?;
            applied.deleted += 1;
        } else {
            applied.kept += 1;
            // Or nobody would have it when this node dies.
            applied
                .answers
                .push(Change::Upsert(self.describe(&key, &flow, now)));
        }
        Ok(())
    }

    /// Removes both directions.
    pub(super) fn remove(&self, key: &FlowKey, flow: &Flow) -> io::Result<()> {
        remove_both(&self.0.maps.established, key, flow)
    }

    /// The flow with this identity, if it is established.
    pub fn get(&self, identity: &FlowIdentity) -> Option<FlowRecord> {
        let key = record::key(identity);
        let flow = self.0.maps.established.get(&key).ok()??;
        Some(self.describe(&key, &flow, record::now()))
    }

    pub(super) fn describe(&self, key: &FlowKey, flow: &Flow, now: u32) -> FlowRecord {
        let reverse = self.0.maps.established.get(&flow.reply_key(key)).ok().flatten();
        record::record(key, flow, reverse.as_ref(), now)
    }

    /// Starts a walk over the flows that this node owns.
    pub fn walk(&self) -> Walk {
        Walk::default()
    }

    /// The next part of a walk, and whether it was the last. Flows that change meanwhile come as changes.
    pub fn next_part(&self, walk: &mut Walk) -> (Vec<FlowRecord>, bool) {
        let mut found = Vec::new();
        if !walk.over {
            let owned =
                |flow: &Flow| flow.flags & (FlowFlags::REVERSE | FlowFlags::REMOTE | FlowFlags::CLOSED) == 0;
            let result = self
                .0
                .maps
                .established
                .slice(&mut walk.cursor, SLICE, |key, flow| {
                    if owned(flow) {
                        found.push((*key, *flow));
                    }
                });
            walk.over = !matches!(result, Ok(Some(())));
        }
        let now = record::now();
        let records = found
            .iter()
            .map(|(key, flow)| self.describe(key, flow, now))
            .collect();
        (records, walk.over)
    }

    /// The peer that owned the installed flows is gone: they are this node's own. What it would have said of them in
    /// the next quarter of their timeout counts as said. Returns how many.
    pub fn adopt_peer_flows(&self) -> u64 {
        let mut adopted = 0;
        let now = record::now();
        let timeouts = self
            .0
            .catalog
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .timeouts();
        self.for_each_remote(|table, key, flow| {
            let grace = timeouts
                .get(&u32::from(flow.service))
                .map_or(Duration::ZERO, |timeout| *timeout / 4);
            let idle = Duration::from_millis(flow.idle_ms(now)).saturating_sub(grace);
            let own = Flow {
                flags: flow.flags & !FlowFlags::REMOTE,
                last_seen: now.wrapping_sub(record::ticks(idle)),
                ..*flow
            };
            adopted +=
                u64::from(table.put(key, &own, Expect::Present).is_ok() && !flow.has(FlowFlags::REVERSE));
        });
        adopted
    }

    /// Removes what the peer owns and did not name in its snapshot. Returns how many.
    pub fn retain_named(&self, named: &HashSet<FlowIdentity>) -> u64 {
        let mut stale = Vec::new();
        self.for_each_remote(|_, key, flow| {
            if !flow.has(FlowFlags::REVERSE) && !named.contains(&record::identity(key)) {
                stale.push((*key, *flow));
            }
        });
        stale
            .iter()
            .filter(|(key, flow)| self.remove(key, flow).is_ok())
            .count() as u64
    }

    fn for_each_remote(&self, mut see: impl FnMut(&Entries, &FlowKey, &Flow)) {
        let table = &self.0.maps.established;
        let mut cursor = Cursor::default();
        loop {
            let mut found = Vec::new();
            let result = table.slice(&mut cursor, SLICE, |key, flow| {
                if flow.has(FlowFlags::REMOTE) {
                    found.push((*key, *flow));
                }
            });
            found.iter().for_each(|(key, flow)| see(table, key, flow));
            if !matches!(result, Ok(Some(()))) {
                return;
            }
        }
    }
}

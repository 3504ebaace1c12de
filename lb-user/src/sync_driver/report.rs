//! What the API shows of each peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::SyncPeer;
use sync::{Peering, Phase};

use super::lag::Lag;
use crate::desired::Sync;
use crate::status::StatusBoard;

/// All peers, for all of them are published at once.
#[derive(Clone)]
pub(super) struct Reports {
    board: StatusBoard,
    all: Arc<Mutex<BTreeMap<String, SyncPeer>>>,
}

impl Reports {
    pub(super) fn new(board: StatusBoard, config: &Sync) -> Self {
        let blank = |(name, address): (&String, &std::net::SocketAddr)| {
            let peer = SyncPeer {
                name: name.clone(),
                address: address.to_string(),
                state: "disconnected".to_owned(),
                ..SyncPeer::default()
            };
            (name.clone(), peer)
        };
        let all = config.peers.iter().map(blank).collect();
        Self {
            board,
            all: Arc::new(Mutex::new(all)),
        }
    }

    pub(super) fn of(&self, peer: &str) -> Report {
        Report {
            reports: self.clone(),
            peer: peer.to_owned(),
            state: "disconnected",
            since: Instant::now(),
            last_error: None,
            lag: Lag::default(),
        }
    }
}

/// One peer's part.
pub(super) struct Report {
    reports: Reports,
    peer: String,
    state: &'static str,
    since: Instant,
    pub(super) last_error: Option<String>,
    pub(super) lag: Lag,
}

impl Report {
    /// Publishes what is so now.
    pub(super) fn publish(&mut self, peering: &Peering, caught_up: bool, refused: u64) {
        let status = peering.status();
        let both = caught_up && status.peer_current;
        let state = match status.phase {
            Phase::Disconnected | Phase::Closed => "disconnected",
            Phase::Handshake => "connecting",
            Phase::Established if both => "streaming",
            Phase::Established => "snapshot",
        };
        if state != self.state {
            (self.state, self.since) = (state, Instant::now());
        }
        let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let counters = status.counters;
        let mut all = self.reports.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = all.get_mut(&self.peer) {
            *peer = SyncPeer {
                name: std::mem::take(&mut peer.name),
                address: std::mem::take(&mut peer.address),
                state: state.to_owned(),
                since_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
                caught_up: both,
                sent_records: counters.changes_sent,
                received_records: counters.changes_applied,
                acknowledged_records: counters.changes_acknowledged,
                queued_records: u64::try_from(status.pending).unwrap_or(u64::MAX),
                refused_records: refused,
                snapshots_sent: counters.snapshots_sent,
                snapshots_received: counters.snapshots_received,
                resyncs: counters.resyncs,
                lag_us: micros(self.lag.newest),
                lag_p50_us: micros(self.lag.quantile(500)),
                lag_p99_us: micros(self.lag.quantile(990)),
                lag_max_us: micros(self.lag.longest),
                last_error: self.last_error.clone(),
            };
        }
        self.reports.board.sync.publish(all.values().cloned().collect());
    }
}

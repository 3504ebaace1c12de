//! The newest state of every part of the node, as the API shows it.
//!
//! Drivers publish whole copies of typed API structs, when something changed and at least once a second;
//! the API and the metrics read the newest copy. Nobody reaches into a driver, and publishing never blocks
//! (see `handoff`), so the failover path may publish as well.

use std::sync::Arc;

use api::{BfdSession, Counter, FlowTable, HaStatus, Neighbor, NodeStatus, Service, SyncPeer};

use crate::handoff::{Fold, Handoff};

/// Copies that may wait for a reader.
const QUEUED: usize = 8;

struct Newest<T>(Arc<T>);

impl<T> Fold for Newest<T> {
    type Item = Arc<T>;

    fn absorb(&mut self, item: Arc<T>) {
        self.0 = item;
    }
}

/// The newest copy of one thing.
pub struct Slot<T>(Handoff<Newest<T>>);

impl<T: Default> Default for Slot<T> {
    fn default() -> Self {
        Slot(Handoff::new(Newest(Arc::default()), QUEUED))
    }
}

impl<T> Slot<T> {
    /// Replaces the copy. Never blocks.
    pub fn publish(&self, value: T) {
        self.0.offer(Arc::new(value));
    }

    pub fn newest(&self) -> Arc<T> {
        self.0.read(|newest| Arc::clone(&newest.0))
    }
}

/// What each driver publishes.
#[derive(Default)]
pub struct Board {
    /// By the reconciler.
    pub node: Slot<NodeStatus>,
    /// By the data path: services with their counters.
    pub services: Slot<Vec<Service>>,
    /// By the data path: flows, and packets by reason.
    pub flows: Slot<FlowTable>,
    pub counters: Slot<Vec<Counter>>,
    /// By the BGP driver.
    pub neighbors: Slot<Vec<Neighbor>>,
    /// By the BFD thread.
    pub bfd: Slot<Vec<BfdSession>>,
    /// By the failover thread.
    pub ha: Slot<HaStatus>,
    /// By the synchronisation.
    pub sync: Slot<Vec<SyncPeer>>,
}

/// A handle; clones share the board: `board.neighbors.publish(..)`.
#[derive(Clone, Default)]
pub struct StatusBoard(Arc<Board>);

impl StatusBoard {
    pub fn new() -> Self {
        Self::default()
    }
}

impl std::ops::Deref for StatusBoard {
    type Target = Board;

    fn deref(&self) -> &Board {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_get_the_newest_copy() {
        let board = StatusBoard::new();
        let writer = board.clone();
        for number in 0..100 {
            writer.ha.publish(HaStatus {
                node: format!("lb{number}"),
                ..HaStatus::default()
            });
        }
        assert_eq!(board.ha.newest().node, "lb99");
        assert!(board.sync.newest().is_empty());
    }
}

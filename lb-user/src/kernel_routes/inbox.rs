//! What waits for the thread: the newest wish for each prefix and each next hop, however many came.
//!
//! Memory is bounded by the number of prefixes and next hops, not by how often they change. The lock is held for as long
//! as it takes to add to or take the collections.

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bgp::{Gateway, RouteChange};
use ipnet::IpNet;
use tokio::sync::oneshot;

use super::status::Status;
use crate::status::Slot;

/// Changes of the kernel's routes that are kept one by one; beyond, everything is looked at again.
const CHANGES: usize = 1024;

#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    pub(super) status: Slot<Status>,
}

/// What has come since the last look.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Empty next hops: no route.
    pub(super) routes: BTreeMap<IpNet, Vec<Gateway>>,
    /// Whether to track the address of this scope.
    pub(super) hops: BTreeMap<(IpAddr, u32), bool>,
    /// Routes that somebody else changed.
    pub(super) touched: Vec<Touched>,
    /// Links or addresses changed, or more routes than are kept.
    pub(super) disturbed: bool,
    pub(super) finish: Vec<oneshot::Sender<()>>,
    /// Nobody holds a handle any more.
    pub(super) closed: bool,
}

/// A route in the kernel changed, and not by our doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) prefix: IpNet,
    pub(super) ours: bool,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl Inbox {
    pub(super) fn apply(&self, changes: Vec<RouteChange>) {
        if changes.is_empty() {
            return;
        }
        self.put(|waiting| {
            for change in changes {
                waiting.routes.insert(change.prefix.trunc(), change.next_hops);
            }
        });
    }

    pub(super) fn track(&self, address: IpAddr, scope: u32, wanted: bool) {
        self.put(|waiting| {
            waiting.hops.insert((address, scope), wanted);
        });
    }

    pub(super) fn finish(&self, done: oneshot::Sender<()>) {
        self.put(|waiting| waiting.finish.push(done));
    }

    pub(super) fn touched(&self, routes: &[Touched]) {
        self.put(|waiting| {
            if waiting.touched.len() + routes.len() > CHANGES {
                waiting.touched.clear();
                waiting.disturbed = true;
            }
            if !waiting.disturbed {
                waiting.touched.extend_from_slice(routes);
            }
        });
    }

    pub(super) fn disturbed(&self) {
        self.put(|waiting| waiting.disturbed = true);
    }

    pub(super) fn close(&self) {
        self.put(|waiting| waiting.closed = true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes everything that has come, waiting for it until the deadline.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Waiting {
        let mut waiting = self.lock();
        while waiting.is_empty() {
            let Some(deadline) = deadline else {
                waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                break;
            }
            waiting = self
                .arrived
                .wait_timeout(waiting, left)
                .map_or_else(|error| error.into_inner().0, |(waiting, _)| waiting);
        }
        let closed = waiting.closed;
        let taken = mem::take(&mut *waiting);
        waiting.closed = closed;
        taken
    }

    fn put(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        if !waiting.closed {
            add(&mut waiting);
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
            && self.hops.is_empty()
            && self.touched.is_empty()
            && self.finish.is_empty()
            && !self.disturbed
            && !self.closed
    }
}

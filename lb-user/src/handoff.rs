//! Values that drivers hand to readers without ever waiting for one.
//!
//! A driver thread with a deadline (BFD, failover) must not sleep on a lock that an API handler of ordinary
//! priority holds. So a writer only does a non-blocking send into a bounded queue, and readers fold the queue
//! into their state under a lock of their own. When the queue is full the writer folds it itself, if the lock
//! is free; otherwise a reader is emptying the queue at that moment. What still finds no room is counted.
//!
//! Owner: `timeline` and `status`. Any thread. It must never block in [`Handoff::offer`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError, TryLockError};

/// State that is made of the items handed over.
pub trait Fold {
    type Item;
    fn absorb(&mut self, item: Self::Item);
}

struct Folded<S: Fold> {
    queue: Receiver<S::Item>,
    state: S,
}

impl<S: Fold> Folded<S> {
    fn drain(&mut self) {
        while let Ok(item) = self.queue.try_recv() {
            self.state.absorb(item);
        }
    }
}

pub struct Handoff<S: Fold> {
    sender: SyncSender<S::Item>,
    folded: Mutex<Folded<S>>,
    lost: AtomicU64,
}

impl<S: Fold> Handoff<S> {
    pub fn new(state: S, queued: usize) -> Self {
        let (sender, queue) = sync_channel(queued);
        Handoff {
            sender,
            folded: Mutex::new(Folded { queue, state }),
            lost: AtomicU64::new(0),
        }
    }

    /// Never blocks.
    pub fn offer(&self, item: S::Item) {
        let Err(full) = self.sender.try_send(item) else {
            return;
        };
        match self.folded.try_lock() {
            Ok(mut folded) => folded.drain(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().drain(),
            Err(TryLockError::WouldBlock) => {}
        }
        let item = match full {
            std::sync::mpsc::TrySendError::Full(item) | std::sync::mpsc::TrySendError::Disconnected(item) => {
                item
            }
        };
        if self.sender.try_send(item).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads the state with everything that was offered before.
    pub fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        let mut folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        folded.drain();
        look(&folded.state)
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<u32>);

    impl Fold for Seen {
        type Item = u32;
        fn absorb(&mut self, item: u32) {
            self.0.push(item);
        }
    }

    #[test]
    fn a_full_queue_is_folded_by_the_writer() {
        let handoff = Handoff::new(Seen::default(), 4);
        (0..100).for_each(|item| handoff.offer(item));
        assert_eq!(handoff.read(|seen| seen.0.clone()), (0..100).collect::<Vec<_>>());
        assert_eq!(handoff.lost(), 0);
    }

    #[test]
    fn a_writer_does_not_wait_for_a_reader() {
        let handoff = Handoff::new(Seen::default(), 4);
        // Offered while the lock is held: four fit, the rest is counted, nothing blocks.
        handoff.read(|_| (0..10).for_each(|item| handoff.offer(item)));
        assert_eq!(handoff.read(|seen| seen.0.clone()), vec![0, 1, 2, 3]);
        assert_eq!(handoff.lost(), 6);
    }
}

//! The queues in front of the failover thread.
//!
//! A real-time thread must never wait for a thread of ordinary priority, not even spinning. So there are two kinds
//! of queue. A [`Lane`] has one sender, itself real-time (BFD, the link monitor), and is wait-free for both ends. Everybody
//! else shares one queue under a lock that the failover thread only tries: whoever holds it wakes the thread afterwards.
//! Lanes are read first, in the order in which they were made.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Instant;

use super::Command;
use crate::wake::Wake;

#[derive(Debug)]
struct Shared {
    queue: Mutex<VecDeque<Command>>,
    wake: Wake,
}

/// The end for everybody.
#[derive(Clone, Debug)]
pub(super) struct Entrance(Arc<Shared>);

impl Entrance {
    pub(super) fn send(&self, command: Command) {
        self.0
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(command);
        // After the lock is free: the thread only tries it.
        self.0.wake.wake();
    }
}

/// The end for one real-time thread.
#[derive(Debug)]
pub struct Lane {
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

impl Lane {
    /// Hands a command over; wait-free.
    pub fn send(&self, command: Command) {
        // Fails only when the daemon is already ending.
        let _ = self.commands.send(command);
        self.shared.wake.wake();
    }
}

/// The receiving end, owned by the failover thread.
#[derive(Debug)]
pub(super) struct Queues {
    shared: Arc<Shared>,
    lanes: Vec<Receiver<Command>>,
}

impl Queues {
    pub(super) fn new() -> io::Result<Self> {
        let shared = Shared {
            queue: Mutex::default(),
            wake: Wake::new()?,
        };
        Ok(Self {
            shared: Arc::new(shared),
            lanes: Vec::new(),
        })
    }

    pub(super) fn entrance(&self) -> Entrance {
        Entrance(Arc::clone(&self.shared))
    }

    pub(super) fn lane(&mut self) -> Lane {
        let (commands, receiver) = channel();
        self.lanes.push(receiver);
        Lane {
            commands,
            shared: Arc::clone(&self.shared),
        }
    }

    /// What is there now; otherwise sleeps until something comes or `deadline` has passed, and looks once more.
    pub(super) fn next(&mut self, deadline: Instant) -> Option<Command> {
        if let Some(command) = self.ready() {
            return Some(command);
        }
        self.shared
            .wake
            .sleep(deadline.saturating_duration_since(Instant::now()));
        self.ready()
    }

    fn ready(&mut self) -> Option<Command> {
        for lane in &self.lanes {
            match lane.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
            }
        }
        match self.shared.queue.try_lock() {
            Ok(mut queue) => queue.pop_front(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().pop_front(),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Nobody can send any more.
    pub(super) fn abandoned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(command: Option<Command>) -> &'static str {
        match command {
            Some(Command::Drain) => "drain",
            Some(Command::Undrain) => "undrain",
            Some(Command::CaughtUp(_)) => "caught up",
            Some(_) => "other",
            None => "nothing",
        }
    }

    #[test]
    fn lanes_come_first() {
        let mut queues = Queues::new().unwrap();
        let (first, second, entrance) = (queues.lane(), queues.lane(), queues.entrance());
        entrance.send(Command::Drain);
        second.send(Command::Undrain);
        first.send(Command::CaughtUp(true));
        let now = Instant::now();
        let order: Vec<_> = (0..4).map(|_| name(queues.next(now))).collect();
        assert_eq!(order, ["caught up", "undrain", "drain", "nothing"]);
    }

    #[test]
    fn a_sender_wakes_the_sleeper() {
        let mut queues = Queues::new().unwrap();
        let (lane, entrance) = (queues.lane(), queues.entrance());
        let far = Instant::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            scope.spawn(|| lane.send(Command::Drain));
            assert_eq!(name(queues.next(far)), "drain");
            scope.spawn(|| entrance.send(Command::Undrain));
            // The wake-up of the first may still count: one early return is allowed.
            let woken = [name(queues.next(far)), "nothing"];
            let woken = if woken[0] == "nothing" {
                name(queues.next(far))
            } else {
                woken[0]
            };
            assert_eq!(woken, "undrain");
        });
    }

    #[test]
    fn a_held_lock_is_not_waited_for() {
        let mut queues = Queues::new().unwrap();
        let entrance = queues.entrance();
        entrance.send(Command::Drain);
        let shared = Arc::clone(&queues.shared);
        let held = shared.queue.lock().unwrap();
        assert_eq!(name(queues.next(Instant::now())), "nothing");
        drop(held);
        assert_eq!(name(queues.next(Instant::now())), "drain");
    }

    #[test]
    fn the_last_sender_is_noticed() {
        let queues = Queues::new().unwrap();
        let entrance = queues.entrance();
        assert!(!queues.abandoned());
        drop(entrance);
        assert!(queues.abandoned());
    }
}

//! What the machine itself grants: a bare thread that sleeps, under SCHED_FIFO with the priority of our BFD thread.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::real_time;

const PERIOD: Duration = Duration::from_millis(10);
const PRIORITY: i32 = 50;
/// As the daemon counts.
const LATE: Duration = Duration::from_millis(1);

pub(crate) struct Sleeper {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<Lateness>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    pub(crate) max: Duration,
    pub(crate) late: u64,
}

impl Sleeper {
    pub(crate) fn start() -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            real_time(PRIORITY);
            let mut lateness = Lateness::default();
            while !asked.load(Ordering::Relaxed) {
                let due = Instant::now() + PERIOD;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let late = due.elapsed();
                lateness.max = lateness.max.max(late);
                lateness.late += u64::from(late > LATE);
            }
            lateness
        });
        Sleeper {
            enough,
            thread: Some(thread),
        }
    }

    pub(crate) fn end(mut self) -> Lateness {
        self.enough.store(true, Ordering::Relaxed);
        let thread = self.thread.take().unwrap();
        thread.join().unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}

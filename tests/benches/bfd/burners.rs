//! Keeps every core busy: twice as many threads as cores that only count, under the ordinary scheduler at nice 0.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub(crate) struct Burners {
    enough: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Burners {
    pub(crate) fn start() -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let count = 2 * std::thread::available_parallelism().unwrap().get();
        let burn = |_| {
            let asked = Arc::clone(&enough);
            std::thread::spawn(move || {
                let mut number = 0_u64;
                while !asked.load(Ordering::Relaxed) {
                    number = std::hint::black_box(number.wrapping_add(1));
                }
            })
        };
        let threads = (0..count).map(burn).collect();
        Burners { enough, threads }
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

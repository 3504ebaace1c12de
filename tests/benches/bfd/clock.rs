//! Moments on CLOCK_MONOTONIC in nanoseconds, threads that are not late, and chance.
use std::time::Duration;

use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// Below our BFD thread and above everything of the machine that is not real-time.
const OBSERVER: i32 = 10;

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

pub(crate) fn milliseconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// From one moment to another, which may be before it.
pub(crate) fn between(from: u64, to: u64) -> i64 {
    to.cast_signed() - from.cast_signed()
}

/// A kernel's stamp, which is of the clock of the day, as a moment. To be asked while the stamp is fresh: a step of the
/// clock in between would move it.
pub(crate) fn moment_of_stamp(stamp: Duration) -> u64 {
    let wall = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME).unwrap());
    labs::monotonic_ns() - nanoseconds(wall.saturating_sub(stamp))
}

/// For threads that only observe: under the ordinary scheduler they would measure themselves on a busy machine.
pub(crate) fn observe_in_time() {
    real_time(OBSERVER);
}

/// Puts the calling thread under SCHED_FIFO.
pub(crate) fn real_time(priority: i32) {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `parameters` lives across the call; 0 is the calling thread.
    let result = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    assert_eq!(result, 0, "no SCHED_FIFO: needs root");
}

/// `SplitMix64`.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly below `limit`.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        Duration::from_nanos(self.next() % nanoseconds(limit))
    }
}

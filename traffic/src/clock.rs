//! CLOCK_MONOTONIC in nanoseconds and the real-time scheduling class.
//!
//! `Instant` hides its value; the reports need the number itself to compare it with other processes.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Nanoseconds of CLOCK_MONOTONIC.
#[must_use]
pub fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000) + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

/// Sleeps until an absolute CLOCK_MONOTONIC time.
pub fn sleep_until(deadline: u64) {
    let request = TimeSpec::from(Duration::from_nanos(deadline));
    loop {
        match clock_nanosleep(
            ClockId::CLOCK_MONOTONIC,
            ClockNanosleepFlags::TIMER_ABSTIME,
            &request,
        ) {
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Puts the calling thread into SCHED_FIFO. Says whether it worked; measuring goes on without, less precisely.
#[must_use]
pub fn become_fifo(priority: i32) -> bool {
    // SAFETY: plain system call; `sched_param` is valid when zeroed and lives across the call.
    unsafe {
        let mut parameter: libc::sched_param = std::mem::zeroed();
        parameter.sched_priority = priority;
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_until_the_deadline_and_not_shorter() {
        let deadline = now() + 3_000_000;
        sleep_until(deadline);
        assert!(now() >= deadline);
    }
}

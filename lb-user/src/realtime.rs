//! Real-time scheduling of the threads of the failover path.
//!
//! The order is part of the design: BFD above all, because a late BFD thread is a false alarm on the peer;
//! then the failover thread and the link monitor, which gives way after each burst. Where the kernel refuses, the thread runs on with default
//! scheduling and says so.

use std::io;

use nix::libc;
use tracing::{info, warn};

/// SCHED_FIFO priorities.
pub const BFD: i32 = 50;
pub const FAILOVER: i32 = 40;
/// As the failover thread: were it lower and kept from running while it hands something over, the failover thread
/// would wait for it.
pub const LINKS: i32 = FAILOVER;

/// Nice value of [`favour`].
const FAVOURED: i32 = -10;

/// Puts the calling thread under SCHED_FIFO. Returns whether the kernel agreed.
pub fn enter(thread: &str, priority: i32) -> bool {
    match set_fifo(priority) {
        Ok(()) => {
            info!(thread, priority, "SCHED_FIFO");
            true
        }
        Err(error) => {
            warn!(
                thread,
                %error,
                "no SCHED_FIFO: default scheduling, reaction may be late under load (needs CAP_SYS_NICE)"
            );
            false
        }
    }
}

/// Prefers the calling thread over ordinary ones without letting it starve them: for work on the failover path whose
/// amount a neighbour can choose. What the kernel refuses is not worth a word.
pub fn favour() {
    // SAFETY: no pointers; 0 is the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, FAVOURED) };
}

fn set_fifo(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // Threads started from here must not inherit it: only the failover path is entitled.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` lives across the call; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

//! Real-time scheduling and locked memory, with a fall-back that is named.

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use tracing::{info, warn};

use super::Scheduling;

/// Puts the calling thread under SCHED_FIFO; threads that it starts do not inherit that.
pub(super) fn enter(priority: Option<i32>) -> Scheduling {
    let Some(priority) = priority else {
        return Scheduling::Other { refused: None };
    };
    let parameter = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the pointer is to a live sched_param for the duration of the call; 0 is the calling thread.
    let result = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameter,
        )
    };
    match Errno::result(result) {
        Ok(_) => {
            info!(priority, "BFD thread runs under SCHED_FIFO");
            Scheduling::Fifo { priority }
        }
        Err(error) => {
            warn!(
                %error,
                "BFD thread has no real-time scheduling and may detect failures late or falsely when the \
                 CPUs are busy: grant CAP_SYS_NICE (systemd: AmbientCapabilities=CAP_SYS_NICE) or set \
                 LimitRTPRIO={priority}"
            );
            Scheduling::Other {
                refused: Some(error as i32),
            }
        }
    }
}

/// Keeps the memory of the process from being paged out. A limited RLIMIT_MEMLOCK would make later
/// allocations of the whole daemon fail, so without an unlimited one, or the capability that stands above it, nothing is
/// locked.
pub(super) fn lock_memory() -> bool {
    let unlimited = || {
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok()
            || getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY)
    };
    // On fault: what is touched stays, stacks and reservations that are never used cost nothing.
    let flags = MlockAllFlags::MCL_CURRENT
        | MlockAllFlags::MCL_FUTURE
        | MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    let exempt =
        || caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_IPC_LOCK).unwrap_or(false);
    if (unlimited() || exempt()) && mlockall(flags).is_ok() {
        return true;
    }
    warn!(
        "memory is not locked: BFD may be late when the node is short of memory; set \
         LimitMEMLOCK=infinity, or start with CAP_SYS_RESOURCE or CAP_IPC_LOCK"
    );
    false
}

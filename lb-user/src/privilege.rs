//! What the daemon may still do once it runs.
//!
//! Called on the main thread after the data path is loaded and before any other thread but the log's exists,
//! which renounces everything: capabilities belong to threads, and new threads inherit them. What stays:
//! NET_ADMIN (addresses, socket options), NET_RAW (gratuitous ARP, neighbour advertisements), SYS_NICE
//! (SCHED_FIFO), NET_BIND_SERVICE (port 179), and IPC_LOCK (memory) where the limit of locked memory cannot be lifted. Loading programs, mounting, reading other users' files and
//! becoming anybody else end here, also for whatever the daemon might be made to execute.

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use tracing::{info, warn};

/// What stays.
const KEPT: [Capability; 4] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_SYS_NICE,
    Capability::CAP_NET_BIND_SERVICE,
];

/// Why privileges could not be given up. The daemon does not run on with more than it should have.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error("cannot change capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    #[error("cannot set no_new_privs: {0}")]
    NoNewPrivileges(#[from] nix::Error),
}

/// Gives up everything but [`KEPT`], for this thread and those it will start.
pub fn drop_privileges() -> Result<(), PrivilegeError> {
    // The BFD thread locks the memory, which needs a limit that only SYS_RESOURCE may raise.
    let lifted = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok();
    prctl::set_no_new_privs()?;
    let permitted = caps::read(None, CapSet::Permitted)?;
    let instead = (!lifted).then_some(Capability::CAP_IPC_LOCK);
    let kept: CapsHashSet = KEPT
        .into_iter()
        .chain(instead)
        .filter(|capability| permitted.contains(capability))
        .collect();
    for missing in KEPT.iter().filter(|capability| !kept.contains(*capability)) {
        warn!(capability = %missing, "capability missing: what needs it will fail and say so");
    }
    // The bounding set first: shrinking it needs SETPCAP, which the next step gives up.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all()
            .into_iter()
            .filter(|capability| !kept.contains(capability) && !KEPT.contains(capability))
        {
            if caps::has_cap(None, CapSet::Bounding, capability)? {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    info!("privileges dropped");
    Ok(())
}

/// Gives up every capability of the calling thread: for threads that exist before [`drop_privileges`] is called.
pub fn renounce() {
    // A thread that has none has nothing to lose; what fails leaves it as it was.
    for set in [CapSet::Effective, CapSet::Permitted] {
        let _ = caps::clear(None, set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_kept_ones_is_left() {
        // On a thread of its own: capabilities belong to threads.
        let (effective, permitted, inherited) = std::thread::spawn(|| {
            drop_privileges().unwrap();
            let read = |set| caps::read(None, set).unwrap();
            let inherited = std::thread::spawn(|| caps::read(None, CapSet::Permitted).unwrap())
                .join()
                .unwrap();
            (read(CapSet::Effective), read(CapSet::Permitted), inherited)
        })
        .join()
        .unwrap();
        assert!(
            permitted
                .iter()
                .all(|capability| KEPT.contains(capability) || *capability == Capability::CAP_IPC_LOCK),
            "{permitted:?}"
        );
        assert_eq!(effective, permitted);
        assert_eq!(inherited, permitted, "threads started afterwards have no more");
        assert_eq!(
            permitted.contains(&Capability::CAP_NET_ADMIN),
            caps::has_cap(None, CapSet::Permitted, Capability::CAP_NET_ADMIN).unwrap(),
            "what is kept is kept"
        );
    }
}

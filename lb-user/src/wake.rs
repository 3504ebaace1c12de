//! Wakes a thread that sleeps in `ppoll`: an eventfd.
//!
//! Real-time threads sleep on this instead of on a channel: writing to it takes no lock and never blocks,
//! and a thread that is awake already is not disturbed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

/// The waking end and the sleeping end in one.
#[derive(Debug)]
pub struct Wake(File);

impl Wake {
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let descriptor = Errno::result(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just created and belongs to nobody else.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) })))
    }

    /// Never blocks. A counter that is full means that the sleeper is awake.
    pub fn wake(&self) {
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Sleeps until woken or until the time has passed. May return early.
    pub fn sleep(&self, timeout: Duration) {
        let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        // Errors are those of a signal; the caller looks again in any case.
        let _ = ppoll(&mut descriptors, Some(TimeSpec::from_duration(timeout)), None);
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

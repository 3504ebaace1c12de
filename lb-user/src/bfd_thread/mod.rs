//! BFD on a thread of its own: sockets, time and scheduling around [`bfd::Sessions`].
//!
//! The thread runs at SCHED_FIFO, priority 50, with its memory locked; where that is not allowed it runs as
//! it is, and says so in [`Report`] and in the log. It owns UDP ports 3784 and 4784 of the families that have such
//! sessions, and sends all packets of a turn in one system call. What does not come with TTL 255 to port 3784 the kernel
//! drops without waking it. Packets carry the kernel's receive time, and the sockets are always emptied before a deadline
//! is judged, so that a late wake-up of our own is never taken for a silent peer.
//!
//! Changes of state are handed to the callback given to [`spawn`], on this thread, before anything else is
//! done with them: it must not block. Commands come through [`Handle`]; [`Handle::report`] shows the rest.
//!
//! It must never wait for anything but its own `ppoll`: no lock that another thread may hold (`try_lock`
//! only), no channel that may spin for a descheduled sender, no log line, no disk. A higher priority thread
//! that waits for a lower one is how a BFD session goes down for nothing. While sessions run and nothing changes it
//! allocates no memory.

mod background;
mod datagram;
mod driver;
mod echo_socket;
mod handle;
mod neighbor;
mod receiver;
mod reception;
mod registry;
mod report;
mod scheduling;
mod sockets;
#[cfg(test)]
mod tests;
mod transmitter;
mod verdict;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

pub use handle::Handle;
pub use verdict::Verdict;

pub use report::{Report, Scheduling, SessionReport, ThreadReport};

use crate::desired::SessionKey;

/// RFC 5881 section 4.
pub const PORT: u16 = 3784;
/// RFC 5883 section 5.
pub const MULTIHOP_PORT: u16 = 4784;

/// Where the thread listens and how it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Receive sockets for each of them, 4 at most, while there is a session of its family. An unspecified IPv6
    /// address that the kernel does not offer is left out.
    pub listen: Vec<IpAddr>,
    /// Where packets are received and sent to; anything but [`PORT`] is for tests.
    pub port: u16,
    /// The same over several hops; anything but [`MULTIHOP_PORT`] is for tests.
    pub multihop_port: u16,
    /// SCHED_FIFO priority; `None` stays with the ordinary scheduler.
    pub priority: Option<i32>,
    /// Lock the memory of the whole process.
    pub lock_memory: bool,
    pub seed: u64,
    /// What Echo packets are known by; never seen on the wire.
    pub secret: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            port: PORT,
            multihop_port: MULTIHOP_PORT,
            priority: Some(50),
            lock_memory: true,
            seed: rand::random(),
            secret: rand::random(),
        }
    }
}

impl Options {
    fn port(&self, multihop: bool) -> u16 {
        if multihop { self.multihop_port } else { self.port }
    }
}

/// News of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was decided.
    pub at: Instant,
    pub key: Arc<SessionKey>,
    /// Started by the peer: nobody here depends on it.
    pub unsolicited: bool,
    pub news: News,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It changed its state.
    State(bfd::Change),
    /// It has been Up for long enough to count again, or it is and has become a session that somebody depends on.
    Usable,
    /// It has been removed, or replaced by one between other ends: what was said of it no longer holds.
    Gone,
}

/// Why the thread could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("UDP port {port} of {address} is taken: another BFD daemon runs in this network namespace")]
    PortTaken { address: IpAddr, port: u16 },
    #[error("cannot listen for BFD on {address}: {source}")]
    Listen { address: IpAddr, source: std::io::Error },
    #[error("cannot start the BFD thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts the thread, after a look at whether it can listen. `on_change` runs on it and must not block.
pub fn spawn(
    options: &Options,
    on_change: impl FnMut(Change) + Send + 'static,
) -> Result<(Handle, JoinHandle<()>), StartError> {
    receiver::check(options)?;
    let handle = Handle::new()?;
    let background = background::Background::start(handle.clone())?;
    let driver = driver::Driver::new(options, handle.clone(), background, Box::new(on_change));
    let (priority, lock_memory) = (options.priority, options.lock_memory);
    let join = std::thread::Builder::new()
        .name("bfd".to_owned())
        .spawn(move || {
            let scheduling = scheduling::enter(priority);
            let locked = lock_memory && scheduling::lock_memory();
            driver.run(scheduling, locked);
        })?;
    Ok((handle, join))
}

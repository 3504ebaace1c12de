//! The way into the BFD thread, for any other thread.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use bfd::{ConfigError, Role, SessionConfig};
use nix::errno::Errno;

use super::{PORT, Report};
use crate::apply::{self, ApplyError};
use crate::desired;

/// What the thread is asked to do. Sessions are named by the address of the peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Put(SessionConfig),
    Remove(IpAddr),
    AdminDown(IpAddr),
    AdminUp(IpAddr),
    LinkDown {
        interface: u32,
    },
    /// End the thread; `announce` says AdminDown to every peer first.
    Stop {
        announce: bool,
    },
}

struct Shared {
    commands: Mutex<VecDeque<Command>>,
    /// An eventfd: the thread sleeps in `ppoll`, not on a channel.
    wake: File,
    report: Mutex<Report>,
}

/// A handle to the thread. Clones are cheap; the thread goes on when all are gone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let descriptor = Errno::result(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just created and belongs to nobody else.
        let wake = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        let commands = Mutex::new(VecDeque::with_capacity(64));
        Ok(Self(Arc::new(Shared {
            commands,
            wake,
            report: Mutex::default(),
        })))
    }

    /// Adds the session, or changes the one with the same remote address. A change of the timing alone keeps
    /// the session up.
    pub fn put(&self, config: SessionConfig) -> Result<(), ConfigError> {
        config.validate()?;
        self.send(Command::Put(config));
        Ok(())
    }

    /// Says AdminDown to the peer and forgets it. Reports no change of state.
    pub fn remove(&self, remote: IpAddr) {
        self.send(Command::Remove(remote));
    }

    pub fn admin_down(&self, remote: IpAddr) {
        self.send(Command::AdminDown(remote));
    }

    pub fn admin_up(&self, remote: IpAddr) {
        self.send(Command::AdminUp(remote));
    }

    /// The interface lost its carrier.
    pub fn link_down(&self, interface: u32) {
        self.send(Command::LinkDown { interface });
    }

    /// Says AdminDown to every peer and ends the thread.
    pub fn shutdown(&self) {
        self.send(Command::Stop { announce: true });
    }

    /// Ends the thread without a word, as a crash would. Peers find out by themselves.
    pub fn halt(&self) {
        self.send(Command::Stop { announce: false });
    }

    pub fn report(&self) -> Report {
        self.0
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn send(&self, command: Command) {
        self.0
            .commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(command);
        // After the lock is free: the thread only tries it. A full eventfd counter is awake already.
        let _ = (&self.0.wake).write(&1_u64.to_ne_bytes());
    }

    pub(super) fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }

    pub(super) fn clear_wake(&self) {
        let _ = (&self.0.wake).read(&mut [0; 8]);
    }

    /// `None` when there is none, or while another thread puts one in: it wakes us up afterwards.
    pub(super) fn next_command(&self) -> Option<Command> {
        try_lock(&self.0.commands)?.pop_front()
    }

    /// The report to overwrite, unless somebody is reading it at this moment.
    pub(super) fn try_report(&self) -> Option<MutexGuard<'_, Report>> {
        try_lock(&self.0.report)
    }
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl apply::Bfd for Handle {
    fn put_session(&mut self, session: &desired::Session) -> Result<(), ApplyError> {
        let local = match session.local {
            Some(local) => local,
            None => source_towards(session.remote).map_err(|error| {
                ApplyError::new(format_args!(
                    "no local address for BFD with {}: {error}",
                    session.remote
                ))
            })?,
        };
        let config = SessionConfig {
            local,
            remote: session.remote,
            interface: None,
            desired_min_tx: session.timing.desired_min_tx,
            required_min_rx: session.timing.required_min_rx,
            detect_multiplier: session.timing.detect_multiplier,
            role: Role::Active,
        };
        self.put(config).map_err(ApplyError::new)
    }

    fn remove_session(&mut self, remote: IpAddr) -> Result<(), ApplyError> {
        self.remove(remote);
        Ok(())
    }
}

/// The address that the kernel would send from. Connecting a datagram socket sends nothing.
fn source_towards(remote: IpAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if remote.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect((remote, PORT))?;
    Ok(socket.local_addr()?.ip())
}

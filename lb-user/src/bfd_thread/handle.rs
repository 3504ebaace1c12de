//! The way into the BFD thread, for any other thread.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use bfd::{ConfigError, MAXIMUM_SESSIONS, Path, SessionConfig, SessionId, Unsolicited};
use nix::errno::Errno;
use nix::net::if_::{if_indextoname, if_nametoindex};
use socket2::{Domain, Socket, Type};

use super::{PORT, Report};
use crate::apply::{self, ApplyError};
use crate::desired::{self, SessionKey};

/// What the thread is asked to do.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Put(SessionKey, SessionConfig),
    Remove(SessionKey),
    Unsolicited(Vec<Unsolicited>),
    AdminDown(SessionKey),
    AdminUp(SessionKey),
    LinkDown {
        interface: u32,
    },
    LinkUp {
        interface: u32,
        name: String,
    },
    NeighborsChanged,
    /// The link-layer address of a peer.
    Resolved(SessionId, [u8; 6]),
    /// End the thread; `announce` says AdminDown to every peer first.
    Stop {
        announce: bool,
    },
}

struct Shared {
    /// Of the link monitor alone: it is real-time, and must not wait for an ordinary thread that holds the lock.
    links: Mutex<VecDeque<Command>>,
    commands: Mutex<VecDeque<Command>>,
    /// An eventfd: the thread sleeps in `ppoll`, not on a channel.
    wake: File,
    report: Mutex<Report>,
    /// The sessions that were put, and from which address. The real-time thread does not know of it.
    put: Mutex<BTreeMap<SessionKey, IpAddr>>,
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
        let queue = || Mutex::new(VecDeque::with_capacity(64));
        Ok(Self(Arc::new(Shared {
            links: queue(),
            commands: queue(),
            wake,
            report: Mutex::default(),
            put: Mutex::default(),
        })))
    }

    /// Adds the session, or changes the one of that name. As long as both ends and the role stay, it stays up.
    pub fn put(&self, key: SessionKey, config: SessionConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let mut put = self.0.put.lock().unwrap_or_else(PoisonError::into_inner);
        if put.len() >= MAXIMUM_SESSIONS && !put.contains_key(&key) {
            return Err(ConfigError::TooMany(MAXIMUM_SESSIONS));
        }
        put.insert(key.clone(), config.path.local);
        drop(put);
        self.send(Command::Put(key, config));
        Ok(())
    }

    /// Says AdminDown to the peer and forgets it. Reports no change of state.
    pub fn remove(&self, key: SessionKey) {
        let mut put = self.0.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.remove(&key);
        drop(put);
        self.send(Command::Remove(key));
    }

    pub fn admin_down(&self, key: SessionKey) {
        self.send(Command::AdminDown(key));
    }

    pub fn admin_up(&self, key: SessionKey) {
        self.send(Command::AdminUp(key));
    }

    /// Who may start sessions: the whole set.
    pub fn unsolicited(&self, unsolicited: Vec<Unsolicited>) -> Result<(), ConfigError> {
        for known in &unsolicited {
            known.parameters.validate(bfd::Hops::Single)?;
        }
        self.send(Command::Unsolicited(unsolicited));
        Ok(())
    }

    /// The interface lost its carrier. This and the two below are for the link monitor alone.
    pub fn link_down(&self, interface: u32) {
        self.put_into(&self.0.links, Command::LinkDown { interface });
    }

    /// The interface has carrier; it may be a new one of the same name.
    pub fn link_up(&self, interface: u32, name: String) {
        self.put_into(&self.0.links, Command::LinkUp { interface, name });
    }

    /// The kernel knows another link-layer address of somebody.
    pub fn neighbors_changed(&self) {
        self.put_into(&self.0.links, Command::NeighborsChanged);
    }

    pub(super) fn resolved(&self, session: SessionId, peer: [u8; 6]) {
        self.send(Command::Resolved(session, peer));
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
        self.put_into(&self.0.commands, command);
    }

    fn put_into(&self, queue: &Mutex<VecDeque<Command>>, command: Command) {
        queue
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
        let next = |queue: &Mutex<VecDeque<Command>>| try_lock(queue).and_then(|mut queue| queue.pop_front());
        next(&self.0.links).or_else(|| next(&self.0.commands))
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
        let remote = session.key.remote;
        let interface = session.key.interface.as_deref().map(index_of).transpose()?;
        let local = match session.local {
            Some(local) => local,
            None => self.source(&session.key, interface).map_err(|error| {
                ApplyError::new(format_args!(
                    "no local address for BFD with {}: {error}",
                    session.key
                ))
            })?,
        };
        let config = SessionConfig {
            path: Path {
                local,
                remote,
                interface,
                hops: session.hops,
            },
            role: session.role,
            parameters: session.parameters.clone(),
        };
        self.put(session.key.clone(), config).map_err(ApplyError::new)
    }

    fn remove_session(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.remove(key.clone());
        Ok(())
    }

    fn disable_session(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.admin_down(key.clone());
        Ok(())
    }

    fn enable_session(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.admin_up(key.clone());
        Ok(())
    }

    /// An interface that is missing keeps strangers on the others from nothing; it is named, and tried again.
    fn set_unsolicited(&mut self, unsolicited: &[desired::Unsolicited]) -> Result<(), ApplyError> {
        let mut present = Vec::new();
        let mut missing = Ok(());
        for known in unsolicited {
            match index_of(&known.interface) {
                Ok(interface) => present.push(Unsolicited {
                    interface,
                    prefixes: known
                        .prefixes
                        .iter()
                        .map(|prefix| (prefix.network(), prefix.prefix_len()))
                        .collect(),
                    limit: known.limit,
                    parameters: known.parameters.clone(),
                }),
                Err(error) => missing = Err(error),
            }
        }
        self.unsolicited(present).map_err(ApplyError::new)?;
        missing
    }
}

impl Handle {
    /// A session without an address of its own keeps the one that it has, as long as the node has it: a change of routes is
    /// no reason to begin anew.
    fn source(&self, key: &SessionKey, interface: Option<u32>) -> io::Result<IpAddr> {
        let put = self.0.put.lock().unwrap_or_else(PoisonError::into_inner);
        let before = put.get(key).copied();
        drop(put);
        let is_here = |local: &IpAddr| UdpSocket::bind(scoped(*local, 0, interface)).is_ok();
        match before.filter(is_here) {
            Some(local) => Ok(local),
            None => source_towards(key.remote, interface),
        }
    }
}

fn index_of(interface: &str) -> Result<u32, ApplyError> {
    if_nametoindex(interface)
        .map_err(|error| ApplyError::new(format_args!("interface {interface} for BFD: {}", error.desc())))
}

/// The address that the kernel would send from, by this interface. Connecting a datagram socket sends nothing.
fn source_towards(remote: IpAddr, interface: Option<u32>) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address((remote, PORT).into()), Type::DGRAM, None)?;
    if let Some(interface) = interface {
        let name = if_indextoname(interface)?;
        socket.bind_device(Some(name.as_bytes()))?;
    }
    socket.connect(&scoped(remote, PORT, interface).into())?;
    let local = socket.local_addr()?.as_socket();
    Ok(local.ok_or(io::ErrorKind::AddrNotAvailable)?.ip())
}

fn scoped(address: IpAddr, port: u16, interface: Option<u32>) -> SocketAddr {
    match address {
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, port, 0, interface.unwrap_or(0)).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => (address, port).into(),
    }
}

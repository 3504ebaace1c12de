//! One TCP connection of the speaker: a task that watches the socket, and a queue of bytes that could not be
//! written at once.
//!
//! Reading and writing are the driver's, in its turn: a bounded read for each connection that has something, so
//! that one neighbour's flood delays the others by one read. Writing is tried where it is asked for, so that an
//! UPDATE reaches the kernel before the next line of the driver runs; only what the socket does not take waits.
//! The queue is bounded: a neighbour that does not read costs memory up to the bound, then its connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bgp::{ConnectionId, PeerId, Transport};
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::authentication::Dropped;
use super::connect::connect;
use crate::router_advertisement::Router;

/// Bytes that may wait for a neighbour: a hundred thousand IPv6 VIPs, announced and changed, are half of it.
const QUEUE: usize = 8 << 20;
/// Largest single read. It bounds what the others wait for.
pub(super) const READ: usize = 16 * 1024;
/// How long a closed connection may take to deliver its last message.
const LINGER: Duration = Duration::from_secs(1);
/// CS6, network control: BGP must not queue behind the traffic that it steers.
const TOS_NETWORK_CONTROL: u32 = 0xc0;

/// What the tasks tell the driver.
pub(super) enum SocketEvent {
    Connected {
        connection: ConnectionId,
        /// The error is for people.
        result: Result<TcpStream, String>,
    },
    Accepted {
        stream: TcpStream,
        remote: SocketAddr,
        /// By which it was judged.
        transport: Box<Transport>,
    },
    /// There is something to read, or room to write what waits.
    Ready { connection: ConnectionId },
    /// A router advertisement came in on an interface with an unnumbered neighbour.
    Router { interface: String, router: Router },
}

/// What every connection needs of the driver.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) events: mpsc::Sender<SocketEvent>,
    /// Held while a connection lives, never used: the receiver ends when the last one is gone.
    pub(super) alive: mpsc::Sender<()>,
}

/// The driver's side of a connection.
pub(super) enum Connection {
    Connecting(Box<Connecting>),
    Open { shared: Rc<Shared>, task: AbortHandle },
}

/// A connect under way.
pub(super) struct Connecting {
    pub(super) peer: PeerId,
    pub(super) transport: Transport,
    /// What the kernel had dropped when it began.
    pub(super) dropped: Dropped,
    pub(super) since: Instant,
    task: AbortHandle,
}

/// What the driver and the task of a connection share; both run on the one thread.
pub(super) struct Shared {
    stream: TcpStream,
    waiting: RefCell<Waiting>,
    /// Something changed for the task: bytes wait, the driver is done with it, or it shall stop.
    wake: Notify,
    /// The driver has been told and has not been there yet.
    told: Cell<bool>,
    closing: Cell<bool>,
}

/// Bytes that the socket did not take; those before `start` have left.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    start: usize,
}

impl Waiting {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn advance(&mut self, written: usize) {
        self.start = (self.start + written).min(self.bytes.len());
        // Moving what remains costs no more than what has left.
        if self.start * 2 >= self.bytes.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

/// What one read brought.
pub(super) enum Read {
    Bytes(usize),
    Nothing,
    End,
}

impl Read {
    fn of(received: io::Result<usize>) -> io::Result<Self> {
        match received {
            Ok(0) => Ok(Read::End),
            Ok(length) => Ok(Read::Bytes(length)),
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {
                Ok(Read::Nothing)
            }
            Err(error) => Err(error),
        }
    }
}

impl Connection {
    /// Starts to connect; the outcome arrives as [`SocketEvent::Connected`].
    pub(super) fn connect(
        connection: ConnectionId,
        peer: PeerId,
        transport: Transport,
        remote: SocketAddr,
        ends: Ends,
    ) -> Self {
        let asked = transport.clone();
        let task = tokio::task::spawn_local(async move {
            let result = connect(asked, remote).await;
            // The driver is gone only when the daemon ends.
            let _ = ends
                .events
                .send(SocketEvent::Connected { connection, result })
                .await;
        });
        Connection::Connecting(Box::new(Connecting {
            peer,
            transport,
            dropped: Dropped::now(),
            since: Instant::now(),
            task: task.abort_handle(),
        }))
    }

    /// Takes over a stream that is open.
    pub(super) fn open(connection: ConnectionId, stream: TcpStream, ends: Ends) -> Self {
        prepare(&stream);
        let shared = Rc::new(Shared {
            stream,
            waiting: RefCell::default(),
            wake: Notify::new(),
            told: Cell::new(false),
            closing: Cell::new(false),
        });
        let task = tokio::task::spawn_local(watch(connection, Rc::clone(&shared), ends)).abort_handle();
        Connection::Open { shared, task }
    }

    pub(super) fn shared(&self) -> Option<&Rc<Shared>> {
        match self {
            Connection::Connecting(_) => None,
            Connection::Open { shared, .. } => Some(shared),
        }
    }

    /// Writes now what the socket takes, keeps the rest. An error means that the connection is lost.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Connection::Connecting(_) => Err(io::Error::from(io::ErrorKind::NotConnected)),
            Connection::Open { shared, .. } => shared.send(bytes),
        }
    }

    /// Delivers what was sent, then closes; does not wait for it.
    pub(super) fn close(self) {
        match self {
            Connection::Connecting(connecting) => connecting.task.abort(),
            Connection::Open { shared, .. } => {
                shared.closing.set(true);
                shared.wake.notify_one();
            }
        }
    }

    /// Ends a connection that is lost, with everything that still waits in it.
    pub(super) fn abort(self) {
        match self {
            Connection::Connecting(connecting) => connecting.task.abort(),
            Connection::Open { shared, task } => {
                if shared.waiting() > 0 {
                    // Or the kernel would keep what it has for a neighbour that does not read. Without it only
                    // memory is kept, and for a while.
                    let _ = SockRef::from(&shared.stream).set_linger(Some(Duration::ZERO));
                }
                task.abort();
            }
        }
    }
}

impl Shared {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        let written = if waiting.rest().is_empty() {
            self.try_write(bytes)?
        } else {
            0
        };
        let rest = bytes.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        if waiting.rest().len() + rest.len() > QUEUE {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "the neighbour does not read",
            ));
        }
        waiting.bytes.extend_from_slice(rest);
        self.wake.notify_one();
        Ok(())
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// Writes what waits as far as there is room. Returns how much that was.
    pub(super) fn flush(&self) -> io::Result<usize> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.rest().is_empty() {
            return Ok(0);
        }
        let written = self.try_write(waiting.rest())?;
        waiting.advance(written);
        Ok(written)
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().rest().len()
    }

    /// One read, after the reactor has told that there is something.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        let receive =
            || recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from);
        Read::of(self.stream.try_io(Interest::READABLE, receive))
    }

    /// One read, whether the reactor knows of something or not.
    pub(super) fn read_anyway(&self, buffer: &mut [u8]) -> io::Result<Read> {
        let received = recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT);
        Read::of(received.map_err(io::Error::from))
    }

    /// The driver has been there: the task may watch again.
    pub(super) fn served(&self) {
        self.told.set(false);
        self.wake.notify_one();
    }
}

/// Options that make the session better but not possible: failures are of no consequence.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = match stream.local_addr() {
        Ok(SocketAddr::V4(_)) => socket.set_tos_v4(TOS_NETWORK_CONTROL),
        _ => socket.set_tclass_v6(TOS_NETWORK_CONTROL),
    };
}

/// The task of an open connection: one piece of news at a time, so that no connection fills the driver's queue.
async fn watch(connection: ConnectionId, shared: Rc<Shared>, ends: Ends) {
    while !shared.closing.get() {
        if shared.told.get() {
            shared.wake.notified().await;
            continue;
        }
        let interest = if shared.waiting() > 0 {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        tokio::select! {
            biased;
            () = shared.wake.notified() => {}
            // What an error is the driver finds out.
            _ = shared.stream.ready(interest) => {
                shared.told.set(true);
                if ends.events.send(SocketEvent::Ready { connection }).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = timeout(LINGER, finish(&shared)).await;
}

/// Delivers the last messages. Reads on until the neighbour closes: unread bytes would make the kernel send a
/// RST, which can overtake a NOTIFICATION.
async fn finish(shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    while shared.waiting() > 0 {
        shared.stream.writable().await?;
        shared.flush()?;
    }
    SockRef::from(&shared.stream).shutdown(std::net::Shutdown::Write)?;
    loop {
        shared.stream.readable().await?;
        match shared.stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

//! One TCP connection of the speaker: a task that reads, and a queue of bytes that could not be written at once.
//!
//! Writing is tried where it is asked for, so that an UPDATE reaches the kernel before the next line of the
//! driver runs; only what the socket does not take waits for the task. The queue is bounded: a neighbour that does
//! not read costs memory up to the bound, then its connection.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bgp::ConnectionId;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Bytes that may wait for a neighbour. A table of ten thousand VIPs needs a tenth of it.
const QUEUE: usize = 4 << 20;
/// Largest single read.
const READ: usize = 64 * 1024;
/// How long a connect may take. The speaker usually gives up earlier.
const CONNECT: Duration = Duration::from_secs(20);
/// How long a closed connection may take to deliver its last message.
const LINGER: Duration = Duration::from_secs(1);
/// CS6, network control: BGP must not queue behind the traffic that it steers.
const TOS_NETWORK_CONTROL: u32 = 0xc0;

/// What the tasks tell the driver.
pub(super) enum SocketEvent {
    Connected {
        connection: ConnectionId,
        result: io::Result<TcpStream>,
    },
    Accepted {
        stream: TcpStream,
        remote: SocketAddr,
    },
    Received {
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    Closed {
        connection: ConnectionId,
    },
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
    Connecting(AbortHandle),
    Open { shared: Rc<Shared>, task: AbortHandle },
}

/// What the driver and the task of a connection share; both run on the one thread.
pub(super) struct Shared {
    stream: TcpStream,
    waiting: RefCell<Vec<u8>>,
    /// There is something to write, or to stop for.
    wake: Notify,
    closing: std::cell::Cell<bool>,
}

impl Connection {
    /// Starts to connect; the outcome arrives as [`SocketEvent::Connected`].
    pub(super) fn connect(
        connection: ConnectionId,
        local: Option<IpAddr>,
        remote: SocketAddr,
        ends: Ends,
    ) -> Self {
        let task = tokio::task::spawn_local(async move {
            let result = match timeout(CONNECT, connect(local, remote)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            };
            // The driver is gone only when the daemon ends.
            let _ = ends
                .events
                .send(SocketEvent::Connected { connection, result })
                .await;
        });
        Connection::Connecting(task.abort_handle())
    }

    /// Takes over a stream that is open.
    pub(super) fn open(connection: ConnectionId, stream: TcpStream, ends: Ends) -> Self {
        prepare(&stream);
        let shared = Rc::new(Shared {
            stream,
            waiting: RefCell::default(),
            wake: Notify::new(),
            closing: std::cell::Cell::new(false),
        });
        let task = tokio::task::spawn_local(serve(connection, Rc::clone(&shared), ends)).abort_handle();
        Connection::Open { shared, task }
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
            Connection::Connecting(task) => task.abort(),
            Connection::Open { shared, .. } => {
                shared.closing.set(true);
                shared.wake.notify_one();
            }
        }
    }

    /// Ends a connection that is lost, with everything that still waits in it.
    pub(super) fn abort(self) {
        match self {
            Connection::Connecting(task) => task.abort(),
            Connection::Open { shared, task } => {
                if shared.has_waiting() {
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
        let written = if waiting.is_empty() {
            self.try_write(bytes)?
        } else {
            0
        };
        let rest = bytes.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        if waiting.len() + rest.len() > QUEUE {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "the neighbour does not read",
            ));
        }
        waiting.extend_from_slice(rest);
        self.wake.notify_one();
        Ok(())
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    fn flush(&self) -> io::Result<()> {
        let mut waiting = self.waiting.borrow_mut();
        let written = self.try_write(&waiting)?.min(waiting.len());
        waiting.drain(..written);
        Ok(())
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }
}

async fn connect(local: Option<IpAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(local) = local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(remote).await
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

/// The task of an open connection.
async fn serve(connection: ConnectionId, shared: Rc<Shared>, ends: Ends) {
    let mut buffer = vec![0; READ];
    while !shared.closing.get() {
        let alive = tokio::select! {
            biased;
            () = shared.wake.notified() => Ok(true),
            ready = shared.stream.writable(), if shared.has_waiting() => ready.and_then(|()| shared.flush()).map(|()| true),
            ready = shared.stream.readable() => match ready.and_then(|()| read(&shared.stream, &mut buffer)) {
                Ok(Some([])) => Ok(false),
                Ok(Some(bytes)) => {
                    let bytes = bytes.to_vec();
                    Ok(ends.events.send(SocketEvent::Received { connection, bytes }).await.is_ok())
                }
                Ok(None) => Ok(true),
                Err(error) => Err(error),
            },
        };
        if !matches!(alive, Ok(true)) && !shared.closing.get() {
            let _ = ends.events.send(SocketEvent::Closed { connection }).await;
            return;
        }
    }
    let _ = timeout(LINGER, finish(&shared, &mut buffer)).await;
}

/// `None`: nothing there after all.
fn read<'a>(stream: &TcpStream, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
    match stream.try_read(buffer) {
        Ok(length) => Ok(buffer.get(..length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Delivers the last messages. Reads on until the neighbour closes: unread bytes would make the kernel send a
/// RST, which can overtake a NOTIFICATION.
async fn finish(shared: &Shared, buffer: &mut [u8]) -> io::Result<()> {
    while shared.has_waiting() {
        shared.stream.writable().await?;
        shared.flush()?;
    }
    SockRef::from(&shared.stream).shutdown(std::net::Shutdown::Write)?;
    loop {
        shared.stream.readable().await?;
        if matches!(read(&shared.stream, buffer)?, Some([])) {
            return Ok(());
        }
    }
}

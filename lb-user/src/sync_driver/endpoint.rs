//! Connections: listening, dialling, and who is at the other end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tracing::{debug, warn};

use super::credentials::{Credentials, explain};

/// For the TCP and for the TLS part each.
const PATIENCE: Duration = Duration::from_secs(2);
/// Unanswered data that ends a connection, should the peering not notice first.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at one time of whoever knocks.
const HANDSHAKES: usize = 32;
/// The same complaint is not repeated within it.
const QUIET: Duration = Duration::from_secs(60);

/// An authenticated connection to a peer.
pub(super) struct Arrival {
    pub(super) stream: TlsStream<TcpStream>,
    /// This node has opened it.
    pub(super) ours: bool,
}

/// One peer's way in.
pub(super) type Door = (String, mpsc::Sender<Arrival>);

/// The address may be one that this node does not have yet.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    } else {
        socket.set_freebind_v4(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(64)?;
    TcpListener::from_std(socket.into())
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Opens connections to one peer.
pub(super) struct Dialer {
    credentials: Arc<Credentials>,
    peer: String,
    address: SocketAddr,
    from: IpAddr,
}

impl Dialer {
    pub(super) fn new(credentials: Arc<Credentials>, peer: &str, address: SocketAddr, from: IpAddr) -> Self {
        Self {
            credentials,
            peer: peer.to_owned(),
            address,
            from,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One attempt; the error is for the operator.
    pub(super) async fn dial(&self) -> Result<Arrival, String> {
        let tcp = timeout(PATIENCE, self.connect()).await;
        let tcp = tcp.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let tcp = tcp.map_err(|error| format!("cannot connect to {}: {error}", self.address))?;
        let name = self
            .credentials
            .server_name(&self.peer)
            .ok_or("no name to ask for")?;
        let tls = timeout(PATIENCE, self.credentials.connector.connect(name, tcp)).await;
        let tls = tls.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let tls =
            tls.map_err(|error| format!("TLS with {}: {}", self.address, explain(&error, &self.peer)))?;
        Ok(Arrival {
            stream: tls.into(),
            ours: true,
        })
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        if !self.from.is_unspecified() {
            socket.bind(SocketAddr::new(self.from, 0))?;
        }
        let stream = socket.connect(self.address).await?;
        prepare(&stream)?;
        Ok(stream)
    }
}

/// Lets peers in, for ever.
pub(super) async fn accept(listener: TcpListener, credentials: Arc<Credentials>, doors: Vec<Door>) {
    let (doors, handshakes) = (Arc::new(doors), Arc::new(Semaphore::new(HANDSHAKES)));
    let complaints = Arc::new(std::sync::Mutex::new(Complaints::default()));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the connection is gone already: neither may make this loop spin.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            debug!(%from, "too many handshakes");
            continue;
        };
        let (credentials, doors, complaints) = (
            Arc::clone(&credentials),
            Arc::clone(&doors),
            Arc::clone(&complaints),
        );
        tokio::spawn(async move {
            let admitted = admit(stream, &credentials, &doors).await;
            drop(permit);
            if let Err(reason) = admitted {
                let mut complaints = complaints
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                if complaints.is_news(from.ip(), &reason) {
                    warn!(%from, reason, "refused a connection");
                } else {
                    debug!(%from, reason, "refused a connection");
                }
            }
        });
    }
}

async fn admit(stream: TcpStream, credentials: &Credentials, doors: &[Door]) -> Result<(), String> {
    prepare(&stream).map_err(|error| error.to_string())?;
    let tls = timeout(PATIENCE, credentials.acceptor.accept(stream)).await;
    let tls = tls.map_err(|_| "no TLS handshake in time".to_owned())?;
    let tls = tls.map_err(|error| format!("TLS: {}", explain(&error, "of a peer")))?;
    let peer = credentials.peer_of(tls.get_ref().1.peer_certificates());
    let door = peer.and_then(|peer| doors.iter().find(|(name, _)| name == peer));
    let Some((_, door)) = door else {
        return Err("the certificate does not carry the name of a configured peer (sync.peer)".to_owned());
    };
    let arrival = Arrival {
        stream: tls.into(),
        ours: false,
    };
    door.try_send(arrival)
        .map_err(|_| "one connection more than can be looked at".to_owned())
}

/// What was complained about last, so that a peer that tries for ever does not fill the log.
#[derive(Default)]
pub(super) struct Complaints {
    last: Option<(IpAddr, String, Instant)>,
}

impl Complaints {
    pub(super) fn is_news(&mut self, about: IpAddr, reason: &str) -> bool {
        let now = Instant::now();
        let old = |(whom, what, at): &(IpAddr, String, Instant)| {
            *whom == about && what == reason && now.duration_since(*at) < QUIET
        };
        let known = self.last.as_ref().is_some_and(old);
        if !known {
            self.last = Some((about, reason.to_owned(), now));
        }
        !known
    }
}

//! Connecting to a neighbour, with everything its configuration asks of the socket set before the SYN leaves.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use bgp::{Authentication, Transport};
use nix::libc;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::authentication::{self, Dropped};
use super::guests::host;
use super::hops::{self, Ip};

/// How long a connect may take. The speaker usually gives up earlier.
const CONNECT: Duration = Duration::from_secs(20);

/// The error is for people.
pub(super) async fn connect(transport: Transport, remote: SocketAddr) -> Result<TcpStream, String> {
    let socket = prepared(&transport, remote)?;
    match timeout(CONNECT, socket.connect(remote)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(why(&error, &transport, remote)),
        Err(_) => Err(unanswered(&transport, None)),
    }
}

fn prepared(transport: &Transport, remote: SocketAddr) -> Result<TcpSocket, String> {
    let socket = open(remote).map_err(|error| format!("cannot open a socket: {error}"))?;
    if let Some(interface) = &transport.interface {
        bind_device(socket.as_fd(), interface)?;
    }
    hops::limit(socket.as_fd(), ip(remote), transport.hops)
        .map_err(|error| format!("cannot limit the hops: {error}"))?;
    if let Some(key) = &transport.authentication {
        authentication::install(socket.as_fd(), host(remote.ip()), key)?;
    }
    bind(&socket, transport, remote)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

fn open(remote: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// To the source address and port; the kernel chooses what is not given.
fn bind(socket: &Socket, transport: &Transport, remote: SocketAddr) -> Result<(), String> {
    let port = transport.local_port.unwrap_or(0);
    let local = match (transport.local_address, remote) {
        (None, _) if port == 0 => return Ok(()),
        (Some(local), _) if local.is_ipv4() != remote.is_ipv4() => {
            return Err(format!(
                "source address {local} and {} are of two families",
                remote.ip()
            ));
        }
        (Some(local), remote) => with_scope(SocketAddr::new(local, port), remote),
        (None, SocketAddr::V4(_)) => SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), port),
        (None, SocketAddr::V6(_)) => SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port),
    };
    if port != 0 {
        // An earlier connection from this port may linger, and a listener may have the same port.
        let reused = socket
            .set_reuse_address(true)
            .and_then(|()| socket.set_reuse_port(true));
        reused.map_err(|error| format!("source port {port}: {error}"))?;
    }
    socket
        .bind(&local.into())
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => format!("source address {} is not on this node", local.ip()),
            Some(libc::EADDRINUSE) => format!("source port {port} is in use"),
            Some(libc::EACCES) => format!("source port {port} needs CAP_NET_BIND_SERVICE"),
            _ => format!("cannot bind to {local}: {error}"),
        })
}

/// A link-local source is on the link of the neighbour.
fn with_scope(local: SocketAddr, remote: SocketAddr) -> SocketAddr {
    match (local, remote) {
        (SocketAddr::V6(mut local), SocketAddr::V6(remote)) if local.ip().is_unicast_link_local() => {
            local.set_scope_id(remote.scope_id());
            local.into()
        }
        (local, _) => local,
    }
}

/// Ties a socket to an interface.
pub(super) fn bind_device(socket: BorrowedFd<'_>, interface: &str) -> Result<(), String> {
    SockRef::from(&socket)
        .bind_device(Some(interface.as_bytes()))
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENODEV) => format!("there is no interface {interface}"),
            _ => format!("interface {interface}: {error}"),
        })
}

pub(super) fn ip(address: SocketAddr) -> Ip {
    if address.is_ipv4() { Ip::V4 } else { Ip::V6 }
}

fn why(error: &io::Error, transport: &Transport, remote: SocketAddr) -> String {
    match error.raw_os_error() {
        Some(libc::ETIMEDOUT) => unanswered(transport, None),
        Some(libc::ECONNREFUSED) => format!("nobody listens on {remote}"),
        Some(libc::ENETUNREACH) => format!("there is no route to {}", remote.ip()),
        Some(libc::EHOSTUNREACH) => format!("{} does not answer on the link", remote.ip()),
        Some(libc::ENODEV) => format!("the interface of {remote} is gone"),
        _ => error.to_string(),
    }
}

/// Words for a connect that nobody answered, and what the kernel has dropped in the meantime.
pub(super) fn unanswered(transport: &Transport, dropped: Option<(Dropped, Dropped)>) -> String {
    let password = transport.authentication.is_some();
    let hint = dropped.and_then(|(before, now)| now.since(before, password));
    let secured = match (&transport.authentication, transport.hops) {
        (Some(Authentication::Md5(_)), _) => "; with a password configured this is often a wrong one",
        (Some(Authentication::Ao(_)), _) => "; with TCP-AO configured this is often a wrong key",
        (None, bgp::Hops::Security(_)) => "; with TTL security (RFC 5082) both sides have to send TTL 255",
        (None, bgp::Hops::Limit(_)) => "",
    };
    match hint {
        Some(hint) => format!("no answer{secured} ({hint})"),
        None => format!("no answer{secured}"),
    }
}

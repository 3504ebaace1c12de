//! Listening for neighbours, on the configured addresses only.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::connection::SocketEvent;

const BACKLOG: i32 = 16;
/// Pause after a failed bind, or a failed accept (descriptors exhausted).
const RETRY: Duration = Duration::from_secs(1);

/// Accepts for as long as the task lives; a bind that fails is tried again.
pub(super) fn spawn(address: SocketAddr, events: mpsc::Sender<SocketEvent>) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        let listener = bound(address).await;
        info!(%address, "listening for BGP");
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    if events
                        .send(SocketEvent::Accepted { stream, remote })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    warn!(%address, %error, "cannot accept a BGP connection");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    })
}

async fn bound(address: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match bind(address) {
            Ok(listener) => return listener,
            Err(error) if !told => {
                warn!(%address, %error, "cannot listen for BGP; trying on");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // The address may come to the interface later than the daemon.
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

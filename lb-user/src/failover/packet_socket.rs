//! One AF_PACKET socket, opened in advance, that sends whole Ethernet frames out of any interface.
//!
//! It receives nothing (protocol 0), so an idle daemon is not woken by traffic.

use std::io;
use std::mem::size_of;

use nix::libc;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

/// Sends raw frames; owned by the failover thread.
pub struct PacketSocket {
    socket: Socket,
}

impl PacketSocket {
    /// Opens the socket; needs CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        // A full transmit queue loses a repetition, never time.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sends `frame`, Ethernet header included, out of the interface.
    pub fn send(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(frame, &link_address(ifindex)?)?;
        if sent == frame.len() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::WriteZero))
        }
    }
}

/// `sockaddr_ll` for sending on a raw packet socket: only the interface matters, the frame has the rest.
fn link_address(ifindex: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(ifindex).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: all bytes zero are a valid sockaddr_ll, and the storage is larger and suitably aligned.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_ifindex = index;
    address.sll_halen = 6;
    // SAFETY: the length is that of the sockaddr_ll written above.
    Ok(unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) })
}

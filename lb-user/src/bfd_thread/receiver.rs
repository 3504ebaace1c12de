//! What control packets come in by: a socket for each address that is listened on and each of the two ports.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::reception::{BATCH, Note, Reception};
use super::{Options, StartError};

/// Packets that wait while the thread is kept from running.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Addresses that are listened on; each on two ports.
pub(super) const MAXIMUM_ADDRESSES: usize = 4;

/// A datagram with what the kernel says about it.
pub(super) struct Datagram<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) interface: u32,
    pub(super) ttl: u8,
    pub(super) received: Instant,
    pub(super) payload: &'a [u8],
}

pub(super) struct Receiver {
    socket: Socket,
    address: IpAddr,
    multihop: bool,
    /// When the socket was last found empty: nothing in it is older.
    empty: Instant,
    reception: Reception,
    /// When the datagrams in `reception` were taken, by both clocks, how many of them there are, and which is the next.
    asked: Instant,
    taken: Clocks,
    count: usize,
    next: usize,
}

/// Whether the thread will be able to listen. It does so when there is a session.
pub(super) fn check(options: &Options) -> Result<(), StartError> {
    for &address in options.listen.iter().take(MAXIMUM_ADDRESSES) {
        for multihop in [false, true] {
            let port = options.port(multihop);
            match Receiver::open(address, port, multihop) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(StartError::PortTaken { address, port });
                }
                // A kernel without IPv6, or with IPv6 switched off, is no reason not to run.
                Err(error) if address == Ipv6Addr::UNSPECIFIED && no_ipv6(&error) => {
                    tracing::warn!(%error, "no BFD over IPv6");
                }
                Err(source) => return Err(StartError::Listen { address, source }),
            }
        }
    }
    Ok(())
}

/// RFC 5881 section 5, in the kernel: a packet that comes from farther away than a session may be does not wake a real-time
/// thread. It is counted by the kernel alone (`drops` of the socket).
fn attach_filter(socket: &Socket, address: IpAddr, minimum_ttl: u8) -> io::Result<()> {
    // Offsets of the TTL (RFC 791) and of the hop limit (RFC 8200) in the network header.
    let offset = if address.is_ipv4() { 8 } else { 7 };
    let network_header = libc::SKF_NET_OFF.cast_unsigned();
    let code = |parts: u32| u16::try_from(parts).unwrap_or(0);
    socket.attach_filter(&[
        SockFilter::new(
            code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS),
            0,
            0,
            network_header.wrapping_add(offset),
        ),
        SockFilter::new(
            code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K),
            0,
            1,
            minimum_ttl.into(),
        ),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, u32::MAX),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, 0),
    ])
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

impl Receiver {
    pub(super) fn open(address: IpAddr, port: u16, multihop: bool) -> io::Result<Self> {
        let socket = datagram_socket(address)?;
        attach_filter(&socket, address, bfd::Hops::Single.minimum_ttl())?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        if address.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        // Best effort: the default holds some 250 packets, and only CAP_NET_ADMIN goes beyond the limit of the system.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        }
        socket.bind(&SocketAddr::new(address, port).into())?;
        let empty = Instant::now();
        Ok(Self {
            socket,
            address,
            multihop,
            empty,
            reception: Reception::new(),
            asked: empty,
            taken: Clocks::now(),
            count: BATCH,
            next: BATCH,
        })
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// The least TTL that any session over several hops wants; until then it is that of a single hop.
    pub(super) fn listen_from(&self, minimum_ttl: u8) -> io::Result<()> {
        attach_filter(&self.socket, self.address, minimum_ttl)
    }

    pub(super) fn is_multihop(&self) -> bool {
        self.multihop
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next datagram, or `None` when there is none.
    pub(super) fn receive(&mut self) -> io::Result<Option<Datagram<'_>>> {
        if self.next >= self.count {
            if self.count < BATCH {
                // The last call took everything that was there.
                (self.count, self.next) = (BATCH, BATCH);
                self.empty = self.asked;
                return Ok(None);
            }
            self.asked = Instant::now();
            self.count = self.reception.fill(self.socket.as_raw_fd())?;
            self.taken = Clocks::now();
            self.next = 0;
            if self.count == 0 {
                return self.receive();
            }
        }
        let index = self.next;
        self.next += 1;
        let mut datagram = Datagram {
            source: self.reception.source(index).unwrap_or(self.address),
            destination: self.address,
            interface: 0,
            ttl: 0,
            received: self.taken.monotonic,
            payload: self.reception.payload(index),
        };
        for note in self.reception.notes(index) {
            match note {
                Note::Ttl(ttl) => datagram.ttl = ttl,
                Note::Arrival(destination, interface) => {
                    (datagram.destination, datagram.interface) = (destination, interface);
                }
                Note::Stamp(stamp) => datagram.received = self.taken.arrival(stamp, self.empty),
            }
        }
        Ok(Some(datagram))
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    monotonic: Instant,
    wall: Duration,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self {
            wall: clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from),
            monotonic: Instant::now(),
        }
    }

    /// The kernel stamps with the wall clock, which may be set at any moment. Its age is trusted only as far as
    /// the monotonic clock allows: the packet came after the socket was last empty, and not after now.
    pub(super) fn arrival(self, stamp: Duration, empty: Instant) -> Instant {
        let age = self.wall.saturating_sub(stamp);
        let known = self.monotonic.saturating_duration_since(empty);
        self.monotonic
            .checked_sub(age.min(known))
            .unwrap_or(self.monotonic)
    }
}

fn datagram_socket(address: IpAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    // socket2 sets CLOEXEC.
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_packet_is_taken_from_its_stamp() {
        let now = Clocks::now();
        let empty = now.monotonic - Duration::from_secs(10);
        let received = now.arrival(now.wall - Duration::from_secs(3), empty);
        assert_eq!(now.monotonic - received, Duration::from_secs(3));
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_nothing_out_of_its_bounds() {
        let now = Clocks::now();
        let empty = now.monotonic - Duration::from_millis(20);
        let days = Duration::from_secs(172_800);
        assert_eq!(now.arrival(now.wall + days, empty), now.monotonic);
        assert_eq!(now.arrival(now.wall - days, empty), empty);
    }
}

//! What control packets go out by: one raw socket for each family, and all packets of a turn in one system call.
//!
//! Each session has a source port of its own (RFC 5881 section 4), and a UDP socket can only have one; so the UDP
//! header is written here. Nobody answers to these ports, so nothing has to listen on them. The kernel writes the IP
//! header, chooses the route, and refuses a source address that this node does not have (any more).

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

use bfd::{MAXIMUM_LENGTH, Path, Payload};
use libc::{cmsghdr, in_pktinfo, in6_addr, in6_pktinfo, iovec, mmsghdr};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::datagram::{self, HEADERS, NETWORK_CONTROL, TTL, UDP_START};

/// Three seconds of packets to a thousand neighbours that do not answer.
const SEND_BUFFER: usize = 8 << 20;
/// Packets in one system call.
const BATCH: usize = 64;
/// A control message with the source address and the interface, of either family.
const CONTROL: usize = 40;

/// The instruction `ret #0` of a classic filter.
const DROP: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// A datagram that waits to be sent.
struct Slot {
    bytes: [u8; HEADERS + MAXIMUM_LENGTH],
    end: usize,
    address: SockAddr,
    control: Control,
}

/// Room for the longest control message, aligned as its header is.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control {
    bytes: [u8; CONTROL],
    length: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) packets: u64,
    pub(super) errors: u64,
    pub(super) last_error: Option<i32>,
}

/// The packets of one family.
pub(super) struct Transmitter {
    domain: Domain,
    /// Opened when there is something to send; opened anew after an error that is one of the socket.
    socket: Option<Socket>,
    slots: Vec<Slot>,
}

impl Transmitter {
    pub(super) fn new(domain: Domain) -> Self {
        Self {
            domain,
            socket: None,
            slots: Vec::with_capacity(BATCH),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= BATCH
    }

    /// Takes a packet; `flush` sends it.
    pub(super) fn push(&mut self, path: &Path, source: u16, port: u16, payload: &Payload) {
        let mut bytes = [0; HEADERS + MAXIMUM_LENGTH];
        let ports = (source, port);
        let end = datagram::write_udp(&mut bytes, path.local, path.remote, ports, payload.as_bytes());
        let interface = path.interface.unwrap_or(0);
        self.slots.push(Slot {
            bytes,
            end,
            address: address(path.remote, interface),
            control: Control::of(path.local, interface),
        });
    }

    /// Sends everything. A packet that cannot be sent does not keep the others back.
    pub(super) fn flush(&mut self) -> Sent {
        let mut sent = Sent::default();
        let mut from = 0;
        while from < self.slots.len() {
            match self.send_from(from) {
                Ok(count) if count > 0 => {
                    sent.packets += count as u64;
                    from += count;
                }
                outcome => {
                    sent.errors += 1;
                    sent.last_error = outcome.err().and_then(|error| error.raw_os_error());
                    from += 1;
                }
            }
        }
        self.slots.clear();
        sent
    }

    fn send_from(&mut self, from: usize) -> io::Result<usize> {
        if self.socket.is_none() {
            self.socket = Some(open(self.domain)?);
        }
        let Some(socket) = &self.socket else {
            return Ok(0);
        };
        let slots = self.slots.get_mut(from..).unwrap_or_default();
        let mut vectors = [iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        // SAFETY: a header of zeros is one without name, data and control.
        let mut headers: [mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for ((slot, vector), header) in slots.iter_mut().zip(&mut vectors).zip(&mut headers) {
            let data = slot.bytes.get_mut(UDP_START..slot.end).unwrap_or_default();
            vector.iov_base = data.as_mut_ptr().cast();
            vector.iov_len = data.len();
            // The kernel reads the name, whatever its type says.
            header.msg_hdr.msg_name = slot.address.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = slot.address.len();
            header.msg_hdr.msg_iov = std::ptr::from_mut(vector);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = slot.control.length;
        }
        let count = u32::try_from(slots.len().min(BATCH)).unwrap_or(0);
        // SAFETY: the first `count` headers point into slots and vectors, which live across the call.
        let result = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}

/// A raw socket gets a copy of every UDP packet of its address. Nobody reads it: bound to the loopback address it gets few,
/// and the filter drops those.
fn open(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::UDP))?;
    socket.attach_filter(&[SockFilter::new(DROP, 0, 0, 0)])?;
    socket.set_nonblocking(true)?;
    // What waits for a neighbour that does not answer is charged to the socket: dead peers must not silence the others.
    if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
    }
    let loopback: IpAddr = if domain == Domain::IPV4 {
        socket.set_ttl_v4(TTL.into())?;
        socket.set_tos_v4(NETWORK_CONTROL.into())?;
        Ipv4Addr::LOCALHOST.into()
    } else {
        socket.set_unicast_hops_v6(TTL.into())?;
        socket.set_tclass_v6(NETWORK_CONTROL.into())?;
        Ipv6Addr::LOCALHOST.into()
    };
    // Without a loopback interface the filter alone has to do.
    let _ = socket.bind(&SocketAddr::new(loopback, 0).into());
    Ok(socket)
}

/// The ports are in the header.
fn address(remote: IpAddr, interface: u32) -> SockAddr {
    let address: SocketAddr = match remote {
        IpAddr::V4(remote) => (remote, 0).into(),
        IpAddr::V6(remote) if remote.is_unicast_link_local() => {
            SocketAddrV6::new(remote, 0, 0, interface).into()
        }
        IpAddr::V6(remote) => (remote, 0).into(),
    };
    address.into()
}

impl Control {
    /// IP_PKTINFO or IPV6_PKTINFO: the kernel checks the source address, and leaves by this interface if there is one.
    fn of(local: IpAddr, interface: u32) -> Self {
        let mut control = Self {
            bytes: [0; CONTROL],
            length: 0,
        };
        match local {
            IpAddr::V4(local) => control.put(libc::IPPROTO_IP, libc::IP_PKTINFO, v4_info(local, interface)),
            IpAddr::V6(local) => {
                control.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, v6_info(local, interface))
            }
        }
        control
    }

    fn put<T>(&mut self, level: i32, kind: i32, data: T) {
        let length = size_of::<T>() as u32;
        // SAFETY: computations on lengths only.
        let (space, used) = unsafe { (libc::CMSG_SPACE(length), libc::CMSG_LEN(length)) };
        if space as usize > CONTROL {
            return;
        }
        let header = cmsghdr {
            cmsg_len: used as usize,
            cmsg_level: level,
            cmsg_type: kind,
        };
        let start: *mut cmsghdr = self.bytes.as_mut_ptr().cast();
        // SAFETY: the buffer is aligned as a header and holds `space` bytes, as was checked.
        unsafe {
            start.write(header);
            libc::CMSG_DATA(start).cast::<T>().write_unaligned(data);
        }
        self.length = space as usize;
    }
}

fn v4_info(local: Ipv4Addr, interface: u32) -> in_pktinfo {
    in_pktinfo {
        ipi_ifindex: i32::try_from(interface).unwrap_or(0),
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from_ne_bytes(local.octets()),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    }
}

fn v6_info(local: Ipv6Addr, interface: u32) -> in6_pktinfo {
    in6_pktinfo {
        ipi6_addr: in6_addr {
            s6_addr: local.octets(),
        },
        ipi6_ifindex: interface,
    }
}

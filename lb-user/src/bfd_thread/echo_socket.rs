//! What Echo packets go out and come back by: a packet socket on the link of the session (RFC 5881 section 4).
//!
//! The kernel would deliver a packet to our own address to ourselves, and would drop one that comes from outside with our
//! own address as its source. So both are done below it: the frame goes to the peer's link-layer address, and what comes
//! back is picked up before the kernel judges it. Source and destination are the own address, as FRR and others do it:
//! any other source may fail the source check of the router that is to return it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use bfd::{ECHO_LENGTH, EchoPayload};
use libc::{sockaddr_ll, timespec};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, cmsg_space, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::datagram::{self, HEADERS};
use super::receiver::Clocks;

/// RFC 5881 section 4.
const PORT: u16 = 3785;
/// Source of what is sent: one of the dynamic range, of no further meaning.
const SOURCE_PORT: u16 = 49152;
/// Length of the UDP header.
const UDP_HEADER: usize = 8;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Room for the kernel's time stamp.
#[repr(align(8))]
struct Control([u8; cmsg_space::<timespec>()]);

pub(super) struct EchoSocket {
    socket: Socket,
    local: IpAddr,
    interface: u32,
    empty: Instant,
    bytes: [u8; HEADERS + ECHO_LENGTH],
    control: Control,
}

/// An Echo packet that came back.
pub(super) struct Returned<'a> {
    pub(super) received: Instant,
    pub(super) payload: &'a [u8],
}

impl EchoSocket {
    pub(super) fn open(interface: u32, local: IpAddr) -> io::Result<Self> {
        // Without a protocol nothing arrives before the filter is there.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&filter(local))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        bind(&socket, &link_address(interface, local, [0; 6]))?;
        Ok(Self {
            socket,
            local,
            interface,
            empty: Instant::now(),
            bytes: [0; HEADERS + ECHO_LENGTH],
            control: Control([0; cmsg_space::<timespec>()]),
        })
    }

    pub(super) fn serves(&self, interface: u32, local: IpAddr) -> bool {
        (self.interface, self.local) == (interface, local)
    }

    pub(super) fn interface(&self) -> u32 {
        self.interface
    }

    pub(super) fn local(&self) -> IpAddr {
        self.local
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn send(&self, peer: [u8; 6], payload: &EchoPayload) -> io::Result<()> {
        let mut bytes = [0; HEADERS + ECHO_LENGTH];
        let ports = (SOURCE_PORT, PORT);
        let end = datagram::write_udp(&mut bytes, self.local, self.local, ports, payload);
        let start = datagram::write_ip(&mut bytes, end, self.local, self.local);
        let data = bytes.get(start..end).unwrap_or_default();
        let to = link_address(self.interface, self.local, peer);
        // SAFETY: data and address live across the call, and their lengths are given.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                data.as_ptr().cast(),
                data.len(),
                libc::MSG_DONTWAIT,
                (&raw const to).cast(),
                size_of::<sockaddr_ll>() as u32,
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// The next packet that came back, or `None` when there is none.
    pub(super) fn receive(&mut self) -> io::Result<Option<Returned<'_>>> {
        let before = Instant::now();
        let mut parts = [io::IoSliceMut::new(&mut self.bytes)];
        let descriptor = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<()>(descriptor, &mut parts, Some(&mut self.control.0), flags) {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN) => {
                self.empty = before;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let mut received = before;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(stamp) = control {
                received = Clocks::now().arrival(Duration::from(stamp), self.empty);
            }
        }
        let length = message.bytes;
        let packet = self.bytes.get(..length).unwrap_or(&self.bytes);
        Ok(Some(Returned {
            received,
            payload: payload_of(packet),
        }))
    }
}

/// What is behind the IP and UDP headers; the filter has made sure that they are there.
fn payload_of(packet: &[u8]) -> &[u8] {
    let version_and_length = packet.first().copied().unwrap_or(0);
    let header = match version_and_length >> 4 {
        4 => usize::from(version_and_length & 0x0f) * 4,
        _ => 40,
    };
    packet.get(header + UDP_HEADER..).unwrap_or_default()
}

/// UDP from our own address to port 3785 of it, unfragmented, and returned on the link; nothing else wakes the thread.
fn filter(local: IpAddr) -> Vec<SockFilter> {
    let code = |parts: u32| u16::try_from(parts).unwrap_or(0);
    let load =
        |size: u32, mode: u32, offset: u32| SockFilter::new(code(libc::BPF_LD | size | mode), 0, 0, offset);
    let mut program = Vec::new();
    // Jumps to the last instruction where the value differs; filled in below.
    let mut checks = Vec::new();
    let mut expect = |program: &mut Vec<SockFilter>, value: u32| {
        checks.push((program.len(), value));
        program.push(SockFilter::new(0, 0, 0, 0));
    };
    match local {
        IpAddr::V4(local) => {
            program.push(load(libc::BPF_B, libc::BPF_ABS, 9));
            expect(&mut program, 17);
            // Offset and More Fragments of RFC 791.
            program.push(load(libc::BPF_H, libc::BPF_ABS, 6));
            program.push(SockFilter::new(
                code(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K),
                0,
                0,
                0x3fff,
            ));
            expect(&mut program, 0);
            for address in [12, 16] {
                program.push(load(libc::BPF_W, libc::BPF_ABS, address));
                expect(&mut program, local.to_bits());
            }
            program.push(SockFilter::new(
                code(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH),
                0,
                0,
                0,
            ));
            program.push(load(libc::BPF_H, libc::BPF_IND, 2));
        }
        IpAddr::V6(local) => {
            program.push(load(libc::BPF_B, libc::BPF_ABS, 6));
            expect(&mut program, 17);
            let octets = local.octets();
            let (words, _) = octets.as_chunks::<4>();
            for (index, word) in (0_u32..).zip(words) {
                for address in [8, 24] {
                    program.push(load(libc::BPF_W, libc::BPF_ABS, address + 4 * index));
                    expect(&mut program, u32::from_be_bytes(*word));
                }
            }
            program.push(load(libc::BPF_H, libc::BPF_ABS, 42));
        }
    }
    expect(&mut program, PORT.into());
    program.push(SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, u32::MAX));
    let end = program.len();
    program.push(SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, 0));
    let equal = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    for (at, value) in checks {
        let otherwise = u8::try_from(end - at - 1).unwrap_or(0);
        if let Some(instruction) = program.get_mut(at) {
            *instruction = SockFilter::new(equal, 0, otherwise, value);
        }
    }
    program
}

fn link_address(interface: u32, local: IpAddr, peer: [u8; 6]) -> sockaddr_ll {
    let [a, b, c, d, e, f] = peer;
    sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
        sll_protocol: if local.is_ipv4() {
            ETHERTYPE_IPV4
        } else {
            ETHERTYPE_IPV6
        }
        .to_be(),
        sll_ifindex: i32::try_from(interface).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    }
}

fn bind(socket: &Socket, address: &sockaddr_ll) -> io::Result<()> {
    // SAFETY: the address lives across the call, and its length is given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            std::ptr::from_ref(address).cast(),
            size_of::<sockaddr_ll>() as u32,
        )
    };
    if bound < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_found_behind_the_headers() {
        let payload = [7; ECHO_LENGTH];
        for address in ["10.0.0.1", "2001:db8::1"] {
            let address = address.parse().unwrap();
            let mut bytes = [0; HEADERS + ECHO_LENGTH];
            let end = datagram::write_udp(&mut bytes, address, address, (SOURCE_PORT, PORT), &payload);
            let start = datagram::write_ip(&mut bytes, end, address, address);
            assert_eq!(payload_of(&bytes[start..end]), payload);
        }
        assert_eq!(payload_of(&[]), [0_u8; 0]);
        assert_eq!(payload_of(&[0x4f]), [0_u8; 0]);
    }
}

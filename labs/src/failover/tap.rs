//! Sees what reaches the router from the balancers: BFD packets and BGP UPDATEs, whoever sent them, as they arrive.
//!
//! A witness that is independent of what the daemons say about themselves.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::clock::monotonic_ns;
use crate::error::{Context, Result};
use crate::netns::Netns;

const UDP: u8 = 17;
const TCP: u8 = 6;
const BFD_PORT: u16 = 3784;
const BGP_PORT: u16 = 179;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Bfd,
    /// An UPDATE of RFC 4271 that is not an End-of-RIB.
    Update,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) at_ns: u64,
    pub(super) source: IpAddr,
    pub(super) seen: Seen,
}

/// Ends with this value.
pub(super) struct Tap {
    sightings: Arc<Mutex<Vec<Sighting>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    pub(super) fn start(netns: &Netns) -> Result<Self> {
        let socket = netns
            .run(open)?
            .context(|| format!("packet socket in {}", netns.name()))?;
        let sightings = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, ended) = (Arc::clone(&sightings), Arc::clone(&stop));
        let thread = std::thread::spawn(move || watch(&socket, &log, &ended));
        Ok(Self {
            sightings,
            stop,
            thread: Some(thread),
        })
    }

    /// The first sighting of a kind at or after `since`.
    pub(super) fn first(&self, source: IpAddr, seen: Seen, since: u64) -> Option<u64> {
        self.times(source, seen).into_iter().find(|&at| at >= since)
    }

    /// The last sighting of a kind before `until`.
    pub(super) fn last(&self, source: IpAddr, seen: Seen, until: u64) -> Option<u64> {
        self.times(source, seen).into_iter().rfind(|&at| at < until)
    }

    fn times(&self, source: IpAddr, seen: Seen) -> Vec<u64> {
        let sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = sightings
            .iter()
            .filter(|sighting| sighting.source == source && sighting.seen == seen);
        wanted.map(|sighting| sighting.at_ns).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> nix::Result<OwnedFd> {
    // Bound to no interface: all of the namespace. The protocol IP excludes what the router itself sends.
    let socket = socket(
        AddressFamily::Packet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthIp,
    )?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
    attach_filter(&socket)?;
    Ok(socket)
}

/// Lets through UDP to the BFD port and TCP from or to the BGP port; the traffic of the lab stays outside.
fn attach_filter(socket: &OwnedFd) -> nix::Result<()> {
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let (load_byte, load_half) = (
        libc::BPF_LD | libc::BPF_B | libc::BPF_ABS,
        libc::BPF_LD | libc::BPF_H | libc::BPF_IND,
    );
    let (equal, header) = (
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH,
    );
    let mut program = [
        op(header, 0, 0, 0),
        op(load_byte, 0, 0, 9),
        op(equal, 1, 0, UDP.into()),
        op(equal, 2, 7, TCP.into()),
        op(load_half, 0, 0, 2),
        op(equal, 4, 5, BFD_PORT.into()),
        op(load_half, 0, 0, 0),
        op(equal, 2, 0, BGP_PORT.into()),
        op(load_half, 0, 0, 2),
        op(equal, 0, 1, BGP_PORT.into()),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or(0),
        )
    };
    Errno::result(result).map(drop)
}

fn watch(socket: &OwnedFd, sightings: &Mutex<Vec<Sighting>>, stop: &AtomicBool) {
    super::become_fifo();
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) else {
            continue;
        };
        let now = monotonic_ns();
        if let Some((source, seen)) = classify(buffer.get(..length).unwrap_or_default()) {
            let sighting = Sighting {
                at_ns: now,
                source,
                seen,
            };
            sightings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sighting);
        }
    }
}

/// An IPv4 packet of interest and its source.
fn classify(packet: &[u8]) -> Option<(IpAddr, Seen)> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let source = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
    let segment = packet.get(header..)?;
    let port = |at: usize| Some(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?));
    let seen = match *packet.get(9)? {
        UDP if port(2)? == BFD_PORT => Seen::Bfd,
        TCP if port(0)? == BGP_PORT || port(2)? == BGP_PORT => {
            let data = usize::from(segment.get(12)? >> 4) * 4;
            contains_update(segment.get(data..)?).then_some(Seen::Update)?
        }
        _ => return None,
    };
    Some((source.into(), seen))
}

/// RFC 4271 section 4.1: marker, length, type. A message that began in an earlier segment hides what follows it.
fn contains_update(mut bytes: &[u8]) -> bool {
    const HEADER: usize = 19;
    /// Header and two empty length fields: the End-of-RIB of RFC 4724 section 2.
    const END_OF_RIB: usize = 23;
    while let Some(header) = bytes.first_chunk::<HEADER>() {
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        if header[..16] != [0xff; 16] || length < HEADER {
            return false;
        }
        if header[18] == 2 && length > END_OF_RIB {
            return true;
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, length: u16) -> Vec<u8> {
        let mut bytes = vec![0xff; 16];
        bytes.extend(length.to_be_bytes());
        bytes.push(kind);
        bytes.resize(length.into(), 0);
        bytes
    }

    fn packet(protocol: u8, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        bytes[0] = 0x45;
        bytes[9] = protocol;
        bytes[12..16].copy_from_slice(&[10, 0, 11, 2]);
        bytes.extend(ports[0].to_be_bytes());
        bytes.extend(ports[1].to_be_bytes());
        if protocol == TCP {
            bytes.resize(40, 0);
            bytes[32] = 5 << 4;
        } else {
            bytes.resize(28, 0);
        }
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn bfd_and_updates_are_recognised() {
        let source = IpAddr::from([10, 0, 11, 2]);
        assert_eq!(
            classify(&packet(UDP, [50_000, 3784], &[0; 24])),
            Some((source, Seen::Bfd))
        );
        assert_eq!(classify(&packet(UDP, [50_000, 7], &[0; 24])), None);
        let update = message(2, 60);
        assert_eq!(
            classify(&packet(TCP, [179, 40_000], &update)),
            Some((source, Seen::Update))
        );
        assert_eq!(
            classify(&packet(TCP, [40_000, 179], &update)),
            Some((source, Seen::Update))
        );
        assert_eq!(classify(&packet(TCP, [40_000, 80], &update)), None);
    }

    #[test]
    fn keepalives_and_the_end_of_rib_are_no_updates() {
        assert!(!contains_update(&message(4, 19)));
        assert!(!contains_update(&message(2, 23)));
        assert!(contains_update(&[message(4, 19), message(2, 60)].concat()));
        assert!(!contains_update(&[0; 40]));
        for length in 0..60 {
            let _ = classify(&packet(TCP, [179, 1], &message(2, 60))[..length]);
        }
    }
}

//! A bounded flood of UDP at nodes whose BFD must not care.
//!
//! Three kinds in turn: to BFD's port with a TTL that says that a router has forwarded it; to BFD's port with TTL 255 and
//! the address of the node's own peer, saying Down to a session that does not exist; to a port that nobody has.
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc;
use socket2::{Domain, Socket, Type};

use crate::daemon::Pair;
use crate::network::Node;
use crate::packet::PORT;

const NOBODY: u16 = 9;
/// Of one system call.
const BATCH: usize = 16;
/// What was not sent in time is not made up for beyond this.
const BACKLOG: Duration = Duration::from_millis(20);
/// Version 1, Down, multiplier 3, and discriminators that nobody has given out.
const DOWN: [u8; 24] = [
    0x20, 0x40, 3, 24, 0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xca, 0xfe, 0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10, 0,
    0, 0, 0,
];

pub(crate) struct Flood {
    enough: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// At the remote address of each pair; the local one is the name that is taken.
    pub(crate) fn start(from: &Node, targets: &[Pair], rate: u32) -> Self {
        let open = || -> Vec<Socket> {
            targets
                .iter()
                .flat_map(|pair| {
                    [
                        socket(None, 64, (pair.remote, PORT)),
                        socket(Some(pair.local), 255, (pair.remote, PORT)),
                        socket(None, 64, (pair.remote, NOBODY)),
                    ]
                })
                .collect()
        };
        let sockets = from.netns.run(open).unwrap();
        let (enough, sent): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let (asked, counter) = (Arc::clone(&enough), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            // A sender that starves among the burners is no flood.
            // SAFETY: no pointers; 0 is the calling thread.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
            pour(&sockets, rate, &asked, &counter);
        });
        Flood {
            enough,
            sent,
            thread: Some(thread),
        }
    }

    /// How many packets were sent.
    pub(crate) fn end(mut self) -> u64 {
        self.stop();
        self.sent.load(Ordering::Relaxed)
    }

    fn stop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop();
    }
}

fn socket(source: Option<Ipv4Addr>, ttl: u32, target: (Ipv4Addr, u16)) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_ttl_v4(ttl).unwrap();
    if let Some(source) = source {
        socket.set_ip_transparent_v4(true).unwrap();
        socket.bind(&SocketAddrV4::new(source, 0).into()).unwrap();
    }
    socket
        .connect(&SocketAddrV4::new(target.0, target.1).into())
        .unwrap();
    socket
}

fn pour(sockets: &[Socket], rate: u32, enough: &AtomicBool, sent: &AtomicU64) {
    let batch = Duration::from_secs(1) * u32::try_from(BATCH).unwrap() / rate.max(1);
    let mut due = Instant::now();
    for socket in sockets.iter().cycle() {
        while Instant::now() < due && !enough.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        if enough.load(Ordering::Relaxed) {
            return;
        }
        sent.fetch_add(send(socket), Ordering::Relaxed);
        due = (due + batch).max(Instant::now() - BACKLOG);
    }
}

/// A batch; what the kernel refuses, as after an ICMP error, is not sent again.
fn send(socket: &Socket) -> u64 {
    let mut payload = DOWN;
    let mut part = libc::iovec {
        iov_base: payload.as_mut_ptr().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: plain data for which all zeroes is valid.
    let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for message in &mut messages {
        message.msg_hdr.msg_iov = &raw mut part;
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: headers, part and payload outlive the call, which only reads them.
    let count = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            u32::try_from(BATCH).unwrap(),
            0,
        )
    };
    u64::try_from(count).unwrap_or(0)
}

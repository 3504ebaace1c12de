//! What passes a namespace, with the kernel's own stamp, whoever sent it.
//!
//! At the switch, what comes in at a node's port is what the node has sent; what leaves at the port is what the node gets
//! to see.
use std::io::IoSliceMut;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use labs::Netns;
use nix::libc;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::{moment_of_stamp, observe_in_time};
use crate::packet::{PORT, Packet, UDP};

const ETH_P_ALL: u16 = 0x0003;
const ETH_P_IP: u32 = 0x0800;
const BUFFER: usize = 16 << 20;
/// How long the thread sleeps at most before it looks whether it has to end.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting<T = Packet> {
    pub(crate) at: u64,
    /// Index of the interface.
    pub(crate) port: i32,
    pub(crate) leaving: bool,
    pub(crate) packet: T,
}

/// What the tap listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// BFD in both directions.
    Everything,
    /// BFD, and whatever goes from or to the port of BGP.
    WithBgp,
    /// What nodes send, except for the node behind a port: a flood must not get as far as the socket.
    SentExcept(i32),
}

pub(crate) struct Tap<T = Packet> {
    log: Arc<Mutex<Vec<Sighting<T>>>>,
    dropped: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Copy + Send + 'static> Tap<T> {
    /// What `read` makes nothing of is passed over.
    pub(crate) fn start(netns: &Netns, scope: Scope, read: fn(&[u8]) -> Option<T>) -> Self {
        let open = || {
            let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
            Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))
        };
        let socket = netns.run(open).unwrap().unwrap();
        attach(&socket, scope);
        setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
        setsockopt(&socket, RcvBufForce, &BUFFER).unwrap();
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (enough, dropped): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let mut tap = Tap {
            log: Arc::clone(&log),
            enough: Arc::clone(&enough),
            dropped: Arc::clone(&dropped),
            thread: None,
        };
        tap.thread = Some(std::thread::spawn(move || {
            observe_in_time();
            while !enough.load(Ordering::Relaxed) {
                match next(&socket, read) {
                    Some(sighting) => log.lock().unwrap().push(sighting),
                    // A pause is a good moment to ask for what the kernel had no room for.
                    None => drop(dropped.fetch_add(lost(&socket), Ordering::Relaxed)),
                }
            }
            dropped.fetch_add(lost(&socket), Ordering::Relaxed);
        }));
        tap
    }

    /// Packets that were not seen: a measurement with them is void.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// At or after a moment, in the order of their moments.
    pub(crate) fn since(&self, moment: u64) -> Vec<Sighting<T>> {
        let log = self.log.lock().unwrap();
        let mut found: Vec<Sighting<T>> = log
            .iter()
            .rev()
            // Stamps of two CPUs may be a little out of order.
            .take_while(|sighting| sighting.at + 1_000_000_000 > moment)
            .filter(|sighting| sighting.at >= moment)
            .copied()
            .collect();
        drop(log);
        found.sort_by_key(|sighting| sighting.at);
        found
    }

    /// Makes room.
    pub(crate) fn forget(&self) {
        self.log.lock().unwrap().clear();
    }

    /// All that was seen since the last call or [`Tap::forget`].
    pub(crate) fn take(&self) -> Vec<Sighting<T>> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl<T> Drop for Tap<T> {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn next<T>(socket: &Socket, read: fn(&[u8]) -> Option<T>) -> Option<Sighting<T>> {
    let mut buffer = [0; 4096];
    let mut control = nix::cmsg_space!(TimeSpec);
    let (length, address, stamp) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<LinkAddr>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        );
        let message = received.ok()?;
        let stamp = message.cmsgs().ok()?.find_map(|control| {
            if let ControlMessageOwned::ScmTimestampns(stamp) = control {
                Some(Duration::from(stamp))
            } else {
                None
            }
        });
        (message.bytes, message.address?, stamp?)
    };
    Some(Sighting {
        at: moment_of_stamp(stamp),
        port: i32::try_from(address.ifindex()).unwrap(),
        leaving: address.pkttype() == libc::PACKET_OUTGOING,
        packet: read(buffer.get(..length)?)?,
    })
}

/// What the kernel had no room for since the last question.
fn lost(socket: &Socket) -> u64 {
    // SAFETY: plain data for which zeroes are valid, of the length named.
    unsafe {
        let mut statistics: libc::tpacket_stats = std::mem::zeroed();
        let mut length = u32::try_from(size_of::<libc::tpacket_stats>()).unwrap();
        let result = libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        );
        assert_eq!(result, 0, "PACKET_STATISTICS");
        u64::from(statistics.tp_drops)
    }
}

/// Lets UDP over IPv4 to the port of BFD through, in the scope asked for.
fn attach(socket: &Socket, scope: Scope) {
    const AUXILIARY: u32 = -0x1000_i32 as u32;
    const TCP: u32 = 6;
    const BGP: u32 = 179;
    let (protocol, kind, interface) = (AUXILIARY, AUXILIARY + 4, AUXILIARY + 8);
    let operation = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt,
        jf,
        k,
    };
    let absolute = |size: u32, k: u32| operation(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, k);
    let equal = |k: u32, jt: u8, jf: u8| operation(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let give = |length: u32| operation(libc::BPF_RET | libc::BPF_K, 0, 0, length);
    let (outgoing, flooder) = match scope {
        Scope::Everything | Scope::WithBgp => (u32::MAX, 0),
        Scope::SentExcept(port) => (u32::from(libc::PACKET_OUTGOING), port.cast_unsigned()),
    };
    let tcp = if scope == Scope::WithBgp { TCP } else { u32::MAX };
    let mut program = [
        absolute(libc::BPF_W, kind),
        equal(outgoing, 14, 0),
        absolute(libc::BPF_W, interface),
        equal(flooder, 12, 0),
        absolute(libc::BPF_W, protocol),
        equal(ETH_P_IP, 0, 10),
        absolute(libc::BPF_B, 9),
        equal(tcp, 3, 0),
        equal(UDP.into(), 0, 7),
        absolute(libc::BPF_H, 22),
        equal(PORT.into(), 4, 5),
        absolute(libc::BPF_H, 20),
        equal(BGP, 2, 0),
        absolute(libc::BPF_H, 22),
        equal(BGP, 0, 1),
        give(u32::MAX),
        give(0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap(),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            u32::try_from(size_of::<libc::sock_fprog>()).unwrap(),
        )
    };
    assert_eq!(result, 0, "SO_ATTACH_FILTER");
}

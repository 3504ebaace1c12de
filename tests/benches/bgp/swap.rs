//! From the decision to the wire: ten thousand VIPs, and a role that changes.
//!
//! The clock starts in the process of the speaker, before the command is queued for the thread that owns the
//! speaker, and stops when a packet socket on the other end of the cable has the first packet with data: queue,
//! wake-up, attributes, messages, system call and the kernel's way are all inside.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use labs::Netns;
use socket2::{Domain, Protocol, Socket, Type};

use crate::bird::Bird;
use crate::network::{Network, SENDER};
use crate::speaker::{Speaker, nanoseconds};

pub(crate) const VIPS: u32 = 10_000;
const SWAPS: usize = 41;

/// `ETH_P_ALL`; a packet socket takes it in the order of the network.
const EVERYTHING: i32 = 0x0300;

/// Microseconds to the first packet of each swap, in order of size.
pub(crate) fn run() -> Vec<f64> {
    let network = Network::new();
    let mut bird = Bird::receiver(&network.receiver, network.folder.path());
    let mut speaker = Speaker::start(&network.sender, &["sender"]);
    let patience = Duration::from_secs(30);
    bird.when(patience, Bird::is_established).unwrap();
    // Without a MED of their own, so that the role decides.
    speaker.ask(&format!("prepare {VIPS} none"));
    speaker.tell("go");
    let vips = u64::from(VIPS);
    bird.when(patience, |bird| bird.counts().imported == vips)
        .unwrap();
    let tap = tap(&network.receiver);
    let mut times = Vec::new();
    for swap in 0..SWAPS {
        // Nothing of the swap before is on its way any more.
        std::thread::sleep(Duration::from_millis(100));
        drain(&tap);
        let before = bird.counts().updates;
        let role = if swap % 2 == 0 {
            "role backup"
        } else {
            "role master"
        };
        speaker.tell(role);
        let first = first_data(&tap);
        let decided: u128 = speaker.answer().parse().unwrap();
        times.push((first - decided) as f64 / 1e3);
        bird.when(patience, |bird| bird.counts().updates >= before + vips)
            .unwrap();
    }
    times.sort_by(f64::total_cmp);
    times
}

fn tap(netns: &Netns) -> Socket {
    let open = || Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(EVERYTHING)));
    let socket = netns.run(open).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn drain(tap: &Socket) {
    tap.set_nonblocking(true).unwrap();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 64];
    while tap.recv(&mut buffer).is_ok() {}
    tap.set_nonblocking(false).unwrap();
}

/// When the first packet of the sender with data behind its TCP header was here.
fn first_data(tap: &Socket) -> u128 {
    let sender = SENDER.parse::<Ipv4Addr>().unwrap().octets();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut buffer = [std::mem::MaybeUninit::uninit(); 2048];
    while Instant::now() < deadline {
        let length = tap.recv(&mut buffer).unwrap();
        let moment = nanoseconds();
        // SAFETY: the kernel has written that much.
        let packet: Vec<u8> = buffer[..length]
            .iter()
            .map(|byte| unsafe { byte.assume_init() })
            .collect();
        if packet.len() < 40 || packet[0] != 0x45 || packet[9] != 6 || packet[12..16] != sender {
            continue;
        }
        let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let headers = 20 + usize::from(packet[32] >> 4) * 4;
        if total > headers {
            return moment;
        }
    }
    panic!("no UPDATE within five seconds")
}

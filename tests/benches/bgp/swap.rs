//! From the decision to the wire: ten thousand VIPs, and a role that changes.
//!
//! The clock starts in the process of the speaker, before the command is queued for the thread that owns the
//! speaker, and stops when the kernel has the first packet with data at the other end of the cable: queue, wake-up,
//! attributes, messages, system call and the kernel's way are all inside.
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::bird::Bird;
use crate::network::{Network, SENDER, next_data, tap};
use crate::speaker::Speaker;

pub(crate) const VIPS: u32 = 10_000;
const SWAPS: usize = 41;
const PATIENCE: Duration = Duration::from_secs(5);

/// Microseconds to the first packet of each swap, in order of size.
pub(crate) fn run() -> Vec<f64> {
    let network = Network::new();
    let mut bird = Bird::receiver(&network.receiver, network.folder.path());
    let mut speaker = Speaker::start(&network.sender, &["swap"]);
    let patience = Duration::from_secs(30);
    bird.when(patience, Bird::is_established).unwrap();
    // Without a MED of their own, so that the role decides.
    speaker.ask(&format!("prepare {VIPS} none"));
    speaker.tell("go");
    let vips = u64::from(VIPS);
    bird.when(patience, |bird| bird.counts().imported == vips)
        .unwrap();
    let tap = tap(&network.receiver, PATIENCE);
    let mut times = Vec::new();
    for swap in 0..SWAPS {
        // Nothing of the swap before is on its way any more.
        network.quiet();
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

fn drain(tap: &Socket) {
    tap.set_nonblocking(true).unwrap();
    let mut buffer = [MaybeUninit::uninit(); 64];
    while tap.recv(&mut buffer).is_ok() {}
    tap.set_nonblocking(false).unwrap();
}

/// When the first packet of the sender with data behind its TCP header was here.
fn first_data(tap: &Socket) -> u128 {
    let sender = SENDER.parse::<Ipv4Addr>().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some((from, moment)) = next_data(tap)
            && from == sender
        {
            return moment;
        }
    }
    panic!("no UPDATE within {PATIENCE:?}")
}

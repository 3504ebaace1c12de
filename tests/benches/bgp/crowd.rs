//! Sixty-four neighbours with ten thousand prefixes each, at once, at our speaker.
//!
//! One bird plays them all, with a hold time of nine seconds and no patience: what our speaker does not answer in
//! time ends the session, and a session that was lost is counted. Each session has addresses of its own at both
//! ends: bird speaks with an address of a neighbour only once, and lets further protocols wait.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use labs::Netns;
use lb_user::status::StatusBoard;

use crate::bird::Bird;
use crate::network::{Network, next_data, tap};
use crate::senders::address;
use crate::speaker::Speaker;

pub(crate) const NEIGHBOURS: u8 = 64;
pub(crate) const PREFIXES: u32 = 10_000;
const HOLD: Duration = Duration::from_secs(9);

pub(crate) struct Outcome {
    /// Until our speaker had every prefix, and until it had none again.
    pub(crate) announced: Option<Duration>,
    pub(crate) withdrawn: Option<Duration>,
    pub(crate) sessions_lost: u64,
    /// Of all sessions, between two messages of ours; a third of the hold time is what the timer asks for.
    pub(crate) longest_silence: Duration,
    pub(crate) memory: u64,
    pub(crate) cpu: Duration,
}

/// Our address and the neighbour's.
pub(crate) fn sessions() -> Vec<(IpAddr, IpAddr)> {
    let address = |net, index| IpAddr::from(Ipv4Addr::new(10, 99, net, index));
    (1..=NEIGHBOURS)
        .map(|index| (address(2, index), address(1, index)))
        .collect()
}

/// Neighbours that are established, prefixes received from all, sessions lost: for the line of the child.
pub(crate) fn status(board: &StatusBoard) -> String {
    let neighbors = board.neighbors.newest();
    let established = neighbors
        .iter()
        .filter(|neighbor| neighbor.state == "established")
        .count();
    let received: u64 = neighbors.iter().map(|neighbor| neighbor.received).sum();
    let flaps: u64 = neighbors.iter().map(|neighbor| neighbor.flaps).sum();
    format!("{established} {received} {flaps}")
}

struct Crowd {
    speaker: Speaker,
}

impl Crowd {
    fn numbers(&mut self) -> [u64; 3] {
        let answer = self.speaker.ask("status");
        let mut numbers = answer.split(' ').map(|word| word.parse().unwrap());
        std::array::from_fn(|_| numbers.next().unwrap())
    }

    fn when(&mut self, patience: Duration, holds: impl Fn([u64; 3]) -> bool) -> Option<Instant> {
        let deadline = Instant::now() + patience;
        while !holds(self.numbers()) {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Instant::now())
    }
}

pub(crate) fn run() -> Outcome {
    let network = Network::new();
    for (local, remote) in sessions() {
        add(&network.sender, local);
        add(&network.receiver, remote);
    }
    let speaker = Speaker::start(&network.sender, &["crowd"]);
    let mut crowd = Crowd { speaker };
    let mut bird = Bird::start(&network.receiver, network.folder.path(), "crowd", &config());
    let patience = Duration::from_secs(120);
    let everybody = u64::from(NEIGHBOURS);
    crowd
        .when(patience, |[established, ..]| established == everybody)
        .expect("64 sessions");
    let silence = Silence::watch(&network.receiver);
    let all = everybody * u64::from(PREFIXES);
    let cpu = network.cpu();
    let start = Instant::now();
    bird.ask("enable worse");
    let announced = crowd.when(patience, |[_, received, _]| received == all);
    bird.ask("enable better");
    // Whoever has starved its timers loses sessions now.
    let quiet = Instant::now() + 2 * HOLD;
    crowd.when(patience, |_| Instant::now() > quiet);
    let memory = network.memory();
    bird.ask("disable worse");
    let again = Instant::now();
    bird.ask("disable better");
    let withdrawn = crowd.when(patience, |[_, received, _]| received == 0);
    let cpu = Duration::from_nanos(network.cpu() - cpu);
    let longest_silence = silence.end();
    let [established, _, flaps] = crowd.numbers();
    Outcome {
        announced: announced.map(|end| end - start),
        withdrawn: withdrawn.map(|end| end - again),
        sessions_lost: flaps.max(everybody - established),
        longest_silence,
        memory,
        cpu,
    }
}

fn add(netns: &Netns, address: IpAddr) {
    let words = format!("-n {} address add {address}/16 dev e0", netns.name());
    let status = Command::new("ip").args(words.split(' ')).status();
    assert!(status.unwrap().success());
}

/// Watches, from the neighbours' end of the cable, how long our speaker says nothing.
struct Silence {
    enough: Arc<AtomicBool>,
    watcher: std::thread::JoinHandle<u128>,
}

impl Silence {
    fn watch(netns: &Netns) -> Self {
        let tap = tap(netns, Duration::from_millis(100));
        let enough = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&enough);
        let watcher = std::thread::spawn(move || {
            let (mut last, mut longest) = (BTreeMap::new(), 0);
            while !asked.load(Ordering::Relaxed) {
                let Some((from, moment)) = next_data(&tap) else {
                    continue;
                };
                if let Some(before) = last.insert(from, moment) {
                    longest = longest.max(moment - before);
                }
            }
            longest
        });
        Silence { enough, watcher }
    }

    fn end(self) -> Duration {
        self.enough.store(true, Ordering::Relaxed);
        Duration::from_nanos(u64::try_from(self.watcher.join().unwrap()).unwrap())
    }
}

fn config() -> String {
    let mut routes = String::new();
    for index in 0..PREFIXES {
        write!(routes, "route {}/32 blackhole;", address(index)).unwrap();
    }
    let mut config = format!(
        "router id 10.99.1.1;
         protocol device {{}}
         protocol static worse {{ disabled; ipv4 {{ preference 100; }}; {routes} }}
         protocol static better {{ disabled; ipv4 {{ preference 200; }}; {routes} }}
         filter choice {{ bgp_med = 20; if proto = \"better\" then bgp_med = 10; accept; }}"
    );
    for (index, (ours, address)) in sessions().iter().enumerate() {
        write!(
            config,
            "protocol bgp p{index} {{
                 router id {address};
                 local {address} as 65000; neighbor {ours} as 65001; hold time {};
                 connect delay time 1; error wait time 1,1; connect retry time 1;
                 ipv4 {{ import none; export filter choice; next hop self; }};
             }}\n",
            HOLD.as_secs()
        )
        .unwrap();
    }
    config
}

//! False alarms: pairs of each daemon that have nothing to report, on a machine that has no time for them.
//!
//! Every core burns, and a flood goes to all of them: control packets that have been forwarded, control packets from the
//! peer's own address that name a session nobody has, and packets for nobody. A down is counted where it shows: a node
//! that was Up says Down because its detection time has expired. The longest pause of what a node sends is what its
//! peer has to forgive; of the port of the flood the tap hears nothing.
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::burners::Burners;
use crate::clock::{between, milliseconds, nanoseconds};
use crate::daemon::{self, BATON, BIRD, Daemon, FRR, Kind, Pair, Scheduling};
use crate::figures::Report;
use crate::flood::Flood;
use crate::network::{Network, Node};
use crate::packet::{EXPIRED, Packet, State};
use crate::sleeper::{Lateness, Sleeper};
use crate::tap::{Scope, Sighting, Tap};
use crate::times::Times;

const TIMES: Times = Times::new(10, 3);
const FLOOD: &str = "flood";
const PAIRS: [(Kind, [&str; 2]); 3] = [
    (BATON, ["baton-a", "baton-b"]),
    (BIRD, ["bird-a", "bird-b"]),
    (FRR, ["frr-a", "frr-b"]),
];
const NOTE: &str = "a down is a packet with Down and diagnostic 1 of a node that was Up, seen at the switch";
const FLOOR: &str =
    "floor: a bare thread under SCHED_FIFO 50 that sleeps 10 ms at a time, in the same minutes";
const PATIENCE: Duration = Duration::from_secs(60);
/// Without a false alarm, before the load begins.
const CALM: Duration = Duration::from_secs(2);
/// Of our metrics.
const COUNTS: [&str; 4] = [
    LATE,
    "baton_bfd_downs_total",
    "baton_bfd_discarded_packets_total",
    "baton_bfd_discards_total",
];
const LATE: &str = "baton_bfd_late_wakeups_total";
/// Since the daemon started, in seconds.
const LATENESS: &str = "baton_bfd_lateness_max_seconds";

pub(crate) struct Options {
    pub(crate) minutes: f64,
    /// Packets of the flood in a second, to all nodes together.
    pub(crate) rate: u32,
    /// How bird and FRR are scheduled.
    pub(crate) peers: Scheduling,
}

/// What one node has sent.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    last: Option<(u64, State)>,
    downs: u64,
    /// While Up, between two packets.
    longest_pause: u64,
    packets: u64,
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    let mut names: Vec<&str> = PAIRS.iter().flat_map(|(_, names)| *names).collect();
    names.push(FLOOD);
    let network = Network::new(&names);
    let flooder = network.node(FLOOD);
    let tap = Tap::start(&network.switch, Scope::SentExcept(flooder.port), Packet::read);
    let daemons: Vec<Daemon> = PAIRS
        .iter()
        .flat_map(|(kind, names)| start(&network, *kind, *names, options.peers))
        .collect();
    let settled = settle(&network, &tap);
    let before = Metrics::read(&network);
    let stolen_before = stolen();
    let sleeper = Sleeper::start();
    let burners = Burners::start();
    let flood = Flood::start(flooder, &targets(&network), options.rate);
    let mut watched = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let started = Instant::now();
    tap.forget();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200));
        watch(&network, tap.take(), &mut watched);
    }
    let elapsed = started.elapsed();
    let sent = flood.end();
    drop(burners);
    let floor = sleeper.end();
    let after = Metrics::read(&network);
    assert_eq!(tap.dropped(), 0, "the tap has missed packets: void");
    drop(daemons);
    let title = format!(
        "quiet, {TIMES}, pairs of the same kind, all cores burning for {:.1} min, flood of {:.0} packets/s of {} asked for",
        elapsed.as_secs_f64() / 60.0,
        sent as f64 / elapsed.as_secs_f64(),
        options.rate
    );
    let scheduling = format!(
        "bird and FRR run under {}; the host took {} ms of CPU time away meanwhile",
        options.peers,
        stolen() - stolen_before
    );
    report.headline(&title, &[&scheduling, NOTE, FLOOR]);
    if let Err(late) = settled {
        println!("not calm before the load: {late}");
    }
    show(&watched, report);
    after.show(&before, floor, report);
}

fn start(network: &Network, kind: Kind, names: [&str; 2], peers: Scheduling) -> Vec<Daemon> {
    let scheduling = if kind.name == BATON.name {
        Scheduling::Own
    } else {
        peers
    };
    let [one, other] = names.map(|name| network.node(name));
    [(one, other), (other, one)]
        .into_iter()
        .map(|(node, peer)| {
            let pair = Pair {
                local: node.address,
                remote: peer.address,
            };
            (kind.start)(network, node, TIMES, &[pair], scheduling)
        })
        .collect()
}

/// Milliseconds of CPU time that this machine wanted and its host gave to others.
fn stolen() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks = text.split_whitespace().nth(8).unwrap();
    ticks.parse::<u64>().unwrap() * 10
}

/// Every node with the peer whose name the flood takes.
fn targets(network: &Network) -> Vec<Pair> {
    let pairs = PAIRS.iter().flat_map(|(_, [one, other])| {
        let [one, other] = [one, other].map(|name| network.node(name).address);
        [(one, other), (other, one)]
    });
    pairs.map(|(remote, local)| Pair { local, remote }).collect()
}

fn is_fast(packet: &Packet) -> bool {
    packet.state == State::Up
        && !packet.negotiates
        && packet.desired_min_tx == TIMES.interval()
        && packet.multiplier == TIMES.multiplier
}

/// Waits until all that was sent for a while was fast and Up; otherwise the nodes whose packets were not.
fn settle(network: &Network, tap: &Tap) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let late = restless(network, tap);
        if late.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(late.join(" "));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Nodes that have not been Up and fast for a while.
fn restless<'a>(network: &'a Network, tap: &Tap) -> Vec<&'a str> {
    let seen = tap.since(labs::monotonic_ns() - nanoseconds(CALM));
    let is_calm = |node: &Node| {
        let own: Vec<_> = seen
            .iter()
            .filter(|sighting| sighting.port == node.port)
            .collect();
        own.len() >= 100 && own.iter().all(|sighting| is_fast(&sighting.packet))
    };
    let nodes = network.nodes.iter().filter(|node| node.name != FLOOD);
    nodes
        .filter(|node| !is_calm(node))
        .map(|node| node.name)
        .collect()
}

fn watch(network: &Network, mut seen: Vec<Sighting>, watched: &mut BTreeMap<&'static str, Watched>) {
    seen.sort_by_key(|sighting| sighting.at);
    for sighting in seen {
        let sender = network.nodes.iter().find(|node| node.port == sighting.port);
        let Some(node) = sender.filter(|node| node.address == sighting.packet.source) else {
            continue;
        };
        let own = watched.entry(node.name).or_default();
        own.packets += 1;
        if let Some((at, State::Up)) = own.last {
            let pause = between(at, sighting.at).max(0).cast_unsigned();
            own.longest_pause = own.longest_pause.max(pause);
            if sighting.packet.state != State::Up && sighting.packet.diagnostic == EXPIRED {
                own.downs += 1;
            }
        }
        own.last = Some((sighting.at, sighting.packet.state));
    }
}

fn show(watched: &BTreeMap<&'static str, Watched>, report: &mut Report) {
    let of_kind = |pick: fn(&[Watched]) -> f64| -> Vec<(&str, Option<f64>)> {
        let value = |names: [&str; 2]| {
            let both = names.map(|name| watched.get(name).copied().unwrap_or_default());
            both.iter().all(|one| one.packets > 0).then(|| pick(&both))
        };
        PAIRS
            .iter()
            .map(|(kind, names)| (kind.name, value(*names)))
            .collect()
    };
    let downs = of_kind(|both| both.iter().map(|one| one.downs).sum::<u64>() as f64);
    report.row("false downs of the pair", "", &downs, Some(0.0));
    let pauses = of_kind(|both| {
        let longest = both.iter().map(|one| one.longest_pause).max().unwrap_or(0);
        milliseconds(longest.cast_signed())
    });
    let detection = TIMES.detection().as_secs_f64() * 1e3;
    report.row(
        "longest pause between two packets sent while Up",
        "ms",
        &pauses,
        Some(detection),
    );
    let packets = of_kind(|both| both.iter().map(|one| one.packets).sum::<u64>() as f64);
    report.row("packets sent by the pair", "", &packets, None);
}

/// What our daemons say of themselves; metrics that do not exist are not shown.
struct Metrics {
    lateness: Option<f64>,
    counts: [Option<f64>; COUNTS.len()],
}

impl Metrics {
    fn read(network: &Network) -> Self {
        Metrics {
            lateness: of_pair(network, LATENESS),
            counts: COUNTS.map(|metric| of_pair(network, metric)),
        }
    }

    /// The floor is that of a bare thread in the same minutes.
    fn show(&self, before: &Metrics, floor: Lateness, report: &mut Report) {
        let milliseconds = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
        let earlier = [(BATON.name, milliseconds(before.lateness))];
        report.row(
            "latest wake-up from the start up to the load",
            "ms",
            &earlier,
            None,
        );
        let values = [
            (BATON.name, milliseconds(self.lateness)),
            ("floor", Some(floor.max.as_secs_f64() * 1e3)),
        ];
        report.row("latest wake-up from the start up to the end", "ms", &values, None);
        for (index, metric) in COUNTS.into_iter().enumerate() {
            let more = self.counts[index].zip(before.counts[index]);
            let own = more.map(|(after, before)| after - before);
            let floor = (metric == LATE).then_some(floor.late as f64);
            if own.or(floor).is_some() {
                report.row(metric, "", &[(BATON.name, own), ("floor", floor)], None);
            }
        }
    }
}

/// Of both our daemons: the greater maximum, the sum of counts. `None`: there is no such metric.
fn of_pair(network: &Network, metric: &str) -> Option<f64> {
    let (_, names) = PAIRS[0];
    let [one, other] = names.map(|name| of_daemon(network, network.node(name), metric));
    let (one, other) = one.zip(other)?;
    Some(if metric.contains("max") {
        one.max(other)
    } else {
        one + other
    })
}

/// All series of a name together.
fn of_daemon(network: &Network, node: &Node, metric: &str) -> Option<f64> {
    let mut stream = UnixStream::connect(daemon::socket(network, node)).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: baton\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let values: Vec<f64> = text
        .lines()
        .filter(|line| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

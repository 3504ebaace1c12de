//! From the deadline to the wire: the MASTER of a pair falls silent, the BACKUP tells the router.
//!
//! The lab `failover` with 10 ms x 3 everywhere, brought up from a copy of its files. What counts is seen on the BACKUP's
//! own interfaces, stamped by the kernel: the last control packet of the MASTER that came in, and the first UPDATE with
//! the MED of a MASTER that goes out. The deadline is that packet plus the detection time. What the daemon's timeline says
//! of the same packet is compared, and splits the time in three: until BFD says so, until the role moves, and to the wire.
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use labs::{Lab, Running};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::burners::Burners;
use crate::clock::{Chance, between, milliseconds, nanoseconds};
use crate::daemon::BATON;
use crate::figures::Report;
use crate::frame::Frame;
use crate::outcome::Fault;
use crate::packet::{Packet, State};
use crate::tap::{Scope, Sighting, Tap};
use crate::times::Times;

const LAB: &str = "bfdupdate";
const TIMES: Times = Times::new(10, 3);
const MASTER: &str = "lb1";
const BACKUP: &str = "lb2";
/// Of the MASTER and the BACKUP on the link between them.
const LAN: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 2, 11), Ipv4Addr::new(10, 0, 2, 12)];
/// The BACKUP's side of the link to the router.
const UPLINK: Ipv4Addr = Ipv4Addr::new(10, 0, 12, 2);
const MASTER_MED: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(60);
const SETTLED: usize = 8;
const TARGET: f64 = 1.0;

const NOTES: [&str; 3] = [
    "p50 / p99 / max; deadline: the last control packet of the MASTER at the BACKUP's interface, plus the detection time",
    "UPDATE: the first with the MED of a MASTER out of the BACKUP's interface; both stamped by the kernel",
    "BFD down, MASTER: moments of the BACKUP's timeline; last packet: how far the daemon's moment is from the kernel's",
];

struct Bed {
    running: Running,
    tap: Tap<Frame>,
    /// Before the lab's files go.
    _folder: tempfile::TempDir,
}

/// Nanoseconds from the deadline.
#[derive(Clone, Copy, Debug)]
struct Trial {
    update: i64,
    decision: i64,
    role: i64,
    /// The last packet: the daemon's moment of it, from the wire's.
    disagreement: i64,
}

enum Verdict {
    Found(Trial),
    /// No UPDATE in time, or no event of the daemon.
    Missed,
    /// The pair was not ready before the fault.
    Discarded,
}

#[derive(Default)]
struct Series {
    found: Vec<Trial>,
    missed: usize,
    discarded: usize,
}

pub(crate) fn run(trials: usize, chance: &mut Chance, report: &mut Report) {
    let mut bed = Bed::up();
    for loaded in [false, true] {
        for fault in [Fault::Kill, Fault::Cut] {
            let mut series = Series::default();
            while series.found.len() < trials && series.discarded + series.missed <= trials {
                match bed.trial(fault, loaded, chance) {
                    Verdict::Found(trial) => series.found.push(trial),
                    Verdict::Missed => series.missed += 1,
                    Verdict::Discarded => series.discarded += 1,
                }
            }
            assert_eq!(bed.tap.dropped(), 0, "the tap has missed packets: void");
            series.show(fault, loaded, report);
        }
    }
}

impl Bed {
    fn up() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_of_lab(folder.path());
        let lab = Lab::load(&copy).unwrap();
        let running = Running::up(&lab).unwrap();
        let netns = running.node(BACKUP).unwrap().netns().clone();
        Bed {
            tap: Tap::start(&netns, Scope::WithBgp, Frame::read),
            running,
            _folder: folder,
        }
    }

    fn ask(&self, node: &str, words: &[&str]) -> Option<Value> {
        let words = [&["batonctl"], words, &["-o", "json"]].concat();
        let output = self
            .running
            .node(node)
            .ok()?
            .output(&words, Duration::from_secs(5));
        serde_json::from_slice(&output.ok()?.stdout).ok()
    }

    /// Both nodes have what the other has, and the roles are as configured.
    fn is_redundant(&self) -> bool {
        [(MASTER, "master"), (BACKUP, "backup")]
            .into_iter()
            .all(|(node, role)| {
                let Some(ha) = self.ask(node, &["get", "ha"]) else {
                    return false;
                };
                let established = self.ask(node, &["get", "neighbor"]).is_some_and(|neighbors| {
                    neighbors[0]["state"] == "established" && neighbors[0]["bfd"] == "up"
                });
                ha["caught_up"] == true && ha["instances"][0]["role"] == role && established
            })
    }

    /// Both sides of the session between the nodes are Up and fast, and the last word to the router was not that of a
    /// MASTER.
    fn is_settled(&self) -> bool {
        let from = labs::monotonic_ns() - nanoseconds(TIMES.interval() * 2 * u32::try_from(SETTLED).unwrap());
        let seen = self.tap.since(from);
        let both = [LAN, [LAN[1], LAN[0]]].into_iter().all(|[source, destination]| {
            let packets: Vec<Packet> = controls(&seen, source, destination)
                .map(|(_, packet)| packet)
                .collect();
            packets.len() >= SETTLED && packets.iter().all(is_fast)
        });
        both && seen.iter().all(|sighting| !sighting.packet.is_update())
    }

    fn settle(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.is_redundant() && self.is_settled() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn trial(&mut self, fault: Fault, loaded: bool, chance: &mut Chance) -> Verdict {
        if !self.settle() {
            eprintln!("the pair is not ready: {}", self.describe());
            return Verdict::Discarded;
        }
        self.tap.forget();
        let calm = labs::monotonic_ns();
        let burners = loaded.then(Burners::start);
        let moment = Instant::now() + TIMES.detection() * 3 + chance.below(TIMES.interval() * 2);
        while Instant::now() < moment {
            std::thread::sleep(moment.saturating_duration_since(Instant::now()));
        }
        let before = labs::monotonic_ns();
        self.inflict(fault);
        let update = self.wait_for_update(before);
        drop(burners);
        let seen = self.tap.since(calm);
        let trial = update.and_then(|update| self.trial_of(&seen, before, update));
        self.heal(fault);
        // A session that fell before the fault is a false alarm of the lab, not a trial.
        let steady = controls(&seen, LAN[1], LAN[0])
            .filter(|(at, _)| *at < before)
            .all(|(_, packet)| is_fast(&packet));
        match trial {
            _ if !steady => Verdict::Discarded,
            Some(trial) => Verdict::Found(trial),
            None => Verdict::Missed,
        }
    }

    fn inflict(&self, fault: Fault) {
        match fault {
            Fault::Kill => {
                let daemon = self.running.node(MASTER).unwrap().main().unwrap();
                daemon.signal(Signal::SIGKILL).unwrap();
            }
            Fault::Cut => drop(self.running.wire().unwrap().blackhole_node(MASTER, true).unwrap()),
        }
    }

    fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::Kill => {
                let daemon = self.running.node(MASTER).unwrap().main().unwrap();
                daemon.wait_gone(PATIENCE).unwrap();
                self.running.restart(MASTER).unwrap();
            }
            Fault::Cut => drop(
                self.running
                    .wire()
                    .unwrap()
                    .blackhole_node(MASTER, false)
                    .unwrap(),
            ),
        }
    }

    fn wait_for_update(&self, since: u64) -> Option<u64> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            let seen = self.tap.since(since);
            let update = seen.iter().find(|sighting| {
                sighting.leaving
                    && matches!(sighting.packet, Frame::Update { source, med }
                        if source == UPLINK && med == Some(MASTER_MED))
            });
            if let Some(update) = update {
                return Some(update.at);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    fn trial_of(&self, seen: &[Sighting<Frame>], fault: u64, update: u64) -> Option<Trial> {
        let events = self.ask(BACKUP, &["timeline"])?;
        let remote = LAN[0].to_string();
        let after = |event: &&Value| event["monotonic_ns"].as_u64().is_some_and(|at| at >= fault);
        let mut events = events.as_array()?.iter().filter(after);
        let down = events.clone().find(|event| {
            event["kind"] == "bfd-state"
                && event["fields"]["remote"] == remote.as_str()
                && event["fields"]["to"] == "down"
        })?;
        let role =
            events.find(|event| event["kind"] == "role-changed" && event["fields"]["to"] == "master")?;
        let decided = down["monotonic_ns"].as_u64()?;
        let (last, _) = controls(seen, LAN[0], LAN[1])
            .filter(|(at, _)| *at < decided)
            .last()?;
        let deadline = last + nanoseconds(TIMES.detection());
        Some(Trial {
            update: between(deadline, update),
            decision: between(deadline, decided),
            role: between(deadline, role["monotonic_ns"].as_u64()?),
            disagreement: between(last, down["fields"]["last_packet_ns"].as_u64()?),
        })
    }

    fn describe(&self) -> String {
        let say = |node: &str| {
            let log = self.running.node(node).map(|node| node.log_tail(5));
            format!(
                "\n--- {node}: {:?}\n{}",
                self.ask(node, &["get", "ha"]),
                log.unwrap_or_default()
            )
        };
        [MASTER, BACKUP].map(say).concat()
    }
}

/// Control packets from one address to another, with their moments.
fn controls(
    seen: &[Sighting<Frame>],
    source: Ipv4Addr,
    destination: Ipv4Addr,
) -> impl Iterator<Item = (u64, Packet)> {
    seen.iter().filter_map(move |sighting| match sighting.packet {
        Frame::Control(packet) if packet.source == source && packet.destination == destination => {
            Some((sighting.at, packet))
        }
        Frame::Control(_) | Frame::Update { .. } => None,
    })
}

fn is_fast(packet: &Packet) -> bool {
    packet.state == State::Up
        && !packet.negotiates
        && packet.desired_min_tx == TIMES.interval()
        && packet.required_min_rx == TIMES.interval()
        && packet.multiplier == TIMES.multiplier
}

/// The lab's own files with other times and another name, so that it does not get in the way of a run of the lab itself.
fn copy_of_lab(folder: &Path) -> std::path::PathBuf {
    let from = labs::folder_of("failover").unwrap();
    let to = folder.join(LAB);
    std::fs::create_dir_all(to.join("router")).unwrap();
    let interval = format!("{} ms;", TIMES.milliseconds);
    for (file, copy) in [
        ("failover.clab.yml", format!("{LAB}.clab.yml")),
        ("lab.toml", "lab.toml".into()),
        ("lb1.toml", "lb1.toml".into()),
        ("lb2.toml", "lb2.toml".into()),
        ("router/bird.conf", "router/bird.conf".into()),
    ] {
        let before = std::fs::read_to_string(from.join(file)).unwrap();
        let text = before
            .replace("name: failover", &format!("name: {LAB}"))
            .replace("min rx interval 30 ms;", &format!("min rx interval {interval}"))
            .replace("min tx interval 30 ms;", &format!("min tx interval {interval}"))
            .replace(
                "interval = \"30ms\"",
                &format!("interval = \"{}ms\"", TIMES.milliseconds),
            )
            .replace("multiplier = 5", &format!("multiplier = {}", TIMES.multiplier))
            .replace("multiplier 5;", &format!("multiplier {};", TIMES.multiplier));
        assert!(file == "lab.toml" || text != before, "{file} is not as expected");
        std::fs::write(to.join(copy), text).unwrap();
    }
    to
}

impl Series {
    fn show(&self, fault: Fault, loaded: bool, report: &mut Report) {
        let load = if loaded { "burners" } else { "no burners" };
        let title = format!(
            "update, {TIMES}, {fault} of the MASTER, {load}: {} trials, {} discarded, {} without an UPDATE",
            self.found.len(),
            self.discarded,
            self.missed
        );
        report.headline(&title, &NOTES);
        let column = |of: fn(&Trial) -> i64| -> Vec<f64> {
            let value = |trial: &Trial| milliseconds(of(trial));
            self.found.iter().map(value).collect()
        };
        let mut show = |what: &str, values: Vec<f64>, target: Option<f64>| {
            let name = format!("update, {fault}, {load}: {what}");
            report.quantiles(&name, &[(BATON.name, values)], target);
        };
        show("deadline to UPDATE", column(|trial| trial.update), Some(TARGET));
        show("deadline to BFD down", column(|trial| trial.decision), None);
        show(
            "BFD down to MASTER",
            column(|trial| trial.role - trial.decision),
            None,
        );
        show(
            "MASTER to UPDATE",
            column(|trial| trial.update - trial.role),
            None,
        );
        show(
            "last packet, daemon from tap",
            column(|trial| trial.disagreement),
            None,
        );
    }
}

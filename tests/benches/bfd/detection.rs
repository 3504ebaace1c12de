//! How long each daemon needs to see that its neighbour is gone.
//!
//! One bird2 is the neighbour of all three, behind one switch, so that one fault hits all three in one moment. It runs
//! under SCHED_FIFO: it is not what is measured. Two observations for each: the first packet with Down and "control
//! detection time expired" that comes out of the detector's port, stamped by the kernel, and the line that the daemon
//! writes, stamped by a real-time thread at the other end of the pipe. All three send that packet as soon as they know.
//!
//! The floor is what an ideal detector would have had in the same trials: the last packet that reached the detector
//! plus the detection time agreed on. A detection before that moment is counted: it would mean that something helped.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::burners::Burners;
use crate::clock::{Chance, between, nanoseconds};
use crate::cut::Cut;
use crate::daemon::{self, BATON, BIRD, Daemon, FRR, Kind, Pair, Scheduling};
use crate::figures::Report;
use crate::network::{Network, Node};
use crate::outcome::{Fault, Outcome, Trial};
use crate::packet::{EXPIRED, Packet, State};
use crate::tap::{Scope, Sighting, Tap};
use crate::times::Times;

const TARGET: &str = "target";
/// In this order: the names of their nodes as well.
pub(crate) const DETECTORS: [Kind; 3] = [BATON, BIRD, FRR];
/// Above all that observes.
const FIRST: Scheduling = Scheduling::Fifo(40);
const PATIENCE: Duration = Duration::from_secs(30);
/// Packets of either side that have to be fast and Up, one after the other.
const SETTLED: usize = 8;
/// A cut that takes longer than this to come into effect has no moment.
const BRACKET: u64 = 500_000;
pub(crate) struct Options {
    pub(crate) times: Vec<Times>,
    pub(crate) trials: usize,
    /// How bird and FRR are scheduled as detectors.
    pub(crate) peers: Scheduling,
    /// All cores burn from before the fault until it is detected.
    pub(crate) burn: bool,
}

struct Bed {
    network: Network,
    times: Times,
    burn: bool,
    target: Option<Daemon>,
    detectors: Vec<Daemon>,
    tap: Tap,
    cut: Cut,
}

pub(crate) fn run(options: &Options, chance: &mut Chance, report: &mut Report) {
    for &times in &options.times {
        let mut bed = Bed::new(times, options);
        for fault in [Fault::Kill, Fault::Cut] {
            let mut outcome = Outcome::default();
            // A machine on which nothing settles must not keep it for ever.
            while outcome.trials.len() < options.trials && outcome.void() <= options.trials {
                bed.trial(fault, chance, &mut outcome);
            }
            assert_eq!(bed.tap.dropped(), 0, "the tap has missed packets: void");
            let circumstances = format!(
                "bird and FRR run under {}{}",
                options.peers,
                if options.burn { ", all cores burning" } else { "" }
            );
            outcome.show(times, fault, &circumstances, report);
        }
    }
}

impl Bed {
    fn new(times: Times, options: &Options) -> Self {
        let mut names = vec![TARGET];
        names.extend(DETECTORS.iter().map(|kind| kind.name));
        let network = Network::new(&names);
        let target = network.node(TARGET).clone();
        let tap = Tap::start(&network.switch, Scope::Everything, Packet::read);
        let others: Vec<i32> = network.nodes[1..].iter().map(|node| node.port).collect();
        let cut = Cut::prepare(&network.switch, target.port, &others);
        let start = |kind: &Kind| {
            let node = network.node(kind.name);
            let pair = Pair {
                local: node.address,
                remote: target.address,
            };
            let scheduling = if kind.name == BATON.name {
                Scheduling::Own
            } else {
                options.peers
            };
            (kind.start)(&network, node, times, &[pair], scheduling)
        };
        let detectors = DETECTORS.iter().map(start).collect();
        let mut bed = Bed {
            network,
            times,
            burn: options.burn,
            target: None,
            detectors,
            tap,
            cut,
        };
        bed.start_target();
        bed
    }

    fn start_target(&mut self) {
        let node = self.network.node(TARGET);
        let pair = |kind: &Kind| Pair {
            local: node.address,
            remote: self.network.node(kind.name).address,
        };
        let pairs = DETECTORS.map(|kind| pair(&kind));
        let target = daemon::bird(&self.network, node, self.times, &pairs, FIRST);
        self.target = Some(target);
    }

    fn detector(&self, index: usize) -> &Node {
        self.network.node(DETECTORS[index].name)
    }

    /// Of one side of a session, as it passed the detector's port; `until` excluded.
    fn heard(&self, seen: &[Sighting], index: usize, from_target: bool) -> Vec<Sighting> {
        let (node, target) = (self.detector(index), self.network.node(TARGET));
        let (source, destination): (Ipv4Addr, Ipv4Addr) = if from_target {
            (target.address, node.address)
        } else {
            (node.address, target.address)
        };
        seen.iter()
            .filter(|sighting| sighting.port == node.port && sighting.leaving == from_target)
            .filter(|sighting| sighting.packet.source == source)
            .filter(|sighting| sighting.packet.destination == destination)
            .copied()
            .collect()
    }

    /// All sessions are Up at the intervals asked for and have been for a few packets, and nothing is under negotiation.
    fn is_settled(&self, seen: &[Sighting]) -> bool {
        let sides = (0..DETECTORS.len()).flat_map(|index| [(index, false), (index, true)]);
        sides.into_iter().all(|(index, from_target)| {
            let heard = self.heard(seen, index, from_target);
            heard.len() >= SETTLED && heard[heard.len() - SETTLED..].iter().all(|it| self.is_fast(it))
        })
    }

    fn is_fast(&self, sighting: &Sighting) -> bool {
        let packet = &sighting.packet;
        packet.state == State::Up
            && !packet.negotiates
            && packet.desired_min_tx == self.times.interval()
            && packet.required_min_rx == self.times.interval()
            && packet.multiplier == self.times.multiplier
    }

    /// Waits until all sessions are settled; false if they are not in time.
    fn settle(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let enough = self.times.interval() * 2 * u32::try_from(SETTLED).unwrap();
        while Instant::now() < deadline {
            let from = labs::monotonic_ns() - nanoseconds(enough);
            if self.is_settled(&self.tap.since(from)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn trial(&mut self, fault: Fault, chance: &mut Chance, outcome: &mut Outcome) {
        if !self.settle() {
            eprintln!("not all sessions came up: {}", self.describe());
            outcome.discarded += 1;
            return;
        }
        self.tap.forget();
        self.detectors.iter().for_each(|daemon| daemon.journal.forget());
        let burners = self.burn.then(Burners::start);
        let calm = labs::monotonic_ns();
        let moment = Instant::now() + self.times.detection() + chance.below(self.times.interval() * 2);
        while Instant::now() < moment {
            std::thread::sleep(moment.saturating_duration_since(Instant::now()));
        }
        let [before, after] = self.inflict(fault);
        let found = self.observe(before);
        drop(burners);
        self.heal(fault);
        let seen = self.tap.since(calm);
        let steady = seen
            .iter()
            .filter(|sighting| sighting.at < before)
            .all(|sighting| self.is_fast(sighting));
        if !steady || (fault == Fault::Cut && after - before > BRACKET) {
            outcome.discarded += 1;
            return;
        }
        match found {
            Ok(mut trial) => {
                let timeline = self.timeline(before);
                trial.timeline = timeline.map(|at| between(before, at));
                outcome.trials.push(trial);
            }
            Err(missing) => outcome.undetected[missing] += 1,
        }
    }

    /// Between which moments it took effect.
    fn inflict(&mut self, fault: Fault) -> [u64; 2] {
        match fault {
            Fault::Cut => self.cut.set(true),
            Fault::Kill => {
                let before = labs::monotonic_ns();
                self.target.as_mut().unwrap().kill();
                [before, labs::monotonic_ns()]
            }
        }
    }

    fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::Cut => drop(self.cut.set(false)),
            Fault::Kill => {
                self.target = None;
                self.start_target();
            }
        }
    }

    /// Waits for both observations of all; the index of a detector that did not notice otherwise.
    fn observe(&self, fault: u64) -> Result<Trial, usize> {
        let deadline = Instant::now() + self.times.detection() * 4 + Duration::from_secs(1);
        loop {
            let seen = self.tap.since(fault - nanoseconds(self.times.detection()));
            let found: Vec<Option<[u64; 3]>> = (0..DETECTORS.len())
                .map(|index| self.detection(&seen, index, fault))
                .collect();
            if let Some(missing) = found.iter().position(Option::is_none) {
                if Instant::now() > deadline {
                    return Err(missing);
                }
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            let mut trial = Trial::default();
            for (index, [packet, line, ideal]) in found.into_iter().flatten().enumerate() {
                trial.packet[index] = between(fault, packet);
                trial.line[index] = between(fault, line);
                trial.ideal[index] = between(fault, ideal);
            }
            return Ok(trial);
        }
    }

    /// When it said so by packet and by line, and when it could have known.
    fn detection(&self, seen: &[Sighting], index: usize, fault: u64) -> Option<[u64; 3]> {
        let down = self.heard(seen, index, false).into_iter().find(|sighting| {
            sighting.at >= fault
                && sighting.packet.state == State::Down
                && sighting.packet.diagnostic == EXPIRED
        })?;
        let line = self.detectors[index]
            .journal
            .first(fault, DETECTORS[index].says_down)?;
        let last = self
            .heard(seen, index, true)
            .into_iter()
            .rfind(|sighting| sighting.at < down.at)?;
        Some([down.at, line, last.at + nanoseconds(self.times.detection())])
    }

    /// What our own timeline says of the first session that went down after a moment.
    fn timeline(&self, since: u64) -> Option<u64> {
        let events = daemon::ask(&self.network, self.detector(0), &["timeline"])?;
        let at = |event: &serde_json::Value| event["monotonic_ns"].as_u64();
        events
            .as_array()?
            .iter()
            .filter(|event| event["kind"] == "bfd-state" && event["fields"]["to"] == "down")
            .filter_map(at)
            .find(|&at| at >= since)
    }

    fn describe(&self) -> String {
        let journals = DETECTORS.iter().zip(&self.detectors);
        journals
            .map(|(kind, daemon)| format!("\n--- {}\n{}", kind.name, daemon.journal.tail(5)))
            .collect()
    }
}

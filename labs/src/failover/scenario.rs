//! The sequence of a run: a window without fault, the known blackhole, power losses with returns, and a drain.

use std::thread::sleep;
use std::time::Duration;

use rand::RngExt;

use super::Options;
use super::bed::{BALANCERS, Bed, until};
use super::load::Load;
use super::outcome::{Kind, Machine, Outcome, Phase};
use super::witness;
use crate::clock::monotonic_ns;
use crate::error::{Error, Result};

/// Start of daemons, sessions and synchronisation.
const START: Duration = Duration::from_secs(30);
/// Length of a window in which nothing is expected to happen.
const WINDOW: Duration = Duration::from_secs(2);
/// Windows without fault until the machine is taken as it is.
const CALM_TRIES: u32 = 3;
/// The client's link: silence there concerns the probe and no BFD session.
const CLIENT_LINK: &str = "client:eth1";
/// hitless.md: a known blackhole must be read to within 3 ms.
const TOLERANCE_MS: f64 = 3.0;
/// The preferred MASTER.
const PREFERRED: &str = "lb1";

pub(super) struct Scenario<'a> {
    options: &'a Options,
    bed: Bed,
    load: Load,
    outcome: Outcome,
}

/// Runs everything; the lab is down afterwards unless it is to be kept.
pub(super) fn run(options: &Options) -> Result<Outcome> {
    step("lab up: client, router (bird2), lb1, lb2, two backends");
    let bed = Bed::up(options.bfd, options.keep)?;
    let ready = until(
        "both sessions established, lb1 MASTER, lb2 BACKUP and caught up",
        START,
        || bed.is_redundant(PREFERRED),
    );
    if let Err(error) = ready {
        eprintln!("{}", bed.describe());
        return Err(error);
    }
    if options.cut_sync {
        step("synchronisation cut");
        bed.cut_sync()?;
    }
    step(&format!(
        "{} flows through two modes, probe at 1 kHz",
        options.flows
    ));
    let load = Load::start(&bed, options.flows, options.cut_sync)
        .inspect_err(|_| eprintln!("{}", bed.describe()))?;
    if !options.cut_sync {
        until("every flow copied", START, || bed.is_redundant(PREFERRED))?;
    }
    let outcome = Outcome {
        bfd: options.bfd.to_string(),
        detection_ms: options.bfd.detection_ms(),
        flows: load.count(),
        machine: machine(),
        ..Outcome::default()
    };
    let mut scenario = Scenario {
        options,
        bed,
        load,
        outcome,
    };
    let result = scenario.phases();
    if result.is_err() {
        eprintln!("{}", scenario.bed.describe());
    }
    result?;
    scenario.outcome.conclude();
    Ok(scenario.outcome)
}

fn step(text: &str) {
    println!("==> {text}");
}

fn machine() -> Machine {
    let read = |path| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    Machine {
        kernel: read("/proc/sys/kernel/osrelease"),
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        load: read("/proc/loadavg"),
    }
}

impl Scenario<'_> {
    fn phases(&mut self) -> Result<()> {
        let resets = self.bed.resets_sent()?;
        self.null()?;
        if let Some(length) = self.options.known_blackhole {
            self.known_blackhole(length)?;
        }
        for run in 1..=self.options.runs {
            step(&format!(
                "power loss of the MASTER {PREFERRED} ({run} of {})",
                self.options.runs
            ));
            self.power_loss()?;
            if self.options.cut_sync && run == 1 {
                self.bed.heal_sync()?;
            }
            self.come_back()?;
        }
        if self.options.runs > 0 {
            self.drain()?;
        }
        let now = self.bed.resets_sent()?;
        self.outcome.resets_sent = now
            .into_iter()
            .map(|(end, count)| (end.clone(), count - resets.get(&end).unwrap_or(&0)))
            .collect();
        Ok(())
    }

    fn keep(&mut self, phase: Phase) {
        println!(
            "    {}: {} flows alive, {} lost, gap {:.0} ms, stall p50 {:.0} max {:.0} ms",
            phase.kind.title(),
            phase.flows_alive,
            phase.lost(),
            phase.gap_ms(),
            phase.stall_ms.p50,
            phase.stall_ms.max
        );
        self.outcome.phases.push(phase);
    }

    /// What is seen without a fault is the noise of the machine; the rest waits for a calm stretch, but not for ever.
    fn null(&mut self) -> Result<()> {
        step("window without fault");
        for left in (0..CALM_TRIES).rev() {
            self.load.mark("null")?;
            let zero = monotonic_ns();
            sleep(WINDOW);
            let phase = self.load.phase(Kind::Null, "", zero)?;
            let late = self.load.probes()?.lateness_ms.max;
            let calm = phase.gap_ms() <= 2.0 && late <= 5.0;
            if left == 0 && late > 5.0 {
                let remark = format!("the probe itself was {late:.0} ms late once: a noisy machine");
                self.outcome.remarks.push(remark);
            }
            if calm || left == 0 || phase.lost() > 0 {
                self.keep(phase);
                break;
            }
            println!(
                "    not calm: gap {:.0} ms, probe late by {late:.0} ms; once more",
                phase.gap_ms()
            );
        }
        Ok(())
    }

    /// The harness measures a silence of known length. A wrong reading makes all others worthless.
    fn known_blackhole(&mut self, length: Duration) -> Result<()> {
        step(&format!("known blackhole of {} ms", length.as_millis()));
        self.load.mark("known")?;
        sleep(Duration::from_millis(200));
        let zero = self.bed.running.wire()?.blackhole_for(CLIENT_LINK, length)?;
        sleep(length + Duration::from_millis(500));
        self.load.settle()?;
        let phase = self.load.phase(Kind::KnownBlackhole, "", zero)?;
        let error = phase.gap_ms() - length.as_secs_f64() * 1000.0;
        let reading = format!(
            "known blackhole of {} ms reads {:.0} ms",
            length.as_millis(),
            phase.gap_ms()
        );
        self.keep(phase);
        if error.abs() > TOLERANCE_MS {
            return Err(Error::Expectation(format!(
                "{reading}: this session is worthless"
            )));
        }
        Ok(())
    }

    fn power_loss(&mut self) -> Result<()> {
        let protection = self.bed.protection(PREFERRED);
        self.load.mark("power-loss")?;
        // At any moment of a BFD interval, with a stretch before it that shows the calm.
        let part = rand::rng().random_range(0.0..1.0);
        sleep(Duration::from_millis(200) + self.options.bfd.interval().mul_f64(part));
        let cut = self.bed.running.power_cut(PREFERRED)?;
        sleep(Duration::from_secs_f64(self.options.bfd.detection_ms() / 1000.0));
        self.load.settle()?;
        let mut phase = self.load.phase(Kind::PowerLoss, PREFERRED, cut.cut_ns)?;
        phase.protection = protection;
        phase.timeline = witness::of_power_loss(&self.bed, PREFERRED, cut, &phase);
        self.keep(phase);
        Ok(())
    }

    fn come_back(&mut self) -> Result<()> {
        step(&format!("{PREFERRED} returns"));
        self.load.mark("return")?;
        let zero = monotonic_ns();
        self.bed.running.revive(PREFERRED)?;
        let bed = &self.bed;
        until("lb1 caught up and MASTER again, lb2 BACKUP", START, || {
            bed.is_redundant(PREFERRED)
        })?;
        sleep(Duration::from_millis(500));
        self.load.settle()?;
        let mut phase = self.load.phase(Kind::Return, PREFERRED, zero)?;
        phase.timeline = witness::of_hand_over(&self.bed, PREFERRED, "power is back", &phase);
        self.keep(phase);
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        let [from, to] = BALANCERS;
        step(&format!("drain of the MASTER {from}"));
        self.load.mark("drain")?;
        sleep(Duration::from_millis(200));
        let zero = monotonic_ns();
        self.bed.running.node(from)?.exec(&["batonctl", "drain"])?;
        let bed = &self.bed;
        until("lb2 MASTER and the router's way, lb1 drained", START, || {
            let drained = bed.ha(from).is_some_and(|ha| ha.drained);
            Ok(drained && bed.role(to) == "master" && bed.routed_via(to))
        })?;
        sleep(Duration::from_millis(500));
        self.load.settle()?;
        let mut phase = self.load.phase(Kind::Drain, from, zero)?;
        phase.timeline = witness::of_hand_over(&self.bed, to, "batonctl drain", &phase);
        self.keep(phase);
        Ok(())
    }
}

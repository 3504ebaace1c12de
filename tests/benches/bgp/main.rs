//! `make bench-bgp`: our speaker beside bird2, gobgpd, FRR and exabgp as senders to one bird2, and two questions of
//! our own: many neighbours at once, and the time from a role to the wire.
//!
//! Every sender announces, changes and withdraws the same /32s over the same cable to the same receiver, in one
//! run, so that ratios mean something on a noisy machine. Prints a table and writes `bench/bgp.json`. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "a benchmark fails by panicking and computes ratios"
)]
mod bird;
mod crowd;
mod gobgp;
mod network;
mod senders;
mod speaker;
mod swap;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use bird::{Bird, Counts};
use network::Network;
use senders::{KINDS, Kind, Step};

const COUNTS: [u32; 3] = [1_000, 10_000, 100_000];
/// Of which the median counts; announcing, changing and withdrawing each.
const ROUNDS: usize = 5;
/// A sender that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const DECISION: f64 = 1000.0;

/// One step of one sender.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    milliseconds: f64,
    bytes: f64,
    packets: f64,
    cpu: f64,
    memory: f64,
}

type Measure = (&'static str, &'static str, fn(&Sample) -> f64);

const MEASURES: [Measure; 5] = [
    ("time to the last prefix", "ms", |sample| sample.milliseconds),
    ("bytes on the wire", "bytes", |sample| sample.bytes),
    ("packets on the wire", "packets", |sample| sample.packets),
    ("CPU of the sender", "ms", |sample| sample.cpu),
    ("RSS of the sender", "MiB", |sample| sample.memory),
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Whether the receiver has what the step leads to; `before` is what it had counted.
fn done(step: Step, before: Counts, now: Counts, count: u64) -> bool {
    match step {
        Step::Announce => now.imported == count,
        Step::Change => now.updates >= before.updates + count,
        Step::Withdraw => now.imported == 0,
    }
}

/// Rounds of all steps of one sender; fewer when it runs out of patience.
fn samples(kind: Kind, count: u32, rounds: usize) -> Vec<[Sample; 3]> {
    let network = Network::new();
    let mut receiver = Bird::receiver(&network.receiver, network.folder.path());
    let mut sender = (kind.2)(&network, count);
    receiver
        .when(Duration::from_secs(30), Bird::is_established)
        .unwrap_or_else(|| panic!("{} does not come up", kind.0));
    let mut all = Vec::new();
    for _ in 0..rounds {
        let mut round = [Sample::default(); 3];
        for (step, sample) in Step::ALL.into_iter().zip(&mut round) {
            sender.prepare(step);
            network.quiet();
            let before = receiver.counts();
            let (traffic, cpu) = (network.traffic(), network.cpu());
            let start = Instant::now();
            sender.go(step);
            let expected = u64::from(count);
            let holds = |bird: &mut Bird| done(step, before, bird.counts(), expected);
            let Some(end) = receiver.when(PATIENCE, holds) else {
                eprintln!("{}: {step:?} of {count} is not done after {PATIENCE:?}", kind.0);
                return all;
            };
            network.quiet();
            let after = network.traffic();
            *sample = Sample {
                milliseconds: (end - start).as_secs_f64() * 1e3,
                bytes: (after.bytes - traffic.bytes) as f64,
                packets: (after.packets - traffic.packets) as f64,
                cpu: (network.cpu() - cpu) as f64 / 1e6,
                memory: network.memory() as f64 / f64::from(1 << 20),
            };
        }
        all.push(round);
    }
    all
}

fn median_of(rounds: &[[Sample; 3]], step: usize, measure: fn(&Sample) -> f64) -> Option<f64> {
    let values: Vec<f64> = rounds.iter().map(|round| measure(&round[step])).collect();
    (!values.is_empty()).then(|| median(values))
}

fn compare(count: u32, wanted: impl Fn(&str) -> bool, rows: &mut Vec<Value>) {
    // The slow ones get one round where it takes minutes.
    let rounds = |name: &str| {
        if count > 10_000 && name != "baton" && name != "bird" {
            1
        } else {
            ROUNDS
        }
    };
    let results: Vec<(&str, Vec<[Sample; 3]>)> = KINDS
        .iter()
        .filter(|kind| count <= kind.1 && wanted(kind.0))
        .map(|kind| (kind.0, samples(*kind, count, rounds(kind.0))))
        .collect();
    for (index, step) in Step::ALL.iter().enumerate() {
        for (name, unit, measure) in MEASURES {
            let mut values: BTreeMap<&str, f64> = results
                .iter()
                .filter_map(|(name, rounds)| Some((*name, median_of(rounds, index, measure)?)))
                .collect();
            let row = format!("{} {count}: {name}", format!("{step:?}").to_lowercase());
            print!("{row:<42} {unit:>8}");
            for kind in KINDS {
                match values.get(kind.0) {
                    Some(value) => print!(" {value:>12.1}"),
                    None => print!(" {:>12}", "-"),
                }
            }
            println!();
            let own = values.remove("baton");
            rows.push(json!({
                "name": row, "unit": unit, "baton": own, "peers": values, "floor": null,
                "target": values.get("bird"),
            }));
        }
    }
}

fn row(rows: &mut Vec<Value>, name: &str, unit: &str, value: Option<f64>, target: Option<f64>) {
    let shown = value.map_or("missed".to_owned(), |value| format!("{value:.1}"));
    println!("{name:<60} {unit:>8} {shown:>10}");
    rows.push(json!({
        "name": name, "unit": unit, "baton": value, "peers": {}, "floor": null, "target": target,
    }));
}

fn crowd(rows: &mut Vec<Value>) {
    let outcome = crowd::run();
    let name = format!("{} neighbours x {} prefixes", crowd::NEIGHBOURS, crowd::PREFIXES);
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    row(
        rows,
        &format!("{name}: received"),
        "ms",
        milliseconds(outcome.announced),
        None,
    );
    row(
        rows,
        &format!("{name}: withdrawn"),
        "ms",
        milliseconds(outcome.withdrawn),
        None,
    );
    row(
        rows,
        &format!("{name}: sessions lost"),
        "",
        Some(outcome.sessions_lost as f64),
        Some(0.0),
    );
    row(
        rows,
        &format!("{name}: longest silence of ours, hold time 9 s"),
        "ms",
        milliseconds(Some(outcome.longest_silence)),
        None,
    );
    let cpu = outcome.cpu.as_secs_f64() * 1e3;
    row(
        rows,
        &format!("{name}: CPU, with a change of all"),
        "ms",
        Some(cpu),
        None,
    );
    let memory = outcome.memory as f64 / f64::from(1 << 20);
    row(rows, &format!("{name}: RSS"), "MiB", Some(memory), None);
}

fn swaps(rows: &mut Vec<Value>) {
    let times = swap::run();
    let name = format!(
        "role swap of {} VIPs: decision to first UPDATE on the wire",
        swap::VIPS
    );
    row(rows, &name, "us", Some(times[times.len() / 2]), Some(DECISION));
    row(
        rows,
        &format!("{name}, max"),
        "us",
        times.last().copied(),
        Some(DECISION),
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` only wants to know that it builds.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "speaker") {
        return speaker::main(&arguments[at + 1]);
    }
    let mut rows = Vec::new();
    print!("{:<42} {:>8}", "", "");
    KINDS.iter().for_each(|kind| print!(" {:>12}", kind.0));
    println!();
    // `cargo bench --bench bgp -- 1000 swap` runs these parts only, `-- 1000 baton bird` these senders.
    let parts: Vec<&String> = arguments[1..]
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| *wanted == part);
    for count in COUNTS.into_iter().filter(|count| wanted(&count.to_string())) {
        let any = KINDS.iter().any(|kind| parts.iter().any(|part| *part == kind.0));
        compare(count, |kind| !any || wanted(kind), &mut rows);
    }
    if wanted("swap") {
        swaps(&mut rows);
    }
    if wanted("crowd") {
        crowd(&mut rows);
    }
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("bgp.json");
    std::fs::write(&file, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    println!("{}", file.display());
}

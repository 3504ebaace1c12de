//! `make bench-bfd`: our BFD beside that of bird2 and FRR, all in one run, because only what was measured together can be
//! compared on a noisy machine. Prints tables and writes `bench/bfd.json`. Needs root.
//!
//! `cargo bench -p tests --bench bfd -- detection update` runs these parts only; `--trials 5 --times 10msx3` makes them
//! shorter.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    reason = "a benchmark fails by panicking and computes ratios"
)]
mod burners;
mod clock;
mod cpu;
mod cut;
mod daemon;
mod detection;
mod figures;
mod flood;
mod frame;
mod journal;
mod network;
mod options;
mod outcome;
mod packet;
mod quiet;
mod sleeper;
mod tap;
mod times;
mod update;

use std::path::PathBuf;

use clock::Chance;
use figures::Report;
use options::Options;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only wants to know that it builds.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let options = Options::read(&arguments).unwrap_or_else(|complaint| {
        eprintln!("{complaint}\n{}", options::USAGE);
        std::process::exit(2)
    });
    let mut chance = Chance(options.seed);
    let mut report = Report::default();
    machine(options.seed);
    if options.wants("detection") {
        detection::run(&options.detection(), &mut chance, &mut report);
    }
    if options.wants("update") {
        update::run(options.trials, &mut chance, &mut report);
    }
    if options.wants("quiet") {
        quiet::run(&options.quiet(), &mut report);
    }
    if options.wants("cpu") {
        cpu::run(&options.cpu(), &mut report);
    }
    write(&report);
}

/// On what all this was measured.
fn machine(seed: u64) {
    let read = |file: &str| {
        std::fs::read_to_string(file)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    println!(
        "kernel {}, {} CPUs, load average {}, seed {seed}",
        read("/proc/sys/kernel/osrelease"),
        std::thread::available_parallelism().unwrap(),
        read("/proc/loadavg")
    );
    println!("moments are of CLOCK_MONOTONIC; packets are stamped by the kernel at the switch's ports");
}

fn write(report: &Report) {
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("bfd.json");
    std::fs::write(&file, report.json()).unwrap();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\nload average at the end {}\n{}", load.trim(), file.display());
}

//! Every lab is a test: up, all steps of its `expected.toml`, down. Needs root and the peers
//! (`tools/setup peers`); the project's own programs are built first, as the nodes run them.
//!
//! The labs run one after another even when the tests do not: they measure time on two cores.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::process::Command;
use std::sync::{Mutex, OnceLock};

use labs::Lab;

static TURN: Mutex<()> = Mutex::new(());

fn run(name: &str) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    build();
    let lab = Lab::load(name).unwrap_or_else(|error| panic!("{error}"));
    assert!(!lab.expected.is_empty(), "lab {name} expects nothing");
    labs::test(&lab, false, false).unwrap_or_else(|error| panic!("{error}"));
}

/// The programs of the nodes, in the profile of this test: cargo builds no other crate's programs
/// for it.
fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--bins"]);
        cargo.args(["-p", "labs", "-p", "lb-user", "-p", "cli", "-p", "traffic"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(status.success(), "the programs of the nodes do not build");
    });
}

#[test]
fn every_lab_is_a_test_here() {
    let source = include_str!("labs.rs");
    for file in labs::list().unwrap() {
        let lab = Lab::load(&file).unwrap_or_else(|error| panic!("{error}"));
        let call = format!("run(\"{}\")", lab.name());
        assert!(source.contains(&call), "lab {} has no test here", lab.name());
    }
}

#[test]
fn bfd_bird() {
    run("bfd-bird");
}

#[test]
fn bfd_crowd() {
    run("bfd-crowd");
}

#[test]
fn bfd_frr() {
    run("bfd-frr");
}

#[test]
fn bgp_guards() {
    run("bgp-guards");
}

#[test]
fn bgp_peers() {
    run("bgp-peers");
}

#[test]
fn bgp_restart() {
    run("bgp-restart");
}

#[test]
fn bgp_unnumbered() {
    run("bgp-unnumbered");
}

#[test]
fn calico_mesh() {
    run("calico-mesh");
}

#[test]
fn failover() {
    run("failover");
}

#[test]
fn interop_bird() {
    run("interop-bird");
}

#[test]
fn interop_frr() {
    run("interop-frr");
}

#[test]
fn interop_gobgp() {
    run("interop-gobgp");
}

#[test]
fn interop_ibgp() {
    run("interop-ibgp");
}

#[test]
fn l2() {
    run("l2");
}

/// The whole: power loss, return and drain under verified flows. The figures are printed, not judged;
/// a lost, reset or misdelivered flow fails.
#[test]
fn the_demonstration_loses_nothing() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    build();
    let out = tempfile::tempdir().unwrap();
    let programs = std::env::current_exe().unwrap();
    let lab = programs.ancestors().nth(2).unwrap().join("lab");
    let run = Command::new(&lab)
        .arg("failover")
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    println!("{told}");
    assert!(
        run.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(out.path().join("failover.json").is_file() && out.path().join("failover.svg").is_file());
}

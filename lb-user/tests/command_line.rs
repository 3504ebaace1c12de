//! `batond` as a process: what it says about a configuration, and with which exit code.
#![allow(
    clippy::unwrap_used,
    reason = "the lint only exempts functions marked as tests"
)]

use std::path::Path;
use std::process::{Command, Output};

fn batond(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_batond"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_sample_is_ok() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/baton.toml");
    let (code, out, err) = batond(&["check", "--config", sample.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(
        out,
        "ok: node lb1, 2 services, 1 instance, 1 neighbor, 2 BFD sessions, 1 peer\n"
    );
}

#[test]
fn a_bad_file_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (file, run) = (directory.path().join("baton.toml"), directory.path().join("run"));
    let text = format!(
        "[node]\nname = \"lb1\"\nrouter-id = \"192.0.2.1\"\nrun-dir = \"{}\"\n[datapath]\ninterfaces = [\"eth1\"]\nhok = \"xdp\"\n",
        run.display()
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        vec!["check", "--config", file],
        vec!["run", "--config", file],
        vec!["--config", file],
    ] {
        let (code, out, err) = batond(&arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains("baton.toml:7:1: unknown field `hok`"), "{err}");
        assert!(err.contains("\n7 | hok = \"xdp\"\n  | ^^^\n"), "{err}");
        assert!(!run.exists());
    }
}

#[test]
fn a_missing_file_and_a_wrong_flag_are_usage_errors() {
    let (code, _, err) = batond(&["check", "--config", "/nonexistent/baton.toml"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("/nonexistent/baton.toml: No such file"), "{err}");
    assert_eq!(batond(&["--confg", "x"]).0, Some(2));
    assert_eq!(
        batond(&["keygen", "--dir", "/tmp"]).0,
        Some(2),
        "without a node there is nothing to do"
    );
}

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

/// The smallest file there is, and one with BGP.
fn written(name: &str, more: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    let text = format!(
        "[node]\nname = \"lb1\"\nrouter-id = \"192.0.2.1\"\n[datapath]\ninterfaces = [\"eth1\"]\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (directory, file)
}

#[test]
fn flags_of_kube_loxilb_are_merged_with_the_file() {
    let (_plain_directory, plain) = written("plain.toml", "");
    let (_bgp_directory, bgp) = written(
        "bgp.toml",
        "[bgp]\nas = 65111\n[[bgp.neighbor]]\naddress = \"192.168.90.9\"\nas = 64512\nexport = \"all\"\n",
    );
    let peers = "--extBGPPeers=192.168.90.9:64512, [2001:db8::9]:4200000000";
    let (code, out, err) = batond(&[
        "check",
        "--config",
        &plain,
        "--setBGP=65111",
        peers,
        "--listenBGPPort=1791",
    ]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(
        out,
        "ok: node lb1, 0 services, 1 instance, 2 neighbors, 0 BFD sessions, no peer\n"
    );
    for (file, flags, words) in [
        (&plain, vec![peers], "--extBGPPeers: needs --setBGP"),
        (
            &plain,
            vec!["--listenBGPPort=179"],
            "--listenBGPPort: needs --setBGP",
        ),
        (
            &bgp,
            vec!["--setBGP=65112"],
            "bgp.toml:7:6: --setBGP: is 65112, but the file has bgp.as = 65111",
        ),
        (
            &bgp,
            vec!["--setBGP=65111", peers],
            "bgp.toml:9:11: --extBGPPeers: neighbour 192.168.90.9 is in the file",
        ),
        (&plain, vec!["--setBGP=0"], "0 is not in 1..=4294967295"),
        (&plain, vec!["--setBGP=65535"], "bgp.as: AS 65535 is reserved"),
        (
            &plain,
            vec!["--setBGP=65111", "--extBGPPeers=192.0.2.1"],
            "`192.0.2.1`: has no AS",
        ),
        (
            &plain,
            vec!["--setBGP=65111", "--extBGPPeers=224.0.0.1:1"],
            "bgp.neighbor.address: 224.0.0.1 is no unicast",
        ),
        (
            &plain,
            vec!["--setBGP=65111", "--listenBGPPort=0"],
            "0 is not in 1..=65535",
        ),
    ] {
        // The daemon as well as the check; nothing is started.
        for command in ["check", "run"] {
            let arguments = [vec![command, "--config", file.as_str()], flags.clone()].concat();
            let (code, out, err) = batond(&arguments);
            assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
            assert!(err.contains(words), "{arguments:?}: {err}");
        }
    }
}

#[test]
fn a_password_is_never_shown() {
    let neighbor = "[bgp]\nas = 65001\n[[bgp.neighbor]]\naddress = \"10.0.0.1\"\nas = 65000\n";
    for line in [
        "password = \"hunter2\"\nhold-time = \"1s\"",
        "password = \"hunter2",
        "password = 'hunter2' x",
        "pasword = \"hunter2\"",
        "password = [\"hunter2\"]",
        "password = \"hunter2\"\npassword-file = \"/nonexistent\"",
        "password = \"hunter2\"",
    ] {
        let (_directory, file) = written("secret.toml", &format!("{neighbor}{line}\n"));
        let (code, out, err) = batond(&["check", "--config", &file]);
        let valid = line == "password = \"hunter2\"";
        assert_eq!(code, Some(if valid { 0 } else { 2 }), "{line}: {err}");
        assert!(
            !out.contains("hunter2") && !err.contains("hunter2"),
            "{line}: {out}{err}"
        );
    }
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

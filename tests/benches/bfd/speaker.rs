//! Our side of many sessions: the daemon, where its configuration has sessions of their own; otherwise the thread that
//! the daemon runs, alone in a process. This binary starts itself for that, in the namespace of the node.
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use bfd::{Role, SessionConfig};
use lb_user::bfd_thread;

use crate::daemon::{BATON, Daemon, Kind, Pair, Scheduling, program, text};
use crate::network::{Network, Node};
use crate::times::Times;

/// The first argument of the child.
pub(crate) const ROLE: &str = "speaker";

pub(crate) fn kind() -> Kind {
    if daemon_has_sessions() {
        return BATON;
    }
    Kind {
        start: thread,
        ..BATON
    }
}

pub(crate) fn description() -> &'static str {
    if daemon_has_sessions() {
        "the daemon"
    } else {
        "its BFD thread alone in a process"
    }
}

/// Whether the configuration knows `[[bfd.session]]`.
pub(crate) fn daemon_has_sessions() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("baton.toml");
        let config = "[node]\nname = \"one\"\nrouter-id = \"10.98.0.1\"\n[datapath]\ninterfaces = [\"e0\"]\n[bfd]\n\
                      [[bfd.session]]\naddress = \"10.98.0.2\"\nlocal = \"10.98.0.1\"\n";
        std::fs::write(&file, config).unwrap();
        let check = Command::new(program("batond"))
            .args(["check", "--config", text(&file)])
            .output();
        check.unwrap().status.success()
    })
}

fn thread(_: &Network, node: &Node, times: Times, pairs: &[Pair], scheduling: Scheduling) -> Daemon {
    let own = std::env::current_exe().unwrap();
    let mut words = vec![
        text(&own).to_owned(),
        ROLE.to_owned(),
        times.milliseconds.to_string(),
        times.multiplier.to_string(),
    ];
    for pair in pairs {
        words.extend([pair.local.to_string(), pair.remote.to_string()]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut daemon = Daemon::new();
    daemon.spawn(node, scheduling, &words);
    daemon
}

/// The child: until it is killed.
pub(crate) fn main(arguments: &[String]) {
    let [milliseconds, multiplier, addresses @ ..] = arguments else {
        panic!("{arguments:?}");
    };
    let interval = Duration::from_millis(milliseconds.parse().unwrap());
    let (handle, thread) = bfd_thread::spawn(&bfd_thread::Options::default(), |_| ()).unwrap();
    for pair in addresses.chunks(2) {
        let [local, remote] = [&pair[0], &pair[1]].map(|text| IpAddr::V4(text.parse::<Ipv4Addr>().unwrap()));
        let session = SessionConfig {
            local,
            remote,
            interface: None,
            desired_min_tx: interval,
            required_min_rx: interval,
            detect_multiplier: multiplier.parse().unwrap(),
            role: Role::Active,
        };
        handle.put(session).unwrap();
    }
    thread.join().unwrap();
}

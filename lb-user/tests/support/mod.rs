//! Network namespaces for tests that need the kernel (root), and waiting on conditions with a deadline.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

pub(crate) mod speaker;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

/// How long anything may take on a busy machine before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Two namespaces with a veth between them, `eth0` on both sides; removed when dropped.
pub(crate) struct Pair {
    lab: String,
    children: Vec<Child>,
}

pub(crate) const LEFT: &str = "left";
pub(crate) const RIGHT: &str = "right";

impl Pair {
    /// `left` has 192.0.2.1/24 and 2001:db8::1/64, `right` .2 and ::2.
    pub(crate) fn new(test: &str) -> Self {
        let pair = Pair {
            lab: format!("drv{}{test}", std::process::id()),
            children: Vec::new(),
        };
        for side in [LEFT, RIGHT] {
            let name = pair.name(side);
            ip(&["netns", "add", &name]);
            ip(&["-n", &name, "link", "set", "lo", "up"]);
        }
        pair.connect();
        pair
    }

    /// Makes the link, also anew.
    pub(crate) fn connect(&self) {
        let (left, right) = (self.name(LEFT), self.name(RIGHT));
        ip(&[
            "link", "add", "eth0", "netns", &left, "type", "veth", "peer", "name", "eth0", "netns", &right,
        ]);
        for (name, host) in [(&left, 1), (&right, 2)] {
            let (v4, v6) = (format!("192.0.2.{host}/24"), format!("2001:db8::{host}/64"));
            ip(&["-n", name, "addr", "add", &v4, "dev", "eth0"]);
            ip(&["-n", name, "addr", "add", &v6, "dev", "eth0", "nodad"]);
            ip(&["-n", name, "link", "set", "eth0", "up"]);
        }
    }

    pub(crate) fn name(&self, side: &str) -> String {
        format!("clab-{}-{side}", self.lab)
    }

    /// Moves the calling thread, and the threads it will start, into a namespace.
    pub(crate) fn enter(&self, side: &str) {
        let file = File::open(format!("/run/netns/{}", self.name(side))).expect("the namespace exists");
        setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
    }

    /// Output of a command inside a namespace.
    pub(crate) fn output(&self, side: &str, command: &[&str]) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name(side)])
            .args(command)
            .output()
            .expect("ip netns exec runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a process inside a namespace; it ends with the pair.
    pub(crate) fn start(&mut self, side: &str, command: &[&str]) {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.name(side)])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the process starts");
        self.children.push(child);
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for child in &mut self.children {
            // `ip netns exec` became the command itself, so this is its process.
            let _ = child.kill();
            let _ = child.wait();
        }
        for side in [LEFT, RIGHT] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(side)])
                .status();
        }
    }
}

pub(crate) fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip runs");
    assert!(
        output.status.success(),
        "ip {}: {} (these tests need root)",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Waits for a condition; fails the test with `what` and the last `state` after [`DEADLINE`].
pub(crate) fn until<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> (bool, T)) {
    let end = Instant::now() + DEADLINE;
    loop {
        let (met, state) = look();
        if met {
            return;
        }
        assert!(
            Instant::now() < end,
            "not within {DEADLINE:?}: {what}; last seen: {state:#?}"
        );
        std::thread::sleep(Duration::from_millis(5)); // poll
    }
}

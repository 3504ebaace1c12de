//! `batond` as a process, against bird2: it announces, reloads, and leaves in an orderly way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{DEADLINE, LEFT, Pair, RIGHT, until};

const BIRD: &str = "
    router id 10.0.0.2;
    protocol device {}
    protocol bfd { interface \"eth0\" { min rx interval 30 ms; min tx interval 30 ms; multiplier 5; }; }
    protocol bgp lb {
        local 192.0.2.2 as 65000; neighbor 192.0.2.1 as 65001; bfd on; ttl security on;
        hold time 9; connect delay time 1; error wait time 1,2; connect retry time 1;
        ipv4 { import all; export none; };
    }";

const SECOND: &str = r#"
    [[service]]
    name = "second"
    vip = "203.0.113.11"
    port = 80
    protocol = "tcp"
    mode = "default"
    endpoints = [ { address = "192.0.2.21", port = 80 } ]
"#;

/// A lone node in the left namespace, bird in the right one.
struct Node {
    pair: Pair,
    daemon: Child,
    folder: tempfile::TempDir,
}

/// The same by the file and by the flags.
const NEIGHBOR: &str = r#"            [bgp]
            as = 65001
            [[bgp.neighbor]]
            address = "192.0.2.2"
            as = 65000
            export = "all"
            bfd = true
"#;
const FLAGS: [&str; 3] = [
    "--setBGP=65001",
    "--extBGPPeers=192.0.2.2:65000,[2001:db8::77]:4200000000",
    "--listenBGPPort=1791",
];

impl Node {
    fn start(test: &str) -> Self {
        Self::start_with(test, |config| config, &[])
    }

    fn start_with(test: &str, change: impl Fn(String) -> String, flags: &[&str]) -> Self {
        let mut pair = Pair::new(test);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // Neighbours of the flags are without TTL security, as with loxilb.
        let bird = if flags.is_empty() {
            BIRD.to_owned()
        } else {
            BIRD.replace("ttl security on;", "")
        };
        std::fs::write(at("bird.conf"), bird).unwrap();
        let (config, control) = (at("bird.conf"), at("bird.ctl"));
        pair.start(
            RIGHT,
            &[
                "bird",
                "-f",
                "-c",
                config.to_str().unwrap(),
                "-s",
                control.to_str().unwrap(),
            ],
        );
        std::fs::write(at("baton.toml"), change(Self::config(&folder, test))).unwrap();
        let node = Node {
            daemon: Self::daemon(&pair, &folder, flags),
            pair,
            folder,
        };
        node.wait_for_route("203.0.113.10/32", |route| route.contains("BGP.med: 10\n"));
        node
    }

    fn daemon(pair: &Pair, folder: &tempfile::TempDir, flags: &[&str]) -> Child {
        let config = folder.path().join("baton.toml");
        Command::new("ip")
            .args([
                "netns",
                "exec",
                &pair.name(LEFT),
                env!("CARGO_BIN_EXE_batond"),
                "--config",
            ])
            .arg(config)
            .args(flags)
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn config(folder: &tempfile::TempDir, test: &str) -> String {
        let run = folder.path().display();
        format!(
            r#"
            [node]
            name = "lb1"
            router-id = "10.0.0.1"
            run-dir = "{run}"
            [datapath]
            interfaces = ["eth0"]
            max-flows = 4096
            pin-dir = "/sys/fs/bpf/baton-{test}-{pid}"
{NEIGHBOR}
            [[ha.instance]]
            name = "default"
            priority = 100
            addresses = ["192.0.2.100/24@eth0"]
            [api]
            socket = "{run}/batond.sock"
            [[service]]
            name = "first"
            vip = "203.0.113.10"
            port = 80
            protocol = "tcp"
            mode = "fullnat"
            endpoints = [ {{ address = "192.0.2.21", port = 80 }} ]
            "#,
            pid = std::process::id()
        )
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("bird.ctl")
    }

    fn bird(&self, question: &str) -> String {
        let control = self.control();
        let mut command = vec!["birdc", "-s", control.to_str().unwrap()];
        command.extend(question.split(' '));
        self.pair.output(RIGHT, &command)
    }

    fn wait_for_route(&self, prefix: &str, met: impl Fn(&str) -> bool) {
        until(prefix, || {
            let route = self.bird(&format!("show route {prefix} all"));
            (met(&route), route)
        });
    }

    /// Status code and body.
    fn request(&self, method: &str, target: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.folder.path().join("batond.sock")).unwrap();
        write!(stream, "{method} {target} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let code = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        (code, body.to_owned())
    }

    fn get<T: serde::de::DeserializeOwned>(&self, target: &str) -> T {
        let (_, body) = self.request("GET", target);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    fn status(&self) -> api::NodeStatus {
        self.get(api::path::STATUS)
    }

    fn neighbor(&self) -> api::Neighbor {
        self.get("/v1/neighbors/192.0.2.2")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.daemon.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end of the daemon; its exit code.
    fn ended(&mut self) -> Option<i32> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.daemon.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "batond does not end");
            std::thread::sleep(std::time::Duration::from_millis(5)); // poll
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn announces_reloads_and_drains() {
    let mut node = Node::start("daemon");
    until("BFD is up", || {
        let sessions = node.bird("show bfd sessions");
        (sessions.contains(" Up "), sessions)
    });

    // A bad file changes nothing, a good one brings its VIP.
    let file = node.folder.path().join("baton.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\nnonsense = 1\n")).unwrap();
    node.signal(Signal::SIGHUP);
    until("the bad file is refused", || {
        let status = node.status();
        (
            status
                .refused
                .as_ref()
                .is_some_and(|reason| reason.contains("nonsense")),
            status,
        )
    });
    std::fs::write(&file, format!("{good}{SECOND}")).unwrap();
    node.signal(Signal::SIGHUP);
    node.wait_for_route("203.0.113.11/32", |route| route.contains("BGP.med: 10\n"));
    node.wait_for_route("203.0.113.10/32", |route| route.contains("BGP.med: 10\n"));

    // SIGTERM: worse attributes first, then a Cease, which withdraws; exit code 0.
    node.signal(Signal::SIGTERM);
    node.wait_for_route("203.0.113.10/32", |route| {
        route.contains("BGP.med: 1000\n") && route.contains("(65535,0)")
    });
    assert_eq!(node.ended(), Some(0));
    node.wait_for_route("203.0.113.10/32", |route| !route.contains("BGP.med"));
}

#[test]
fn a_killed_daemon_is_found_out_and_its_successor_takes_over() {
    let mut node = Node::start("kill");
    node.signal(Signal::SIGKILL);
    assert_eq!(node.ended(), None, "ended by a signal");
    node.wait_for_route("203.0.113.10/32", |route| !route.contains("BGP.med"));
    let addresses = node
        .pair
        .output(LEFT, &["ip", "-o", "addr", "show", "dev", "eth0"]);
    assert!(
        addresses.contains("192.0.2.100/24"),
        "the floating address stays with the data path: {addresses}"
    );
    node.daemon = Node::daemon(&node.pair, &node.folder, &[]);
    node.wait_for_route("203.0.113.10/32", |route| route.contains("BGP.med: 10\n"));
}

#[test]
fn neighbours_of_the_flags_are_told_the_vips_and_obey_operators() {
    let node = Node::start_with("flags", |config| config.replace(NEIGHBOR, ""), &FLAGS);
    let listening = node.pair.output(LEFT, &["ss", "-ltnH"]);
    assert!(
        listening.contains("0.0.0.0:1791") && listening.contains("[::]:1791"),
        "{listening}"
    );
    let neighbor = node.neighbor();
    assert_eq!(
        (neighbor.state.as_str(), neighbor.remote_as, neighbor.enabled),
        ("established", 65000, true)
    );
    assert_eq!(neighbor.configured.hops, "ttl 1");
    assert_eq!(neighbor.configured.export.as_deref(), Some("all"));
    let all: Vec<api::Neighbor> = node.get(api::path::NEIGHBORS);
    assert_eq!(all.len(), 2, "{all:#?}");
    let table: api::RouteTable = node.get("/v1/routes?neighbor=192.0.2.2");
    let [route] = table.routes.as_slice() else {
        panic!("one route: {table:#?}")
    };
    assert_eq!(
        (route.prefix.as_str(), route.med, route.as_path.as_str()),
        ("203.0.113.10/32", Some(10), "65001")
    );

    // An operator takes the session down with a word for the other side, and up again.
    assert_eq!(
        node.request("POST", "/v1/neighbors/192.0.2.2/disable?message=back%20at%205")
            .0,
        204
    );
    until("bird hears why", || {
        let shown = node.bird("show protocols all lb");
        (
            !shown.contains("Established") && node.neighbor().state == "idle",
            shown,
        )
    });
    assert!(!node.neighbor().enabled);
    assert_eq!(node.request("POST", "/v1/neighbors/192.0.2.2/enable").0, 204);
    node.wait_for_route("203.0.113.10/32", |route| route.contains("BGP.med: 10\n"));
    assert_eq!(node.request("POST", "/v1/neighbors/192.0.2.2/refresh").0, 204);
    assert_eq!(node.request("POST", "/v1/neighbors/192.0.2.9/enable").0, 404);
}

#[test]
fn a_reload_changes_what_is_said_and_not_the_session() {
    let node = Node::start("policy");
    let before = node.neighbor();
    let file = node.folder.path().join("baton.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    let policy = "[[bgp.policy]]\nname = \"told\"\n[[bgp.policy.rule]]\nset.med = 33\nset.communities = [\"65001:7\"]\n";
    let changed = good.replace("export = \"all\"", "export = \"told\"") + policy;
    std::fs::write(&file, changed).unwrap();
    node.signal(Signal::SIGHUP);
    node.wait_for_route("203.0.113.10/32", |route| {
        route.contains("BGP.med: 33\n") && route.contains("(65001,7)")
    });
    // The pool takes the place of the address.
    let pool = "[[bgp.aggregate]]\nprefix = \"203.0.113.0/24\"\n";
    std::fs::write(&file, format!("{good}{pool}")).unwrap();
    node.signal(Signal::SIGHUP);
    node.wait_for_route("203.0.113.0/24", |route| route.contains("BGP.med: 10\n"));
    node.wait_for_route("203.0.113.10/32", |route| !route.contains("BGP.med"));
    let after = node.neighbor();
    assert_eq!(
        (after.flaps, after.established),
        (before.flaps, before.established)
    );
    assert!(node.status().refused.is_none());
}

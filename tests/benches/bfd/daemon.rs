//! The daemons that are compared, each in the namespace of its node: bird2, FRR and ours.
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::journal::Journal;
use crate::network::{Network, Node};
use crate::times::Times;

/// While a session is down bird sends this often.
const IDLE: u32 = 50;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) local: Ipv4Addr,
    pub(crate) remote: Ipv4Addr,
}

/// How its processes are scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheduling {
    /// As it comes: bird and FRR ask for nothing, our BFD thread asks for SCHED_FIFO.
    Own,
    /// All of it under SCHED_FIFO with this priority.
    Fifo(u8),
}

impl std::fmt::Display for Scheduling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scheduling::Own => formatter.write_str("SCHED_OTHER, as they come"),
            Scheduling::Fifo(priority) => write!(formatter, "SCHED_FIFO {priority}"),
        }
    }
}

pub(crate) struct Daemon {
    children: Vec<Child>,
    pub(crate) journal: Journal,
}

type Start = fn(&Network, &Node, Times, &[Pair], Scheduling) -> Daemon;

/// A kind of daemon.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) start: Start,
    /// Of a line that it writes when a session leaves Up.
    pub(crate) says_down: fn(&str) -> bool,
}

pub(crate) const BATON: Kind = Kind {
    name: "baton",
    start: baton,
    says_down: |line| line.contains("BFD session=") && line.contains("to=\"down\""),
};

pub(crate) const BIRD: Kind = Kind {
    name: "bird",
    start: bird,
    says_down: |line| line.contains("changed state from Up to Down"),
};

pub(crate) const FRR: Kind = Kind {
    name: "frr",
    start: frr,
    says_down: |line| line.contains("up -> down"),
};

impl Daemon {
    pub(crate) fn new() -> Self {
        Daemon {
            children: Vec::new(),
            journal: Journal::default(),
        }
    }

    pub(crate) fn spawn(&mut self, node: &Node, scheduling: Scheduling, words: &[&str]) {
        let output = self.journal.open();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", node.netns.name()]);
        // A benchmark that is killed leaves nothing running, except for FRR, which becomes another user; the next run
        // ends that.
        command.args(["setpriv", "--pdeathsig", "KILL"]);
        if let Scheduling::Fifo(priority) = scheduling {
            command.args(["chrt", "--fifo", &priority.to_string()]);
        }
        let child = command
            .args(words)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn();
        self.children.push(child.unwrap());
    }

    /// SIGKILL to every process of it.
    pub(crate) fn kill(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        for child in &mut self.children {
            let _ = child.wait();
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn bird(
    network: &Network,
    node: &Node,
    times: Times,
    pairs: &[Pair],
    scheduling: Scheduling,
) -> Daemon {
    let (milliseconds, multiplier, id) = (times.milliseconds, times.multiplier, node.address);
    let mut config = format!(
        "log stderr all;\nrouter id {id};\nprotocol device {{}}\nprotocol bfd {{\n debug {{ events }};\n \
         interface \"e0\" {{ min rx interval {milliseconds} ms; min tx interval {milliseconds} ms; \
         idle tx interval {IDLE} ms; multiplier {multiplier}; }};\n"
    );
    for pair in pairs {
        writeln!(
            config,
            " neighbor {} dev \"e0\" local {};",
            pair.remote, pair.local
        )
        .unwrap();
    }
    config.push_str("}\n");
    let file = |ending: &str| network.path(&format!("{}.{ending}", node.name));
    std::fs::write(file("conf"), config).unwrap();
    let (config, control) = (file("conf"), file("ctl"));
    let mut daemon = Daemon::new();
    let words = ["bird", "-f", "-c", text(&config), "-s", text(&control)];
    daemon.spawn(node, scheduling, &words);
    daemon
}

fn frr(network: &Network, node: &Node, times: Times, pairs: &[Pair], scheduling: Scheduling) -> Daemon {
    let folder = network.path(node.name);
    std::fs::create_dir_all(&folder).unwrap();
    let mut config = "hostname detector\nlog timestamp precision 6\ndebug bfd peer\nbfd\n".to_owned();
    for pair in pairs {
        writeln!(
            config,
            " peer {} local-address {} interface e0\n  detect-multiplier {}\n  receive-interval {}\n  \
             transmit-interval {}\n  no shutdown\n !",
            pair.remote, pair.local, times.multiplier, times.milliseconds, times.milliseconds
        )
        .unwrap();
    }
    std::fs::write(folder.join("bfdd.conf"), config).unwrap();
    std::fs::write(folder.join("zebra.conf"), "").unwrap();
    let owned = Command::new("chown")
        .args(["-R", "frr:frr", text(&folder)])
        .status();
    assert!(owned.unwrap().success());
    let mut daemon = Daemon::new();
    let file = |name: &str| text(&folder.join(name)).to_owned();
    let mut start = |program: &str, more: &[&str]| {
        let path = format!("/usr/lib/frr/{program}");
        let (api, config) = (file("zserv.api"), file(&format!("{program}.conf")));
        let pid = file(&format!("{program}.pid"));
        let mut words = vec![
            path.as_str(),
            "-u",
            "frr",
            "-g",
            "frr",
            "--vty_socket",
            text(&folder),
        ];
        words.extend([
            "-z", &api, "-f", &config, "-i", &pid, "-P", "0", "--log", "stdout",
        ]);
        words.extend(more);
        daemon.spawn(node, scheduling, &words);
    };
    start("zebra", &[]);
    wait_for(&folder.join("zserv.api"));
    start("bfdd", &["--bfdctl", &file("bfdd.sock")]);
    daemon
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Failures follow each other faster than a hold-down would let a session count; nobody here uses one.
fn baton(network: &Network, node: &Node, times: Times, pairs: &[Pair], scheduling: Scheduling) -> Daemon {
    let (name, id) = (node.name, node.address);
    let folder = network.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    let socket = socket(network, node);
    let mut config = format!(
        "[node]\nname = \"{name}\"\nrouter-id = \"{id}\"\nrun-dir = \"{}\"\n\
         [datapath]\ninterfaces = [\"e0\"]\nmax-flows = 4096\n\
         [api]\nsocket = \"{}\"\n\
         [bfd]\ninterval = \"{}ms\"\nmultiplier = {}\nhold-down = {{ first = \"0s\" }}\n",
        folder.display(),
        socket.display(),
        times.milliseconds,
        times.multiplier
    );
    for pair in pairs {
        writeln!(
            config,
            "[[bfd.session]]\naddress = \"{}\"\nlocal = \"{}\"",
            pair.remote, pair.local
        )
        .unwrap();
    }
    let file = folder.join("baton.toml");
    std::fs::write(&file, config).unwrap();
    let command = format!(
        "mount -t bpf bpf /sys/fs/bpf && exec {} --config {}",
        program("batond").display(),
        file.display()
    );
    let mut daemon = Daemon::new();
    daemon.spawn(node, scheduling, &["sh", "-c", &command]);
    daemon
}

/// Of the API of ours.
pub(crate) fn socket(network: &Network, node: &Node) -> PathBuf {
    network.path(node.name).join("batond.sock")
}

/// One of the project's programs, beside this one as cargo puts them.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let file = folder.join(name);
    assert!(file.is_file(), "{} is missing: `make build`", file.display());
    file
}

/// What `batonctl` prints as JSON.
pub(crate) fn ask(network: &Network, node: &Node, words: &[&str]) -> Option<serde_json::Value> {
    let output = Command::new(program("batonctl"))
        .arg("--socket")
        .arg(socket(network, node))
        .args(words)
        .args(["-o", "json"])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

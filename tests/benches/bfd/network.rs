//! A switch with a bridge, and nodes behind its ports. All of it goes when the value goes, also in a panic.
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use labs::Netns;

/// Namespaces are `clab-benchbfd-<node>`.
const LAB: &str = "benchbfd";
const SWITCH: &str = "sw";

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) netns: Netns,
    pub(crate) address: Ipv4Addr,
    /// Index of its port at the switch.
    pub(crate) port: i32,
}

pub(crate) struct Network {
    pub(crate) switch: Netns,
    pub(crate) nodes: Vec<Node>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn run(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {said}");
}

impl Network {
    pub(crate) fn new(names: &[&'static str]) -> Self {
        // What a run that was killed has left behind goes first.
        sweep();
        let mut network = Network {
            switch: Netns::of(LAB, SWITCH),
            nodes: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        // FRR runs as a user of its own.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(network.folder.path(), everybody).unwrap();
        network.switch.create().unwrap();
        let switch = network.switch.name().to_owned();
        run(&format!(
            "-n {switch} link add br0 type bridge stp_state 0 forward_delay 0"
        ));
        run(&format!("-n {switch} link set br0 up"));
        for (index, name) in (1..).zip(names) {
            let node = network.add(name, index);
            network.nodes.push(node);
        }
        network
    }

    fn add(&self, name: &'static str, index: u8) -> Node {
        let netns = Netns::of(LAB, name);
        netns.create().unwrap();
        let (inside, switch) = (netns.name(), self.switch.name());
        run(&format!("-n {inside} link set lo up"));
        run(&format!(
            "link add e0 netns {inside} type veth peer name p-{name} netns {switch}"
        ));
        run(&format!("-n {switch} link set p-{name} master br0 up"));
        let address = Ipv4Addr::new(10, 98, 0, index);
        run(&format!("-n {inside} address add {address}/16 dev e0"));
        run(&format!("-n {inside} link set e0 up"));
        let interface = format!("p-{name}");
        let index = || nix::net::if_::if_nametoindex(interface.as_str());
        let port = self.switch.run(index).unwrap().unwrap();
        Node {
            name,
            netns,
            address,
            port: i32::try_from(port).unwrap(),
        }
    }

    pub(crate) fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Node {
    /// More addresses on its one link.
    pub(crate) fn add_addresses(&self, addresses: impl Iterator<Item = Ipv4Addr>) {
        let mut batch = String::new();
        for address in addresses {
            writeln!(batch, "address add {address}/16 dev e0").unwrap();
        }
        let mut child = Command::new("ip")
            .args(["-n", self.netns.name(), "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Nanoseconds that its processes have run: all threads, or those of a name.
    pub(crate) fn run_time(&self, thread: Option<&str>) -> u64 {
        let pids = self.netns.processes();
        let process = |pid: &nix::unistd::Pid| run_time(&Path::new("/proc").join(pid.to_string()), thread);
        pids.iter().map(process).sum()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        sweep();
    }
}

/// Removes all namespaces of this benchmark, with what runs in them.
fn sweep() {
    let list = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let prefix = format!("clab-{LAB}-");
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        if name.starts_with(&prefix)
            && let Err(error) = Netns::named(name).delete()
        {
            eprintln!("{name}: {error}");
        }
    }
}

/// Zero for a process that has ended.
fn run_time(process: &Path, thread: Option<&str>) -> u64 {
    let Ok(tasks) = std::fs::read_dir(process.join("task")) else {
        return 0;
    };
    let time = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if thread.is_some_and(|thread| name.trim_end() != thread) {
            return None;
        }
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(time).sum()
}

//! What to keep of a lab that failed: state of the network and of the daemons, node by node.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Result};
use crate::node::Node;
use crate::running::Running;

const PATIENCE: Duration = Duration::from_secs(5);

/// Asked in every node; file name and command.
const COMMON: &[(&str, &str)] = &[
    ("addresses", "ip -details -statistics address"),
    ("routes", "ip route show table all"),
    ("routes6", "ip -6 route show table all"),
    ("neighbours", "ip neigh"),
    ("sockets", "ss -antup"),
    ("processes", "ps axo pid,ppid,stat,cls,rtprio,wchan:20,args"),
    ("nft", "nft list ruleset"),
];

/// Asked where the daemon runs.
const BY_DAEMON: &[(&str, &str, &str)] = &[
    ("batond", "services.json", "batonctl get service -o json"),
    ("batond", "neighbors.json", "batonctl get neighbor -o json"),
    ("batond", "bfd.json", "batonctl get bfd -o json"),
    ("batond", "ha.json", "batonctl get ha -o json"),
    ("batond", "flows.json", "batonctl get flow -o json"),
    ("batond", "timeline.json", "batonctl timeline -o json"),
    ("bird", "protocols", "birdc -s /run/bird.ctl show protocols all"),
    ("bird", "bfd", "birdc -s /run/bird.ctl show bfd sessions"),
    ("bird", "rib", "birdc -s /run/bird.ctl show route all"),
    ("bgpd", "summary", "vtysh -c 'show bgp summary'"),
    ("bgpd", "bfd", "vtysh -c 'show bfd peers'"),
    ("bgpd", "rib", "vtysh -c 'show bgp ipv4' -c 'show bgp ipv6'"),
    ("gobgpd", "neighbors", "gobgp neighbor"),
    ("gobgpd", "rib", "gobgp global rib"),
];

impl Running {
    /// Writes everything worth knowing to `diagnostics` in the run folder and returns that folder.
    /// A command that fails leaves its complaint instead.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn diagnose(&self) -> Result<PathBuf> {
        let folder = self.lab().run_folder().join("diagnostics");
        for node in self.nodes() {
            diagnose(node, &folder.join(node.name()))?;
        }
        if let Ok(wire) = self.wire() {
            let mut text = String::new();
            for [first, second] in wire.links() {
                let counters = wire.counters(first);
                text.push_str(&format!("{first} - {second}: {counters:?}\n"));
            }
            let file = folder.join("wire");
            fs::write(&file, text).context(|| file.display().to_string())?;
        }
        Ok(folder)
    }
}

fn diagnose(node: &Node, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).context(|| folder.display().to_string())?;
    let running = daemons(node);
    let asked = BY_DAEMON.iter().filter(|(daemon, ..)| running.contains(*daemon));
    for (name, line) in COMMON
        .iter()
        .copied()
        .chain(asked.map(|&(_, name, line)| (name, line)))
    {
        let text = match node.output(&["sh", "-c", line], PATIENCE) {
            Ok(output) => [output.stdout, output.stderr].concat(),
            Err(error) => error.to_string().into_bytes(),
        };
        let file = folder.join(name);
        fs::write(&file, text).context(|| file.display().to_string())?;
    }
    // No log: the node has no main process.
    let _ = fs::copy(node.log(), folder.join("log"));
    Ok(())
}

/// Names of the processes in a node.
fn daemons(node: &Node) -> BTreeSet<String> {
    let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    node.netns()
        .processes()
        .into_iter()
        .filter_map(name)
        .map(|name| name.trim().to_owned())
        .collect()
}

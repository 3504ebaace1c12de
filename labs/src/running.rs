//! A lab that is up: made from its files, handed out node by node, taken down without a trace.
//!
//! `Running::up` removes what an earlier run left, makes namespaces, links and the wire, runs every
//! node's `exec` and then starts every node's `cmd`. Dropping a `Running` takes the lab down, unless
//! [`Running::keep`] was called. A lock per lab name makes concurrent users wait for each other:
//! namespaces have one name space per kernel.

mod links;
mod removal;
mod requirements;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::time::Duration;

use nix::fcntl::Flock;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::capture::{self, Capture};
use crate::clock::monotonic_ns;
use crate::error::{Context, Error, Result};
use crate::lab::Lab;
use crate::netns::{Netns, run};
use crate::node::{Booting, Node};
use crate::process::Process;
use crate::wire::Wire;

pub use removal::down;
use removal::{lock, remove};

/// How long the kernel may take to free a namespace or an interface.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Running {
    lab: Lab,
    nodes: BTreeMap<String, Node>,
    wire: Option<Wire>,
    captures: Vec<Capture>,
    keep: bool,
    /// None when attached: looking must not wait for whoever runs the lab.
    _lock: Option<Flock<File>>,
}

/// When a node's power went.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PowerCut {
    /// The wire swallows both directions of all its links from here on.
    pub cut_ns: u64,
    /// SIGKILL was sent to everything in it.
    pub killed_ns: u64,
}

/// What another process needs to find a lab that is up.
#[derive(Default, Serialize, Deserialize)]
struct State {
    nodes: BTreeMap<String, NodeState>,
}

#[derive(Serialize, Deserialize)]
struct NodeState {
    init: Process,
    main: Option<Process>,
}

impl Running {
    /// Brings a lab up, replacing a run of it that is up or was left behind.
    ///
    /// # Errors
    /// Not root, a program is missing, or a step failed; then nothing is left behind.
    pub fn up(lab: &Lab) -> Result<Self> {
        Self::make(lab, false)
    }

    /// As [`Running::up`], and captures the links that `lab.toml` names from before the first main
    /// process starts.
    ///
    /// # Errors
    /// As for [`Running::up`].
    pub fn captured(lab: &Lab) -> Result<Self> {
        Self::make(lab, true)
    }

    fn make(lab: &Lab, captured: bool) -> Result<Self> {
        requirements::meet(lab)?;
        let lock = lock(lab)?;
        remove(lab)?;
        let folder = lab.run_folder();
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context(|| folder.display().to_string());
            }
            _ => {}
        }
        fs::create_dir_all(&folder).context(|| folder.display().to_string())?;
        let wire = (!lab.settings.wires.is_empty()).then(|| Wire::new(&folder, &lab.settings.wires));
        let mut running = Self {
            lab: lab.clone(),
            nodes: BTreeMap::new(),
            wire,
            captures: Vec::new(),
            keep: false,
            _lock: Some(lock),
        };
        running.build(captured)?;
        Ok(running)
    }

    /// A lab that `lab up` left up.
    ///
    /// # Errors
    /// It is not up.
    pub fn attach(lab: &Lab) -> Result<Self> {
        let folder = lab.run_folder();
        let not_up = || Error::Missing(format!("lab {} is not up", lab.name()));
        let text = fs::read(folder.join("state.json")).map_err(|_| not_up())?;
        let state: State = serde_json::from_slice(&text).map_err(|_| not_up())?;
        let mut nodes = BTreeMap::new();
        for (name, config) in &lab.topology.nodes {
            // A node without power has no state.
            if let Some(node) = state.nodes.get(name) {
                let netns = Netns::of(lab.name(), name);
                let node = Node::attach(name, netns, config.clone(), &folder, node.init, node.main);
                nodes.insert(name.clone(), node.map_err(|_| not_up())?);
            }
        }
        let wire = (!lab.settings.wires.is_empty()).then(|| Wire::new(&folder, &lab.settings.wires));
        Ok(Self {
            lab: lab.clone(),
            nodes,
            wire,
            captures: Vec::new(),
            keep: true,
            _lock: None,
        })
    }

    /// Leaves the lab up when this value goes.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// # Errors
    /// There is no such node, or it is without power.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.get(name).ok_or_else(|| missing(name))
    }

    /// # Errors
    /// As for [`Running::node`].
    pub fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        self.nodes.get_mut(name).ok_or_else(|| missing(name))
    }

    /// The nodes that have power, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// # Errors
    /// The lab has no link on a wire.
    pub fn wire(&self) -> Result<&Wire> {
        self.wire
            .as_ref()
            .ok_or_else(|| Error::Wire("this lab has no wire".into()))
    }

    /// Takes the power of a node: first its links go dead in both directions, then all its processes
    /// are killed, then its namespace is removed. In this order nobody hears a last word of it.
    ///
    /// # Errors
    /// A link of the node is not on the wire, or a step failed.
    pub fn power_cut(&mut self, name: &str) -> Result<PowerCut> {
        let node = self.node(name)?;
        if let Some((link, _)) = self
            .lab
            .topology
            .links_of(name)
            .find(|(link, _)| !self.lab.is_wired(link))
        {
            let message = format!(
                "link {} is not on the wire; a power cut needs all links of the node there",
                link.name()
            );
            return Err(Error::Node {
                node: name.to_owned(),
                message,
            });
        }
        let cut_ns = self.wire()?.blackhole_node(name, true)?;
        node.init().signal(Signal::SIGKILL)?;
        let killed_ns = monotonic_ns();
        node.kill()?;
        // TCP that waits for an answer to its last FIN keeps the namespace, and with it the far ends of the veths,
        // for minutes after its name is gone.
        for (link, end) in self.lab.topology.links_of(name) {
            let [netns, interface] = [node.netns().name(), &link.ends[end].interface];
            run("ip", &["-n", netns, "link", "delete", interface])?;
        }
        node.netns().delete()?;
        self.nodes.remove(name);
        self.save()?;
        Ok(PowerCut { cut_ns, killed_ns })
    }

    /// Gives a node its power back: it boots with nothing but its files.
    ///
    /// # Errors
    /// It has power, or a step failed.
    pub fn revive(&mut self, name: &str) -> Result<()> {
        let config = self.lab.topology.nodes.get(name).ok_or_else(|| missing(name))?;
        if self.nodes.contains_key(name) {
            return Err(Error::Node {
                node: name.to_owned(),
                message: "has power".into(),
            });
        }
        let mut node = Booting::start(self.lab.name(), name, config, &self.lab.run_folder())?.finish()?;
        for (link, end) in self.lab.topology.links_of(name) {
            let Some(pair) = self.pairs(link).into_iter().nth(end) else {
                continue;
            };
            self.wait_absent(&pair[1])?;
            links::make_pair(&pair, link.mtu)?;
        }
        let wire = self.wire()?;
        wire.attach(name)?;
        wire.blackhole_node(name, false)?;
        node.prepare()?;
        node.start()?;
        self.nodes.insert(name.to_owned(), node);
        self.save()
    }

    pub(crate) fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// The capture of a node, or the only one.
    pub(crate) fn capture(&self, node: Option<&str>) -> Result<&Capture> {
        capture::of(&self.captures, node)
    }

    /// Takes the lab down.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn down(mut self) -> Result<()> {
        self.keep = true;
        self.captures.clear();
        remove(&self.lab)
    }

    fn build(&mut self, captured: bool) -> Result<()> {
        let folder = self.lab.run_folder();
        // Side by side, and all of them to their end: a first process must not be left half-way.
        let nodes = self.lab.topology.nodes.iter();
        let booting: Vec<_> = nodes
            .map(|(name, config)| Booting::start(self.lab.name(), name, config, &folder))
            .collect();
        let booted: Vec<_> = booting
            .into_iter()
            .map(|booting| booting.and_then(Booting::finish))
            .collect();
        for node in booted {
            let node = node?;
            self.nodes.insert(node.name().to_owned(), node);
        }
        if self.wire.is_some() {
            self.make_wire_netns()?;
        }
        for link in &self.lab.topology.links {
            for pair in self.pairs(link) {
                links::make_pair(&pair, link.mtu)?;
            }
        }
        if self.wire.is_some() {
            self.start_wire()?;
        }
        self.save()?;
        if captured {
            self.captures = Capture::start_all(&self.lab)?;
        }
        self.prepare()?;
        self.nodes.values_mut().try_for_each(Node::start)?;
        self.save()
    }

    /// Starts the main process of a node again.
    ///
    /// # Errors
    /// There is no such node, or the program cannot be started.
    pub fn restart(&mut self, name: &str) -> Result<()> {
        self.node_mut(name)?.start()?;
        self.save()
    }

    /// All nodes' `exec`, side by side: they do not depend on each other.
    fn prepare(&self) -> Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .nodes
                .values()
                .map(|node| scope.spawn(|| node.prepare()))
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Error::Missing("a thread of `exec` panicked".into())))
            })
        })
    }

    fn save(&self) -> Result<()> {
        let state = |node: &Node| NodeState {
            init: node.init(),
            main: node.main(),
        };
        let nodes = self
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), state(node)))
            .collect();
        let file = self.lab.run_folder().join("state.json");
        let text = serde_json::to_vec_pretty(&State { nodes }).map_err(std::io::Error::from);
        text.and_then(|text| fs::write(&file, text))
            .context(|| file.display().to_string())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.captures.clear();
        if !self.keep
            && let Err(error) = remove(&self.lab)
        {
            eprintln!("lab {}: {error}", self.lab.name());
        }
    }
}

fn missing(node: &str) -> Error {
    Error::Node {
        node: node.to_owned(),
        message: "does not exist or is without power".into(),
    }
}

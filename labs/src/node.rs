//! A running node: its namespaces, its first process, its main process, and ways to run more in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::binaries;
use crate::error::{Context, Error, Result};
use crate::init::{BINARIES, Blueprint};
use crate::netns::{Netns, run};
use crate::process::{self, Process};
use crate::topology::NodeConfig;

/// What every node has unless its file says otherwise: as containerlab sets it, no address conflict
/// detection that would keep IPv6 addresses tentative for a second, and no reverse path filter,
/// which a load balancer with two ways in does not survive.
const SYSCTLS: &[(&str, &str)] = &[
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.all.autoconf", "0"),
    ("net.ipv6.conf.default.autoconf", "0"),
];

/// Time for a command of `exec` or of the diagnostics.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    name: String,
    netns: Netns,
    config: NodeConfig,
    log: PathBuf,
    init: Process,
    pidfd: Arc<OwnedFd>,
    main: Option<Process>,
}

/// A node whose first process is still building its world.
pub(crate) struct Booting {
    name: String,
    netns: Netns,
    config: NodeConfig,
    run_folder: PathBuf,
    child: Child,
}

impl Booting {
    /// Makes the network namespace and starts the first process.
    pub(crate) fn start(lab: &str, name: &str, config: &NodeConfig, run_folder: &Path) -> Result<Self> {
        let netns = Netns::of(lab, name);
        netns.create()?;
        run("ip", &["-n", netns.name(), "link", "set", "lo", "up"])?;
        let mut sysctls: BTreeMap<String, String> = SYSCTLS
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        sysctls.extend(config.sysctls.clone());
        let blueprint = Blueprint {
            netns: netns.path(),
            hostname: name.to_owned(),
            binaries: binaries::folder()?,
            binds: config.binds.clone(),
            sysctls: sysctls.into_iter().collect(),
        };
        let mut command = Command::new(binaries::lab()?);
        command
            .arg("node-init")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .context(|| format!("first process of node {name}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = serde_json::to_vec(&blueprint).map_err(std::io::Error::from);
            text.and_then(|text| stdin.write_all(&text))
                .context(|| format!("blueprint of node {name}"))?;
        }
        Ok(Self {
            name: name.to_owned(),
            netns,
            config: config.clone(),
            run_folder: run_folder.to_owned(),
            child,
        })
    }

    /// Waits until the world is built.
    pub(crate) fn finish(mut self) -> Result<Node> {
        let fault = |message: String| Error::Node {
            node: self.name.clone(),
            message,
        };
        let mut pid = None;
        let mut ready = false;
        for line in self
            .child
            .stdout
            .take()
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines())
        {
            let line = line.context(|| format!("first process of node {}", self.name))?;
            if line == "ready" {
                ready = true;
            } else if let Some(number) = line.strip_prefix("pid ") {
                pid = number.parse::<i32>().ok();
            }
        }
        let mut complaint = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut complaint);
        }
        let _ = self.child.wait();
        let init = pid.filter(|_| ready).and_then(Process::of);
        let init = init.ok_or_else(|| fault(format!("cannot be built: {}", complaint.trim())))?;
        Node::attach(&self.name, self.netns, self.config, &self.run_folder, init, None)
    }
}

impl Node {
    pub(crate) fn attach(
        name: &str,
        netns: Netns,
        config: NodeConfig,
        run_folder: &Path,
        init: Process,
        main: Option<Process>,
    ) -> Result<Self> {
        let pidfd = process::open_pidfd(init)?;
        let log = run_folder.join(format!("{name}.log"));
        Ok(Self {
            name: name.to_owned(),
            netns,
            config,
            log,
            init,
            pidfd: Arc::new(pidfd),
            main,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Standard output and error of the main process.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The main process (`cmd`), if the node has one and it was started; it may be dead.
    #[must_use]
    pub fn main(&self) -> Option<Process> {
        self.main
    }

    pub(crate) fn init(&self) -> Process {
        self.init
    }

    /// A command that will run inside the node when it is spawned. Arguments and standard streams
    /// are the caller's to set; killing the child kills the process inside.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.bare(program);
        process::enter_attached(&mut command, Arc::clone(&self.pidfd));
        command
    }

    fn bare(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        command.env(
            "PATH",
            format!("{BINARIES}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        );
        command
            .env("HOME", "/root")
            .env("TERM", "dumb")
            .env("HOSTNAME", &self.name);
        command.envs(&self.config.environment);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command in the node and returns what it said, whatever its status.
    ///
    /// # Errors
    /// It cannot be started or does not end in time.
    pub fn output(&self, words: &[impl AsRef<str>], patience: Duration) -> Result<Output> {
        let (program, arguments) = split_first(words)?;
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let what = || format!("`{}` in node {}", joined(words), self.name);
        let child = command.spawn().context(what)?;
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        if let Ok(output) = receiver.recv_timeout(patience) {
            return output.context(what);
        }
        // The thread reaps it and ends; until then the pid is ours.
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        Err(Error::Missing(format!(
            "{} did not end within {patience:?}",
            what()
        )))
    }

    /// Runs a command in the node and returns its standard output.
    ///
    /// # Errors
    /// As for [`Node::output`], and if its status is not 0.
    pub fn exec(&self, words: &[impl AsRef<str>]) -> Result<String> {
        let output = self.output(words, PATIENCE)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        let output = format!("{}: {}", output.status, said.trim());
        Err(Error::Command {
            command: format!("{} (in node {})", joined(words), self.name),
            output,
        })
    }

    /// Starts a command that outlives the caller, its output appended to a log of the run folder.
    ///
    /// # Errors
    /// The log cannot be opened or the program cannot be started.
    pub fn spawn(&self, words: &[impl AsRef<str>], log: &Path) -> Result<Process> {
        let (program, arguments) = split_first(words)?;
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(log)
                .context(|| log.display().to_string())
        };
        let mut command = self.bare(program);
        command
            .args(arguments)
            .stdout(open()?)
            .stderr(open()?)
            .current_dir("/");
        process::spawn_detached(&mut command, &self.pidfd)
    }

    /// The commands of `exec`, in order.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.config
            .exec
            .iter()
            .try_for_each(|words| self.exec(words).map(drop))
    }

    /// Starts the main process (again). Nothing happens if the node has none.
    ///
    /// # Errors
    /// As for [`Node::spawn`].
    pub fn start(&mut self) -> Result<()> {
        if let Some(words) = &self.config.command {
            self.main = Some(self.spawn(words, &self.log)?);
        }
        Ok(())
    }

    /// SIGKILL for everything in the node, the first process too; returns when all are gone.
    pub(crate) fn kill(&self) -> Result<()> {
        if self.init.is_alive() {
            self.init.signal(Signal::SIGKILL)?;
        }
        self.init.wait_gone(PATIENCE)
    }

    /// The last lines of the main process's log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..)
            .unwrap_or_default()
            .join("\n")
    }
}

fn split_first(words: &[impl AsRef<str>]) -> Result<(&str, impl Iterator<Item = &str>)> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Error::Missing("an empty command".into()))?;
    Ok((program.as_ref(), arguments.iter().map(AsRef::as_ref)))
}

fn joined(words: &[impl AsRef<str>]) -> String {
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}

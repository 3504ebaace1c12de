//! Named network namespaces: `clab-<lab>-<node>`, visible to `ip netns` like everybody else's.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Context, Error, Result};

const FOLDER: &str = "/run/netns";

/// A handle by name; it does not keep the namespace alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

impl Netns {
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The namespace of a lab's node.
    #[must_use]
    pub fn of(lab: &str, node: &str) -> Self {
        Self::named(format!("clab-{lab}-{node}"))
    }

    /// All namespaces that belong to a lab, also those of a run that crashed.
    #[must_use]
    pub fn of_lab(lab: &str, nodes: &[String]) -> Vec<Self> {
        nodes
            .iter()
            .map(|node| Self::of(lab, node))
            .filter(Self::exists)
            .collect()
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    #[must_use]
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// # Errors
    /// It exists already, or the kernel refuses (not root).
    pub fn create(&self) -> Result<()> {
        run("ip", &["netns", "add", &self.name])
    }

    /// Kills what still runs inside, then removes the name. Nothing happens if it does not exist.
    ///
    /// # Errors
    /// The name cannot be removed.
    pub fn delete(&self) -> Result<()> {
        if !self.exists() {
            return Ok(());
        }
        for pid in self.processes() {
            // Gone by itself in between: what we wanted.
            let _ = kill(pid, Signal::SIGKILL);
        }
        run("ip", &["netns", "del", &self.name])
    }

    /// Host pids of all processes whose network namespace this is.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        let output = Command::new("ip").args(["netns", "pids", &self.name]).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        let own = std::process::id();
        String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.trim().parse::<i32>().ok())
            .filter(|&pid| u32::try_from(pid).is_ok_and(|pid| pid != own))
            .map(Pid::from_raw)
            .collect()
    }

    /// Runs a closure on a thread of its own inside the namespace: sockets opened there belong to
    /// it and stay in it when they are handed back.
    ///
    /// # Errors
    /// The namespace cannot be entered, or the closure panicked.
    pub fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(self.path()).context(|| format!("namespace {}", self.name))?;
        let entered = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
                    nix::Result::Ok(action())
                })
                .join()
        });
        match entered {
            Ok(result) => result.context(|| format!("entering namespace {}", self.name)),
            Err(_) => Err(Error::Missing(format!(
                "the thread inside namespace {} panicked",
                self.name
            ))),
        }
    }
}

/// Runs a tool of the host and turns its complaint into an error.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .context(|| program.to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Command {
        command: format!("{program} {}", arguments.join(" ")),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

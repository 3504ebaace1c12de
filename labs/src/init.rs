//! The first process of a node: `lab node-init`, which makes the node's world and then only reaps.
//!
//! Started by the runner with a [`Blueprint`] on its standard input. It joins the network namespace,
//! makes mount, pid, uts and ipc namespaces of its own, lays an overlay with a tmpfs upper layer over
//! the root of the host, mounts /proc, /sys, bpffs, /run, /tmp and the binds, pivots into it, says
//! `ready <pid>` on standard output and stays as process 1. When it dies the kernel kills everything
//! in the node and all mounts, pins and programs go: that is what makes `down` and a power cut clean.
//!
//! Single-threaded from start to end; it must never start a thread before it forks.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pivot_root, sethostname, setsid};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::topology::Bind;

/// Where the node finds the project's binaries; first on its PATH.
pub(crate) const BINARIES: &str = "/opt/baton/bin";
/// Covered in the node's own mount namespace while its root is built; nothing there is needed inside.
const STAGE: &str = "/run/netns";

/// What the first process has to build.
#[derive(Serialize, Deserialize)]
pub(crate) struct Blueprint {
    pub(crate) netns: PathBuf,
    pub(crate) hostname: String,
    pub(crate) binaries: PathBuf,
    pub(crate) binds: Vec<Bind>,
    pub(crate) sysctls: Vec<(String, String)>,
}

/// The body of `lab node-init`.
///
/// # Errors
/// Any step of the construction; the runner reads the message from standard error.
pub fn main() -> Result<()> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .context(|| "blueprint".into())?;
    let blueprint: Blueprint = serde_json::from_str(&text)
        .map_err(io::Error::from)
        .context(|| "blueprint".into())?;
    let netns = File::open(&blueprint.netns).context(|| blueprint.netns.display().to_string())?;
    setns(netns.as_fd(), CloneFlags::CLONE_NEWNET).context(|| "joining the network namespace".into())?;
    drop(netns);
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .context(|| "new namespaces".into())?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.context(|| "fork".into())? {
        ForkResult::Parent { child } => {
            let _ = writeln!(io::stdout(), "pid {child}");
            Ok(())
        }
        ForkResult::Child => {
            build(&blueprint)?;
            let _ = writeln!(io::stdout(), "ready");
            let null = File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .context(|| "/dev/null".into())?;
            nix::unistd::dup2_stdin(&null).context(|| "stdin".into())?;
            nix::unistd::dup2_stdout(&null).context(|| "stdout".into())?;
            nix::unistd::dup2_stderr(&null).context(|| "stderr".into())?;
            reap()
        }
    }
}

fn build(blueprint: &Blueprint) -> Result<()> {
    setsid().context(|| "setsid".into())?;
    sethostname(&blueprint.hostname).context(|| "hostname".into())?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context(|| "private mounts".into())?;
    filesystem("tmpfs", Path::new(STAGE), Some("mode=755"))?;
    let stage = Path::new(STAGE);
    let root = stage.join("root");
    for name in ["upper", "work", "root"] {
        fs::create_dir(stage.join(name)).context(|| format!("{STAGE}/{name}"))?;
    }
    let layers = format!("lowerdir=/,upperdir={STAGE}/upper,workdir={STAGE}/work");
    filesystem("overlay", &root, Some(&layers))?;
    filesystem("tmpfs", &root.join("run"), Some("mode=755"))?;
    filesystem("tmpfs", &root.join("tmp"), Some("mode=1777"))?;
    filesystem("proc", &root.join("proc"), None)?;
    filesystem("sysfs", &root.join("sys"), None)?;
    filesystem("bpf", &root.join("sys/fs/bpf"), Some("mode=700"))?;
    bind(Path::new("/dev"), &root.join("dev"), false)?;
    let inside = |target: &Path| root.join(target.strip_prefix("/").unwrap_or(target));
    bind(&blueprint.binaries, &inside(Path::new(BINARIES)), false)?;
    for one in &blueprint.binds {
        bind(&one.source, &inside(&one.target), one.read_only)?;
    }
    std::env::set_current_dir(&root).context(|| "new root".into())?;
    pivot_root(".", ".").context(|| "pivot_root".into())?;
    umount2(".", MntFlags::MNT_DETACH).context(|| "old root".into())?;
    std::env::set_current_dir("/").context(|| "/".into())?;
    for (name, value) in &blueprint.sysctls {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).context(|| format!("sysctl {name}={value}"))?;
    }
    Ok(())
}

fn filesystem(kind: &str, target: &Path, options: Option<&str>) -> Result<()> {
    mount(Some(kind), target, Some(kind), MsFlags::empty(), options)
        .context(|| format!("mounting {kind} on {}", target.display()))
}

/// Bind-mounts a file or a folder with what is mounted below it; makes the target if needed.
fn bind(source: &Path, target: &Path, read_only: bool) -> Result<()> {
    let what = || format!("bind {} on {}", source.display(), target.display());
    if source.is_dir() {
        fs::create_dir_all(target).context(what)?;
    } else {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).context(what)?;
        }
        if !target.exists() {
            File::create(target).context(what)?;
        }
    }
    let none: Option<&str> = None;
    mount(
        Some(source),
        target,
        none,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        none,
    )
    .context(what)?;
    if read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, target, none, flags, none).context(what)?;
    }
    Ok(())
}

fn reap() -> Result<()> {
    let mut wanted = SigSet::empty();
    wanted.add(Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&wanted), None).context(|| "signal mask".into())?;
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let _ = wanted.wait();
    }
}

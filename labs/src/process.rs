//! Processes inside a node: entering its namespaces, and a handle to one by its host pid.
//!
//! A child enters all namespaces of the node's first process after `fork` and before `exec`. Joining
//! a pid namespace counts for children only, hence the second fork; the process in between waits
//! and passes the exit status on. A detached process is forked twice so that the node's own first
//! process inherits it and reaps it; the kernel tells us its host pid with the credentials of a
//! message that it sends.
//!
//! Between `fork` and `exec` only system calls are made: other threads of ours may hold locks.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, setsockopt, socketpair,
    sockopt,
};
use nix::unistd::Pid;

use crate::error::{Context, Error, Result};

const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET;

/// A process on this host, safe against the reuse of its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    pid: i32,
    /// In clock ticks since boot, from /proc/pid/stat.
    started: u64,
}

impl Process {
    /// `None` if there is no such process.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started })
    }

    /// Pid as the host sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Runs or is stopped; a zombie is not alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let what = || format!("{signal} to process {}", self.pid);
        if !self.is_alive() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH)).context(what);
        }
        kill(Pid::from_raw(self.pid), signal).context(what)
    }

    /// # Errors
    /// It is still there at the deadline.
    pub fn wait_gone(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return Err(Error::Missing(format!(
                    "process {} did not end within {timeout:?}",
                    self.pid
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Start time of a process that is not a zombie.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; the fields count from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A descriptor through which the namespaces of a node are entered.
pub(crate) fn open_pidfd(process: Process) -> Result<OwnedFd> {
    let what = || format!("process {}", process.pid);
    // SAFETY: a system call on integers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) };
    let descriptor = RawFd::try_from(result).unwrap_or(-1);
    if descriptor < 0 {
        return Err(io::Error::last_os_error()).context(what);
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(descriptor) };
    if process.is_alive() {
        return Ok(pidfd);
    }
    Err(io::Error::from_raw_os_error(libc::ESRCH)).context(what)
}

/// Makes a command start inside a node. Its process dies when the child of the caller is killed.
pub(crate) fn enter_attached(command: &mut Command, pidfd: Arc<OwnedFd>) {
    // SAFETY: `attached` makes system calls only.
    unsafe { command.pre_exec(move || attached(pidfd.as_raw_fd())) };
}

/// Starts a command that outlives the caller, inherited by the node's first process.
pub(crate) fn spawn_detached(command: &mut Command, pidfd: &OwnedFd) -> Result<Process> {
    let what = || "starting a process in a node".to_owned();
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::Datagram,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .context(what)?;
    setsockopt(&ours, sockopt::PassCred, &true).context(what)?;
    let (pidfd, report) = (pidfd.as_raw_fd(), theirs.as_raw_fd());
    // SAFETY: `detached` makes system calls only.
    unsafe { command.pre_exec(move || detached(pidfd, report)) };
    let program = command.get_program().to_string_lossy().into_owned();
    let mut between = command.spawn().context(|| format!("`{program}`"))?;
    between.wait().context(what)?;
    drop(theirs);
    let mut byte = [0_u8; 1];
    let mut buffers = [io::IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!(libc::ucred);
    let message = recvmsg::<()>(
        ours.as_raw_fd(),
        &mut buffers,
        Some(&mut space),
        MsgFlags::empty(),
    )
    .context(what)?;
    let mut pid = None;
    for control in message.cmsgs().context(what)? {
        if let ControlMessageOwned::ScmCredentials(credentials) = control {
            pid = Some(credentials.pid());
        }
    }
    let pid = pid.ok_or_else(|| Error::Missing(format!("`{program}` did not report its pid")))?;
    // A program that has ended already is found out by whoever looks at it next.
    Ok(Process::of(pid).unwrap_or(Process { pid, started: 0 }))
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn attached(pidfd: RawFd) -> io::Result<()> {
    // SAFETY: system calls on plain integers, in the single thread of a forked child.
    unsafe {
        check(libc::setns(pidfd, NAMESPACES))?;
        match check(libc::fork())? {
            0 => {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                Ok(())
            }
            child => pass_on(child),
        }
    }
}

fn detached(pidfd: RawFd, report: RawFd) -> io::Result<()> {
    // SAFETY: system calls on plain integers and a static byte, in the single thread of a forked child.
    unsafe {
        check(libc::setns(pidfd, NAMESPACES))?;
        match check(libc::fork())? {
            0 => {}
            child => pass_on(child),
        }
        match check(libc::fork())? {
            0 => {
                check(libc::setsid())?;
                if libc::write(report, b"!".as_ptr().cast(), 1) != 1 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            }
            _ => libc::_exit(0),
        }
    }
}

/// Waits for the child and ends with its status, as a shell does. Holds no descriptor meanwhile:
/// the pipes to the parent must close when the child closes them.
unsafe fn pass_on(child: libc::pid_t) -> ! {
    // SAFETY: system calls on plain integers; `status` outlives the call.
    unsafe {
        libc::close_range(0, libc::c_uint::MAX, 0);
        let mut status = 0;
        while libc::waitpid(child, &raw mut status, 0) < 0 {
            if *libc::__errno_location() != libc::EINTR {
                libc::_exit(127);
            }
        }
        if libc::WIFEXITED(status) {
            libc::_exit(libc::WEXITSTATUS(status));
        }
        libc::_exit(128 + libc::WTERMSIG(status));
    }
}

//! Why the data path cannot run, and what to do about it.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::programs::ProgramError;

#[derive(Debug, thiserror::Error)]
pub enum DataPathError {
    #[error(
        "{0} is missing: loading BPF programs needs CAP_BPF and CAP_NET_ADMIN (run as root, or grant both)"
    )]
    Capability(&'static str),
    #[error("no BPF file system at {path} and mounting one failed: {source} (run 'mount -t bpf bpf {path}')")]
    FileSystem { path: PathBuf, source: io::Error },
    #[error("datapath.pin-dir {0} is not below a BPF file system (usually /sys/fs/bpf)")]
    PinFolder(PathBuf),
    #[error("cannot {action} {path}: {source}")]
    Pin {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{path} is a map of another layout (remove {path} to lose its contents and go on)")]
    Layout { path: PathBuf },
    #[error("cannot load the maps: {0} (Linux 5.15 or newer with CONFIG_BPF_SYSCALL is needed)")]
    Object(#[from] EbpfError),
    #[error("cannot load {program}: {source} (Linux 6.6 or newer is needed{hint})", hint = hint(.source))]
    Program {
        program: &'static str,
        source: ProgramError,
    },
    #[error("cannot attach to {interface} by {hook}: {reason} (see datapath.hook)")]
    Attach {
        interface: String,
        hook: &'static str,
        reason: String,
    },
    #[error("interface {0} does not exist (datapath.interfaces)")]
    Interface(String),
    #[error("map {map}: {source}")]
    Map { map: &'static str, source: io::Error },
    #[error("cannot start thread {0}: {1}")]
    Thread(&'static str, io::Error),
}

/// The last line of the verifier's log says what it minds.
fn hint(error: &ProgramError) -> String {
    let ProgramError::LoadError { verifier_log, .. } = error else {
        return String::new();
    };
    let log = verifier_log.to_string();
    log.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .map_or_else(String::new, |line| format!("; verifier: {line}"))
}

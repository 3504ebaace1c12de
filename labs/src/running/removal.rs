//! Taking a lab down, whoever left it: everything hangs on its named namespaces.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use super::PATIENCE;
use crate::error::{Context, Result};
use crate::lab::{Lab, WIRE};
use crate::netns::Netns;
use crate::process::Process;

/// Removes every trace of a lab from the kernel, whoever left it. Its run folder stays.
///
/// # Errors
/// Something could not be removed.
pub fn down(lab: &Lab) -> Result<()> {
    let _lock = lock(lab)?;
    remove(lab)
}

pub(super) fn remove(lab: &Lab) -> Result<()> {
    let mut names: Vec<String> = lab.topology.nodes.keys().cloned().collect();
    names.push(WIRE.to_owned());
    let namespaces = Netns::of_lab(lab.name(), &names);
    let mut left = Vec::new();
    for netns in &namespaces {
        left.extend(
            netns
                .processes()
                .into_iter()
                .filter_map(|pid| Process::of(pid.as_raw())),
        );
        netns.delete()?;
    }
    for process in left {
        // What was there when its namespace was listed may be in the middle of dying.
        let _ = process.signal(Signal::SIGKILL);
        process.wait_gone(PATIENCE)?;
    }
    for name in ["state.json", "wire.sock"] {
        let file: PathBuf = lab.run_folder().join(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context(|| file.display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn lock(lab: &Lab) -> Result<Flock<File>> {
    let path = PathBuf::from(format!("/run/lock/clab-{}.lock", lab.name()));
    fs::create_dir_all("/run/lock").context(|| "/run/lock".into())?;
    let file = File::create(&path).context(|| path.display().to_string())?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .context(|| path.display().to_string())
}

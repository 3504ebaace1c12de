//! Certificates for the nodes of a lab, made by the daemon itself before the lab comes up.
//!
//! They are throwaway: nothing of them is in the repository. Topologies bind them from
//! `../.run/pki`, the folder that all labs beside each other share.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::binaries;
use crate::error::{Context, Error, Result};

/// Makes what is missing of the cluster CA and the certificates of `nodes`; what is there is kept.
pub(crate) fn make(folder: &Path, nodes: &[String]) -> Result<()> {
    fs::create_dir_all(folder).context(|| folder.display().to_string())?;
    let what = || folder.display().to_string();
    let lock = File::create(folder.join(".lock")).context(what)?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .context(what)?;
    let files = nodes
        .iter()
        .flat_map(|node| [format!("{node}.crt"), format!("{node}.key")]);
    if files
        .chain(["ca.crt".to_owned()])
        .all(|file| folder.join(file).is_file())
    {
        return Ok(());
    }
    // A certificate of an earlier CA would not do beside one of a new CA.
    for entry in fs::read_dir(folder).context(what)?.flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "crt" || extension == "key")
        {
            fs::remove_file(entry.path()).context(what)?;
        }
    }
    let program = binaries::folder()?.join("batond");
    let output = Command::new(&program)
        .args(["keygen", "--dir"])
        .arg(folder)
        .args(nodes)
        .output()
        .context(|| program.display().to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command {
        command: "batond keygen".into(),
        output,
    })
}

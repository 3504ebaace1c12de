//! The unix socket of the API: never open wider than configured, never stolen from a running daemon.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tokio::net::UnixListener;

/// Listens on `path` with `mode`, creating its directory. What a dead daemon left there is replaced.
pub fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    vacant(path)?;
    // Bound under another name and moved in place, so that nobody can connect before the mode is set.
    let staged = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&staged)?;
    let placed =
        fs::set_permissions(&staged, Permissions::from_mode(mode)).and_then(|()| fs::rename(&staged, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(&staged);
        return Err(error);
    }
    Ok(listener)
}

/// Whether `path` may be taken: nothing there, or the socket of a daemon that is gone.
fn vacant(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let refuse = |kind, reason: &str| Err(io::Error::new(kind, format!("{}: {reason}", path.display())));
    if !found.file_type().is_socket() {
        return refuse(io::ErrorKind::AlreadyExists, "exists and is no socket");
    }
    match UnixStream::connect(path) {
        Ok(_) => refuse(io::ErrorKind::AddrInUse, "another batond answers there"),
        Err(_) => Ok(()),
    }
}

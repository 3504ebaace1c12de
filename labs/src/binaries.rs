//! Where the project's own programs are: beside the running one, as cargo puts them.

use std::path::PathBuf;

use crate::error::{Context, Error, Result};

/// The `lab` program, which the library starts for first processes and wires.
///
/// # Errors
/// It was not built.
pub(crate) fn lab() -> Result<PathBuf> {
    let file = folder()?.join("lab");
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::Missing(format!(
        "{} is missing; build it with `cargo build -p labs`",
        file.display()
    )))
}

/// The folder of the project's programs, first on the PATH of every node: `$BATON_BIN`, or the
/// folder of the running program (of a test: the one above `deps`).
///
/// # Errors
/// The system does not say what is running.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("BATON_BIN") {
        return Ok(folder.into());
    }
    let program = std::env::current_exe().context(|| "path of this program".into())?;
    let mut folder = program;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    Ok(folder)
}

/// The programs of `wanted` that a node would not find.
///
/// # Errors
/// As for [`folder`].
pub(crate) fn missing(wanted: &[String]) -> Result<Vec<String>> {
    let mut folders = vec![folder()?];
    folders.extend(
        [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ]
        .map(PathBuf::from),
    );
    let found = |name: &String| {
        if name.starts_with('/') {
            PathBuf::from(name).is_file()
        } else {
            folders.iter().any(|f| f.join(name).is_file())
        }
    };
    Ok(wanted.iter().filter(|name| !found(name)).cloned().collect())
}

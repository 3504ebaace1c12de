//! The configuration file: text to [`Desired`], or every reason why not.
//!
//! Three steps, none of which touches the system: `file` (serde types; unknown keys and wrong types are
//! errors with line and caret), `values` (texts with a grammar: durations, interface names, floating
//! addresses), `check` (what only makes sense together: duplicates, families, references). The first two stop
//! at the first error, as TOML does; `check` reports everything it finds.
//!
//! Owner: `batond check`, the start and the reload of the daemon. It must never panic on any text and never
//! return a `Desired` that a driver could not carry out on a healthy system.

mod check;
mod error;
mod file;
mod flags;
mod secrets;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};

pub use error::{ConfigError, Finding};
pub use flags::{BgpFlags, ExternalPeers};

use crate::desired::Desired;

/// Longest file that is read: far above any real one, so that a wrong path cannot exhaust memory.
const LONGEST_FILE: u64 = 16 << 20;

/// Where the configuration comes from, at the start and at every reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub path: PathBuf,
    pub flags: BgpFlags,
}

impl Source {
    /// A file, and no flags.
    pub fn file(path: &Path) -> Self {
        Source {
            path: path.to_owned(),
            flags: BgpFlags::default(),
        }
    }

    /// Reads and validates. The generation is 0 until the reconciler accepts it.
    pub fn load(&self) -> Result<Desired, ConfigError> {
        let (name, text) = read(&self.path)?;
        parse_with(&name, &text, &self.flags)
    }
}

/// Reads and validates `path`.
pub fn load(path: &Path) -> Result<Desired, ConfigError> {
    Source::file(path).load()
}

/// Name and content.
fn read(path: &Path) -> Result<(String, String), ConfigError> {
    let name = path.display().to_string();
    let unreadable = |reason: String| ConfigError::unreadable(&name, &reason);
    let length = std::fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if length > LONGEST_FILE {
        return Err(unreadable(format!(
            "{length} bytes is more than a configuration can have ({LONGEST_FILE})"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    Ok((name, text))
}

/// Validates `text`; `name` is what errors call it.
pub fn parse(name: &str, text: &str) -> Result<Desired, ConfigError> {
    parse_with(name, text, &BgpFlags::default())
}

/// Validates `text` together with the command line.
pub fn parse_with(name: &str, text: &str, flags: &BgpFlags) -> Result<Desired, ConfigError> {
    let mut file: file::File = toml::from_str(text).map_err(|error| {
        let finding = Finding {
            span: error.span(),
            key: String::new(),
            reason: error.message().to_owned(),
        };
        ConfigError::new(name, text, vec![finding])
    })?;
    let merged = flags.merge(&mut file);
    merged.map_err(|findings| ConfigError::new(name, text, findings))?;
    match check::desired(&file) {
        Ok((desired, warnings)) => Ok(Desired {
            warnings: error::lines(name, text, warnings),
            ..desired
        }),
        Err(findings) => Err(ConfigError::new(name, text, findings)),
    }
}

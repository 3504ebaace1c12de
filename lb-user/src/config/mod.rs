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
mod secrets;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

pub use error::{ConfigError, Finding};

use crate::desired::Desired;

/// Longest file that is read: far above any real one, so that a wrong path cannot exhaust memory.
const LONGEST_FILE: u64 = 16 << 20;

/// Reads and validates `path`. The generation is 0 until the reconciler accepts it.
pub fn load(path: &Path) -> Result<Desired, ConfigError> {
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
    parse(&name, &text)
}

/// Validates `text`; `name` is what errors call it.
pub fn parse(name: &str, text: &str) -> Result<Desired, ConfigError> {
    let file: file::File = toml::from_str(text).map_err(|error| {
        let finding = Finding {
            span: error.span(),
            key: String::new(),
            reason: error.message().to_owned(),
        };
        ConfigError::new(name, text, vec![finding])
    })?;
    match check::desired(&file) {
        Ok((desired, warnings)) => Ok(Desired {
            warnings: error::lines(name, text, warnings),
            ..desired
        }),
        Err(findings) => Err(ConfigError::new(name, text, findings)),
    }
}

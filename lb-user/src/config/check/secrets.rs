//! Files that hold a secret. No message repeats one.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use bgp::Secret;
use toml::Spanned;

use super::Findings;

/// A file with more is no file with a secret.
const LONGEST_FILE: u64 = 4096;

/// The first line of the file.
pub(super) fn read(at: &Spanned<PathBuf>, key: &str, findings: &mut Findings) -> Option<Secret> {
    let path = findings.absolute(at, key);
    let shown = path.display();
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) => {
            findings.refuse(at, key, format!("cannot read {shown}: {error}"));
            return None;
        }
    };
    if !metadata.is_file() || metadata.len() > LONGEST_FILE {
        findings.refuse(at, key, format!("{shown} is no file that holds one secret"));
        return None;
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let reason = format!("{shown} has mode {mode:04o}: others can read the secret (chmod 600)");
        findings.warn(at, key, reason);
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(Secret(text.lines().next().unwrap_or_default().to_owned())),
        Err(error) => {
            findings.refuse(at, key, format!("cannot read {shown}: {error}"));
            None
        }
    }
}

//! Start-up order, wiring and signals.

use std::path::Path;

use crate::desired::Desired;

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Runs until told to stop. `config` is read again on SIGHUP.
pub fn run(_config: &Path, _desired: Desired) -> Result<(), Failure> {
    Err(Failure("the drivers are not wired yet".to_owned()))
}

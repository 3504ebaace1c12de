//! A lab as a test: up, all steps of `expected.toml`, down; diagnostics if a step does not hold.

use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::running::Running;

/// Brings a lab up, carries out the steps of `expected.toml`, and takes it down unless `keep`. A
/// failure leaves diagnostics in the run folder.
///
/// # Errors
/// The lab does not come up or is not what is expected of it.
pub fn test(lab: &Lab, keep: bool) -> Result<()> {
    let mut running = Running::up(lab)?;
    if keep {
        running.keep();
    }
    let expected = lab.expected.clone();
    if let Err(error) = expected.check(&mut running) {
        let kept = running.diagnose().map_or_else(
            |fault| format!("no diagnostics: {fault}"),
            |folder| format!("diagnostics in {}", folder.display()),
        );
        return Err(Error::Expectation(format!("lab {}: {error}\n{kept}", lab.name())));
    }
    if keep { Ok(()) } else { running.down() }
}

//! A lab as a test: up, all steps of `expected.toml`, the verdict of tshark, down; diagnostics if something does not hold.

use crate::capture::Capture;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::running::Running;

/// Brings a lab up, carries out the steps of `expected.toml`, and takes it down unless `keep`; with `all`
/// a step that does not hold does not keep the others from being tried. What
/// was captured meanwhile must be free of marks. A failure leaves diagnostics in the run folder, beside the captures.
///
/// # Errors
/// The lab does not come up or is not what is expected of it.
pub fn test(lab: &Lab, keep: bool, all: bool) -> Result<()> {
    let mut running = Running::captured(lab)?;
    if keep {
        running.keep();
    }
    let expected = lab.expected.clone();
    let held = expected.check(&mut running, all);
    let held = held.and_then(|()| running.captures().iter().try_for_each(Capture::check));
    if let Err(error) = held {
        let kept = running.diagnose().map_or_else(
            |fault| format!("no diagnostics: {fault}"),
            |folder| format!("diagnostics in {}", folder.display()),
        );
        return Err(Error::Expectation(format!("lab {}: {error}\n{kept}", lab.name())));
    }
    if keep { Ok(()) } else { running.down() }
}

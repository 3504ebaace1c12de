//! What the wire forwards: frames of 64 and 1500 bytes, as fast as one sender can.
use crate::error::Result;

/// # Errors
/// No root.
pub fn main(_seconds: f64) -> Result<()> {
    Ok(())
}

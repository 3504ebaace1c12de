//! Why a command did not succeed, and its exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use api::Problem;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon answered, and the answer is no.
    #[error("{0}")]
    Negative(String),
    /// The reason says what to do next.
    #[error("{socket} does not answer: {reason}")]
    Unreachable { socket: PathBuf, reason: String },
    #[error("refused: {0}")]
    Refused(Problem),
    /// Standard output cannot be written.
    #[error("output: {0}")]
    Output(std::io::Error),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Negative(_) | Failure::Output(_) => 1,
            Failure::Unreachable { .. } => 3,
            Failure::Refused(_) => 4,
        })
    }
}

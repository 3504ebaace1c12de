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
    /// What the daemon does not know is a negative answer, not a refusal.
    pub(crate) fn absent(self, noun: &str) -> Self {
        match self {
            Failure::Refused(problem) if problem.status == 404 => {
                Failure::Negative(format!("{}; `batonctl get {noun}` lists all", problem.detail))
            }
            Failure::Refused(_) | Failure::Negative(_) | Failure::Unreachable { .. } | Failure::Output(_) => {
                self
            }
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Negative(_) | Failure::Output(_) => 1,
            Failure::Unreachable { .. } => 3,
            Failure::Refused(_) => 4,
        })
    }
}

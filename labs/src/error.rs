//! What can go wrong in a lab, in words that name the thing and the reason.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{}:{message}", path.display())]
    Topology { path: PathBuf, message: String },
    #[error("{}: {message}", path.display())]
    Settings { path: PathBuf, message: String },
    #[error("`{command}` failed: {output}")]
    Command { command: String, output: String },
    #[error("node {node}: {message}")]
    Node { node: String, message: String },
    #[error("wire: {0}")]
    Wire(String),
    #[error("{0}")]
    Missing(String),
    #[error("{0}")]
    Expectation(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Adds the name of the thing to an `io::Error`, which never says it by itself.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::Io {
            what: what(),
            source: errno.into(),
        })
    }
}

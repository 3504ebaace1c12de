//! What the reconciler is told, and the handle to do so.

use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;

use crate::desired::{Found, SessionKey, TimingChange};

#[derive(Debug)]
pub enum Command {
    /// Read the file again.
    Reload,
    /// An operator wants something of a BFD session.
    Session {
        key: SessionKey,
        order: SessionOrder,
        done: oneshot::Sender<Result<(), OrderError>>,
    },
    /// A neighbour whose address is not in the configuration has come, or is gone.
    Found {
        neighbour: Found,
        present: bool,
    },
    Stop,
}

/// What lies over the configuration until it is taken back, the session is removed or the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOrder {
    Change(TimingChange),
    /// Back to the configured timing.
    Reset,
    Disable {
        /// Also if the session decides about roles.
        force: bool,
    },
    Enable,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("there is no BFD session {0}")]
    NoSession(SessionKey),
    #[error("{reason}")]
    Invalid { field: &'static str, reason: String },
    #[error(
        "{0} watches the peer {1}: without it both nodes take themselves for the only one and are MASTER; \
         drain hands the roles over, force disables all the same"
    )]
    Elects(SessionKey, String),
    /// It was accepted, and stays.
    #[error("{operation}: {reason}; the order stays in force and is tried again")]
    Failed { operation: String, reason: String },
    #[error("the reconciler has ended")]
    Ended,
}

/// Sends commands to the reconciler; never blocks.
#[derive(Clone, Debug)]
pub struct ReconcilerHandle(Sender<Command>);

/// Makes a queue of commands. They may be sent before the reconciler runs.
pub fn commands() -> (ReconcilerHandle, Receiver<Command>) {
    let (sender, receiver) = channel();
    (ReconcilerHandle(sender), receiver)
}

impl ReconcilerHandle {
    pub fn send(&self, command: Command) {
        // Fails only when the daemon is already ending.
        let _ = self.0.send(command);
    }

    /// Returns when the order has been carried out, or refused.
    pub async fn order(&self, key: SessionKey, order: SessionOrder) -> Result<(), OrderError> {
        let (done, answer) = oneshot::channel();
        self.send(Command::Session { key, order, done });
        answer.await.unwrap_or(Err(OrderError::Ended))
    }
}

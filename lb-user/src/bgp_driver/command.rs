//! What the speaker is told and asked, and the handle to do so.

use bgp::{Announcement, Direction, Families, Preference, RouteQuery, RouteStatus};
use tokio::sync::{mpsc, oneshot};

use crate::apply::{self, ApplyError};
use crate::bfd_thread::Verdict;
use crate::desired::{Neighbor, NeighborKey, SessionKey, SpeakerSettings};

/// Where the answer to a command goes.
pub type Answer<T> = oneshot::Sender<Result<T, CommandError>>;

/// Why a command could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("there is no neighbour {0}")]
    NoNeighbor(String),
    #[error("the BGP thread has ended")]
    Ended,
}

/// A route of one of the tables, with the name of the neighbour whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRoute {
    /// As in the configuration; the address of a dynamic neighbour.
    pub neighbor: String,
    pub route: RouteStatus,
}

/// What the speaker is told. Neighbours are named as in the configuration, dynamic ones by their address.
#[derive(Debug)]
pub enum Command {
    PutNeighbor(Box<Neighbor>),
    RemoveNeighbor(NeighborKey),
    PutSettings(Box<SpeakerSettings>),
    SetAnnouncements(Vec<Announcement>),
    SetRole {
        instance: u32,
        preference: Preference,
    },
    /// News of a BFD session, which may be that of a neighbour.
    Bfd {
        session: SessionKey,
        verdict: Verdict,
    },
    /// Ends an administrative shutdown, or the idle hold after too many prefixes.
    Enable {
        neighbor: NeighborKey,
        done: Answer<()>,
    },
    /// Shuts one neighbour down, with a word for its operator.
    Disable {
        neighbor: NeighborKey,
        communication: String,
        done: Answer<()>,
    },
    /// Asks for its routes again (in), or tells it ours again (out).
    Refresh {
        neighbor: NeighborKey,
        direction: Direction,
        families: Families,
        done: Answer<()>,
    },
    /// `query.peer` is filled in from `neighbor`; `None`: of all.
    Routes {
        neighbor: Option<NeighborKey>,
        query: RouteQuery,
        answer: Answer<Vec<NamedRoute>>,
    },
    /// Cease to everybody; answered when the neighbours have it, or within a second.
    Shutdown(oneshot::Sender<()>),
}

/// Sends commands to the speaker; never blocks.
#[derive(Clone, Debug)]
pub struct BgpHandle(mpsc::UnboundedSender<Command>);

/// Makes a queue of commands. They may be sent before the driver starts.
pub fn channel() -> (BgpHandle, mpsc::UnboundedReceiver<Command>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (BgpHandle(sender), receiver)
}

impl BgpHandle {
    /// Hands over a command. A driver that is gone is noticed by [`apply::Speaker`], not here.
    pub fn send(&self, command: Command) {
        // Fails only when the daemon is already ending.
        let _ = self.0.send(command);
    }

    /// Ends all sessions with a Cease and waits for that.
    pub async fn shutdown(&self) {
        let (done, finished) = oneshot::channel();
        self.send(Command::Shutdown(done));
        let _ = finished.await;
    }

    pub async fn enable(&self, neighbor: NeighborKey) -> Result<(), CommandError> {
        self.ask(|done| Command::Enable { neighbor, done }).await
    }

    pub async fn disable(&self, neighbor: NeighborKey, communication: String) -> Result<(), CommandError> {
        self.ask(|done| Command::Disable {
            neighbor,
            communication,
            done,
        })
        .await
    }

    pub async fn refresh(
        &self,
        neighbor: NeighborKey,
        direction: Direction,
        families: Families,
    ) -> Result<(), CommandError> {
        self.ask(|done| Command::Refresh {
            neighbor,
            direction,
            families,
            done,
        })
        .await
    }

    /// Bounded by `query.limit`; the next part begins after the last route of this one (`query.after`).
    pub async fn routes(
        &self,
        neighbor: Option<NeighborKey>,
        query: RouteQuery,
    ) -> Result<Vec<NamedRoute>, CommandError> {
        self.ask(|answer| Command::Routes {
            neighbor,
            query,
            answer,
        })
        .await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, CommandError> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer));
        answered.await.unwrap_or(Err(CommandError::Ended))
    }

    fn apply(&self, command: Command) -> Result<(), ApplyError> {
        self.0
            .send(command)
            .map_err(|_| ApplyError::new("the BGP thread has ended"))
    }
}

impl apply::Speaker for BgpHandle {
    fn put_neighbor(&mut self, neighbor: &Neighbor) -> Result<(), ApplyError> {
        self.apply(Command::PutNeighbor(Box::new(neighbor.clone())))
    }

    fn put_settings(&mut self, settings: &SpeakerSettings) -> Result<(), ApplyError> {
        self.apply(Command::PutSettings(Box::new(settings.clone())))
    }

    fn remove_neighbor(&mut self, key: &NeighborKey) -> Result<(), ApplyError> {
        self.apply(Command::RemoveNeighbor(key.clone()))
    }

    fn set_announcements(&mut self, announcements: &[Announcement]) -> Result<(), ApplyError> {
        self.apply(Command::SetAnnouncements(announcements.to_vec()))
    }
}

//! Sockets and time of the BGP speaker.
//!
//! Purpose: drives the pure `bgp::Speaker`. It connects and listens, hands bytes in and out, keeps the one
//! timer, and reports to the timeline and the status board.
//!
//! Owner: one thread with a current-thread tokio runtime, which alone touches the speaker. Everybody else holds a
//! [`BgpHandle`]: a queue of commands. The failover thread uses it for roles and BFD state, the reconciler for
//! neighbours and announcements.
//!
//! It must never wait for a neighbour (a slow reader costs its own connection), for the configuration path,
//! or for the failover path. Sending to the handle never blocks. Commands come first, then bytes that have
//! arrived, then the timer, so that a late thread does not take its own lateness for a silent neighbour.

mod connection;
mod driver;
mod listener;
mod status;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::{self, JoinHandle};

use bgp::{Announcement, Preference, SpeakerConfig};
use tokio::sync::{mpsc, oneshot};

use crate::apply::{self, ApplyError};
use crate::desired::{Neighbor, NeighborKey, SpeakerSettings};
use crate::realtime;
use crate::status::StatusBoard;
use crate::timeline::Timeline;

/// What the speaker is told.
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
    /// BFD towards the neighbour with this address.
    Bfd {
        remote: IpAddr,
        up: bool,
    },
    /// Cease to everybody; answered when the neighbours have it, or within a second.
    Shutdown(oneshot::Sender<()>),
}

/// Sends commands to the speaker; never blocks.
#[derive(Clone, Debug)]
pub struct BgpHandle(mpsc::UnboundedSender<Command>);

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

/// Is told when the session to a neighbour is established and when it ends; must not block.
pub type EstablishedSink = Box<dyn FnMut(IpAddr, bool) + Send>;

/// What the driver needs to start.
pub struct Setup {
    pub speaker: SpeakerConfig,
    /// Where to listen; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    pub established: EstablishedSink,
    pub timeline: Timeline,
    pub board: StatusBoard,
}

/// Makes a queue of commands. They may be sent before the driver starts.
pub fn channel() -> (BgpHandle, mpsc::UnboundedReceiver<Command>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (BgpHandle(sender), receiver)
}

/// Starts the driver's thread. It ends when all handles are gone.
pub fn spawn(setup: Setup, commands: mpsc::UnboundedReceiver<Command>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new().name("bgp".into()).spawn(move || {
        realtime::favour();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, driver::Driver::new(setup).run(commands));
    })
}

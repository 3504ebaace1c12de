//! Sockets and time of the BGP speaker.
//!
//! Purpose: drives the pure `bgp::Speaker`. It connects and listens, hands bytes in and out, keeps the one
//! timer, and reports to the timeline and the status board.
//!
//! Owner: one thread with a current-thread tokio runtime, which alone touches the speaker. Everybody else holds a
//! [`BgpHandle`]: a queue of commands. The failover thread uses it for roles and BFD state, the reconciler for
//! neighbours and announcements, the API for what operators ask.
//!
//! It must never wait for a neighbour (a slow reader costs its own connection), for the configuration path,
//! or for the failover path. Sending to the handle never blocks. Commands come first, then bytes that have
//! arrived, then the timer, so that a late thread does not take its own lateness for a silent neighbour.

mod authentication;
mod bfd;
mod budget;
mod command;
mod connect;
mod connection;
mod driver;
mod guests;
mod hops;
mod imported;
mod listener;
mod monitors;
mod neighbors;
mod report;
pub(crate) mod socket_option;
mod sockets;
mod status;
mod unnumbered;

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use bgp::SpeakerConfig;
use tokio::sync::mpsc;

pub use self::command::{Answer, BgpHandle, Command, CommandError, NamedRoute, channel};
pub use self::listener::Refused;
use crate::desired::{Found, SessionKey};
use crate::realtime;
use crate::status::StatusBoard;
use crate::timeline::Timeline;

/// Is told when the session to a neighbour is established and when it ends; must not block. The neighbour is named as
/// its BFD session would be.
pub type EstablishedSink = Box<dyn FnMut(SessionKey, bool) + Send>;

/// Is told when a neighbour with BFD, whose address is not in the configuration, comes and goes; must not block.
pub type FoundSink = Box<dyn FnMut(Found, bool) + Send>;

/// What the driver needs to start.
pub struct Setup {
    pub speaker: SpeakerConfig,
    /// Where to listen; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    pub established: EstablishedSink,
    pub found: FoundSink,
    pub timeline: Timeline,
    pub board: StatusBoard,
}

/// Starts the driver's thread. It ends when all handles are gone.
pub fn spawn(setup: Setup, commands: mpsc::UnboundedReceiver<Command>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let imported = imported::Imported::start()?;
    thread::Builder::new().name("bgp".into()).spawn(move || {
        realtime::favour();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, driver::Driver::new(setup, Some(imported)).run(commands));
    })
}

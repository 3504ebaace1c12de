//! TLS connections of the flow synchronisation.
//!
//! Purpose: carries one `sync::Peering` for each peer over TCP with mutual TLS 1.3 and joins it with the flow table (through
//! [`FlowTable`]), with the failover thread (hellos of the election out and in, caught up or not), and with status and
//! timeline.
//!
//! Owner: tasks on the main runtime: one for each peer, which alone touches its peering; one that accepts; one that
//! hands local news to the peers. A peer is identified by its certificate alone. Both sides connect; of two connections
//! one is closed by a rule that both sides know (see `peer`).
//!
//! It must never make the data path or the failover thread wait: news that find no room are counted as missed, which costs
//! a new snapshot, and a hello that finds no room is followed by the next one. Nothing that arrives is trusted before the
//! handshake has named the peer.

mod credentials;
mod endpoint;
mod lag;
mod misfits;
mod peer;
mod report;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sync::Change;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::credentials::Credentials;
use self::peer::{Feed, Peer};
use self::report::Reports;
pub use self::table::FlowTable;
use crate::datapath::FlowNews;
use crate::desired;
use crate::status::StatusBoard;
use crate::timeline::Timeline;

/// Hellos of the election that may wait; each replaces the one before.
const HELLOS: usize = 16;
/// Batches of local news that may wait for one peer.
const FEED: usize = 1024;

/// What the failover thread wants to know.
#[derive(Debug)]
pub enum Event {
    /// An election's hello of the peer, which really is the peer's.
    PeerHello(Vec<u8>),
    /// The peer's flows are all here, or no longer.
    CaughtUp(bool),
}

/// Receives events with the peer's name; must not block.
pub type EventSink = Arc<dyn Fn(&str, Event) + Send + Sync>;

/// Takes this node's hellos; never blocks.
#[derive(Clone, Debug)]
pub struct HelloSender(mpsc::Sender<Vec<u8>>);

impl HelloSender {
    /// When there is no room the hello is dropped: the next one says the same and more.
    pub fn send(&self, hello: Vec<u8>) {
        let _ = self.0.try_send(hello);
    }
}

/// The other end of a [`HelloSender`].
#[derive(Debug)]
pub struct Hellos(mpsc::Receiver<Vec<u8>>);

/// The queue of hellos, which may be filled before the synchronisation starts.
pub fn hellos() -> (HelloSender, Hellos) {
    let (sender, receiver) = mpsc::channel(HELLOS);
    (HelloSender(sender), Hellos(receiver))
}

/// What the synchronisation needs to start.
pub struct Setup<T> {
    pub node: String,
    /// Random at each start.
    pub boot: u64,
    pub config: desired::Sync,
    pub table: T,
    pub news: mpsc::Receiver<FlowNews>,
    pub hellos: Hellos,
    pub events: EventSink,
    pub timeline: Timeline,
    pub board: StatusBoard,
}

/// Why the synchronisation did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}: {1}")]
    File(PathBuf, String),
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    #[error("{certificate} is not good for node {node} under {ca}: {reason}")]
    Own {
        certificate: PathBuf,
        node: String,
        ca: PathBuf,
        reason: String,
    },
    #[error("peer name {0:?} cannot stand in a certificate")]
    Name(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("cannot listen on {0} (sync.listen): {1}")]
    Listen(SocketAddr, io::Error),
}

/// The running tasks; dropped, they end.
#[derive(Debug)]
#[must_use = "dropping it ends the synchronisation"]
pub struct Running {
    /// Where it listens.
    pub local: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Listens and starts the tasks on the current runtime.
pub fn start<T: FlowTable>(setup: Setup<T>) -> Result<Running, StartError> {
    let credentials = Arc::new(Credentials::load(&setup.node, &setup.config)?);
    let listener = endpoint::listen(setup.config.listen)
        .map_err(|error| StartError::Listen(setup.config.listen, error))?;
    let local = listener
        .local_addr()
        .map_err(|error| StartError::Listen(setup.config.listen, error))?;
    let reports = Reports::new(setup.board, &setup.config);
    let mut tasks = JoinSet::new();
    let (mut inlets, mut doors) = (Vec::new(), Vec::new());
    for (name, address) in &setup.config.peers {
        let (inlet, feed) = mpsc::channel(FEED);
        let (door, arrivals) = mpsc::channel(1);
        inlets.push(Inlet {
            feed: inlet,
            missed: false,
        });
        doors.push((name.clone(), door));
        let config = sync::Config {
            cluster: credentials.cluster(),
            node: setup.node.clone(),
            boot: setup.boot,
            peer: name.clone(),
            limits: sync::Limits::default(),
        };
        let peer = Peer::new(peer::Parts {
            config,
            dialer: endpoint::Dialer::new(Arc::clone(&credentials), name, *address, local.ip()),
            table: setup.table.clone(),
            feed,
            arrivals,
            events: Arc::clone(&setup.events),
            timeline: setup.timeline.clone(),
            report: reports.of(name),
        });
        tasks.spawn(peer.run());
    }
    tasks.spawn(endpoint::accept(listener, credentials, doors));
    tasks.spawn(distribute(setup.news, setup.hellos, inlets));
    Ok(Running { local, _tasks: tasks })
}

/// The way to one peer's task.
struct Inlet {
    feed: mpsc::Sender<Feed>,
    missed: bool,
}

impl Inlet {
    fn news(&mut self, changes: Option<Arc<[Change]>>) {
        self.missed |= changes.is_none();
        if self.missed && self.feed.try_send(Feed::Missed).is_ok() {
            self.missed = false;
        }
        if let Some(changes) = changes
            && self.feed.try_send(Feed::Changes(changes)).is_err()
        {
            self.missed = true;
        }
    }
}

/// Hands everything to every peer, without waiting for any.
async fn distribute(mut news: mpsc::Receiver<FlowNews>, mut hellos: Hellos, mut inlets: Vec<Inlet>) {
    loop {
        tokio::select! {
            Some(hello) = hellos.0.recv() => {
                for inlet in &inlets {
                    let _ = inlet.feed.try_send(Feed::Hello(hello.clone()));
                }
            }
            Some(news) = news.recv() => {
                let changes = match news {
                    FlowNews::Changes(changes) => Some(Arc::from(changes)),
                    FlowNews::Missed => None,
                };
                inlets.iter_mut().for_each(|inlet| inlet.news(changes.clone()));
            }
            else => return,
        }
    }
}

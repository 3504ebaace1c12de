//! The failover path: what happens between "BFD says down" and "traffic comes here".
//!
//! Purpose: owns `ha::Election`, feeds it, and executes what it answers at once and in order: addresses and
//! gratuitous ARP / neighbour advertisements first, then the announcement over BGP, then everybody who only wants to know
//! (timeline, peers, log, status).
//!
//! Owner: one OS thread, SCHED_FIFO just below BFD. Everybody else holds a [`FailoverHandle`]: a queue of commands.
//! BFD, the link monitor, the synchronisation and the API feed it; the reconciler sets the addresses.
//!
//! It must never take a lock that the configuration path holds, never wait for disk, DNS, HTTP or a peer, and never allocate
//! without bound. Sending to it never blocks; what it tells others are non-blocking sends.

pub mod addresses;
mod announcer;
pub mod frames;
pub mod holder;
mod inbox;
pub mod interfaces;
mod news;
pub mod packet_socket;
mod status;
mod thread;
pub mod uplink;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use ipnet::IpNet;
use tokio::sync::oneshot;

use self::holder::{Holder, Placed};
pub use self::inbox::Lane;
use self::inbox::{Entrance, Queues};
use crate::apply::{self, ApplyError};
use crate::bfd_thread::Change;
use crate::bgp_driver::BgpHandle;
use crate::desired::{Desired, HaPeer, Instance, Neighbor, SessionKey};
use crate::realtime;
use crate::status::StatusBoard;
use crate::timeline::Timeline;

/// What the thread is told.
#[derive(Debug)]
pub enum Command {
    /// Something has happened to a BFD session.
    Bfd(Change),
    /// A hello of a peer, as it came over the synchronisation.
    PeerHello(Vec<u8>),
    /// Whether the own flow table is equal to that of the peer.
    CaughtUp(bool),
    /// A link carries, or no longer does.
    Carrier {
        name: String,
        up: bool,
    },
    /// The addresses of an instance.
    PutAddresses {
        instance: String,
        placed: Vec<Placed>,
    },
    /// VIPs of an earlier run that are VIPs no longer; they may still be addresses of an interface.
    RemoveVips(Vec<IpAddr>),
    /// A neighbour, named as its BFD session would be, and whether BFD watches it, which then tells whether there is an
    /// uplink.
    PutNeighbour {
        neighbour: SessionKey,
        bfd: bool,
    },
    RemoveNeighbour(SessionKey),
    /// The BGP session to a neighbour is established, or no longer.
    Established {
        neighbour: SessionKey,
        established: bool,
    },
    /// BFD and the synchronisation run.
    Listening,
    Drain,
    /// As `Drain`; its end is told.
    DrainAndTell(oneshot::Sender<Drained>),
    Undrain,
    /// Give every address up and end. Answered when that is done.
    Stop(oneshot::Sender<()>),
}

/// How a drain has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// A peer that has all flows holds every instance.
    Complete,
    /// Nobody could take over within the limit.
    Alone,
}

/// Sends commands to the failover thread; never blocks.
#[derive(Clone)]
pub struct FailoverHandle {
    commands: Entrance,
    /// What an election cannot change while it runs.
    instances: Arc<BTreeMap<String, (u32, bool)>>,
}

impl FailoverHandle {
    /// Hands a command over.
    pub fn send(&self, command: Command) {
        self.commands.send(command);
    }

    /// Drains and waits until that has ended one way or the other. The election bounds it. An earlier drain that has
    /// ended is judged anew.
    pub async fn drain_to_the_end(&self) -> Drained {
        let (end, ended) = oneshot::channel();
        self.send(Command::DrainAndTell(end));
        ended.await.unwrap_or(Drained::Alone)
    }

    /// Gives every address up and ends the thread. Returns when that is done.
    pub async fn stop(&self) {
        let (end, ended) = oneshot::channel();
        self.send(Command::Stop(end));
        let _ = ended.await;
    }
}

impl apply::Election for FailoverHandle {
    fn put_instance(&mut self, instance: &Instance, vips: &[IpAddr]) -> Result<(), ApplyError> {
        if self.instances.get(&instance.name) != Some(&(instance.priority, instance.preempt)) {
            return Err(ApplyError::new(
                "a new instance, and another priority or preempt, need a restart",
            ));
        }
        let placed = placed(instance, vips);
        self.send(Command::PutAddresses {
            instance: instance.name.clone(),
            placed,
        });
        Ok(())
    }

    fn remove_instance(&mut self, name: &str) -> Result<(), ApplyError> {
        if self.instances.contains_key(name) {
            return Err(ApplyError::new("removing an instance needs a restart"));
        }
        Ok(())
    }
}

/// The addresses that move with an instance: the floating ones, then its VIPs in L2 mode.
pub fn placed(instance: &Instance, vips: &[IpAddr]) -> Vec<Placed> {
    let floating = instance.addresses.iter().filter_map(|floating| {
        let address = IpNet::new(floating.address, floating.prefix_length).ok()?;
        Some(Placed {
            address,
            interface: floating.interface.clone(),
        })
    });
    floating.chain(placed_vips(instance, vips)).collect()
}

/// The VIPs where they become addresses: on the instance's interface for them, if it has one.
fn placed_vips(instance: &Instance, vips: &[IpAddr]) -> Vec<Placed> {
    let vips = instance.vip_interface.iter().flat_map(|interface| {
        vips.iter().map(|vip| Placed {
            address: IpNet::from(*vip),
            interface: interface.clone(),
        })
    });
    vips.collect()
}

/// Hands a hello to the synchronisation; must not block.
pub type HelloSink = Box<dyn FnMut(Vec<u8>) + Send>;

/// What the thread needs to start.
pub struct Setup {
    pub node: String,
    /// Random at each start.
    pub boot: u64,
    pub peers: Vec<HaPeer>,
    pub instances: Vec<Instance>,
    /// The neighbours, and whether BFD watches them.
    pub neighbours: Vec<(SessionKey, bool)>,
    /// The links of the data path.
    pub links: Vec<String>,
    pub bgp: BgpHandle,
    pub hello: HelloSink,
    pub timeline: Timeline,
    pub board: StatusBoard,
}

impl Setup {
    /// What of the configuration matters here.
    pub fn new(desired: &Desired, boot: u64, bgp: BgpHandle, hello: HelloSink) -> Self {
        let watched = |known: &Neighbor| known.peer.bfd != bgp::BfdMode::Off;
        let neighbours = desired
            .neighbors
            .values()
            .filter_map(|known| Some((known.session()?, watched(known))));
        Setup {
            node: desired.fixed.node.name.clone(),
            boot,
            peers: desired.fixed.peers.values().cloned().collect(),
            instances: desired.instances.values().cloned().collect(),
            neighbours: neighbours.collect(),
            links: desired.fixed.datapath.interfaces.clone(),
            bgp,
            hello,
            timeline: Timeline::new(),
            board: StatusBoard::new(),
        }
    }
}

/// Why the thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot open the sockets that move addresses (needs CAP_NET_ADMIN and CAP_NET_RAW): {0}")]
    Sockets(io::Error),
    #[error("cannot take part in the election: {0}")]
    Election(#[from] ha::ConfigError),
    #[error("cannot start the failover thread: {0}")]
    Thread(io::Error),
}

/// The queue of commands, which may be filled before the thread starts.
pub struct Inbox {
    queues: Queues,
}

impl Inbox {
    /// A way in for one more real-time thread. Earlier ones have precedence.
    pub fn lane(&mut self) -> Lane {
        self.queues.lane()
    }
}

/// Makes the handle and the queue behind it.
pub fn inbox(instances: &[Instance]) -> io::Result<(FailoverHandle, Inbox)> {
    let queues = Queues::new()?;
    let fixed = instances
        .iter()
        .map(|instance| (instance.name.clone(), (instance.priority, instance.preempt)))
        .collect();
    let handle = FailoverHandle {
        commands: queues.entrance(),
        instances: Arc::new(fixed),
    };
    Ok((handle, Inbox { queues }))
}

/// Opens the sockets and starts the thread. It ends when all handles and lanes are gone.
pub fn spawn(setup: Setup, inbox: Inbox) -> Result<JoinHandle<()>, StartError> {
    let holder = Holder::open().map_err(StartError::Sockets)?;
    let failover = thread::Failover::new(setup, holder)?;
    let run = move || {
        realtime::enter("failover", realtime::FAILOVER);
        failover.run(inbox.queues);
    };
    Builder::new()
        .name("failover".into())
        .spawn(run)
        .map_err(StartError::Thread)
}

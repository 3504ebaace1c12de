//! Start-up order, wiring, signals.
//!
//! Order: interfaces, data path (loaded or adopted), privileges dropped, failover, BFD, BGP, link monitor,
//! reconciler, synchronisation, API. Every queue exists before the thread that serves it, so nobody is told
//! too early. Threads of the failover path are separate from the main runtime, which carries the API, the
//! synchronisation and the signals.
//!
//! When a thread of the failover path ends by itself the daemon exits with an error, and leaves the data path pinned and
//! forwarding: the service manager starts a new daemon, which adopts it. A daemon that drained exits with 0.
//!
//! It must never decide anything about roles, routes or flows.

mod interfaces;
mod reflector;
mod signals;
mod targets;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bgp::SpeakerConfig;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;
use tracing::{error, info, warn};

use self::reflector::Reflector;
use self::signals::Signals;
use self::targets::Neighbors;
use crate::api_server::{self, Context};
use crate::apply::{ApplyError, DataPath as _, Targets};
use crate::bfd_thread;
use crate::bgp_driver::{self, BgpHandle};
use crate::config::Source;
use crate::datapath::{DataPath, DataPathError, EchoPeers, FibEpoch, FlowNews, FlowTable, Services};
use crate::desired::{Bgp, Desired, Instance};
use crate::failover::{self, FailoverHandle, Lane};
use crate::links::{self, LinkChange};
use crate::privilege::{self, PrivilegeError};
use crate::reconciler::{self, Reconciler, ReconcilerHandle};
use crate::status::StatusBoard;
use crate::sync_driver::{self, HelloSender, Hellos};
use crate::timeline::Timeline;

/// Threads of the main runtime.
const WORKERS: usize = 2;
/// How often the state of the BFD sessions is published.
const BFD_STATUS: Duration = Duration::from_millis(200);
/// Between two looks at whether the BFD thread has ended.
const BFD_END: Duration = Duration::from_millis(1);
/// Tasks still running at the end get this long.
const END: Duration = Duration::from_millis(200);

/// Why the daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("interface {0} does not exist (datapath.interfaces)")]
    Interface(String),
    #[error("data path: {0}")]
    DataPath(#[from] DataPathError),
    #[error("cannot give up privileges: {0}")]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Failover(#[from] failover::StartError),
    #[error(transparent)]
    Bfd(#[from] bfd_thread::StartError),
    #[error("synchronisation: {0}")]
    Sync(#[from] sync_driver::StartError),
    #[error("cannot start {0}: {1}")]
    Start(&'static str, io::Error),
    #[error("cannot read what an earlier daemon left in the maps: {0}")]
    Maps(ApplyError),
    #[error("the {0} thread has ended; the data path goes on forwarding")]
    Thread(&'static str),
}

/// The threads and handles of a running daemon.
struct Running {
    failover: FailoverHandle,
    bfd: bfd_thread::Handle,
    bgp: BgpHandle,
    reconciler: ReconcilerHandle,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

impl Running {
    /// A thread that ended although nobody asked it to.
    fn ended_thread(&self) -> Option<&'static str> {
        self.threads
            .iter()
            .find(|(_, thread)| thread.is_finished())
            .map(|(name, _)| *name)
    }

    /// Takes leave of the neighbours.
    async fn withdraw(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.bgp.shutdown()).await.is_err() {
            info!("a BGP neighbour did not take the Cease in time");
        }
        self.bfd.shutdown();
        // Its last packets say that this end is deliberate.
        let ended = async {
            while self.ended_thread() != Some("bfd") {
                tokio::time::sleep(BFD_END).await;
            }
        };
        if tokio::time::timeout(END, ended).await.is_err() {
            info!("the BFD thread did not end in time");
        }
        // Last: by now a peer that lives knows that it is alone.
        if tokio::time::timeout(END, self.failover.stop()).await.is_err() {
            info!("the addresses were not given up in time");
        }
    }
}

/// What every part reports to, and this incarnation's number.
#[derive(Clone)]
struct Common {
    timeline: Timeline,
    board: StatusBoard,
    /// Random at each start.
    boot: u64,
    /// An earlier daemon's data path has forwarded until now.
    restarted: bool,
}

/// Runs until told to stop. `source` is read again on SIGHUP.
pub fn run(source: &Source, desired: Desired) -> Result<(), DaemonError> {
    let node = desired.fixed.node.name.clone();
    info!(node, version = env!("CARGO_PKG_VERSION"), "starting");
    for warning in &desired.warnings {
        warn!("{warning}");
    }
    interfaces::wait_for(&desired.fixed.datapath.interfaces).map_err(DaemonError::Interface)?;
    let mut common = Common {
        timeline: Timeline::new(),
        board: StatusBoard::new(),
        boot: rand::random(),
        restarted: false,
    };
    common.timeline.record("start", [("node", node.clone().into())]);
    let vips = desired.services.keys().map(|key| key.vip).collect();
    let datapath = DataPath::start(&desired.fixed.datapath, &vips, common.board.clone())?;
    common.restarted = datapath.adopted;
    privilege::drop_privileges()?;

    let datapath = datapath.spawn()?;
    let (hello, hellos) = sync_driver::hellos();
    let (reconciler, orders) = reconciler::commands();
    let mut running = start_threads(&desired, &common, reconciler, datapath.epoch, hello)?;
    running.threads.push(("flows", datapath.thread));
    let maps = (datapath.services, datapath.echo_peers);
    start_reconciler(source, &desired, &common, &running, orders, maps)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|error| DaemonError::Start("the main runtime", error))?;
    let ended = runtime.block_on(async {
        let signals = Signals::install().map_err(|error| DaemonError::Start("signal handlers", error))?;
        let _sync = start_sync(&desired, &common, &running, datapath.flows, datapath.news, hellos)?;
        running.failover.send(failover::Command::Listening);
        tokio::spawn(publish_bfd(running.bfd.clone(), common.board.clone()));
        serve_api(&desired, &common, &running)?;
        signals::notify(&[NotifyState::Ready]);
        info!(node, "running");
        signals.serve(&running).await.map_err(DaemonError::Thread)
    });
    end(runtime, &ended);
    ended
}

/// The threads of the failover path, innermost first.
fn start_threads(
    desired: &Desired,
    common: &Common,
    reconciler: ReconcilerHandle,
    epoch: FibEpoch,
    hello: HelloSender,
) -> Result<Running, DaemonError> {
    let instances: Vec<Instance> = desired.instances.values().cloned().collect();
    let (failover, mut inbox) =
        failover::inbox(&instances).map_err(|error| DaemonError::Start("the failover queues", error))?;
    // In order of precedence.
    let (from_bfd, from_links) = (inbox.lane(), inbox.lane());
    let (bgp, bgp_commands) = bgp_driver::channel();
    let mut threads = Vec::new();

    let setup = failover::Setup {
        timeline: common.timeline.clone(),
        board: common.board.clone(),
        ..failover::Setup::new(
            desired,
            common.boot,
            bgp.clone(),
            Box::new(move |bytes| hello.send(bytes)),
        )
    };
    threads.push(("failover", failover::spawn(setup, inbox)?));

    let (bfd, bfd_thread) = bfd_thread::spawn(&bfd_thread::Options::default(), move |change| {
        from_bfd.send(failover::Command::Bfd(change));
    })?;
    threads.push(("bfd", bfd_thread));

    let told = failover.clone();
    let established = Box::new(move |neighbour, established| {
        told.send(failover::Command::Established {
            neighbour,
            established,
        });
    });
    let found = Box::new(targets::found(reconciler.clone(), failover.clone()));
    let bgp_thread = bgp_driver::spawn(bgp_setup(desired, common, established, found), bgp_commands)
        .map_err(|error| DaemonError::Start("the BGP thread", error))?;
    threads.push(("bgp", bgp_thread));

    let links = start_links(bfd.clone(), from_links, epoch)
        .map_err(|error| DaemonError::Start("the link monitor", error))?;
    threads.push(("links", links));
    Ok(Running {
        failover,
        bfd,
        bgp,
        reconciler,
        threads,
    })
}

/// A dark link ends its BFD sessions and counts in the verdict on the uplink; changed routes reach the data path.
fn start_links(bfd: bfd_thread::Handle, failover: Lane, epoch: FibEpoch) -> io::Result<JoinHandle<()>> {
    links::spawn(move |change| match change {
        LinkChange::Carrier { ifindex, name, up } => {
            if up {
                // It may be another interface of that name.
                bfd.link_up(ifindex, name.clone());
            } else {
                bfd.link_down(ifindex);
            }
            failover.send(failover::Command::Carrier { name, up });
        }
        LinkChange::Forwarding => {
            bfd.neighbors_changed();
            if let Err(error) = epoch.bump() {
                error!(%error, "the data path was not told of a change of routes");
            }
        }
    })
}

/// Applies the configuration once, then keeps it applied on a thread of its own.
fn start_reconciler(
    source: &Source,
    desired: &Desired,
    common: &Common,
    running: &Running,
    orders: mpsc::Receiver<reconciler::Command>,
    (mut datapath, echo_peers): (Services, EchoPeers),
) -> Result<(), DaemonError> {
    let (_, vips) = datapath.existing().map_err(DaemonError::Maps)?;
    let served = |vip: &IpAddr| desired.services.keys().any(|key| key.vip == *vip);
    let gone = vips.into_iter().filter(|vip| !served(vip)).collect();
    running.failover.send(failover::Command::RemoveVips(gone));
    let targets = Targets {
        datapath: Box::new(datapath),
        speaker: Box::new(Neighbors::new(running.bgp.clone(), running.failover.clone())),
        bfd: Box::new(running.bfd.clone()),
        echo: Box::new(Reflector::new(echo_peers)),
        election: Box::new(running.failover.clone()),
    };
    let (board, timeline) = (common.board.clone(), common.timeline.clone());
    let mut reconciler =
        Reconciler::new(desired.clone(), targets, board, timeline).map_err(DaemonError::Maps)?;
    // Before the synchronisation starts: flows of services that are not there would be refused.
    reconciler.reconcile();
    let source = source.clone();
    Builder::new()
        .name("reconciler".into())
        .spawn(move || reconciler.run(&source, &orders))
        .map_err(|error| DaemonError::Start("the reconciler", error))?;
    Ok(())
}

/// The tasks that keep the peers' flow tables equal, where there are peers.
fn start_sync(
    desired: &Desired,
    common: &Common,
    running: &Running,
    table: FlowTable,
    news: Receiver<FlowNews>,
    hellos: Hellos,
) -> Result<Option<sync_driver::Running>, DaemonError> {
    let Some(config) = desired.fixed.sync.clone() else {
        return Ok(None);
    };
    let failover = running.failover.clone();
    let setup = sync_driver::Setup {
        node: desired.fixed.node.name.clone(),
        boot: common.boot,
        config,
        table,
        news,
        hellos,
        events: Arc::new(move |_, event| {
            failover.send(match event {
                sync_driver::Event::PeerHello(bytes) => failover::Command::PeerHello(bytes),
                sync_driver::Event::CaughtUp(caught_up) => failover::Command::CaughtUp(caught_up),
            });
        }),
        timeline: common.timeline.clone(),
        board: common.board.clone(),
    };
    Ok(Some(sync_driver::start(setup)?))
}

/// Without `[bgp]` the speaker runs all the same, and has no neighbour.
fn bgp_setup(
    desired: &Desired,
    common: &Common,
    established: bgp_driver::EstablishedSink,
    found: bgp_driver::FoundSink,
) -> bgp_driver::Setup {
    let configured = desired.fixed.bgp.as_ref();
    let listen = configured.map_or_else(Vec::new, |bgp: &Bgp| {
        bgp.listen
            .iter()
            .map(|address| SocketAddr::new(*address, bgp.listen_port))
            .collect()
    });
    bgp_driver::Setup {
        speaker: SpeakerConfig {
            ladders: desired.speaker.ladders.clone(),
            multipath: configured.map_or(1, |bgp| bgp.multipath),
            // RFC 4724 section 4.1: whoever starts with an empty table has restarted nothing, and has not forwarded.
            restarting: common.restarted,
            ..SpeakerConfig::new(
                configured.map_or(0, |bgp| bgp.local_as),
                desired.fixed.node.router_id,
                rand::random(),
            )
        },
        listen,
        established,
        found,
        timeline: common.timeline.clone(),
        board: common.board.clone(),
    }
}

/// The BFD thread itself must not touch what readers lock.
async fn publish_bfd(bfd: bfd_thread::Handle, board: StatusBoard) {
    let mut due = tokio::time::interval(BFD_STATUS);
    loop {
        due.tick().await;
        let report = bfd.report();
        board.bfd.publish(report.api_sessions());
        board.bfd_thread.publish(report.health());
    }
}

/// The API on its unix socket, and the metrics over TCP where they are asked for.
fn serve_api(desired: &Desired, common: &Common, running: &Running) -> Result<(), DaemonError> {
    let context = Context {
        board: common.board.clone(),
        timeline: common.timeline.clone(),
        control: Arc::new(running.failover.clone()),
        bgp: running.bgp.clone(),
        reconciler: running.reconciler.clone(),
    };
    let api = &desired.fixed.api;
    let listener = api_server::bind(&api.socket, api.mode)
        .map_err(|error| DaemonError::Start("the API socket", error))?;
    if let Some(address) = desired.fixed.metrics {
        tokio::spawn(serve_metrics(address, context.clone()));
    }
    tokio::spawn(async move {
        if let Err(error) = api_server::serve(listener, context).await {
            error!(%error, "the API has ended");
        }
    });
    Ok(())
}

/// Metrics are not worth refusing to start for.
async fn serve_metrics(address: SocketAddr, context: Context) {
    let served = match TcpListener::bind(address).await {
        Ok(listener) => api_server::serve_metrics(listener, context).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        error!(%address, %error, "metrics are not served");
    }
}

fn end(runtime: Runtime, ended: &Result<(), DaemonError>) {
    runtime.shutdown_timeout(END);
    match ended {
        Ok(()) => info!("stopped; the data path goes on forwarding"),
        Err(error) => error!(%error, "ended"),
    }
}

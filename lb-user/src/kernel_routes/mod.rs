//! What the BGP speaker imports, in the kernel's main table.
//!
//! Purpose: the routes that the speaker has chosen are installed with all their next hops (ECMP) under a protocol
//! number of our own, stay there whatever happens to links and whoever removes them, and go when the daemon stops. It
//! also answers, for the speaker, whether there is a way to a next hop.
//!
//! Owner: a thread of default scheduling ("routes"), which alone changes routes, and one that only listens to the kernel
//! ("route-monitor"). Everybody else holds a [`KernelRoutes`], whose calls leave a note in the inbox and return.
//!
//! How: the desired routes, and the actual ones as the kernel tells them, are compared by a pure function (`plan`); what it
//! finds is done in batches. After every change of links, addresses or routes that matters the actual routes are read
//! again, so that nothing has to be remembered right.
//!
//! Start: routes of an earlier daemon stay for [`Setup::grace`], because the connections that use them do not care that a
//! daemon died; those that a neighbour announces again are kept as they are, the others are removed when the time is over.
//!
//! It must never touch a route of another protocol, resolve a next hop through a route of its own (that would flap
//! for ever), block a caller, or let one prefix that the kernel refuses keep others from being installed.

mod inbox;
mod monitor;
mod next_hops;
mod plan;
mod requests;
mod route;
mod status;
mod table;
mod worker;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::Duration;

use bgp::RouteChange;

use self::inbox::Inbox;
use self::monitor::Monitor;
use self::requests::Requests;
pub use self::status::{RouteProblem, Status};
use self::worker::Worker;

/// `rtm_protocol` of our routes: `ip route show proto 179`. Nobody else has it, neither in iproute2's `rt_protos` nor in FRR's.
pub const PROTOCOL: u8 = 179;
/// Metric of our routes. Higher than what configuration by hand (0, IPv6: 1024), the kernel (0, IPv6: 256), router
/// advertisements and DHCP clients (up to 1024) give theirs: whoever has a route to the same prefix comes first.
pub const METRIC: u32 = 2048;
/// Routes of earlier daemons stay for so long: a neighbour reconnects within a few seconds.
pub const GRACE: Duration = Duration::from_secs(30);

/// Is told the way to a tracked next hop: its metric, or that there is none. Called on the thread "routes"; must not block.
pub type NextHopSink = Box<dyn Fn(IpAddr, u32, Option<u32>) + Send>;

/// What the routes need to start.
pub struct Setup {
    pub next_hops: NextHopSink,
    pub grace: Duration,
    pub metric: u32,
}

impl Setup {
    pub fn new(next_hops: NextHopSink) -> Self {
        Self {
            next_hops,
            grace: GRACE,
            metric: METRIC,
        }
    }
}

/// The way to the thread. Cheap to clone; no call blocks. When the last one is dropped the threads end, and the routes stay.
#[derive(Clone, Debug)]
pub struct KernelRoutes(Arc<Alive>);

/// Tells the threads when the last handle goes.
#[derive(Debug)]
struct Alive(Arc<Inbox>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl KernelRoutes {
    /// What is to become of these prefixes; later changes of a prefix replace earlier ones.
    pub fn apply(&self, changes: Vec<RouteChange>) {
        self.0.0.apply(changes);
    }

    /// The sink hears of this next hop, soon and whenever the way to it changes.
    pub fn track(&self, address: IpAddr, scope: u32) {
        self.0.0.track(address, scope, true);
    }

    pub fn untrack(&self, address: IpAddr, scope: u32) {
        self.0.0.track(address, scope, false);
    }

    /// Removes every route of ours and returns when they are gone. Nothing is installed afterwards.
    pub async fn finish(&self) {
        let (done, finished) = tokio::sync::oneshot::channel();
        self.0.0.finish(done);
        let _ = finished.await;
    }

    /// What is installed, and what could not be.
    pub fn status(&self) -> Arc<Status> {
        self.0.0.status.newest()
    }
}

/// Starts the threads, in the network namespace of the caller.
pub fn spawn(setup: Setup) -> io::Result<KernelRoutes> {
    let inbox = Arc::new(Inbox::default());
    let handle = KernelRoutes(Arc::new(Alive(Arc::clone(&inbox))));
    let requests = Requests::open()?;
    let ours = Arc::new(AtomicU32::new(requests.port()));
    // It listens before the worker reads: nothing happens unseen in between.
    let monitor = Monitor::open(Arc::clone(&inbox), Arc::clone(&ours))?;
    thread::Builder::new()
        .name("route-monitor".into())
        .spawn(move || monitor.run())?;
    let worker = Worker::new(setup, requests, inbox, ours);
    thread::Builder::new()
        .name("routes".into())
        .spawn(move || worker.run())?;
    Ok(handle)
}

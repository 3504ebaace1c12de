//! Connections to monitoring stations (BMP, RFC 7854).
//!
//! Purpose: every configured station is connected to, and hears what the speaker does; one that connects late hears first
//! what there is.
//!
//! Owner: a thread of default scheduling ("bmp") with a current-thread runtime, one task for each station. The BGP driver
//! holds a [`Handle`]: it tells events, and answers requests for the state of the speaker, which reach it as commands. A
//! station asks for the next slice of the state when it has taken the one before: the dump has the station's pace.
//!
//! It must never hold up the speaker: queues are bounded, and a station that does not read loses its connection and nothing
//! else.

mod hub;
mod station;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bgp::{Monitored, Speaker};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::hub::Hub;
pub use self::hub::Request;
use self::station::Station;

/// How long stations may take to hear that it is over.
const END: Duration = Duration::from_millis(500);

/// Hands a request to the driver, which calls [`Handle::answer`] with it. Must not block.
pub type Ask = Arc<dyn Fn(Request) + Send + Sync>;

/// What the thread needs to start.
pub struct Setup {
    /// Of this node, as the stations show it.
    pub name: String,
    pub ask: Ask,
}

enum Control {
    Stations(Vec<SocketAddr>),
    Finish(oneshot::Sender<()>),
}

/// The way to the stations. No call waits for one.
#[derive(Clone)]
pub struct Handle {
    hub: Arc<Mutex<Hub>>,
    control: mpsc::UnboundedSender<Control>,
}

impl Handle {
    /// The whole set. With none the speaker need not tell anything (`Input::SetMonitoring`).
    pub fn set_stations(&self, stations: &[SocketAddr]) {
        if stations.is_empty() {
            lock(&self.hub).clear();
        }
        // Fails only when the daemon is ending.
        let _ = self.control.send(Control::Stations(stations.to_vec()));
    }

    /// What `Output::Monitor` says.
    pub fn tell(&self, event: &Monitored) {
        lock(&self.hub).tell(event);
    }

    /// Lets the station that asked have what it asked for.
    pub fn answer(&self, request: Request, speaker: &Speaker) {
        lock(&self.hub).answer(request, speaker);
    }

    /// Tells the stations that monitoring ends, and waits for them a little.
    pub async fn finish(&self) {
        let (done, finished) = oneshot::channel();
        let _ = self.control.send(Control::Finish(done));
        let _ = finished.await;
    }
}

/// The lock is held for as long as it takes to encode an event or a slice.
fn lock(hub: &Mutex<Hub>) -> MutexGuard<'_, Hub> {
    hub.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread, in the network namespace of the caller. It ends with the last handle.
pub fn spawn(setup: Setup) -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let hub = Arc::new(Mutex::new(Hub::new(setup.name)));
    let (control, commands) = mpsc::unbounded_channel();
    let handle = Handle {
        hub: Arc::clone(&hub),
        control,
    };
    thread::Builder::new().name("bmp".into()).spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, run(hub, setup.ask, commands));
    })?;
    Ok(handle)
}

async fn run(hub: Arc<Mutex<Hub>>, ask: Ask, mut commands: mpsc::UnboundedReceiver<Control>) {
    let mut tasks: BTreeMap<SocketAddr, JoinHandle<()>> = BTreeMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Control::Stations(stations) => {
                tasks.retain(|address, task| {
                    let stays = stations.contains(address);
                    if !stays {
                        task.abort();
                        lock(&hub).disconnected(*address);
                    }
                    stays
                });
                for address in stations {
                    tasks.entry(address).or_insert_with(|| {
                        let station = Station::new(address, Arc::clone(&hub), Arc::clone(&ask));
                        tokio::task::spawn_local(station.run())
                    });
                }
            }
            Control::Finish(done) => {
                let connected = lock(&hub).finish();
                let ended = async {
                    for (address, task) in &mut tasks {
                        if connected.contains(address) {
                            let _ = task.await;
                        }
                    }
                };
                let _ = tokio::time::timeout(END, ended).await;
                for task in tasks.values() {
                    task.abort();
                }
                let _ = done.send(());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;

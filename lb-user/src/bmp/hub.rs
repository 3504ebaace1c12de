//! Who is connected, what each has to be told next, and what all of them have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bgp::bmp::{Dump, Feed, Reason, termination};
use bgp::{Monitored, Speaker};
use tokio::sync::mpsc;
use tracing::warn;

/// Bytes that may wait for a station.
const QUEUE: usize = 16 << 20;

/// A station wants to hear of the state of the speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    station: SocketAddr,
    /// Of several connections, one after the other.
    connection: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    State,
    Statistics,
}

/// What is to be written.
pub(super) struct Item {
    pub(super) bytes: Arc<[u8]>,
    /// Then there is more to ask for.
    pub(super) more: bool,
}

/// The station's end of its queue.
pub(super) struct Queue {
    pub(super) items: mpsc::UnboundedReceiver<Item>,
    waiting: Arc<AtomicUsize>,
    station: SocketAddr,
    connection: u64,
}

impl Queue {
    pub(super) fn written(&self, item: &Item) {
        self.waiting.fetch_sub(item.bytes.len(), Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> Request {
        self.request(What::State)
    }

    pub(super) fn statistics(&self) -> Request {
        self.request(What::Statistics)
    }

    fn request(&self, what: What) -> Request {
        Request {
            station: self.station,
            connection: self.connection,
            what,
        }
    }
}

struct Connected {
    connection: u64,
    items: mpsc::UnboundedSender<Item>,
    waiting: Arc<AtomicUsize>,
    /// Hears of events: it has been told who is up.
    live: bool,
    dump: Option<Dump>,
}

impl Connected {
    /// Returns whether the station keeps up.
    fn push(&self, bytes: Arc<[u8]>, more: bool) -> bool {
        let length = bytes.len();
        let waiting = self.waiting.fetch_add(length, Ordering::Relaxed) + length;
        waiting <= QUEUE && self.items.send(Item { bytes, more }).is_ok()
    }
}

pub(super) struct Hub {
    name: String,
    feed: Feed,
    stations: BTreeMap<SocketAddr, Connected>,
    connections: u64,
    finished: bool,
}

impl Hub {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            feed: Feed::new(),
            stations: BTreeMap::new(),
            connections: 0,
            finished: false,
        }
    }

    /// Nobody monitors: the speaker tells no more.
    pub(super) fn clear(&mut self) {
        self.feed = Feed::new();
        self.stations.clear();
    }

    /// A station has been connected to; `None` at the end.
    pub(super) fn connected(&mut self, station: SocketAddr) -> Option<Queue> {
        if self.finished {
            return None;
        }
        self.connections += 1;
        let (sender, items) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let connected = Connected {
            connection: self.connections,
            items: sender,
            waiting: Arc::clone(&waiting),
            live: false,
            dump: None,
        };
        self.stations.insert(station, connected);
        Some(Queue {
            items,
            waiting,
            station,
            connection: self.connections,
        })
    }

    pub(super) fn disconnected(&mut self, station: SocketAddr) {
        self.stations.remove(&station);
    }

    pub(super) fn tell(&mut self, event: &Monitored) {
        let bytes: Arc<[u8]> = self.feed.encode(now(), event).into();
        if bytes.is_empty() {
            return;
        }
        self.stations.retain(|address, station| {
            let keeps_up = !station.live || station.push(Arc::clone(&bytes), false);
            if !keeps_up {
                warn!(station = %address, "the monitoring station does not keep up: its connection ends");
            }
            keeps_up
        });
    }

    pub(super) fn answer(&mut self, request: Request, speaker: &Speaker) {
        let Some(station) = self
            .stations
            .get_mut(&request.station)
            .filter(|station| station.connection == request.connection)
        else {
            return;
        };
        let (bytes, more) = match request.what {
            What::Statistics if station.live => (self.feed.statistics(now(), &speaker.peers()), false),
            What::Statistics => return,
            What::State if !station.live => {
                station.live = true;
                station.dump = Some(self.feed.dump());
                let description = concat!("Baton ", env!("CARGO_PKG_VERSION"));
                (self.feed.begin(now(), &self.name, description), true)
            }
            What::State => match station
                .dump
                .as_mut()
                .and_then(|dump| self.feed.slice(now(), dump, speaker))
            {
                Some(bytes) => (bytes, true),
                None => return,
            },
        };
        if !station.push(bytes.into(), more) {
            self.stations.remove(&request.station);
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The last word to each; returns who was connected.
    pub(super) fn finish(&mut self) -> Vec<SocketAddr> {
        self.finished = true;
        let last: Arc<[u8]> = termination(Reason::Administrative).into();
        let stations = std::mem::take(&mut self.stations);
        for station in stations.values().filter(|station| station.live) {
            station.push(Arc::clone(&last), false);
        }
        stations.into_keys().collect()
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

//! The newest state of every part of the node, as the API shows it.
//!
//! Drivers publish whole copies of typed API structs, when something changed and at least once a second;
//! the API and the metrics read the newest copy. Nobody reaches into a driver, and publishing never blocks
//! (see `handoff`), so the failover path may publish as well.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{BfdSession, BfdTiming, Counter, FlowTable, HaStatus, Neighbor, NodeStatus, Service, SyncPeer};

use crate::bfd_thread::ThreadReport;
use crate::bgp_driver::Refused;
use crate::desired::{Protocol, ServiceKey};
use crate::handoff::{Fold, Handoff};

/// Copies that may wait for a reader.
const QUEUED: usize = 8;

struct Newest<T>(Arc<T>);

impl<T> Fold for Newest<T> {
    type Item = Arc<T>;

    fn absorb(&mut self, item: Arc<T>) {
        self.0 = item;
    }
}

/// The newest copy of one thing.
pub struct Slot<T>(Handoff<Newest<T>>);

impl<T: Default> Default for Slot<T> {
    fn default() -> Self {
        Slot(Handoff::new(Newest(Arc::default()), QUEUED))
    }
}

impl<T> Slot<T> {
    /// Replaces the copy. Never blocks.
    pub fn publish(&self, value: T) {
        self.0.offer(Arc::new(value));
    }

    pub fn newest(&self) -> Arc<T> {
        self.0.read(|newest| Arc::clone(&newest.0))
    }
}

/// Counters of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounters {
    /// Flows created since the start.
    pub flows: u64,
    pub packets: u64,
    pub bytes: u64,
}

/// The BFD thread as a whole.
#[derive(Clone, Debug, Default)]
pub struct BfdThread {
    pub thread: ThreadReport,
    /// Of all sessions, and of packets that belong to none.
    pub discards: bfd::Discards,
}

/// What the configuration and operators say about a BFD session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BfdConfigured {
    /// Who needs it.
    pub users: Vec<String>,
    /// What an operator has set.
    pub overridden: Option<BfdTiming>,
    /// False: an operator has taken it down.
    pub enabled: bool,
}

/// What each driver publishes.
pub struct Board {
    started: Instant,
    /// By the reconciler.
    pub node: Slot<NodeStatus>,
    /// By the reconciler: services as configured; [`Board::services_counted`] adds the counters.
    pub services: Slot<Vec<Service>>,
    /// By the data path.
    pub service_counters: Slot<BTreeMap<ServiceKey, ServiceCounters>>,
    /// By the data path: flows, and packets by reason.
    pub flows: Slot<FlowTable>,
    pub counters: Slot<Vec<Counter>>,
    /// By the BGP driver.
    pub neighbors: Slot<Vec<Neighbor>>,
    /// By the BGP driver: connections that were closed at once.
    pub bgp_refused: Slot<Refused>,
    /// By the BFD thread.
    pub bfd: Slot<Vec<BfdSession>>,
    pub bfd_thread: Slot<BfdThread>,
    /// By the reconciler, by the name of the session; [`Board::bfd_sessions`] puts the two together.
    pub bfd_configured: Slot<BTreeMap<String, BfdConfigured>>,
    /// By the failover thread.
    pub ha: Slot<HaStatus>,
    /// By the synchronisation.
    pub sync: Slot<Vec<SyncPeer>>,
}

/// A handle; clones share the board: `board.neighbors.publish(..)`.
#[derive(Clone)]
pub struct StatusBoard(Arc<Board>);

impl Default for StatusBoard {
    fn default() -> Self {
        StatusBoard(Arc::new(Board {
            started: Instant::now(),
            node: Slot::default(),
            services: Slot::default(),
            service_counters: Slot::default(),
            flows: Slot::default(),
            counters: Slot::default(),
            neighbors: Slot::default(),
            bgp_refused: Slot::default(),
            bfd: Slot::default(),
            bfd_thread: Slot::default(),
            bfd_configured: Slot::default(),
            ha: Slot::default(),
            sync: Slot::default(),
        }))
    }
}

impl StatusBoard {
    pub fn new() -> Self {
        Self::default()
    }
}

impl Board {
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Services as configured, with the counters of the data path.
    pub fn services_counted(&self) -> Vec<Service> {
        let counters = self.service_counters.newest();
        let mut services = self.services.newest().as_ref().clone();
        for service in &mut services {
            let Some(counted) = key(service).and_then(|key| counters.get(&key)) else {
                continue;
            };
            (service.flows, service.packets, service.bytes) = (counted.flows, counted.packets, counted.bytes);
        }
        services
    }

    /// BFD sessions as they are, with who needs them and what operators have said.
    pub fn bfd_sessions(&self) -> Vec<BfdSession> {
        let configured = self.bfd_configured.newest();
        let mut sessions = self.bfd.newest().as_ref().clone();
        for session in &mut sessions {
            let Some(known) = configured.get(session.name()) else {
                continue;
            };
            session.users.clone_from(&known.users);
            (session.overridden, session.enabled) = (known.overridden, known.enabled);
        }
        sessions
    }

    /// The node as a whole: what the reconciler says, and a summary of the rest.
    pub fn node_status(&self) -> NodeStatus {
        let (neighbors, ha) = (self.neighbors.newest(), self.ha.newest());
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        NodeStatus {
            uptime_ms: u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX),
            services: count(self.services.newest().len()),
            neighbors: count(neighbors.len()),
            neighbors_established: count(
                neighbors
                    .iter()
                    .filter(|neighbor| neighbor.state == "established")
                    .count(),
            ),
            roles: ha
                .instances
                .iter()
                .map(|instance| format!("{}={}", instance.name, instance.role))
                .collect(),
            draining: ha.draining,
            ..self.node.newest().as_ref().clone()
        }
    }
}

fn key(service: &Service) -> Option<ServiceKey> {
    let vip: IpAddr = service.vip.parse().ok()?;
    let protocol = [Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .find(|protocol| protocol.to_string() == service.protocol)?;
    Some(ServiceKey {
        vip,
        port: service.port,
        protocol,
    })
}

impl std::ops::Deref for StatusBoard {
    type Target = Board;

    fn deref(&self) -> &Board {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_get_the_newest_copy() {
        let board = StatusBoard::new();
        let writer = board.clone();
        for number in 0..100 {
            writer.ha.publish(HaStatus {
                node: format!("lb{number}"),
                ..HaStatus::default()
            });
        }
        assert_eq!(board.ha.newest().node, "lb99");
        assert!(board.sync.newest().is_empty());
    }
}

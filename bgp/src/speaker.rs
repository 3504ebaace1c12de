//! The speaker: all neighbours, one timer, one queue of outputs.
//!
//! Distributes inputs to the neighbours they concern and holds what they share: the configuration, the desired
//! announcements, the roles, the source of jitter. Inputs about ids that are not known (any more) are dropped,
//! because the driver and the core may cross.
mod dynamic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use crate::config::{PeerConfig, PeerId, SpeakerConfig};
use crate::export::{Exports, Outputs};
use crate::import::{self, LocRib};
use crate::io::{Cause, ConnectionId, Gateway, Input, Output};
use crate::jitter::Jitter;
use crate::ladder::{Preference, Roles};
use crate::peer::Peer;
use crate::status::{PeerStatus, RouteQuery, RouteStatus, Table};
use crate::wire::Cease;
use dynamic::Dynamic;

/// What all neighbours have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SpeakerConfig,
    pub(crate) jitter: Jitter,
    pub(crate) exports: Exports,
    pub(crate) roles: Roles,
    pub(crate) loc_rib: LocRib,
    pub(crate) outputs: Outputs,
    /// Whether `Output::Monitor` is wanted.
    pub(crate) monitoring: bool,
    /// Whose connection is whose, so that bytes find their neighbour without a search.
    pub(crate) owners: BTreeMap<ConnectionId, PeerId>,
    next_connection: u64,
}

impl Shared {
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        self.owners.remove(&connection);
        self.outputs.push_back(Output::Close { connection });
    }

    pub(crate) fn allocate_connection(&mut self) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        id
    }
}

#[derive(Debug)]
pub struct Speaker {
    shared: Shared,
    peers: BTreeMap<PeerId, Peer>,
    dynamic: Dynamic,
    stopped: bool,
}

impl Speaker {
    pub fn new(config: SpeakerConfig) -> Self {
        let shared = Shared {
            jitter: Jitter::new(config.seed),
            loc_rib: LocRib::new(config.multipath),
            config,
            exports: Exports::default(),
            roles: Roles::new(),
            outputs: Outputs::default(),
            monitoring: false,
            owners: BTreeMap::new(),
            next_connection: 1,
        };
        Speaker {
            shared,
            peers: BTreeMap::new(),
            dynamic: Dynamic::default(),
            stopped: false,
        }
    }

    pub fn config(&self) -> &SpeakerConfig {
        &self.shared.config
    }

    /// An id for a connection that was accepted.
    pub fn allocate_connection(&mut self) -> ConnectionId {
        self.shared.allocate_connection()
    }

    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.dispatch(now, input);
        for output in self.shared.loc_rib.settle() {
            self.shared.outputs.push_back(output);
        }
    }

    fn dispatch(&mut self, now: Instant, input: Input<'_>) {
        let accepted = if let Input::Accepted { peer, .. } = &input {
            Some(*peer)
        } else {
            None
        };
        self.admit_pending(now, accepted);
        match input {
            Input::AddPeer(id, config) => self.add(now, id, *config),
            Input::RemovePeer(id) => self.remove(now, id),
            Input::Enable(id) => self.enable(now, id),
            Input::Disable { peer, communication } => {
                let notification = Cease::AdministrativeShutdown.with_communication(&communication);
                self.peer(now, peer, |peer, shared| peer.disable(now, shared, notification));
            }
            Input::SetDynamic(ranges) => self.set_dynamic(now, ranges),
            Input::BfdDown(id) => self.peer(now, id, |peer, shared| peer.bfd_down(now, shared)),
            Input::BfdHeld(id) => self.peer(now, id, |peer, _| peer.bfd_held()),
            Input::BfdUp(id) => self.peer(now, id, |peer, shared| peer.bfd_up(now, shared)),
            Input::BfdForgotten(id) => self.peer(now, id, |peer, shared| peer.bfd_forgotten(now, shared)),
            Input::SetAnnouncements(announcements) => {
                let own = announcements.iter().map(|announcement| announcement.prefix);
                self.shared.loc_rib.set_own(own);
                self.shared.exports.set(&announcements);
                self.announce(now, Cause::Announcements);
            }
            Input::SetRole { instance, preference } => self.set_role(now, instance, preference),
            Input::SetLadders(ladders) => {
                self.shared.config.ladders = ladders;
                self.announce(now, Cause::Configuration);
            }
            Input::NextHop {
                address,
                scope,
                metric,
            } => self.shared.loc_rib.next_hop(&Gateway { address, scope }, metric),
            Input::Refresh {
                peer,
                direction,
                families,
            } => {
                self.peer(now, peer, |peer, shared| {
                    peer.refresh_asked(now, shared, direction, families)
                });
            }
            Input::SetMonitoring(on) => self.set_monitoring(on),
            Input::Shutdown { communication } => self.shutdown(now, &communication),
            Input::Timeout => self.each(now, |peer, shared| peer.timeout(now, shared)),
            Input::Keepalives => self.each(now, |peer, shared| peer.keepalives(now, shared)),
            Input::Connected { .. }
            | Input::ConnectFailed { .. }
            | Input::Accepted { .. }
            | Input::Received { .. }
            | Input::Closed { .. }
            | Input::Backlog { .. } => self.transport(now, input),
        }
    }

    /// What the sockets say.
    fn transport(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { connection, local } => {
                self.owner(now, connection, |peer, shared| {
                    peer.connected(now, shared, connection, local)
                });
            }
            Input::ConnectFailed { connection, reason } => {
                self.owner(now, connection, |peer, shared| {
                    shared.owners.remove(&connection);
                    peer.connect_failed(now, shared, connection, reason);
                });
            }
            Input::Accepted {
                connection,
                peer,
                local,
            } => self.accepted(now, connection, peer, local),
            Input::Received { connection, bytes } => {
                self.owner(now, connection, |peer, shared| {
                    peer.received(now, shared, connection, bytes)
                });
            }
            Input::Closed { connection } => {
                self.owner(now, connection, |peer, shared| {
                    shared.owners.remove(&connection);
                    peer.closed(now, shared, connection);
                });
            }
            Input::Backlog { connection, waiting } => {
                self.owner(now, connection, |peer, shared| {
                    peer.backlog(now, shared, connection, waiting)
                });
            }
            Input::AddPeer(..)
            | Input::RemovePeer(_)
            | Input::Enable(_)
            | Input::Disable { .. }
            | Input::SetDynamic(_)
            | Input::SetLadders(_)
            | Input::Refresh { .. }
            | Input::BfdDown(_)
            | Input::BfdUp(_)
            | Input::BfdHeld(_)
            | Input::BfdForgotten(_)
            | Input::NextHop { .. }
            | Input::SetAnnouncements(_)
            | Input::SetRole { .. }
            | Input::SetMonitoring(_)
            | Input::Shutdown { .. }
            | Input::Timeout
            | Input::Keepalives => {}
        }
    }

    fn set_monitoring(&mut self, on: bool) {
        let before = std::mem::replace(&mut self.shared.monitoring, on);
        if on && !before {
            for peer in self.peers.values() {
                peer.monitor_up(&mut self.shared);
            }
        }
    }

    fn shutdown(&mut self, now: Instant, communication: &str) {
        self.stopped = true;
        // First, or every neighbour that goes would be weighed against those that go next.
        self.shared.loc_rib.close();
        let notification = Cease::AdministrativeShutdown.with_communication(communication);
        self.each(now, |peer, shared| {
            peer.disable(now, shared, notification.clone())
        });
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.peers.values().filter_map(Peer::deadline).min()
    }

    pub fn peers(&self) -> Vec<PeerStatus> {
        self.peers.values().map(Peer::status).collect()
    }

    /// All that the neighbour is told. For a long table, [`Speaker::routes`] has it in parts.
    pub fn adj_rib_out(&self, peer: PeerId) -> Vec<RouteStatus> {
        self.routes(&RouteQuery {
            table: Table::Advertised,
            peer: Some(peer),
            family: None,
            within: None,
            after: None,
            limit: usize::MAX,
        })
    }

    /// Routes of one of the tables, bounded, so that the answer can be fetched in parts.
    pub fn routes(&self, query: &RouteQuery) -> Vec<RouteStatus> {
        import::query::routes(&self.peers, &self.shared.loc_rib, query)
    }

    fn add(&mut self, now: Instant, id: PeerId, config: PeerConfig) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.reconfigure(now, &mut self.shared, config);
            peer.settle(now, &mut self.shared);
            return;
        }
        self.named(now, &config);
        self.peers.insert(id, Peer::new(now, id, config));
        self.enable(now, id);
    }

    fn enable(&mut self, now: Instant, id: PeerId) {
        if !self.stopped {
            self.peer(now, id, |peer, shared| peer.enable(now, shared));
        }
    }

    fn accepted(&mut self, now: Instant, connection: ConnectionId, id: PeerId, local: SocketAddr) {
        let known = self.shared.owners.contains_key(&connection);
        if known || !self.peers.contains_key(&id) {
            self.shared.close(connection);
        } else {
            self.peer(now, id, |peer, shared| {
                peer.accepted(now, shared, connection, local)
            });
        }
    }

    fn set_role(&mut self, now: Instant, instance: u32, preference: Preference) {
        if self.shared.roles.insert(instance, preference) != Some(preference) {
            self.announce(now, Cause::Role { instance, preference });
        }
    }

    fn announce(&mut self, now: Instant, cause: Cause) {
        self.each(now, |peer, shared| peer.announce(now, shared, cause));
    }

    fn peer(&mut self, now: Instant, id: PeerId, act: impl FnOnce(&mut Peer, &mut Shared)) {
        if let Some(peer) = self.peers.get_mut(&id) {
            act(peer, &mut self.shared);
            peer.settle(now, &mut self.shared);
            self.forget_gone(id);
        }
    }

    fn owner(&mut self, now: Instant, connection: ConnectionId, act: impl FnOnce(&mut Peer, &mut Shared)) {
        if let Some(id) = self.shared.owners.get(&connection).copied() {
            self.peer(now, id, act);
        }
    }

    fn each(&mut self, now: Instant, mut act: impl FnMut(&mut Peer, &mut Shared)) {
        for peer in self.peers.values_mut() {
            act(peer, &mut self.shared);
            peer.settle(now, &mut self.shared);
        }
        self.forget_all_gone();
    }
}

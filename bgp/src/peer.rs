//! A neighbour: up to two connections, the retry timer, what BFD says of it, and what it has been told.
//!
//! Every connection runs its own `session` state machine; this module decides which may exist. A connection that
//! fails takes only itself down: the neighbour is down when the established one fails. Called by `speaker` only.
use std::net::SocketAddr;
use std::time::Instant;

use crate::collision::{Initiator, Phase};
use crate::config::{PeerConfig, PeerId, RemoteAs};
use crate::connection::Connection;
use crate::export::AdjRibOut;
use crate::import::adj_rib_in::AdjRibIn;
use crate::io::{Cause, ConnectionId, Event, Output};
use crate::session::{self, Action, Failure, State};
use crate::speaker::Shared;
use crate::status::{BfdState, Counters, PeerState};
use crate::wire::{Cease, Decoded, Effect, Encoding, Message};

mod ending;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) config: PeerConfig,
    pub(crate) enabled: bool,
    pub(crate) connections: Vec<Connection>,
    /// Next attempt to connect; while held back by BFD, also the end of that.
    retry: Option<Instant>,
    /// BFD took the session down: nothing is connected nor accepted until it is up, or the retry timer is due.
    held: bool,
    pub(crate) bfd: BfdState,
    pub(crate) rib: AdjRibOut,
    pub(crate) adj_rib_in: AdjRibIn,
    pub(crate) counters: Counters,
    pub(crate) last_error: Option<String>,
    pub(crate) state: PeerState,
    pub(crate) since: Instant,
}

impl Peer {
    pub(crate) fn new(now: Instant, id: PeerId, config: PeerConfig) -> Self {
        Peer {
            id,
            config,
            enabled: false,
            connections: Vec::new(),
            retry: None,
            held: false,
            bfd: BfdState::Unknown,
            rib: AdjRibOut::default(),
            adj_rib_in: AdjRibIn::default(),
            counters: Counters::default(),
            last_error: None,
            state: PeerState::Idle,
            since: now,
        }
    }

    /// The AS of the neighbour: known when it is configured, or from its OPEN.
    pub(crate) fn remote_as(&self) -> Option<u32> {
        let open = self.established().and_then(|connection| connection.state.link());
        match (&self.config.remote_as, open) {
            (RemoteAs::Is(asn), _) => Some(*asn),
            (RemoteAs::External | RemoteAs::Internal | RemoteAs::OneOf(_), link) => {
                link.map(|link| link.negotiated.asn)
            }
        }
    }

    pub(crate) fn internal(&self, shared: &Shared) -> bool {
        self.remote_as() == Some(shared.config.local_as)
    }

    pub(crate) fn owns(&self, connection: ConnectionId) -> bool {
        self.connections
            .iter()
            .any(|candidate| candidate.id == connection)
    }

    pub(crate) fn established(&self) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|connection| matches!(connection.state, State::Established(_)))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let connections = self
            .connections
            .iter()
            .filter_map(|connection| connection.state.deadline());
        connections.chain(self.retry).min()
    }

    pub(crate) fn enable(&mut self, now: Instant, shared: &mut Shared) {
        if !self.enabled {
            self.enabled = true;
            self.connect(now, shared);
        }
    }

    pub(crate) fn disable(&mut self, shared: &mut Shared, cease: Cease) {
        self.enabled = false;
        self.held = false;
        self.retry = None;
        self.close_all(shared, &Failure::notify(cease.into()));
    }

    /// A change that needs a new OPEN restarts the session; another one is only told.
    pub(crate) fn reconfigure(&mut self, now: Instant, shared: &mut Shared, config: PeerConfig) {
        let old = std::mem::replace(&mut self.config, config);
        if old.address != self.config.address {
            // What was said about another address.
            self.bfd = BfdState::Unknown;
            self.held = false;
        }
        let comparable = PeerConfig {
            next_hops: self.config.next_hops,
            ladder: self.config.ladder.clone(),
            import: self.config.import.clone(),
            export: self.config.export.clone(),
            graceful_shutdown: self.config.graceful_shutdown,
            description: self.config.description.clone(),
            connect_retry: self.config.connect_retry,
            ..old
        };
        if comparable == self.config {
            self.reimport(shared);
            self.announce(now, shared, Cause::Announcements);
        } else {
            self.close_all(shared, &Failure::notify(Cease::OtherConfigurationChange.into()));
            self.retry = None;
            self.connect(now, shared);
        }
    }

    fn connect(&mut self, now: Instant, shared: &mut Shared) {
        let busy = self.connections.iter().any(Connection::holds_back_connect);
        if !self.enabled || self.held || self.config.passive || busy {
            return;
        }
        let connection = shared.allocate_connection();
        self.connections
            .push(Connection::new(connection, Initiator::Local, None));
        self.counters.connects += 1;
        // RFC 4271 section 8.2.2: in Connect the retry timer bounds the attempt.
        self.arm_retry(now, shared);
        let remote = self.config.remote();
        let transport = self.config.transport.clone();
        shared.outputs.push_back(Output::Connect {
            peer: self.id,
            connection,
            transport,
            remote,
        });
    }

    fn arm_retry(&mut self, now: Instant, shared: &mut Shared) {
        self.retry = Some(now + shared.jitter.apply(self.config.connect_retry));
    }

    /// The way back from whatever has ended.
    fn ensure_retry(&mut self, now: Instant, shared: &mut Shared) {
        let busy = self.connections.iter().any(Connection::holds_back_connect);
        let needed = self.enabled && (self.held || !self.config.passive && !busy);
        if needed && self.retry.is_none() {
            self.arm_retry(now, shared);
        }
    }

    pub(crate) fn connected(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        connection: ConnectionId,
        local: SocketAddr,
    ) {
        let Some(mut connection) = self.take(connection) else {
            return;
        };
        connection.local = Some(local);
        self.retry = None;
        self.advance(now, shared, connection, session::Event::TransportUp);
    }

    pub(crate) fn connect_failed(&mut self, shared: &mut Shared, id: ConnectionId, reason: String) {
        let Some(connection) = self.take(id) else { return };
        if connection.state == State::Connect {
            self.last_error = Some(reason.clone());
            self.event(shared, Event::ConnectFailed { reason });
        } else {
            self.ended(shared, connection.phase(), &reason);
        }
    }

    pub(crate) fn accepted(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        id: ConnectionId,
        local: SocketAddr,
    ) {
        self.counters.accepts += 1;
        if !self.enabled || self.held {
            shared.outputs.push_back(Output::Close { connection: id });
            return;
        }
        if let Some(established) = self.established().map(|connection| connection.id) {
            // The neighbour may have restarted: then its stack answers this with a reset, and the next attempt
            // finds the way free. RFC 4271 section 6.8 has the new connection closed.
            self.send(shared, established, &Message::Keepalive, true);
            self.counters.collisions += 1;
            shared.outputs.push_back(Output::Close { connection: id });
            self.event(shared, Event::Collision { closed: id });
            return;
        }
        // A second one from the same side: the neighbour has given up the first.
        let stale = self
            .connections
            .iter()
            .find(|connection| connection.initiator == Initiator::Remote);
        if let Some(stale) = stale
            .map(|connection| connection.id)
            .and_then(|stale| self.take(stale))
        {
            self.close_collided(shared, &stale);
        }
        let connection = Connection::new(id, Initiator::Remote, Some(local));
        self.advance(now, shared, connection, session::Event::TransportUp);
    }

    pub(crate) fn received(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
            return;
        };
        self.counters.bytes_in += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        connection.framer.push(bytes);
        let external = !self.internal(shared);
        while let Some(mut connection) = self.take(id) {
            let event = match connection.next_message(external) {
                None => {
                    self.connections.push(connection);
                    return;
                }
                Some(Ok(message)) => {
                    self.count_in(&message);
                    session::Event::Message(message)
                }
                Some(Err(error)) => session::Event::Malformed(error),
            };
            self.advance(now, shared, connection, event);
        }
    }

    pub(crate) fn closed(&mut self, shared: &mut Shared, id: ConnectionId) {
        if let Some(connection) = self.take(id) {
            // The transport is gone: nothing to send, nothing to close.
            self.ended(shared, connection.phase(), "connection closed by the neighbour");
        }
    }

    /// RFC 9384: ends the session at once. A neighbour whose BFD was never up is not judged by it.
    pub(crate) fn bfd_down(&mut self, shared: &mut Shared) {
        let was_up = self.bfd == BfdState::Up;
        self.bfd = BfdState::Down;
        if was_up && self.enabled {
            self.held = true;
            self.retry = None;
            self.close_all(shared, &Failure::notify(Cease::BfdDown.into()));
        }
    }

    pub(crate) fn bfd_up(&mut self, now: Instant, shared: &mut Shared) {
        self.bfd = BfdState::Up;
        self.held = false;
        if self
            .connections
            .iter()
            .all(|connection| connection.state == State::Connect)
        {
            self.retry_now(now, shared);
        }
    }

    /// Gives up the attempt under way, if any, and makes another.
    fn retry_now(&mut self, now: Instant, shared: &mut Shared) {
        self.retry = None;
        let pending = self
            .connections
            .iter()
            .find(|connection| connection.state == State::Connect);
        if let Some(pending) = pending
            .map(|connection| connection.id)
            .and_then(|id| self.take(id))
        {
            shared.outputs.push_back(Output::Close {
                connection: pending.id,
            });
        }
        self.connect(now, shared);
    }

    pub(crate) fn timeout(&mut self, now: Instant, shared: &mut Shared) {
        let due: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|connection| {
                connection
                    .state
                    .deadline()
                    .is_some_and(|deadline| deadline <= now)
            })
            .map(|connection| connection.id)
            .collect();
        for id in due {
            if let Some(connection) = self.take(id) {
                self.advance(now, shared, connection, session::Event::Timer);
            }
        }
        if self.retry.is_some_and(|retry| retry <= now) {
            self.held = false;
            if self
                .connections
                .iter()
                .any(|connection| connection.state == State::Connect)
            {
                self.last_error = Some("connect timed out".to_owned());
            }
            self.retry_now(now, shared);
        }
    }

    fn take(&mut self, id: ConnectionId) -> Option<Connection> {
        let index = self
            .connections
            .iter()
            .position(|connection| connection.id == id)?;
        Some(self.connections.remove(index))
    }

    /// Runs one event through the state machine of `connection`, which the caller has taken out.
    fn advance(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        mut connection: Connection,
        event: session::Event,
    ) {
        let mut actions = Vec::new();
        let before = connection.phase();
        let state = std::mem::replace(&mut connection.state, State::Connect);
        let transport_up = state != State::Connect || event == session::Event::TransportUp;
        let mut local = session::Local {
            speaker: &shared.config,
            peer: &self.config,
            jitter: &mut shared.jitter,
        };
        match state.step(now, event, &mut local, &mut actions) {
            Ok(state) => connection.state = state,
            Err(failure) => return self.fail(shared, &connection, &failure, transport_up, before),
        }
        if before == Phase::Opening
            && connection.phase() == Phase::Confirmed
            && !self.survives(shared, &connection)
        {
            self.close_collided(shared, &connection);
            return;
        }
        let id = connection.id;
        let up = before != Phase::Established && connection.phase() == Phase::Established;
        self.connections.push(connection);
        for action in actions {
            self.act(now, shared, id, action);
        }
        if up {
            self.came_up(now, shared, id);
        }
    }

    fn came_up(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId) {
        while let Some(other) = self
            .connections
            .iter()
            .find(|other| other.id != id)
            .map(|other| other.id)
        {
            let Some(other) = self.take(other) else { break };
            if other.state == State::Connect {
                shared.outputs.push_back(Output::Close { connection: other.id });
            } else {
                self.close_collided(shared, &other);
            }
        }
        self.retry = None;
        self.counters.established += 1;
        let link = self.established().and_then(|connection| connection.state.link());
        let Some(negotiated) = link.map(|link| &link.negotiated) else {
            return;
        };
        let (remote_as, router_id, hold_time) = (negotiated.asn, negotiated.identifier, negotiated.hold);
        shared.outputs.push_back(Output::PeerUp {
            peer: self.id,
            connection: id,
            remote_as,
            router_id,
            hold_time,
        });
        self.import_begins(shared);
        self.announce(now, shared, Cause::SessionUp);
    }

    fn act(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId, action: Action) {
        match action {
            Action::Send(message) => self.send(shared, id, &message, true),
            Action::Routes(decoded) => self.routes(shared, &decoded),
            Action::Refresh(family) => self.announce(now, shared, Cause::RouteRefresh { family }),
        }
    }

    fn routes(&mut self, shared: &mut Shared, decoded: &Decoded) {
        let limit = self.config.max_prefixes.limit;
        let updated = self.adj_rib_in.update(decoded, limit);
        self.imported(shared, &updated.changed);
        let Some(effect) = decoded.effect() else { return };
        if effect == Effect::AttributeDiscard {
            self.counters.attributes_discarded += 1;
        } else {
            self.counters.treated_as_withdraw += 1;
        }
        let worst = decoded.faults.iter().find(|fault| fault.effect == effect);
        let detail = worst.map(|fault| fault.error.to_string()).unwrap_or_default();
        self.event(
            shared,
            Event::UpdateError {
                effect: effect.name(),
                detail,
            },
        );
    }

    fn count_in(&mut self, message: &Message) {
        self.counters.messages_in += 1;
        match message {
            Message::Update(_) => self.counters.updates_in += 1,
            Message::Notification(_) => self.counters.notifications_in += 1,
            Message::RouteRefresh(_) => self.counters.refreshes_in += 1,
            Message::Open(_) | Message::Keepalive => {}
        }
    }

    pub(crate) fn send_bytes(&mut self, shared: &mut Shared, connection: ConnectionId, bytes: Vec<u8>) {
        self.counters.bytes_out += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        shared.outputs.push_back(Output::Send { connection, bytes });
    }

    fn send(&mut self, shared: &mut Shared, connection: ConnectionId, message: &Message, four_octet: bool) {
        // Everything sent this way is small; what cannot be said is left unsaid.
        let encoding = Encoding {
            four_octet,
            ..Encoding::default()
        };
        if let Ok(bytes) = message.encode(encoding) {
            self.counters.messages_out += 1;
            self.send_bytes(shared, connection, bytes);
        }
    }

    pub(crate) fn event(&self, shared: &mut Shared, event: Event) {
        shared.outputs.push_back(Output::Event { peer: self.id, event });
    }

    /// After every input: makes sure of the retry timer, and notes when the state of the neighbour changes.
    pub(crate) fn settle(&mut self, now: Instant, shared: &mut Shared) {
        self.ensure_retry(now, shared);
        let best = self.connections.iter().map(Connection::peer_state).max();
        let state = match best {
            _ if !self.enabled => PeerState::Idle,
            Some(state) => state,
            None => PeerState::Active,
        };
        if state != self.state {
            self.state = state;
            self.since = now;
        }
    }

    pub(crate) fn is_at(&self, remote: SocketAddr) -> bool {
        let scope = match remote {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(remote) => remote.scope_id(),
        };
        self.config.address.to_canonical() == remote.ip().to_canonical()
            && (self.config.scope == 0 || self.config.scope == scope)
    }
}

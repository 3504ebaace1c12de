//! A neighbour: up to two connections, the retry timer, what BFD says of it, and what it has been told.
//!
//! Every connection runs its own `session` state machine; this module decides which may exist. A connection that
//! fails takes only itself down: the neighbour is down when the established one fails. Called by `speaker` only.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::collision::{Initiator, Phase};
use crate::config::{PeerConfig, PeerId, RemoteAs};
use crate::connection::Connection;
use crate::export::AdjRibOut;
use crate::import::adj_rib_in::AdjRibIn;
use crate::io::{Cause, ConnectionId, Event, Output};
use crate::session::{self, Action, Failure, Negotiated, State};
use crate::speaker::Shared;
use crate::status::{BfdState, Counters, PeerState};
use crate::wire::{Encoding, Message, Notification, Update};

mod bfd;
mod ending;
mod graceful;
mod limits;
mod memory;
mod monitor;
mod reading;
mod refresh;
mod retry;
mod settings;

use graceful::Graceful;
use limits::Warned;
use refresh::Refreshes;
use retry::Retry;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) config: PeerConfig,
    pub(crate) enabled: bool,
    /// Admitted by `SetDynamic`.
    pub(crate) dynamic: bool,
    pub(crate) connections: Vec<Connection>,
    retry: Retry,
    /// BFD took the session down: nothing is connected nor accepted until it is up, or the retry timer is due.
    held: bool,
    /// Left alone until then: it exceeded its maximum of prefixes, or of what is remembered of it.
    pub(crate) idle_hold: Option<Instant>,
    /// Disabled for that, without an end.
    overflowed: bool,
    pub(crate) bfd: BfdState,
    pub(crate) rib: AdjRibOut,
    pub(crate) adj_rib_in: AdjRibIn,
    graceful: Graceful,
    refreshes: Refreshes,
    warned: Warned,
    pub(crate) counters: Counters,
    pub(crate) last_error: Option<String>,
    /// `last_error` has the words of a NOTIFICATION, and no session was up since.
    explained: bool,
    pub(crate) state: PeerState,
    pub(crate) since: Instant,
}

impl Peer {
    pub(crate) fn new(now: Instant, id: PeerId, config: PeerConfig) -> Self {
        Peer {
            id,
            config,
            enabled: false,
            dynamic: false,
            connections: Vec::new(),
            retry: Retry::default(),
            held: false,
            idle_hold: None,
            overflowed: false,
            bfd: BfdState::Unknown,
            rib: AdjRibOut::default(),
            adj_rib_in: AdjRibIn::default(),
            graceful: Graceful::default(),
            refreshes: Refreshes::default(),
            warned: Warned::default(),
            counters: Counters::default(),
            last_error: None,
            explained: false,
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

    pub(crate) fn established(&self) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|connection| matches!(connection.state, State::Established(_)))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let connections = self.connections.iter().filter_map(Connection::deadline);
        let routes = [self.graceful.deadline(), self.refreshes.deadline()];
        connections
            .chain(self.retry.at)
            .chain(self.idle_hold)
            .chain(routes.into_iter().flatten())
            .min()
    }

    /// ManualStart, or the end of the idle hold before its time.
    pub(crate) fn enable(&mut self, now: Instant, shared: &mut Shared) {
        self.overflowed = false;
        let idle = self.idle_hold.take().is_some();
        if !std::mem::replace(&mut self.enabled, true) || idle {
            self.retry.forgive();
            self.connect(now, shared);
        }
    }

    /// ManualStop.
    pub(crate) fn disable(&mut self, now: Instant, shared: &mut Shared, notification: Notification) {
        self.enabled = false;
        self.held = false;
        self.overflowed = false;
        self.idle_hold = None;
        self.retry = Retry::default();
        self.close_all(now, shared, &Failure::notify(notification));
        self.drop_stale(shared);
    }

    /// Nothing of it is left that would have to be remembered.
    pub(crate) fn is_gone(&self) -> bool {
        self.connections.is_empty() && self.enabled && self.idle_hold.is_none() && self.graceful.is_idle()
    }

    /// The established connection, and what was agreed on.
    fn session(&self) -> Option<(ConnectionId, Arc<Negotiated>)> {
        let found = |connection: &Connection| Some((connection.id, connection.agreed()?));
        self.connections.iter().find_map(found)
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
        self.retry.at = None;
        self.advance(now, shared, connection, session::Event::TransportUp);
    }

    pub(crate) fn connect_failed(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        id: ConnectionId,
        reason: String,
    ) {
        let Some(connection) = self.take(id) else { return };
        if connection.state == State::Connect {
            self.unexplained(&reason);
            self.event(shared, Event::ConnectFailed { reason });
        } else {
            self.ended(now, shared, &Failure::silent(reason), connection.agreed());
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
        if !self.enabled || self.is_held() || self.idle_hold.is_some() {
            // Without a word: after a NOTIFICATION many a neighbour waits for minutes before it tries again.
            shared.close(id);
            return;
        }
        if let Some((established, negotiated)) = self.session() {
            // The neighbour may have restarted: then its stack answers this with a reset, and the next attempt
            // finds the way free. RFC 4271 section 6.8 has the new connection closed, unless its OPEN may say that
            // the neighbour has restarted (RFC 4724 section 4.2).
            self.send(shared, established, &Message::Keepalive);
            if !self.may_be_restart(now, &negotiated) {
                self.counters.collisions += 1;
                shared.close(id);
                self.event(shared, Event::Collision { closed: id });
                return;
            }
        }
        // A second one from the same side: the neighbour has given up the first.
        let stale = self.connections.iter().find(|connection| {
            connection.initiator == Initiator::Remote && connection.phase() != Phase::Established
        });
        if let Some(stale) = stale
            .map(|connection| connection.id)
            .and_then(|stale| self.take(stale))
        {
            self.close_collided(shared, &stale);
        }
        shared.owners.insert(id, self.id);
        let connection = Connection::new(id, Initiator::Remote, Some(local));
        self.advance(now, shared, connection, session::Event::TransportUp);
    }

    pub(crate) fn closed(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId) {
        if let Some(connection) = self.take(id) {
            // The transport is gone: nothing to send, nothing to close.
            let failure = Failure::silent("connection closed by the neighbour");
            self.ended(now, shared, &failure, connection.agreed());
        }
    }

    /// The socket takes no more, or takes some again (RFC 9687 section 4).
    pub(crate) fn backlog(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId, waiting: usize) {
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) {
            connection.backlog(now, waiting);
            self.answer_refreshes(now, shared, id);
        }
    }

    pub(crate) fn timeout(&mut self, now: Instant, shared: &mut Shared) {
        let due: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|connection| connection.deadline().is_some_and(|deadline| deadline <= now))
            .map(|connection| connection.id)
            .collect();
        for id in due {
            let Some(connection) = self.take(id) else { continue };
            if connection.send_hold.is_some_and(|deadline| deadline <= now) {
                self.send_hold_expired(now, shared, &connection);
            } else {
                self.advance(now, shared, connection, session::Event::Timer);
            }
        }
        if self.idle_hold.is_some_and(|until| until <= now) {
            self.idle_hold = None;
            self.connect(now, shared);
        }
        self.graceful_due(now, shared);
        self.refreshes_due(now, shared);
        self.retry_due(now, shared);
    }

    /// Those that are due, whatever else is.
    pub(crate) fn keepalives(&mut self, now: Instant, shared: &mut Shared) {
        let mut due = Vec::new();
        for connection in &mut self.connections {
            if let State::OpenConfirm(link) | State::Established(link) = &mut connection.state
                && link.keepalive_due(now)
            {
                link.arm_keepalive(now, &mut shared.jitter);
                due.push(connection.id);
            }
        }
        for id in due {
            self.send(shared, id, &Message::Keepalive);
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
        let agreed = connection.agreed();
        let restarted = self.restarted(shared);
        let state = std::mem::replace(&mut connection.state, State::Connect);
        let transport_up = state != State::Connect || event == session::Event::TransportUp;
        let mut local = session::Local {
            speaker: &shared.config,
            peer: &self.config,
            jitter: &mut shared.jitter,
            bfd_up: self.bfd == BfdState::Up,
            restarted,
        };
        match state.step(now, event, &mut local, &mut actions) {
            Ok(state) => connection.state = state,
            Err(failure) => return self.fail(now, shared, connection.id, &failure, transport_up, agreed),
        }
        if before == Phase::Opening
            && connection.phase() == Phase::Confirmed
            && !self.survives(now, shared, &connection)
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
                shared.close(other.id);
            } else {
                self.close_collided(shared, &other);
            }
        }
        self.retry.at = None;
        self.explained = false;
        self.counters.established += 1;
        let Some((_, negotiated)) = self.session() else {
            return;
        };
        shared.outputs.push_back(Output::PeerUp {
            peer: self.id,
            connection: id,
            remote_as: negotiated.asn,
            router_id: negotiated.identifier,
            hold_time: negotiated.hold,
        });
        self.monitor_up(shared);
        self.back(now, shared, &negotiated);
        self.import_begins(shared);
        self.announce(now, shared, Cause::SessionUp);
        // RFC 4724 section 2: also for neighbours that only want to know when all has been told.
        for family in negotiated.families.iter() {
            let message = Message::Update(Update::end_of_rib(family).into());
            self.counters.updates_out += 1;
            self.send(shared, id, &message);
        }
    }

    fn act(&mut self, now: Instant, shared: &mut Shared, id: ConnectionId, action: Action) {
        match action {
            Action::Send(message) => self.send(shared, id, &message),
            Action::Routes(decoded) => self.routes(now, shared, &decoded),
            Action::Refresh(family) => self.refresh_wanted(id, family),
            Action::RefreshBegins(family) => self.refresh_begins(now, family),
            Action::RefreshEnds(family) => self.refresh_ends(shared, family),
        }
    }

    fn send(&mut self, shared: &mut Shared, connection: ConnectionId, message: &Message) {
        // Everything sent this way is small and the same in every encoding; what cannot be said is left unsaid.
        let Ok(bytes) = message.encode(Encoding::default()) else {
            return;
        };
        self.counters.messages_out += 1;
        self.counters.bytes_out += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match message {
            Message::Open(_) => {
                let sender = self.connections.iter_mut().find(|sender| sender.id == connection);
                if let Some(sender) = sender {
                    sender.open_sent.clone_from(&bytes);
                }
            }
            Message::Update(_) => self.monitor_sent(shared, &bytes),
            Message::Notification(_) | Message::Keepalive | Message::RouteRefresh(_) => {}
        }
        shared.outputs.push_back(Output::Send { connection, bytes });
    }

    pub(crate) fn event(&self, shared: &mut Shared, event: Event) {
        shared.outputs.push_back(Output::Event { peer: self.id, event });
    }

    /// After every input: makes sure of the retry timer, and notes when the state of the neighbour changes.
    pub(crate) fn settle(&mut self, now: Instant, shared: &mut Shared) {
        self.ensure_retry(now, shared);
        let best = self.connections.iter().map(Connection::peer_state).max();
        let state = match best {
            _ if !self.enabled || self.idle_hold.is_some() => PeerState::Idle,
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

//! Every session of the node: demultiplexing, deadlines, commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use crate::random::Random;
use crate::session::{Context, Session};
use crate::transition::Event;
use crate::{ConfigError, Discard, Discards, Input, Output, Packet, SessionConfig, SessionId, Status};

/// RFC 5881 section 5: a packet that crossed a router arrives with less.
const TTL: u8 = 255;
const MAXIMUM_SESSIONS: usize = 1024;

/// Every BFD session of the node.
#[derive(Debug)]
pub struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    by_source: BTreeMap<(IpAddr, Option<u32>), SessionId>,
    deadlines: BTreeSet<(Instant, SessionId)>,
    outputs: VecDeque<Output>,
    discards: Discards,
    random: Random,
}

impl Sessions {
    /// The seed decides discriminators and jitter. Give every start of a daemon another one.
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: BTreeMap::new(),
            by_source: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::with_capacity(64),
            discards: Discards::default(),
            random: Random::new(seed),
        }
    }

    /// Starts a session. An active one sends its first packet at the next `Input::Timeout`.
    pub fn add(&mut self, now: Instant, config: SessionConfig) -> Result<SessionId, ConfigError> {
        config.validate()?;
        let source = (config.remote, config.interface);
        if self.by_source.contains_key(&source) {
            return Err(ConfigError::Duplicate(config.remote));
        }
        if self.sessions.len() >= MAXIMUM_SESSIONS {
            return Err(ConfigError::TooMany(MAXIMUM_SESSIONS));
        }
        let id = self.unused_discriminator();
        let mut context = Context {
            now,
            outputs: &mut self.outputs,
            random: &mut self.random,
        };
        let session = Session::new(id, config, &mut context);
        self.sessions.insert(id, session);
        self.by_source.insert(source, id);
        self.rearm(id);
        Ok(id)
    }

    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Update(id, timing) => {
                if timing.validate().is_ok() {
                    self.with(now, id, |session, context| session.update(timing, context));
                }
            }
            Input::Remove(id) => self.remove(now, id),
            Input::AdminDown(id) => {
                self.with(now, id, |session, context| {
                    session.apply(Event::AdminDown, context)
                });
            }
            Input::AdminUp(id) => {
                self.with(now, id, |session, context| session.apply(Event::AdminUp, context));
            }
            Input::LinkDown { interface } => self.link_down(now, interface),
            Input::Packet {
                source,
                destination: _,
                interface,
                ttl,
                payload,
            } => {
                if let Err(reason) = self.receive(now, source, interface, ttl, payload) {
                    self.discards.count(reason);
                }
            }
            Input::Timeout => self.timeout(now),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `Input::Timeout` is due; `None` without sessions, or while all are silent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A copy of the state of every session, in the order of their identifiers.
    pub fn sessions(&self) -> impl Iterator<Item = Status> + '_ {
        self.sessions.values().map(Session::status)
    }

    pub fn session(&self, id: SessionId) -> Option<Status> {
        self.sessions.get(&id).map(Session::status)
    }

    /// Packets discarded by the whole node, by reason.
    pub fn discards(&self) -> &Discards {
        &self.discards
    }

    /// RFC 5880 section 6.8.6 and RFC 5881 sections 3 and 5.
    fn receive(
        &mut self,
        now: Instant,
        source: IpAddr,
        interface: u32,
        ttl: u8,
        payload: &[u8],
    ) -> Result<(), Discard> {
        if ttl != TTL {
            return Err(Discard::Ttl);
        }
        let decoded = Packet::decode(payload);
        if decoded == Err(Discard::Authentication) {
            // Told to the session as well: the operator looks there for a mismatch.
            if let Some(session) = self
                .by_source(source, interface)
                .and_then(|id| self.sessions.get_mut(&id))
            {
                session.discard(Discard::Authentication);
            }
        }
        let packet = decoded?;
        let id = self.demultiplex(&packet, source, interface)?;
        let mut accepted = Ok(());
        self.with(now, id, |session, context| {
            accepted = session.receive(&packet, interface, context)
        });
        accepted
    }

    /// Once the peer knows us only the discriminator counts; before, source and interface do.
    fn demultiplex(&self, packet: &Packet, source: IpAddr, interface: u32) -> Result<SessionId, Discard> {
        if packet.your_discriminator != 0 {
            let id = SessionId(packet.your_discriminator);
            return self
                .sessions
                .contains_key(&id)
                .then_some(id)
                .ok_or(Discard::UnknownDiscriminator);
        }
        self.by_source(source, interface).ok_or(Discard::UnknownSource)
    }

    fn by_source(&self, source: IpAddr, interface: u32) -> Option<SessionId> {
        let exact = self.by_source.get(&(source, Some(interface)));
        exact.or_else(|| self.by_source.get(&(source, None))).copied()
    }

    fn remove(&mut self, now: Instant, id: SessionId) {
        self.with(now, id, Session::say_admin_down);
        if let Some(session) = self.sessions.remove(&id) {
            self.by_source
                .remove(&(session.config.remote, session.config.interface));
            if let Some(armed) = session.armed {
                self.deadlines.remove(&(armed, id));
            }
        }
    }

    fn link_down(&mut self, now: Instant, interface: u32) {
        let mut after = None;
        while let Some(id) = self.next_id(after) {
            self.with(now, id, |session, context| {
                if session.uses(interface) {
                    session.apply(Event::PathDown, context);
                }
            });
            after = Some(id);
        }
    }

    fn next_id(&self, after: Option<SessionId>) -> Option<SessionId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.sessions.range((start, Unbounded)).next().map(|(id, _)| *id)
    }

    /// Every session that is due once. Each leaves with a deadline that lies after `now`.
    fn timeout(&mut self, now: Instant) {
        while let Some((deadline, id)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.with(now, id, Session::timeout);
        }
    }

    fn with(&mut self, now: Instant, id: SessionId, operation: impl FnOnce(&mut Session, &mut Context<'_>)) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let mut context = Context {
                now,
                outputs: &mut self.outputs,
                random: &mut self.random,
            };
            operation(session, &mut context);
            self.rearm(id);
        }
    }

    fn rearm(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let deadline = session.deadline();
        if deadline == session.armed {
            return;
        }
        let before = std::mem::replace(&mut session.armed, deadline);
        if let Some(before) = before {
            self.deadlines.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    fn unused_discriminator(&mut self) -> SessionId {
        loop {
            let id = SessionId(self.random.next_u32());
            if id.0 != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

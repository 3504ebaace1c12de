//! Every session of the node: demultiplexing, deadlines, commands.

mod strangers;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use crate::deadlines::Deadlines;
use crate::echo::Echo;
use crate::poll::AnswerBudget;
use crate::random::Random;
use crate::session::{Context, Session};
use crate::transition::Event;
use crate::{
    ConfigError, Discard, Discards, Hops, Input, Output, Packet, Path, SessionConfig, SessionId, Status,
    Unsolicited,
};

/// Of those that are configured, and again of those that strangers start, which take no place away from them.
pub const MAXIMUM_SESSIONS: usize = 1024;

/// Where a datagram came from, and how.
struct Arrival<'a> {
    source: IpAddr,
    destination: IpAddr,
    interface: u32,
    ttl: u8,
    multihop: bool,
    payload: &'a [u8],
}

/// How a session is found by a packet that does not know it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// RFC 5881 section 3: by the sender and the interface; `None` is any.
    OnLink(IpAddr, Option<u32>),
    /// RFC 5883 section 4: by both addresses.
    Far(IpAddr, IpAddr),
}

impl Source {
    fn of(path: &Path) -> Self {
        match path.hops {
            Hops::Single => Self::OnLink(path.remote, path.interface),
            Hops::Multi { .. } => Self::Far(path.remote, path.local),
        }
    }
}

/// Every BFD session of the node.
#[derive(Debug)]
pub struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    by_source: BTreeMap<Source, SessionId>,
    unsolicited: Vec<Unsolicited>,
    deadlines: Deadlines,
    outputs: VecDeque<Output>,
    discards: Discards,
    admissions: AnswerBudget,
    random: Random,
    /// Of what nobody may guess: it has nothing to do with what is seen on the wire.
    secrets: Random,
}

impl Sessions {
    /// The seed decides discriminators, jitter and the first sequence numbers, the secret what Echo packets are known by. Give
    /// every start of a daemon others.
    pub fn new(now: Instant, seed: u64, secret: u64) -> Self {
        Self {
            sessions: BTreeMap::new(),
            by_source: BTreeMap::new(),
            unsolicited: Vec::new(),
            deadlines: Deadlines::default(),
            outputs: VecDeque::with_capacity(64),
            discards: Discards::default(),
            admissions: AnswerBudget::new(now),
            random: Random::new(seed),
            secrets: Random::new(secret),
        }
    }

    /// Starts a session. An active one sends its first packet at the next `Input::Timeout`. One that the peer has started
    /// already (RFC 9468) between the same addresses becomes this one, as it is.
    pub fn add(&mut self, now: Instant, config: SessionConfig) -> Result<SessionId, ConfigError> {
        config.validate()?;
        let source = Source::of(&config.path);
        let taken = self.by_source.get(&source).and_then(|id| self.sessions.get(id));
        if taken.is_some_and(|session| !session.unsolicited) {
            return Err(ConfigError::Duplicate(config.path.remote));
        }
        if let Some(id) = self.stranger(&config.path) {
            if self.same_ends(id, &config.path) {
                return Ok(self.adopt(now, id, config));
            }
            // To another of our addresses: the peer is told, and starts again where it is wanted.
            self.remove(now, id);
        }
        if self.configured() >= MAXIMUM_SESSIONS {
            return Err(ConfigError::TooMany(MAXIMUM_SESSIONS));
        }
        self.end_leave_taking(source);
        Ok(self.create(now, config))
    }

    fn configured(&self) -> usize {
        let configured = |session: &&Session| !session.unsolicited && !session.is_leaving();
        self.sessions.values().filter(configured).count()
    }

    fn create(&mut self, now: Instant, config: SessionConfig) -> SessionId {
        let id = self.unused_discriminator();
        let source = Source::of(&config.path);
        let slot = self.deadlines.claim(id);
        let mut context = Context {
            now,
            outputs: &mut self.outputs,
            random: &mut self.random,
        };
        let session = Session::new(id, slot, config, &mut self.secrets, &mut context);
        self.sessions.insert(id, session);
        self.by_source.insert(source, id);
        // One turn may send a packet for each session, and report a change: memory for that is taken here.
        let most = 2 * self.sessions.len();
        self.outputs.reserve(most.saturating_sub(self.outputs.len()));
        self.rearm(id);
        id
    }

    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Update(id, parameters) => self.update(now, id, parameters),
            Input::Remove(id) => self.remove(now, id),
            Input::AdminDown(id) => {
                self.with(now, id, |session, context| {
                    session.apply(Event::AdminDown, context)
                });
            }
            Input::AdminUp(id) => {
                self.with(now, id, |session, context| session.apply(Event::AdminUp, context));
            }
            Input::Unsolicited(unsolicited) => self.set_unsolicited(now, unsolicited),
            Input::LinkDown { interface } => self.link_down(now, interface),
            Input::Packet {
                source,
                destination,
                interface,
                ttl,
                multihop,
                payload,
            } => self.packet(
                now,
                &Arrival {
                    source,
                    destination,
                    interface,
                    ttl,
                    multihop,
                    payload,
                },
            ),
            Input::Echo { interface, payload } => self.echo(now, interface, payload),
            Input::Timeout => self.timeout(now),
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `Input::Timeout` is due; `None` without sessions, or while all are silent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// A copy of the state of every session, in the order of their identifiers.
    pub fn sessions(&self) -> impl Iterator<Item = Status> + '_ {
        let present = self.sessions.values().filter(|session| !session.is_leaving());
        present.map(Session::status)
    }

    pub fn session(&self, id: SessionId) -> Option<Status> {
        let present = self.sessions.get(&id).filter(|session| !session.is_leaving());
        present.map(Session::status)
    }

    /// Whether removed sessions still take their leave.
    pub fn is_leaving(&self) -> bool {
        self.sessions.values().any(Session::is_leaving)
    }

    /// Packets discarded by the whole node, by reason.
    pub fn discards(&self) -> &Discards {
        &self.discards
    }

    fn packet(&mut self, now: Instant, arrival: &Arrival<'_>) {
        if let Err((session, reason)) = self.receive(now, arrival) {
            self.discards.count(reason);
            // Told to the session as well: the operator looks there for a mismatch.
            if let Some(session) = session.and_then(|id| self.sessions.get_mut(&id)) {
                session.discard(reason);
            }
        }
    }

    /// RFC 5880 section 6.8.6 and RFC 5881 sections 3 and 5. Nothing changes before the packet has passed every check.
    fn receive(&mut self, now: Instant, arrival: &Arrival<'_>) -> Result<(), (Option<SessionId>, Discard)> {
        let nobodys = |reason| (None, reason);
        if !arrival.multihop && arrival.ttl < Hops::Single.minimum_ttl() {
            return Err(nobodys(Discard::Ttl));
        }
        let packet = Packet::decode(arrival.payload).map_err(nobodys)?;
        let length = arrival.payload.get(3).copied().unwrap_or(0);
        let payload = arrival.payload.get(..usize::from(length)).unwrap_or_default();
        let (id, stranger) = match self.demultiplex(&packet, arrival) {
            Err(Discard::UnknownSource) => {
                (self.admit(now, &packet, arrival, payload).map_err(nobodys)?, true)
            }
            found => (found.map_err(nobodys)?, false),
        };
        let mut accepted = Ok(());
        self.with(now, id, |session, context| {
            accepted = belongs(&session.config.path, arrival)
                .and_then(|()| session.authenticate(now, payload, &packet))
                .and_then(|()| session.receive(&packet, arrival.interface, context));
        });
        if stranger && accepted.is_err() {
            self.forget(id);
        }
        accepted.map_err(|reason| (Some(id), reason))
    }

    /// Once the peer knows us only the discriminator counts; before, addresses and interface do.
    fn demultiplex(&self, packet: &Packet, arrival: &Arrival<'_>) -> Result<SessionId, Discard> {
        if packet.your_discriminator != 0 {
            let id = SessionId(packet.your_discriminator);
            return self
                .sessions
                .contains_key(&id)
                .then_some(id)
                .ok_or(Discard::UnknownDiscriminator);
        }
        let find = |source| self.by_source.get(&source).copied();
        let found = if arrival.multihop {
            find(Source::Far(arrival.source, arrival.destination))
        } else {
            find(Source::OnLink(arrival.source, Some(arrival.interface)))
                .or_else(|| find(Source::OnLink(arrival.source, None)))
        };
        found.ok_or(Discard::UnknownSource)
    }

    fn echo(&mut self, now: Instant, interface: u32, payload: &[u8]) {
        let id = Echo::session_of(payload).map(SessionId);
        let mut genuine = false;
        if let Some(id) = id.filter(|id| self.sessions.contains_key(id)) {
            self.with(now, id, |session, context| {
                genuine = session.uses(interface) && session.echo_returned(payload, context);
            });
        }
        if !genuine {
            self.discards.count(Discard::Echo);
        }
    }

    fn update(&mut self, now: Instant, id: SessionId, parameters: crate::Parameters) {
        self.with(now, id, |session, context| {
            if parameters.validate(session.config.path.hops).is_ok() {
                session.update(parameters, context);
            }
        });
    }

    fn remove(&mut self, now: Instant, id: SessionId) {
        if let Some(session) = self.sessions.get(&id).filter(|session| !session.is_leaving()) {
            self.by_source.remove(&Source::of(&session.config.path));
            self.with(now, id, Session::leave);
        }
    }

    /// A session that starts anew must not be contradicted by the last words of the one before it.
    fn end_leave_taking(&mut self, source: Source) {
        let before = self
            .sessions
            .iter()
            .find(|(_, session)| session.is_leaving() && Source::of(&session.config.path) == source);
        if let Some(id) = before.map(|(id, _)| *id) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.deadlines.release(session.slot);
            let source = Source::of(&session.config.path);
            // Another session may have taken the place of one that was leaving.
            if self.by_source.get(&source) == Some(&id) {
                self.by_source.remove(&source);
            }
            self.outputs.push_back(Output::Forgotten(id));
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

    /// Every session that is due once, and those that may go with them. Each leaves with a deadline after `now`.
    fn timeout(&mut self, now: Instant) {
        let mut from = 0;
        while let Some((id, next)) = self.deadlines.due(from, now) {
            self.with(now, id, Session::timeout);
            from = next;
        }
        let soon = now + Session::company();
        from = 0;
        while let Some((id, next)) = self.deadlines.due(from, soon) {
            self.with(now, id, Session::transmit_in_company);
            from = next;
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
            if session.forgotten {
                self.forget(id);
            } else {
                self.rearm(id);
            }
        }
    }

    fn rearm(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let deadline = session.deadline();
            if deadline != session.armed {
                session.armed = deadline;
                self.deadlines.set(session.slot, deadline);
            }
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

/// Whether a packet that names a session came the way of that session.
fn belongs(path: &Path, arrival: &Arrival<'_>) -> Result<(), Discard> {
    if path.hops.is_multi() != arrival.multihop {
        return Err(Discard::Hops);
    }
    if arrival.ttl < path.hops.minimum_ttl() {
        return Err(Discard::Ttl);
    }
    if path
        .interface
        .is_some_and(|interface| interface != arrival.interface)
    {
        return Err(Discard::Interface);
    }
    if (path.remote, path.local) != (arrival.source, arrival.destination) {
        return Err(Discard::Address);
    }
    Ok(())
}

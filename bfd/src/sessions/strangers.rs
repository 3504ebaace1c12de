//! Sessions that a peer starts without being known (RFC 9468): who is admitted, what becomes of them when they are
//! configured, and when nobody wants them any more.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Arrival, MAXIMUM_SESSIONS, Sessions, Source};
use crate::authentication::Authentication;
use crate::session::Session;
use crate::{Discard, Hops, Packet, Path, Role, SessionConfig, SessionId, State, Unsolicited};

/// How often strangers may start a session, on average: whoever floods costs no more than that.
const ADMISSION_INTERVAL: Duration = Duration::from_millis(20);

impl Sessions {
    /// The session that this peer has started on its own, on the same link as far as that is said.
    pub(super) fn stranger(&self, path: &Path) -> Option<SessionId> {
        let same = |session: &Session| {
            let known = session.config.path;
            let link = path.interface.is_none() || path.interface == known.interface;
            session.unsolicited
                && !session.is_leaving()
                && !path.hops.is_multi()
                && known.remote == path.remote
                && link
        };
        let mut strangers = self.sessions.iter();
        strangers.find(|(_, session)| same(session)).map(|(id, _)| *id)
    }

    pub(super) fn same_ends(&self, id: SessionId, path: &Path) -> bool {
        let session = self.sessions.get(&id);
        session.is_some_and(|session| session.config.path.local == path.local)
    }

    pub(super) fn adopt(&mut self, now: Instant, id: SessionId, config: SessionConfig) -> SessionId {
        if let Some(session) = self.sessions.get_mut(&id) {
            self.by_source.remove(&Source::of(&session.config.path));
            self.by_source.insert(Source::of(&config.path), id);
            session.unsolicited = false;
            (session.config.path, session.config.role) = (config.path, config.role);
        }
        self.with(now, id, |session, context| {
            session.update(config.parameters, context)
        });
        id
    }

    /// RFC 9468 section 2: a session that a stranger starts, where that is wanted. Nothing is made before the packet has
    /// proven to be genuine, and not more often than the budget allows.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        packet: &Packet,
        arrival: &Arrival<'_>,
        payload: &[u8],
    ) -> Result<SessionId, Discard> {
        let welcomes =
            |known: &Unsolicited| known.interface == arrival.interface && known.admits(arrival.source);
        let position = self.unsolicited.iter().position(welcomes);
        let position = position
            .filter(|_| packet.state == State::Down && !arrival.multihop && !self.is_known(arrival.source));
        let welcome = position.and_then(|at| self.unsolicited.get(at));
        let welcome = welcome.ok_or(Discard::UnknownSource)?;
        if !self.admissions.take(now, ADMISSION_INTERVAL) {
            return Err(Discard::StrangerLimit);
        }
        let keys = welcome.parameters.keys.as_deref();
        Authentication::new(0).open(now, payload, packet.detect_multiplier, keys)?;
        let limit = usize::try_from(welcome.limit).unwrap_or(usize::MAX);
        let config = SessionConfig {
            path: Path {
                local: arrival.destination,
                remote: arrival.source,
                interface: Some(arrival.interface),
                hops: Hops::Single,
            },
            role: Role::Passive,
            parameters: welcome.parameters.clone(),
        };
        config.validate().map_err(|_| Discard::UnknownSource)?;
        let strangers = || self.sessions.values().filter(|session| session.unsolicited);
        let here = strangers().filter(|session| session.config.path.interface == Some(arrival.interface));
        if here.count() >= limit || strangers().count() >= MAXIMUM_SESSIONS {
            return Err(Discard::StrangerLimit);
        }
        let id = self.create(now, config);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.unsolicited = true;
        }
        Ok(id)
    }

    /// Who is configured is no stranger on any link; link-local addresses are other nodes on other links.
    fn is_known(&self, source: IpAddr) -> bool {
        let link_local = matches!(source, IpAddr::V6(address) if address.is_unicast_link_local());
        let is_its = |session: &Session| !session.unsolicited && session.config.path.remote == source;
        !link_local && self.sessions.values().any(is_its)
    }

    pub(super) fn set_unsolicited(&mut self, now: Instant, unsolicited: Vec<Unsolicited>) {
        self.unsolicited = unsolicited
            .into_iter()
            .filter(|known| known.parameters.validate(Hops::Single).is_ok())
            .collect();
        let mut after = None;
        while let Some(id) = self.next_id(after) {
            after = Some(id);
            let Some(session) = self.sessions.get(&id).filter(|session| session.unsolicited) else {
                continue;
            };
            let path = session.config.path;
            let mut welcomes = self
                .unsolicited
                .iter()
                .filter(|known| Some(known.interface) == path.interface);
            match welcomes.find(|known| known.admits(path.remote)) {
                Some(welcome) => {
                    let parameters = welcome.parameters.clone();
                    self.with(now, id, |session, context| session.update(parameters, context));
                }
                None => self.remove(now, id),
            }
        }
    }
}

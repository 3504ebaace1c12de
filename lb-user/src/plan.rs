//! The pure difference between what shall be and what is.
//!
//! [`plan`] goes over the union of the keys of both sides, so that what vanished from the configuration while
//! the daemon was down is removed as well. The order of the operations is make before break towards the
//! routers: a VIP that goes is withdrawn before its service is removed, one that comes is announced after its
//! service is in the maps, one that stays always has a service, and neighbours are added last, so that their
//! first UPDATE is complete.
//!
//! It must never look at anything but its arguments. `plan(d, apply(plan(d, a)))` is empty; a property test
//! checks it with random states, `apply` being [`Actual::record`].

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use bgp::Announcement;

use crate::desired::{
    Desired, Instance, Neighbor, NeighborKey, Service, ServiceKey, Session, SessionKey, SpeakerSettings,
    Unsolicited,
};

/// An instance with the VIPs that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedInstance {
    pub instance: Instance,
    /// Empty unless the instance has a `vip_interface`.
    pub vips: Vec<IpAddr>,
}

/// What has been applied, as far as is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actual {
    pub vips: BTreeSet<IpAddr>,
    /// `None`: it exists, but its content is unknown (found at the start, or a change of it failed).
    pub services: BTreeMap<ServiceKey, Option<Service>>,
    pub instances: BTreeMap<String, PlacedInstance>,
    /// `None`: it may exist, but not as it shall be.
    pub sessions: BTreeMap<SessionKey, Option<Session>>,
    /// Sessions that are administratively down; `false`: perhaps.
    pub disabled: BTreeMap<SessionKey, bool>,
    /// `None`: not known.
    pub unsolicited: Option<Vec<Unsolicited>>,
    /// Whose Echo packets are returned.
    pub echo_peers: BTreeSet<SessionKey>,
    /// `None`: not known.
    pub speaker: Option<SpeakerSettings>,
    pub neighbors: BTreeMap<NeighborKey, Neighbor>,
    pub announcements: Vec<Announcement>,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The whole set.
    Announce(Vec<Announcement>),
    /// What concerns all neighbours.
    PutSpeaker(SpeakerSettings),
    RemoveNeighbor(NeighborKey),
    RemoveSession(SessionKey),
    RemoveEchoPeer(SessionKey),
    RemoveInstance(String),
    RemoveService(ServiceKey),
    RemoveVip(IpAddr),
    PutVip(IpAddr),
    PutService(Service),
    PutInstance(PlacedInstance),
    PutSession(Box<Session>),
    DisableSession(SessionKey),
    EnableSession(SessionKey),
    PutEchoPeer(SessionKey),
    /// The whole set.
    PutUnsolicited(Vec<Unsolicited>),
    PutNeighbor(Box<Neighbor>),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Announce(announcements) => write!(f, "announce {} prefixes", announcements.len()),
            Operation::PutSpeaker(_) => f.write_str("set the speaker"),
            Operation::RemoveNeighbor(key) => write!(f, "remove neighbor {key}"),
            Operation::RemoveSession(key) => write!(f, "remove BFD session {key}"),
            Operation::RemoveEchoPeer(key) => write!(f, "remove BFD echo peer {key}"),
            Operation::RemoveInstance(name) => write!(f, "remove instance {name}"),
            Operation::RemoveService(key) => write!(f, "remove service {key}"),
            Operation::RemoveVip(vip) => write!(f, "remove VIP {vip}"),
            Operation::PutVip(vip) => write!(f, "put VIP {vip}"),
            Operation::PutService(service) => write!(f, "put service {}", service.key),
            Operation::PutInstance(placed) => write!(f, "put instance {}", placed.instance.name),
            Operation::PutSession(session) => write!(f, "put BFD session {}", session.key),
            Operation::DisableSession(key) => write!(f, "disable BFD session {key}"),
            Operation::EnableSession(key) => write!(f, "enable BFD session {key}"),
            Operation::PutEchoPeer(key) => write!(f, "put BFD echo peer {key}"),
            Operation::PutUnsolicited(links) => write!(f, "admit BFD strangers on {} links", links.len()),
            Operation::PutNeighbor(neighbor) => write!(f, "put neighbor {}", neighbor.key),
        }
    }
}

impl Operation {
    /// The VIP that cannot be served if the operation fails.
    pub fn needed_by(&self) -> Option<IpAddr> {
        match self {
            Operation::PutVip(vip) => Some(*vip),
            Operation::PutService(service) => Some(service.key.vip),
            Operation::Announce(_)
            | Operation::PutSpeaker(_)
            | Operation::RemoveNeighbor(_)
            | Operation::RemoveSession(_)
            | Operation::RemoveEchoPeer(_)
            | Operation::RemoveInstance(_)
            | Operation::RemoveService(_)
            | Operation::RemoveVip(_)
            | Operation::PutInstance(_)
            | Operation::PutSession(_)
            | Operation::DisableSession(_)
            | Operation::EnableSession(_)
            | Operation::PutEchoPeer(_)
            | Operation::PutUnsolicited(_)
            | Operation::PutNeighbor(_) => None,
        }
    }

    /// The BFD session that it is about.
    pub fn session(&self) -> Option<&SessionKey> {
        match self {
            Operation::PutSession(session) => Some(&session.key),
            Operation::RemoveSession(key)
            | Operation::DisableSession(key)
            | Operation::EnableSession(key)
            | Operation::PutEchoPeer(key)
            | Operation::RemoveEchoPeer(key) => Some(key),
            Operation::Announce(_)
            | Operation::PutSpeaker(_)
            | Operation::RemoveNeighbor(_)
            | Operation::RemoveInstance(_)
            | Operation::RemoveService(_)
            | Operation::RemoveVip(_)
            | Operation::PutVip(_)
            | Operation::PutService(_)
            | Operation::PutInstance(_)
            | Operation::PutUnsolicited(_)
            | Operation::PutNeighbor(_) => None,
        }
    }
}

impl Actual {
    /// The operation has been carried out.
    pub fn record(&mut self, operation: Operation) {
        match operation {
            Operation::Announce(announcements) => self.announcements = announcements,
            Operation::PutSpeaker(settings) => self.speaker = Some(settings),
            Operation::RemoveNeighbor(key) => drop(self.neighbors.remove(&key)),
            Operation::RemoveSession(key) => {
                self.sessions.remove(&key);
                self.disabled.remove(&key);
            }
            Operation::RemoveEchoPeer(key) => drop(self.echo_peers.remove(&key)),
            Operation::RemoveInstance(name) => drop(self.instances.remove(&name)),
            Operation::RemoveService(key) => drop(self.services.remove(&key)),
            Operation::RemoveVip(vip) => drop(self.vips.remove(&vip)),
            Operation::PutVip(vip) => drop(self.vips.insert(vip)),
            Operation::PutService(service) => drop(self.services.insert(service.key, Some(service))),
            Operation::PutInstance(placed) => {
                self.instances.insert(placed.instance.name.clone(), placed);
            }
            Operation::PutSession(session) => {
                self.sessions.insert(session.key.clone(), Some(*session));
            }
            Operation::DisableSession(key) => drop(self.disabled.insert(key, true)),
            Operation::EnableSession(key) => drop(self.disabled.remove(&key)),
            Operation::PutEchoPeer(key) => drop(self.echo_peers.insert(key)),
            Operation::PutUnsolicited(unsolicited) => self.unsolicited = Some(unsolicited),
            Operation::PutNeighbor(neighbor) => {
                self.neighbors.insert(neighbor.key.clone(), *neighbor);
            }
        }
    }

    /// The operation failed half-way, perhaps: what it touches must be done again.
    pub fn doubt(&mut self, operation: &Operation) {
        match operation {
            Operation::PutService(service) => drop(self.services.insert(service.key, None)),
            Operation::PutInstance(placed) => drop(self.instances.remove(&placed.instance.name)),
            Operation::PutSession(session) => self.doubt_session(&session.key),
            Operation::RemoveSession(key) => self.doubt_session(key),
            Operation::DisableSession(key) | Operation::EnableSession(key) => {
                self.disabled.insert(key.clone(), false);
            }
            Operation::PutUnsolicited(_) => self.unsolicited = None,
            Operation::PutEchoPeer(key) => drop(self.echo_peers.remove(key)),
            Operation::PutSpeaker(_) => self.speaker = None,
            Operation::PutNeighbor(neighbor) => drop(self.neighbors.remove(&neighbor.key)),
            Operation::Announce(_)
            | Operation::RemoveNeighbor(_)
            | Operation::RemoveEchoPeer(_)
            | Operation::RemoveInstance(_)
            | Operation::RemoveService(_)
            | Operation::RemoveVip(_)
            | Operation::PutVip(_) => {}
        }
    }

    /// The session may not be there, or not as it shall be: it is made again, or removed if nobody wants it any
    /// longer. What was said about its being down is said again.
    pub fn doubt_session(&mut self, key: &SessionKey) {
        self.sessions.insert(key.clone(), None);
        if let Some(certain) = self.disabled.get_mut(key) {
            *certain = false;
        }
    }
}

/// Keys that are only on the left.
fn gone<'a, K: Ord + Clone + 'a>(
    actual: impl Iterator<Item = &'a K>,
    wanted: impl Fn(&K) -> bool,
) -> impl Iterator<Item = K> {
    actual.filter(move |key| !wanted(key)).cloned()
}

/// Entries that are missing or different on the right.
fn new<'a, K: Ord, V: PartialEq + Clone + 'a>(
    desired: &'a BTreeMap<K, V>,
    actual: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = V> + 'a {
    desired
        .iter()
        .filter(|(key, value)| actual.get(key) != Some(value))
        .map(|(_, value)| value.clone())
}

/// What leads from `actual` to `desired`, in order.
pub fn plan(desired: &Desired, actual: &Actual) -> Vec<Operation> {
    let announcements = desired.announcements();
    let vips: BTreeSet<IpAddr> = desired.services.keys().map(|key| key.vip).collect();
    let instances = placed(desired);
    let mut operations = Vec::new();

    // One that stands for a VIP that stays goes only when its successor is there: a /32 for its aggregate, say.
    let kept: Vec<Announcement> = actual
        .announcements
        .iter()
        .filter(|old| {
            announcements.iter().any(|new| new.prefix == old.prefix)
                || vips.iter().any(|vip| old.prefix.contains(vip))
        })
        .cloned()
        .collect();
    if kept != actual.announcements {
        operations.push(Operation::Announce(kept.clone()));
    }

    if actual.speaker.as_ref() != Some(&desired.speaker) {
        operations.push(Operation::PutSpeaker(desired.speaker.clone()));
    }
    let neighbors = gone(actual.neighbors.keys(), |key| desired.neighbors.contains_key(key));
    operations.extend(neighbors.map(Operation::RemoveNeighbor));
    let wanted = desired.bfd_sessions();
    let sessions = gone(actual.sessions.keys(), |key| wanted.contains_key(key));
    operations.extend(sessions.map(Operation::RemoveSession));

    operations.extend(vips.difference(&actual.vips).copied().map(Operation::PutVip));
    let changed = desired
        .services
        .iter()
        .filter(|(key, service)| actual.services.get(key).and_then(Option::as_ref) != Some(service));
    operations.extend(changed.map(|(_, service)| Operation::PutService(service.clone())));
    let services = gone(actual.services.keys(), |key| desired.services.contains_key(key));
    operations.extend(services.map(Operation::RemoveService));
    operations.extend(actual.vips.difference(&vips).copied().map(Operation::RemoveVip));

    // An address may move from an instance that goes to one that stays: release, then claim.
    let removed = gone(actual.instances.keys(), |key| instances.contains_key(key));
    operations.extend(removed.map(Operation::RemoveInstance));
    operations.extend(new(&instances, &actual.instances).map(Operation::PutInstance));
    operations.extend(change_sessions(desired, &wanted, actual));
    if kept != announcements {
        operations.push(Operation::Announce(announcements));
    }
    let neighbors = new(&desired.neighbors, &actual.neighbors).map(Box::new);
    operations.extend(neighbors.map(Operation::PutNeighbor));
    operations
}

/// What changes of the BFD sessions that stay or come.
fn change_sessions(
    desired: &Desired,
    wanted: &BTreeMap<SessionKey, Session>,
    actual: &Actual,
) -> Vec<Operation> {
    let echo_peers: BTreeSet<SessionKey> = wanted
        .values()
        .filter(|session| session.returns_echo())
        .map(|session| session.key.clone())
        .collect();
    let mut operations = Vec::new();
    // Echo packets return before the peer is told to send them, and no longer only after it was told not to.
    let echo = echo_peers.difference(&actual.echo_peers).cloned();
    operations.extend(echo.map(Operation::PutEchoPeer));
    let changed = wanted
        .iter()
        .filter(|(key, session)| actual.sessions.get(key).and_then(Option::as_ref) != Some(session));
    operations.extend(changed.map(|(_, session)| Operation::PutSession(Box::new(session.clone()))));
    let echo = actual.echo_peers.difference(&echo_peers).cloned();
    operations.extend(echo.map(Operation::RemoveEchoPeer));

    let disabled = |key: &&SessionKey| desired.live.disabled.contains(*key);
    let disable = wanted
        .keys()
        .filter(disabled)
        .filter(|key| actual.disabled.get(*key) != Some(&true));
    operations.extend(disable.cloned().map(Operation::DisableSession));
    let enable = wanted
        .keys()
        .filter(|key| !disabled(key))
        .filter(|key| actual.disabled.contains_key(*key));
    operations.extend(enable.cloned().map(Operation::EnableSession));
    if actual.unsolicited.as_ref() != Some(&desired.unsolicited) {
        operations.push(Operation::PutUnsolicited(desired.unsolicited.clone()));
    }
    operations
}

fn placed(desired: &Desired) -> BTreeMap<String, PlacedInstance> {
    let place = |instance: &Instance| PlacedInstance {
        instance: instance.clone(),
        vips: match instance.vip_interface {
            Some(_) => desired.vips(&instance.name),
            None => Vec::new(),
        },
    };
    desired
        .instances
        .iter()
        .map(|(name, instance)| (name.clone(), place(instance)))
        .collect()
}

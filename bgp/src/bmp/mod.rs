//! Monitoring of the speaker for stations of the BGP Monitoring Protocol (RFC 7854, RFC 8671).
//!
//! Purpose: turns what the speaker tells (`Monitored`) into messages, and, for a station that connects later, its state
//! into the messages that would have led to it. What neighbours send is passed on verbatim, before policy; what they are
//! told, as it was sent. There is no Loc-RIB view.
//!
//! Pure, like all of this crate: the wall clock is an argument, as the time since 1970.
mod dump;
mod message;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub use self::dump::Dump;
use self::message::{Identity, Rib, Statistic};
pub use self::message::{Reason, initiation, termination};
use crate::config::{Families, PeerId};
use crate::io::Monitored;
use crate::status::PeerStatus;
use crate::wire::{AddPath, Context, Encoding, Message, Open, family};

/// What has to be remembered of the established sessions.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    sessions: BTreeMap<PeerId, Session>,
}

#[derive(Clone, Debug)]
struct Session {
    identity: Identity,
    local: SocketAddr,
    remote: SocketAddr,
    sent: Vec<u8>,
    received: Vec<u8>,
    four_octet: bool,
    families: Families,
    /// How the neighbour writes its UPDATEs, and thus how a station reads them.
    encoding: Encoding,
}

impl Feed {
    pub fn new() -> Self {
        Self::default()
    }

    /// The messages for an event; none for a neighbour that is not up.
    pub fn encode(&mut self, at: Duration, event: &Monitored) -> Vec<u8> {
        match event {
            Monitored::PeerUp {
                peer,
                sent,
                received,
                local,
                remote,
            } => {
                let Some(session) = Session::new(sent, received, *local, *remote) else {
                    return Vec::new();
                };
                let message = session.up(at);
                self.sessions.insert(*peer, session);
                message
            }
            Monitored::PeerDown { peer, reason } => self
                .sessions
                .remove(peer)
                .map(|session| message::peer_down(session.identity, at, reason))
                .unwrap_or_default(),
            Monitored::Received { peer, message } => self.routes(*peer, at, Rib::In, message),
            Monitored::Sent { peer, messages } => self.routes(*peer, at, Rib::Out, messages),
        }
    }

    /// How it begins for a station: who we are, and who is up (RFC 7854 section 3.3).
    pub fn begin(&self, at: Duration, name: &str, description: &str) -> Vec<u8> {
        let mut out = initiation(name, description);
        for session in self.sessions.values() {
            out.extend(session.up(at));
        }
        out
    }

    /// A report on every neighbour that is up.
    pub fn statistics(&self, at: Duration, peers: &[PeerStatus]) -> Vec<u8> {
        let mut out = Vec::new();
        for peer in peers {
            let Some(session) = self.sessions.get(&peer.id) else {
                continue;
            };
            let counter = |count: u64| u32::try_from(count & u64::from(u32::MAX)).unwrap_or_default();
            let gauge = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            let numbers = [
                Statistic::Rejected(counter(peer.counters.routes_rejected)),
                Statistic::AdjRibIn(gauge(peer.received)),
                Statistic::TreatedAsWithdraw(counter(peer.counters.treated_as_withdraw)),
                Statistic::AdjRibOut(gauge(peer.advertised)),
            ];
            out.extend(message::statistics(session.identity, at, &numbers));
        }
        out
    }

    /// One message for each UPDATE; nothing else is a route.
    fn routes(&self, peer: PeerId, at: Duration, rib: Rib, mut messages: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(session) = self.sessions.get(&peer) else {
            return out;
        };
        while let Some((update, rest)) = split(messages) {
            if update.get(18) == Some(&UPDATE) {
                out.extend(message::route_monitoring(
                    session.identity,
                    at,
                    rib,
                    !session.four_octet,
                    update,
                ));
            }
            messages = rest;
        }
        out
    }
}

/// Type of an UPDATE in the header of its message.
const UPDATE: u8 = 2;

/// The first message and the rest; the length is in octets 16 and 17.
fn split(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let [high, low] = messages.get(16..18)?.try_into().ok()?;
    messages.split_at_checked(usize::from(u16::from_be_bytes([high, low])).max(19))
}

impl Session {
    fn new(sent: &[u8], received: &[u8], local: SocketAddr, remote: SocketAddr) -> Option<Self> {
        let (ours, theirs) = (open(sent)?, open(received)?);
        let four_octet = ours.four_octet_as().is_some() && theirs.four_octet_as().is_some();
        let mut add_path = Families::default();
        for sends in theirs.add_path().filter(|entry| entry.send) {
            let agreed =
                |entry: &AddPath| entry.receive && (entry.afi, entry.safi) == (sends.afi, sends.safi);
            if let Some(family) = family(sends.afi, sends.safi).filter(|_| ours.add_path().any(agreed)) {
                add_path.insert(family);
            }
        }
        Some(Session {
            identity: Identity {
                address: remote.ip(),
                asn: theirs.asn(),
                router_id: theirs.identifier,
                scope: match remote {
                    SocketAddr::V6(remote) if remote.ip().is_unicast_link_local() => remote.scope_id(),
                    SocketAddr::V4(_) | SocketAddr::V6(_) => 0,
                },
            },
            local,
            remote,
            sent: sent.to_vec(),
            received: received.to_vec(),
            four_octet,
            families: ours.families().intersection(theirs.families()),
            encoding: Encoding {
                four_octet: true,
                add_path,
                extended: ours.extended_message(),
            },
        })
    }

    fn up(&self, at: Duration) -> Vec<u8> {
        message::peer_up(
            self.identity,
            at,
            self.local,
            self.remote.port(),
            &self.sent,
            &self.received,
        )
    }
}

fn open(message: &[u8]) -> Option<Open> {
    match Message::decode(message, Context::default()).ok()? {
        Message::Open(open) => Some(open),
        Message::Update(_) | Message::Notification(_) | Message::Keepalive | Message::RouteRefresh(_) => None,
    }
}

#[cfg(test)]
mod tests;

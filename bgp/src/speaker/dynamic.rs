//! Neighbours that nobody has named: whoever connects from a prefix gets a session, as long as it has one.
//!
//! A neighbour is admitted when the driver asks whose a connection is, and forgotten when nothing of it is left.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;

use super::Speaker;
use crate::config::{DynamicPeers, PeerConfig, PeerId};
use crate::io::Output;
use crate::peer::Peer;
use crate::wire::Cease;

/// Where the ids of these neighbours begin; the configuration stays below.
const FIRST: u32 = 1 << 31;

#[derive(Debug, Default)]
pub(super) struct Dynamic {
    ranges: Vec<DynamicPeers>,
    /// The range of each neighbour that was admitted.
    admitted: BTreeMap<PeerId, IpNet>,
    next: u32,
    /// Will be admitted when its connection is handed over.
    pending: Option<(PeerId, IpNet, PeerConfig)>,
}

impl Dynamic {
    /// The longest prefix decides, like in routing.
    fn range(&self, address: IpAddr) -> Option<&DynamicPeers> {
        self.ranges
            .iter()
            .filter(|range| range.prefix.contains(&address))
            .max_by_key(|range| range.prefix.prefix_len())
    }

    fn members(&self, prefix: IpNet) -> usize {
        self.admitted.values().filter(|range| **range == prefix).count()
    }

    fn allocate(&mut self, taken: &BTreeMap<PeerId, Peer>) -> PeerId {
        loop {
            let id = PeerId(FIRST | self.next);
            self.next = (self.next + 1) % FIRST;
            if !taken.contains_key(&id) {
                return id;
            }
        }
    }
}

fn configuration(range: &DynamicPeers, address: IpAddr, scope: u32) -> PeerConfig {
    PeerConfig {
        address,
        scope,
        passive: true,
        ..range.template.clone()
    }
}

impl Speaker {
    /// Whose connection this is, by its source address: a neighbour, or one that `SetDynamic` admits, provided
    /// that the next input is the `Accepted` of this connection.
    pub fn peer_for(&mut self, remote: SocketAddr) -> Option<PeerId> {
        let known = self.peers.values().find(|peer| peer.is_at(remote));
        known.map(|peer| peer.id).or_else(|| self.admit(remote))
    }

    fn admit(&mut self, remote: SocketAddr) -> Option<PeerId> {
        if self.stopped {
            return None;
        }
        let address = remote.ip().to_canonical();
        let scope = match remote {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(remote) => remote.scope_id(),
        };
        let range = self.dynamic.range(address)?;
        if self.dynamic.members(range.prefix) >= usize::try_from(range.limit).unwrap_or(usize::MAX) {
            return None;
        }
        let (prefix, config) = (range.prefix, configuration(range, address, scope));
        let id = self.dynamic.allocate(&self.peers);
        self.dynamic.pending = Some((id, prefix, config));
        Some(id)
    }

    /// The connection of the neighbour that was asked about last is there, or another input came first.
    pub(super) fn admit_pending(&mut self, now: Instant, accepted: Option<PeerId>) {
        let Some((id, prefix, config)) = self.dynamic.pending.take() else {
            return;
        };
        if accepted != Some(id) {
            return;
        }
        let address = config.address;
        self.dynamic.admitted.insert(id, prefix);
        self.shared.outputs.push_back(Output::DynamicPeer {
            peer: id,
            address,
            present: true,
        });
        let mut peer = Peer::new(now, id, config);
        peer.dynamic = true;
        peer.enable(now, &mut self.shared);
        self.peers.insert(id, peer);
    }

    /// Neighbours that no range admits any more go; those whose range has changed get its new configuration.
    pub(super) fn set_dynamic(&mut self, now: Instant, ranges: Vec<DynamicPeers>) {
        self.dynamic.ranges = ranges;
        let members: Vec<PeerId> = self.dynamic.admitted.keys().copied().collect();
        for id in members {
            let Some(peer) = self.peers.get(&id) else { continue };
            let (address, scope) = (peer.config.address, peer.config.scope);
            let range = self.dynamic.range(address);
            match range.map(|range| (range.prefix, configuration(range, address, scope))) {
                Some((prefix, config)) => {
                    self.dynamic.admitted.insert(id, prefix);
                    self.peer(now, id, |peer, shared| peer.reconfigure(now, shared, config));
                }
                None => self.remove(now, id),
            }
        }
    }

    /// A neighbour that is named from now on is no longer one of these.
    pub(super) fn named(&mut self, now: Instant, config: &PeerConfig) {
        let same = |peer: &&Peer| peer.config.address == config.address && peer.config.scope == config.scope;
        let unnamed = self
            .dynamic
            .admitted
            .keys()
            .find(|id| self.peers.get(*id).is_some_and(|peer| same(&peer)));
        if let Some(id) = unnamed.copied() {
            self.remove(now, id);
        }
    }

    pub(super) fn remove(&mut self, now: Instant, id: PeerId) {
        self.peer(now, id, |peer, shared| {
            peer.disable(now, shared, Cease::PeerDeconfigured.into())
        });
        self.forget(id);
    }

    fn forget(&mut self, id: PeerId) {
        let Some(mut peer) = self.peers.remove(&id) else {
            return;
        };
        peer.forget_imported(&mut self.shared);
        if self.dynamic.admitted.remove(&id).is_some() {
            self.shared.outputs.push_back(Output::DynamicPeer {
                peer: id,
                address: peer.config.address,
                present: false,
            });
        }
    }

    /// After an input: the neighbour it was about may have gone.
    pub(super) fn forget_gone(&mut self, id: PeerId) {
        let gone = self.dynamic.admitted.contains_key(&id) && self.peers.get(&id).is_some_and(Peer::is_gone);
        if gone {
            self.forget(id);
        }
    }

    /// After an input that concerns all.
    pub(super) fn forget_all_gone(&mut self) {
        let members: Vec<PeerId> = self.dynamic.admitted.keys().copied().collect();
        for id in members {
            self.forget_gone(id);
        }
    }
}

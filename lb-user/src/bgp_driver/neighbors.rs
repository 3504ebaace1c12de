//! The neighbours by name: which the speaker knows, under which id, and why it does not know one yet.
//!
//! A link-local address counts on its interface only, so its neighbour is told to the speaker with the index of
//! that interface, and again when the interface was removed and made anew. Until it exists the neighbour waits.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bgp::{BfdMode, DynamicPeers, PeerConfig, PeerId};
use nix::net::if_::if_nametoindex;

use super::guests::{Guest, Guests, host, scope};
use super::unnumbered::{Heard, Link};
use crate::desired::{Found, Neighbor, NeighborKey, SessionKey};
use crate::router_advertisement::Router;

/// A neighbour with a name.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    /// As configured.
    pub(super) config: PeerConfig,
    /// As the speaker was told; `Err`: why it was not.
    pub(super) told: Result<PeerConfig, String>,
    /// What the sockets know about the last failure, in words.
    pub(super) note: Option<String>,
    /// Shut down by an operator, with this word.
    pub(super) disabled: Option<String>,
}

/// Something that the speaker has to hear.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: PeerId,
    pub(super) config: PeerConfig,
    /// Disabled before the speaker knew of it.
    pub(super) disabled: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Neighbors {
    named: BTreeMap<NeighborKey, Peer>,
    /// Those of a prefix, while they are there.
    dynamic: BTreeMap<PeerId, IpAddr>,
    templates: Vec<DynamicPeers>,
    /// Who was heard, by interface.
    links: BTreeMap<String, Link>,
    next: u32,
}

impl Neighbors {
    /// A new neighbour, or a new configuration. Returns its id and whether BFD no longer judges it.
    pub(super) fn put(&mut self, neighbor: Neighbor) -> (PeerId, bool) {
        let config = neighbor.peer;
        if let Some(peer) = self.named.get_mut(&neighbor.key) {
            let lost_bfd = peer.config.bfd != BfdMode::Off && config.bfd == BfdMode::Off;
            peer.config = config;
            return (peer.id, lost_bfd);
        }
        self.next = self.next.wrapping_add(1);
        let id = PeerId(self.next);
        let peer = Peer {
            id,
            config,
            told: Err(String::new()),
            note: None,
            disabled: None,
        };
        self.named.insert(neighbor.key, peer);
        (id, false)
    }

    pub(super) fn remove(&mut self, key: &NeighborKey) -> Option<Peer> {
        if let NeighborKey::Interface(interface) = key {
            self.links.remove(interface);
        }
        self.named.remove(key)
    }

    /// What the speaker has to be told of one neighbour: nothing, as long as nothing has changed.
    pub(super) fn settle(&mut self, id: PeerId) -> Option<Told> {
        let (key, peer) = self.named.iter_mut().find(|(_, peer)| peer.id == id)?;
        match resolve(key, &peer.config, &self.links) {
            Ok(config) if peer.told.as_ref() == Ok(&config) => None,
            Ok(config) => {
                let new = peer.told.is_err();
                peer.told = Ok(config.clone());
                Some(Told {
                    id,
                    config,
                    disabled: peer.disabled.clone().filter(|_| new),
                })
            }
            Err(reason) => {
                // One that the speaker knows stays: its connections fail, and its retry timer goes on.
                if peer.told.is_err() {
                    peer.told = Err(reason);
                }
                None
            }
        }
    }

    /// What has to be told because interfaces came or were made anew.
    pub(super) fn settle_all(&mut self) -> Vec<Told> {
        let on_interfaces: Vec<PeerId> = self
            .named
            .iter()
            .filter(|(key, _)| !matches!(key, NeighborKey::Address(_)))
            .map(|(_, peer)| peer.id)
            .collect();
        on_interfaces
            .into_iter()
            .filter_map(|id| self.settle(id))
            .collect()
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (&NeighborKey, &Peer)> {
        self.named.iter()
    }

    pub(super) fn peer_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.named.values_mut().find(|peer| peer.id == id)
    }

    pub(super) fn key(&self, id: PeerId) -> Option<&NeighborKey> {
        self.named
            .iter()
            .find(|(_, peer)| peer.id == id)
            .map(|(key, _)| key)
    }

    /// By its name, or by its address when that is clear.
    pub(super) fn find(&self, key: &NeighborKey) -> Option<PeerId> {
        if let Some(peer) = self.named.get(key) {
            return Some(peer.id);
        }
        let NeighborKey::Address(address) = key else {
            return None;
        };
        let dynamic = self.dynamic.iter().filter(|(_, at)| *at == address);
        let named = self
            .named
            .values()
            .filter(|peer| peer.told.as_ref().is_ok_and(|config| config.address == *address));
        let mut found = dynamic.map(|(id, _)| *id).chain(named.map(|peer| peer.id));
        found.next().filter(|_| found.next().is_none())
    }

    /// For people.
    pub(super) fn name(&self, id: PeerId) -> String {
        match (self.key(id), self.dynamic.get(&id)) {
            (Some(key), _) => key.to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => format!("removed neighbour {}", id.0),
        }
    }

    /// What the sockets know about its last failure.
    pub(super) fn note(&self, id: PeerId) -> Option<String> {
        let peer = self.named.values().find(|peer| peer.id == id)?;
        peer.note.clone()
    }

    pub(super) fn set_templates(&mut self, templates: &[DynamicPeers]) {
        self.templates = templates.to_vec();
    }

    /// What a dynamic neighbour at this address is made from.
    pub(super) fn template(&self, address: IpAddr) -> Option<&PeerConfig> {
        self.templates
            .iter()
            .filter(|dynamic| dynamic.prefix.contains(&address))
            .max_by_key(|dynamic| dynamic.prefix.prefix_len())
            .map(|dynamic| &dynamic.template)
    }

    pub(super) fn dynamic(&mut self, id: PeerId, address: IpAddr, present: bool) {
        if present {
            self.dynamic.insert(id, address);
        } else {
            self.dynamic.remove(&id);
        }
    }

    /// Whom the listeners expect.
    pub(super) fn guests(&self) -> Guests {
        let named = self.named.values().filter_map(|peer| {
            let config = peer.told.as_ref().ok()?;
            Some(Guest {
                net: host(config.address),
                scope: config.scope,
                transport: config.transport.clone(),
            })
        });
        let templates = self.templates.iter().map(|dynamic| Guest {
            net: dynamic.prefix.trunc(),
            scope: 0,
            transport: dynamic.template.transport.clone(),
        });
        // Of two that are equally narrow the last one counts, for the speaker the one with a name.
        Guests(templates.chain(named).collect())
    }

    /// The neighbour with a name that is at this address.
    pub(super) fn at(&self, remote: SocketAddr) -> Option<PeerId> {
        let scope = scope(remote);
        let at = |peer: &&Peer| {
            peer.told.as_ref().is_ok_and(|config| {
                config.address == remote.ip() && (config.scope == 0 || config.scope == scope)
            })
        };
        self.named.values().find(at).map(|peer| peer.id)
    }

    /// How the BFD session with a neighbour is named, whether it has one or not; `None` while its address is not known.
    pub(super) fn session(&self, id: PeerId) -> Option<SessionKey> {
        if let Some(address) = self.dynamic.get(&id) {
            return Some((*address).into());
        }
        let (key, peer) = self.named.iter().find(|(_, peer)| peer.id == id)?;
        let interface = match key {
            NeighborKey::Address(_) => peer.config.transport.interface.as_deref(),
            NeighborKey::LinkLocal(_, interface) | NeighborKey::Interface(interface) => {
                Some(interface.as_str())
            }
        };
        let address = key
            .address()
            .or_else(|| peer.told.as_ref().ok().map(|config| config.address))?;
        Some(SessionKey::new(address, interface))
    }

    /// Those with BFD.
    pub(super) fn watched(&self) -> impl Iterator<Item = PeerId> {
        let named = self.named.values();
        let named = named
            .filter(|peer| peer.config.bfd != BfdMode::Off)
            .map(|peer| peer.id);
        let dynamic = self.dynamic.iter().filter(|(_, address)| {
            let template = self.template(**address);
            template.is_some_and(|template| template.bfd != BfdMode::Off)
        });
        named.chain(dynamic.map(|(id, _)| *id))
    }

    /// What the configuration does not know of a neighbour with BFD.
    pub(super) fn found(&self, id: PeerId) -> Option<Found> {
        if !self.watched().any(|watched| watched == id) {
            return None;
        }
        if let Some(address) = self.dynamic.get(&id) {
            return Some(Found::Guest(*address));
        }
        let NeighborKey::Interface(interface) = self.key(id)? else {
            return None;
        };
        Some(Found::Router {
            interface: interface.clone(),
            address: self.told(id)?.address,
        })
    }

    /// Those of a prefix, while they are there.
    pub(super) fn guests_present(&self) -> impl Iterator<Item = PeerId> {
        self.dynamic.keys().copied()
    }

    /// The interfaces of neighbours that have no address in the configuration.
    pub(super) fn unnumbered(&self) -> impl Iterator<Item = &str> {
        self.named.keys().filter_map(|key| match key {
            NeighborKey::Interface(interface) => Some(interface.as_str()),
            NeighborKey::Address(_) | NeighborKey::LinkLocal(..) => None,
        })
    }

    /// A router was heard on an interface; returns the neighbour whose it is.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        interface: &str,
        router: Router,
        established: impl FnOnce(PeerId) -> bool,
    ) -> Option<(PeerId, Heard)> {
        let peer = self.named.get(&NeighborKey::Interface(interface.to_owned()))?;
        let link = self.links.entry(interface.to_owned()).or_default();
        Some((peer.id, link.hear(now, router, established(peer.id))))
    }

    pub(super) fn told(&self, id: PeerId) -> Option<&PeerConfig> {
        let peer = self.named.values().find(|peer| peer.id == id)?;
        peer.told.as_ref().ok()
    }

    /// Returns whether these words are new.
    pub(super) fn set_note(&mut self, id: PeerId, note: Option<String>) -> bool {
        let Some(peer) = self.peer_mut(id) else {
            return false;
        };
        let new = peer.note != note;
        peer.note = note;
        new
    }
}

/// The configuration with the address and the scope that the kernel needs, or what is missing.
fn resolve(
    key: &NeighborKey,
    config: &PeerConfig,
    links: &BTreeMap<String, Link>,
) -> Result<PeerConfig, String> {
    let (interface, router) = match key {
        NeighborKey::Address(_) => return Ok(config.clone()),
        NeighborKey::LinkLocal(address, interface) => (interface, Some(*address)),
        NeighborKey::Interface(interface) => {
            let chosen = links.get(interface).and_then(Link::chosen);
            (interface, chosen.map(|router| router.address))
        }
    };
    let scope =
        if_nametoindex(interface.as_str()).map_err(|_| format!("there is no interface {interface}"))?;
    let address = router.ok_or_else(|| format!("waiting for a router advertisement on {interface}"))?;
    Ok(PeerConfig {
        address: IpAddr::V6(address),
        scope,
        ..config.clone()
    })
}

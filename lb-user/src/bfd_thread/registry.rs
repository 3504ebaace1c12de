//! Which session of the core is which of the configuration, and what its packets leave by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bfd::{Path, SessionConfig, SessionId};

use crate::desired::SessionKey;

/// RFC 5881 section 4: source ports of sessions.
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;

/// A session of the core.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Arc<SessionKey>,
    /// Its own for its whole life.
    pub(super) source_port: u16,
    /// The link-layer address of the peer, for Echo packets. The old one counts until there is a new one.
    pub(super) peer: Option<[u8; 6]>,
    /// When to ask for it (again).
    pub(super) resolve: Option<Instant>,

    /// As it was configured. `None`: the peer has started it.
    pub(super) config: Option<SessionConfig>,
}

#[derive(Debug, Default)]
pub(super) struct Registry {
    by_key: BTreeMap<Arc<SessionKey>, SessionId>,
    entries: BTreeMap<SessionId, Entry>,
}

impl Registry {
    pub(super) fn id(&self, key: &SessionKey) -> Option<SessionId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(super) fn put(&mut self, key: SessionKey, id: SessionId, config: SessionConfig) {
        let key = Arc::new(key);
        if let Some(known) = self.entries.get_mut(&id) {
            // The peer had started it, and it had another name.
            self.by_key.remove(&known.key);
            (known.key, known.config) = (Arc::clone(&key), Some(config));
        } else {
            self.insert(id, Arc::clone(&key), Some(config));
        }
        self.by_key.insert(key, id);
    }

    /// A session that the peer has started is named by its address and its interface.
    pub(super) fn know(&mut self, id: SessionId, path: &Path) {
        if !self.entries.contains_key(&id) {
            let name = path.interface.and_then(name_of);
            let key = Arc::new(SessionKey::new(path.remote, name.as_deref()));
            self.insert(id, Arc::clone(&key), None);
            self.by_key.insert(key, id);
        }
    }

    fn insert(&mut self, id: SessionId, key: Arc<SessionKey>, config: Option<SessionConfig>) {
        let source_port = self.unused_port();
        self.entries.insert(
            id,
            Entry {
                key,
                source_port,
                peer: None,
                resolve: None,
                config,
            },
        );
    }

    /// Its name is free again; it may still have something to say.
    pub(super) fn release(&mut self, key: &SessionKey) -> Option<SessionId> {
        self.by_key.remove(key)
    }

    pub(super) fn forget(&mut self, id: SessionId) {
        if let Some(entry) = self.entries.remove(&id) {
            // Another session may have taken over its name.
            if self.by_key.get(&entry.key) == Some(&id) {
                self.by_key.remove(&entry.key);
            }
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &SessionKey> {
        self.by_key.keys().map(Arc::as_ref)
    }

    /// The configured sessions.
    pub(super) fn configured(&self) -> impl Iterator<Item = (&SessionKey, &SessionConfig)> {
        let entries = self.by_key.values().filter_map(|id| self.entries.get(id));
        entries.filter_map(|entry| Some((entry.key.as_ref(), entry.config.as_ref()?)))
    }

    /// Whoever has an address may have another one now.
    pub(super) fn doubt_neighbors(&mut self, now: Instant) {
        for entry in self.entries.values_mut().filter(|entry| entry.peer.is_some()) {
            entry.resolve = Some(now);
        }
    }

    /// RFC 5881 section 4: unique among all sessions, as long as there are ports.
    fn unused_port(&self) -> u16 {
        loop {
            let port = rand::random_range(SOURCE_PORTS);
            // There are more than ten times as many ports as sessions.
            if self.entries.values().all(|entry| entry.source_port != port) {
                return port;
            }
        }
    }
}

pub(super) fn name_of(interface: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(interface).ok()?;
    Some(name.to_string_lossy().into_owned())
}

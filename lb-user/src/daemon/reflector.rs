//! The Echo peers of the data path under the names of their sessions.
//!
//! Maps know interfaces by index, and an index is not for ever: an interface that is made anew has another one. What was
//! put under the old one is taken away when it is put again, or by the next daemon.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::net::if_::{if_indextoname, if_nametoindex};

use crate::apply::{ApplyError, EchoReflector};
use crate::datapath::EchoPeers;
use crate::desired::SessionKey;

/// What is needed of [`EchoPeers`].
pub(super) trait Peers: Send {
    fn existing(&mut self) -> Result<Vec<(IpAddr, Option<u32>)>, ApplyError>;
    fn put(&mut self, address: IpAddr, index: Option<u32>) -> Result<(), ApplyError>;
    fn remove(&mut self, address: IpAddr, index: Option<u32>) -> Result<(), ApplyError>;
}

impl Peers for EchoPeers {
    fn existing(&mut self) -> Result<Vec<(IpAddr, Option<u32>)>, ApplyError> {
        EchoPeers::existing(self)
    }

    fn put(&mut self, address: IpAddr, index: Option<u32>) -> Result<(), ApplyError> {
        EchoPeers::put(self, address, index)
    }

    fn remove(&mut self, address: IpAddr, index: Option<u32>) -> Result<(), ApplyError> {
        EchoPeers::remove(self, address, index)
    }
}

pub(super) struct Reflector<P> {
    peers: P,
    /// The index under which each was put.
    placed: BTreeMap<SessionKey, Option<u32>>,
}

impl<P: Peers> Reflector<P> {
    pub(super) fn new(peers: P) -> Self {
        Reflector {
            peers,
            placed: BTreeMap::new(),
        }
    }
}

impl<P: Peers> EchoReflector for Reflector<P> {
    fn existing(&mut self) -> Result<Vec<SessionKey>, ApplyError> {
        for (address, index) in self.peers.existing()? {
            let name = index.map(name_of);
            if name == Some(None) {
                // The interface is gone, and with it the peer.
                self.peers.remove(address, index)?;
                continue;
            }
            let name = name.flatten();
            self.placed
                .insert(SessionKey::new(address, name.as_deref()), index);
        }
        Ok(self.placed.keys().cloned().collect())
    }

    fn put_echo_peer(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        let index = key.interface.as_deref().map(if_nametoindex).transpose();
        let index =
            index.map_err(|error| ApplyError::new(format_args!("interface of {key}: {}", error.desc())))?;
        if let Some(before) = self.placed.remove(key).filter(|before| *before != index) {
            self.peers.remove(key.remote, before)?;
        }
        self.peers.put(key.remote, index)?;
        self.placed.insert(key.clone(), index);
        Ok(())
    }

    fn remove_echo_peer(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        if let Some(index) = self.placed.get(key) {
            self.peers.remove(key.remote, *index)?;
            self.placed.remove(key);
        }
        Ok(())
    }
}

/// An index that is not in use has an empty name for nix.
fn name_of(index: u32) -> Option<String> {
    let name = if_indextoname(index).ok()?.to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl Peers for BTreeSet<(IpAddr, Option<u32>)> {
        fn existing(&mut self) -> Result<Vec<(IpAddr, Option<u32>)>, ApplyError> {
            Ok(self.iter().copied().collect())
        }
        fn put(&mut self, address: IpAddr, index: Option<u32>) -> Result<(), ApplyError> {
            self.insert((address, index));
            Ok(())
        }
        fn remove(&mut self, address: IpAddr, index: Option<u32>) -> Result<(), ApplyError> {
            BTreeSet::remove(self, &(address, index));
            Ok(())
        }
    }

    #[test]
    fn what_was_put_under_another_index_goes() {
        let address = IpAddr::from([10, 0, 0, 9]);
        let loopback = if_nametoindex("lo").unwrap();
        let gone = 0x7fff_ffff;
        let mut reflector = Reflector::new(BTreeSet::from([(address, None), (address, Some(gone))]));
        let existing: Vec<String> = reflector
            .existing()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(existing, ["10.0.0.9"], "the other interface does not exist");
        let key: SessionKey = "10.0.0.9%lo".parse().unwrap();
        reflector.put_echo_peer(&key).unwrap();
        reflector.placed.insert(key.clone(), Some(gone));
        reflector.peers.insert((address, Some(gone)));
        reflector.put_echo_peer(&key).unwrap();
        assert_eq!(
            reflector.peers,
            [(address, None), (address, Some(loopback))].into()
        );
        reflector.remove_echo_peer(&key).unwrap();
        reflector.remove_echo_peer(&key).unwrap();
        assert_eq!(reflector.peers, [(address, None)].into());
        assert!(
            reflector
                .put_echo_peer(&"10.0.0.9%nowhere".parse().unwrap())
                .is_err()
        );
    }
}

//! Writes whose BFD Echo packets the packet path sends back.
//!
//! Owner: whoever keeps the BFD sessions as the configuration wants them. Entries outlive the daemon, so that a peer
//! hears its echo while none runs; the next one asks for what exists and removes what is no longer wanted.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use lb_common::{EchoPeerKey, map};

use super::error::DataPathError;
use super::maps::Maps;
use super::table::Expect;
use crate::apply::ApplyError;

/// A handle for the one writer of ECHO_PEERS.
pub struct EchoPeers(Arc<Maps>);

fn key(address: IpAddr, ifindex: Option<u32>) -> EchoPeerKey {
    EchoPeerKey::new(address.into(), ifindex.unwrap_or(EchoPeerKey::ANY_INTERFACE))
}

fn failed(source: io::Error) -> ApplyError {
    ApplyError::new(DataPathError::Map {
        map: map::ECHO_PEERS,
        source,
    })
}

impl EchoPeers {
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        EchoPeers(maps)
    }

    /// Peers with the interface they are on; None: any. A former daemon's are among them.
    pub fn existing(&mut self) -> Result<Vec<(IpAddr, Option<u32>)>, ApplyError> {
        let peers = self.0.echo_peers.all().map_err(failed)?;
        let mut peers: Vec<(IpAddr, Option<u32>)> = peers
            .into_iter()
            .map(|(key, _)| {
                let ifindex = (key.ifindex != EchoPeerKey::ANY_INTERFACE).then_some(key.ifindex);
                (key.address.ip(), ifindex)
            })
            .collect();
        peers.sort_unstable();
        Ok(peers)
    }

    /// Echo packets to this address of the peer go back to it from now on. May be repeated. A link-local address
    /// needs its interface: the same one is another peer's on another link.
    pub fn put(&mut self, address: IpAddr, ifindex: Option<u32>) -> Result<(), ApplyError> {
        let key = key(address, ifindex);
        match self.0.echo_peers.put(&key, &1, Expect::Any) {
            Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong => Err(ApplyError::new(
                format!("more than {} peers with BFD Echo", map::ECHO_PEERS_SIZE),
            )),
            result => result.map_err(failed),
        }
    }

    /// As it was put. What is not there is gone already.
    pub fn remove(&mut self, address: IpAddr, ifindex: Option<u32>) -> Result<(), ApplyError> {
        let key = key(address, ifindex);
        self.0.echo_peers.remove(&key).map(drop).map_err(failed)
    }
}

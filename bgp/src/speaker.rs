//! The speaker: all neighbours, one timer, one queue of outputs.
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use crate::config::{PeerId, SpeakerConfig};
use crate::io::{ConnectionId, Input, Output};
use crate::status::{AdvertisedRoute, PeerStatus};

#[derive(Debug)]
pub struct Speaker {
    config: SpeakerConfig,
    outputs: VecDeque<Output>,
    next_connection: u64,
}

impl Speaker {
    pub fn new(config: SpeakerConfig) -> Self {
        Speaker {
            config,
            outputs: VecDeque::new(),
            next_connection: 1,
        }
    }

    pub fn config(&self) -> &SpeakerConfig {
        &self.config
    }

    /// An id for a connection that was accepted.
    pub fn allocate_connection(&mut self) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        id
    }

    /// Whose connection this is, by its source address.
    pub fn peer_by_address(&self, _address: IpAddr) -> Option<PeerId> {
        None
    }

    pub fn handle(&mut self, _now: Instant, _input: Input<'_>) {}

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub fn peers(&self) -> Vec<PeerStatus> {
        Vec::new()
    }

    pub fn adj_rib_out(&self, _peer: PeerId) -> Vec<AdvertisedRoute> {
        Vec::new()
    }
}

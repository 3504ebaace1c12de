//! Every session of the node.

use std::collections::VecDeque;
use std::time::Instant;

use crate::{ConfigError, Discards, Input, Output, Packet, SessionConfig, SessionId, Status};

/// Every BFD session of the node.
#[derive(Debug)]
pub struct Sessions {
    outputs: VecDeque<Output>,
    discards: Discards,
}

impl Sessions {
    pub fn new(_seed: u64) -> Self {
        Self {
            outputs: VecDeque::new(),
            discards: Discards::default(),
        }
    }

    pub fn add(&mut self, _now: Instant, config: SessionConfig) -> Result<SessionId, ConfigError> {
        config.validate()?;
        Err(ConfigError::TooMany(0))
    }

    pub fn handle(&mut self, _now: Instant, input: Input<'_>) {
        if let Input::Packet { payload, .. } = input
            && let Err(reason) = Packet::decode(payload)
        {
            self.discards.count(reason);
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// A copy of the state of every session, in the order of their identifiers.
    pub fn sessions(&self) -> impl Iterator<Item = Status> + '_ {
        std::iter::empty()
    }

    /// Packets discarded by the whole node, by reason.
    pub fn discards(&self) -> &Discards {
        &self.discards
    }
}

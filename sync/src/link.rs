//! One connection: what has been agreed on it and how far it is in both directions.

use std::collections::HashSet;
use std::time::Instant;

use crate::event::Limits;
use crate::frame::{FrameError, Header, Kind};
use crate::outbound::Outbound;
use crate::record::FlowIdentity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Disconnected,
    /// Connected, waiting for the peer's hello.
    Handshake,
    Established,
    /// Told to close; waiting for the shell to say that it is.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) phase: Phase,
    pub(crate) since: Instant,
    pub(crate) last_sent: Instant,
    pub(crate) last_received: Instant,
    /// Bytes of a frame that is not complete.
    pub(crate) buffer: Vec<u8>,
    /// Of the last frame in each direction.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Agreed with the peer.
    pub(crate) version: u8,
    pub(crate) peer_boot: u64,
    pub(crate) peer_epoch: u32,
    /// The last data frame that was applied and not yet acknowledged.
    pub(crate) acknowledge: Option<u64>,
    pub(crate) incoming: Option<Incoming>,
    pub(crate) outbound: Outbound,
    /// The peer has acknowledged the end of this node's snapshot.
    pub(crate) peer_current: bool,
}

/// A snapshot that the peer is sending.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) records: u64,
    /// `None` once too many.
    pub(crate) named: Option<HashSet<FlowIdentity>>,
}

impl Link {
    pub(crate) fn new(now: Instant, limits: Limits) -> Self {
        Self {
            phase: Phase::Handshake,
            since: now,
            last_sent: now,
            last_received: now,
            buffer: Vec::new(),
            sent: 0,
            received: 0,
            version: crate::peering::MAX_VERSION,
            peer_boot: 0,
            peer_epoch: 0,
            acknowledge: None,
            incoming: None,
            outbound: Outbound::new(now, limits),
            peer_current: false,
        }
    }

    /// Whether the frame stands where it should after the hello.
    pub(crate) fn check_place(&self, header: &Header) -> Result<(), FrameError> {
        let kind = header.kind;
        if self.phase == Phase::Handshake && kind != Kind::Hello {
            return Err(FrameError::BeforeHello(kind));
        }
        let expected = self.received + 1;
        if header.sequence != expected {
            return Err(FrameError::Sequence {
                got: header.sequence,
                expected,
            });
        }
        if kind == Kind::Hello {
            return if self.phase == Phase::Handshake {
                Ok(())
            } else {
                Err(FrameError::OutOfPlace(kind))
            };
        }
        if header.boot != self.peer_boot {
            return Err(FrameError::Boot(header.boot));
        }
        if header.version != self.version {
            return Err(FrameError::Version {
                got: header.version,
                agreed: self.version,
            });
        }
        let (got, expected) = (header.epoch, self.peer_epoch);
        let in_order = if kind == Kind::SnapshotBegin {
            got > expected
        } else {
            got == expected
        };
        if in_order {
            Ok(())
        } else {
            Err(FrameError::Epoch { got, expected })
        }
    }
}

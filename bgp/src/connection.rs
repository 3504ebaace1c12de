//! One TCP connection of a neighbour: who opened it, its state, its bytes not yet understood.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::collision::{Initiator, Phase};
use crate::config::Families;
use crate::framer::Framer;
use crate::io::ConnectionId;
use crate::session::{Negotiated, State};
use crate::status::PeerState;
use crate::wire::{Context, DecodeError, Message};

/// How long nothing at all may leave: RFC 9687 section 4 recommends the greater of this and twice the hold time. It
/// also holds without a hold time, because a neighbour that does not read for that long is not there.
const SEND_HOLD: Duration = Duration::from_secs(8 * 60);

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) initiator: Initiator,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) state: State,
    pub(crate) framer: Framer,
    /// While the socket takes no more (RFC 9687).
    pub(crate) send_hold: Option<Instant>,
    /// Families that the neighbour wants to be told again, and has not been yet.
    pub(crate) asked: Families,
    /// The OPEN messages, whole, for monitoring.
    pub(crate) open_sent: Vec<u8>,
    pub(crate) open_received: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, initiator: Initiator, local: Option<SocketAddr>) -> Self {
        Connection {
            id,
            initiator,
            local,
            state: State::Connect,
            framer: Framer::default(),
            send_hold: None,
            asked: Families::default(),
            open_sent: Vec::new(),
            open_received: Vec::new(),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.state.deadline().into_iter().chain(self.send_hold).min()
    }

    /// Told whenever something has moved, so each time starts the wait again.
    pub(crate) fn backlog(&mut self, now: Instant, waiting: usize) {
        let hold = self.state.link().and_then(|link| link.negotiated.hold);
        let wait = SEND_HOLD.max(2 * hold.unwrap_or_default());
        self.send_hold = (waiting > 0).then(|| now + wait);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Connect | State::OpenSent { .. } => Phase::Opening,
            State::AwaitBfd { .. } | State::OpenConfirm(_) => Phase::Confirmed,
            State::Established(_) => Phase::Established,
        }
    }

    pub(crate) fn peer_state(&self) -> PeerState {
        match self.state {
            State::Connect => PeerState::Connect,
            State::OpenSent { .. } | State::AwaitBfd { .. } => PeerState::OpenSent,
            State::OpenConfirm(_) => PeerState::OpenConfirm,
            State::Established(_) => PeerState::Established,
        }
    }

    /// Whether there is no point in connecting beside this one: it is our own, or it has got past the OPEN. One
    /// that was accepted and stays silent does not count.
    pub(crate) fn holds_back_connect(&self) -> bool {
        self.initiator == Initiator::Local || self.phase() != Phase::Opening
    }

    pub(crate) fn next_message(&mut self) -> Option<Result<Message, DecodeError>> {
        let context = self.state.link().map(|link| link.negotiated.context());
        let message = self.framer.next(context.unwrap_or(BEFORE_OPEN))?;
        if matches!(message, Ok(Message::Open(_))) {
            self.open_received = self.framer.last().to_vec();
        }
        Some(message)
    }

    /// What was agreed on, if the session is established.
    pub(crate) fn agreed(&self) -> Option<Arc<Negotiated>> {
        if let State::Established(link) = &self.state {
            Some(Arc::clone(&link.negotiated))
        } else {
            None
        }
    }
}

const BEFORE_OPEN: Context = Context {
    four_octet: true,
    external: true,
    add_path: Families {
        ipv4: false,
        ipv6: false,
    },
    extended: false,
};

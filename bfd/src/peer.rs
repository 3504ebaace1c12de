//! What the peer last said about itself (RFC 5880 section 6.8.1, the variables named Remote).

use std::time::Duration;

use crate::{Diagnostic, Packet, State};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// 0: unknown.
    pub(crate) discriminator: u32,
    pub(crate) state: State,
    pub(crate) diagnostic: Diagnostic,
    pub(crate) demand: bool,
    pub(crate) independent: bool,
    pub(crate) desired_min_tx: Duration,
    pub(crate) required_min_rx: Duration,
    pub(crate) required_min_echo_rx: Duration,
    pub(crate) detect_multiplier: u8,
}

impl Peer {
    /// The initial values of RFC 5880 section 6.8.1.
    pub(crate) const UNKNOWN: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::None,
        demand: false,
        independent: false,
        desired_min_tx: Duration::ZERO,
        required_min_rx: Duration::from_micros(1),
        required_min_echo_rx: Duration::ZERO,
        detect_multiplier: 0,
    };

    pub(crate) fn from_packet(packet: &Packet) -> Self {
        Self {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            demand: packet.demand,
            independent: packet.control_plane_independent,
            desired_min_tx: Duration::from_micros(packet.desired_min_tx.into()),
            required_min_rx: Duration::from_micros(packet.required_min_rx.into()),
            required_min_echo_rx: Duration::from_micros(packet.required_min_echo_rx.into()),
            detect_multiplier: packet.detect_multiplier,
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.discriminator != 0
    }
}

//! The BFD control packet (RFC 5880 section 4.1): its mandatory 24 bytes, encoded and decoded without allocation.
//! What may follow them is in `authentication`.

use std::fmt;

use crate::Discard;

/// Length of a control packet without authentication.
pub const PACKET_LENGTH: usize = 24;
/// Longest control packet: with the digest of SHA1 (RFC 5880 section 4.4).
pub const MAXIMUM_LENGTH: usize = PACKET_LENGTH + 28;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
pub(crate) const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// Session state, as it stands in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    AdminDown = 0,
    Down = 1,
    Init = 2,
    Up = 3,
}

impl State {
    pub const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];

    fn from_bits(bits: u8) -> Self {
        match bits & 0x03 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reason of the last change of state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    #[default]
    None,
    DetectionTimeExpired,
    EchoFailed,
    NeighborSignaledDown,
    ForwardingPlaneReset,
    PathDown,
    ConcatenatedPathDown,
    AdministrativelyDown,
    ReverseConcatenatedPathDown,
    /// 9..=31, kept as received.
    Reserved(u8),
}

impl Diagnostic {
    pub fn from_code(code: u8) -> Self {
        match code & 0x1f {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Reserved(other),
        }
    }

    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Reserved(code) => code & 0x1f,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::DetectionTimeExpired => "control detection time expired",
            Self::EchoFailed => "echo function failed",
            Self::NeighborSignaledDown => "neighbor signaled session down",
            Self::ForwardingPlaneReset => "forwarding plane reset",
            Self::PathDown => "path down",
            Self::ConcatenatedPathDown => "concatenated path down",
            Self::AdministrativelyDown => "administratively down",
            Self::ReverseConcatenatedPathDown => "reverse concatenated path down",
            Self::Reserved(_) => "reserved",
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A control packet. Intervals are microseconds, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub diagnostic: Diagnostic,
    pub state: State,
    pub poll: bool,
    pub final_answer: bool,
    pub control_plane_independent: bool,
    pub demand: bool,
    pub detect_multiplier: u8,
    pub my_discriminator: u32,
    pub your_discriminator: u32,
    pub desired_min_tx: u32,
    pub required_min_rx: u32,
    pub required_min_echo_rx: u32,
}

impl Packet {
    pub fn encode(&self) -> [u8; PACKET_LENGTH] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut bytes = [0; PACKET_LENGTH];
        let [vers_diag, state_flags, multiplier, length, fields @ ..] = &mut bytes;
        *vers_diag = VERSION << 5 | self.diagnostic.code();
        *state_flags = (self.state as u8) << 6
            | flag(self.poll, POLL)
            | flag(self.final_answer, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        *multiplier = self.detect_multiplier;
        *length = PACKET_LENGTH as u8;
        let words = [
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx,
            self.required_min_rx,
            self.required_min_echo_rx,
        ];
        for (field, word) in fields.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// Decodes and makes the checks of RFC 5880 section 6.8.6 that need no session.
    pub fn decode(payload: &[u8]) -> Result<Self, Discard> {
        let (bytes, _) = payload
            .split_first_chunk::<PACKET_LENGTH>()
            .ok_or(Discard::Length)?;
        let [vers_diag, flags, detect_multiplier, length, fields @ ..] = *bytes;
        if vers_diag >> 5 != VERSION {
            return Err(Discard::Version);
        }
        // The length is at least 24, or 26 with authentication, and at most what the datagram carries.
        let minimum = if flags & AUTHENTICATION == 0 {
            PACKET_LENGTH
        } else {
            PACKET_LENGTH + 2
        };
        if usize::from(length) < minimum || usize::from(length) > payload.len() {
            return Err(Discard::Length);
        }
        if detect_multiplier == 0 {
            return Err(Discard::MultiplierZero);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        // RFC 5880 section 6.5: a packet never has both.
        if flags & POLL != 0 && flags & FINAL != 0 {
            return Err(Discard::PollAndFinal);
        }
        let (words, _) = fields.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_be_bytes(*word));
        let mut next = || words.next().unwrap_or(0);
        let packet = Self {
            diagnostic: Diagnostic::from_code(vers_diag),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            final_answer: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_multiplier,
            my_discriminator: next(),
            your_discriminator: next(),
            desired_min_tx: next(),
            required_min_rx: next(),
            required_min_echo_rx: next(),
        };
        if packet.my_discriminator == 0 {
            return Err(Discard::MyDiscriminatorZero);
        }
        // Only a sender that is down may not know us yet.
        if packet.your_discriminator == 0 && matches!(packet.state, State::Init | State::Up) {
            return Err(Discard::YourDiscriminatorZero);
        }
        Ok(packet)
    }
}

/// A control packet as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    bytes: [u8; MAXIMUM_LENGTH],
    length: u8,
}

impl Payload {
    /// The packet without authentication.
    pub(crate) fn plain(packet: &Packet) -> Self {
        let mut payload = Self {
            bytes: [0; MAXIMUM_LENGTH],
            length: 0,
        };
        payload.append(&packet.encode());
        payload
    }

    /// What does not fit is left out; nothing that is ever appended does not fit.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(usize::from(self.length)..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
            self.length += 1;
        }
        // The length field of the header, RFC 5880 section 4.1.
        if let Some(field) = self.bytes.get_mut(3) {
            *field = self.length;
        }
    }

    pub(crate) fn mark_authenticated(&mut self) {
        if let Some(flags) = self.bytes.get_mut(1) {
            *flags |= AUTHENTICATION;
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

#[cfg(test)]
mod tests;

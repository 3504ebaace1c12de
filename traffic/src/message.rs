//! The protocol of a verified flow.
//!
//! The client opens with a [`Hello`] that selects the kind. From then on each direction is a sequence of messages: a
//! header and a payload whose bytes follow from (flow, direction, offset). Header fields are checked as well: the
//! sequence counts from 0, and the stamp, the name of the backend that answers, may never change within a flow.
//!
//! Headers also carry what only the sender can see of its end (retransmits, longest silence), so that the report of
//! the client covers both ends.

use crate::pattern::{self, Direction};

pub const HELLO_LENGTH: usize = 24;
pub const HEADER_LENGTH: usize = 40;
/// Longest payload accepted; a longer length field means that the stream is corrupt.
pub const MAX_PAYLOAD: usize = 64 * 1024;

const HELLO_MAGIC: [u8; 4] = *b"BTN1";
const HEADER_MAGIC: [u8; 4] = *b"btnm";

/// What a flow does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One request at a time, answered at once.
    PingPong,
    /// The client sends at a steady rate; the server says once a second what arrived.
    Up,
    /// The server sends at a steady rate; the client is silent.
    Down,
    /// Silent until told to speak; then like one ping-pong.
    Idle,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::PingPong, Self::Up, Self::Down, Self::Idle];

    const fn code(self) -> u8 {
        match self {
            Self::PingPong => 1,
            Self::Up => 2,
            Self::Down => 3,
            Self::Idle => 4,
        }
    }
}

/// Name of a backend, at most eight bytes, padded with zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub [u8; 8]);

impl Stamp {
    /// `None` for an empty name or one longer than eight bytes.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        (!name.is_empty()).then_some(Self(bytes))
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        f.write_str(&String::from_utf8_lossy(self.0.get(..length).unwrap_or_default()))
    }
}

/// Why a stream cannot be what the other end sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    #[error("not a hello of this protocol")]
    Hello,
    #[error("no message starts at stream offset {0}")]
    Magic(u64),
    #[error("message {expected} expected, {found} found")]
    Sequence { expected: u64, found: u64 },
    #[error("payload of {0} bytes")]
    Length(u32),
    #[error("wrong byte at payload offset {0}")]
    Payload(u64),
    #[error("answered by {found}, so far by {expected}")]
    Misdelivered { expected: Stamp, found: Stamp },
}

/// First bytes of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    pub flow: u64,
    pub kind: Kind,
    /// Messages a second of the side that sends.
    pub rate: u16,
    /// Payload bytes of a message.
    pub payload: u32,
}

impl Hello {
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_LENGTH] {
        let mut out = [0; HELLO_LENGTH];
        out[..4].copy_from_slice(&HELLO_MAGIC);
        out[4] = self.kind.code();
        out[6..8].copy_from_slice(&self.rate.to_be_bytes());
        out[8..12].copy_from_slice(&self.payload.to_be_bytes());
        out[16..24].copy_from_slice(&self.flow.to_be_bytes());
        out
    }

    pub fn decode(bytes: &[u8; HELLO_LENGTH]) -> Result<Self, Corrupt> {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.code() == bytes[4])
            .ok_or(Corrupt::Hello)?;
        let hello = Self {
            flow: u64::from_be_bytes(array(bytes, 16)),
            kind,
            rate: u16::from_be_bytes(array(bytes, 6)),
            payload: u32::from_be_bytes(array(bytes, 8)),
        };
        let sane = bytes[..4] == HELLO_MAGIC && hello.rate > 0 && hello.payload as usize <= MAX_PAYLOAD;
        if sane { Ok(hello) } else { Err(Corrupt::Hello) }
    }
}

/// What an end saw since it last said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Segments this end has retransmitted since the connection began.
    pub retransmits: u32,
    /// Longest time between two messages that arrived.
    pub silence_us: u32,
    /// When that silence ended.
    pub silence_end: u64,
}

/// A verified message without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub stamp: Stamp,
    pub length: u32,
    pub observation: Observation,
}

/// Writes one direction of a flow.
#[derive(Debug)]
pub struct Encoder {
    flow: u64,
    direction: Direction,
    stamp: Stamp,
    sequence: u64,
    offset: u64,
}

impl Encoder {
    #[must_use]
    pub const fn new(flow: u64, direction: Direction, stamp: Stamp) -> Self {
        Self {
            flow,
            direction,
            stamp,
            sequence: 0,
            offset: 0,
        }
    }

    /// The next message, in `out`, whose content is replaced.
    pub fn encode(&mut self, out: &mut Vec<u8>, payload: u32, observation: Observation) {
        out.clear();
        out.extend_from_slice(&HEADER_MAGIC);
        out.extend_from_slice(&payload.to_be_bytes());
        out.extend_from_slice(&self.stamp.0);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&observation.retransmits.to_be_bytes());
        out.extend_from_slice(&observation.silence_us.to_be_bytes());
        out.extend_from_slice(&observation.silence_end.to_be_bytes());
        pattern::append(out, self.flow, self.direction, self.offset, payload as usize);
        self.sequence += 1;
        self.offset += u64::from(payload);
    }
}

/// Reads and verifies one direction of a flow.
#[derive(Debug)]
pub struct Decoder {
    flow: u64,
    direction: Direction,
    stamp: Option<Stamp>,
    sequence: u64,
    offset: u64,
    consumed: u64,
    buffer: Vec<u8>,
}

impl Decoder {
    #[must_use]
    pub const fn new(flow: u64, direction: Direction) -> Self {
        Self {
            flow,
            direction,
            stamp: None,
            sequence: 0,
            offset: 0,
            consumed: 0,
            buffer: Vec::new(),
        }
    }

    /// The backend that answers, once it has.
    #[must_use]
    pub const fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message; `None` when more bytes are needed. After an error the stream is of no use.
    pub fn next_message(&mut self) -> Result<Option<Message>, Corrupt> {
        let Some(header) = self.buffer.first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        if header[..4] != HEADER_MAGIC {
            return Err(Corrupt::Magic(self.consumed));
        }
        let length = u32::from_be_bytes(array(header, 4));
        let stamp = Stamp(array(header, 8));
        let found = u64::from_be_bytes(array(header, 16));
        let observation = Observation {
            retransmits: u32::from_be_bytes(array(header, 24)),
            silence_us: u32::from_be_bytes(array(header, 28)),
            silence_end: u64::from_be_bytes(array(header, 32)),
        };
        if length as usize > MAX_PAYLOAD {
            return Err(Corrupt::Length(length));
        }
        let expected = self.stamp.unwrap_or(stamp);
        if expected != stamp {
            return Err(Corrupt::Misdelivered {
                expected,
                found: stamp,
            });
        }
        if found != self.sequence {
            return Err(Corrupt::Sequence {
                expected: self.sequence,
                found,
            });
        }
        let end = HEADER_LENGTH + length as usize;
        let Some(payload) = self.buffer.get(HEADER_LENGTH..end) else {
            return Ok(None);
        };
        if let Some(at) = pattern::first_difference(payload, self.flow, self.direction, self.offset) {
            return Err(Corrupt::Payload(at));
        }
        self.buffer.drain(..end);
        self.stamp = Some(stamp);
        self.sequence += 1;
        self.offset += u64::from(length);
        self.consumed += end as u64;
        Ok(Some(Message {
            stamp,
            length,
            observation,
        }))
    }
}

/// `N` bytes at a constant position of a longer array; the positions above all lie inside.
fn array<const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(part) = bytes.get(at..at + N) {
        out.copy_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests;

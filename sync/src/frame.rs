//! The header that every message has, and taking frames out of a byte stream.
//!
//! 52 bytes, big endian: `magic u32 | version u8 | type u8 | zero u16 | length u32 | epoch u32 | cluster u64 | node u64 |
//! boot u64 | sequence u64 | checksum u32`. `length` counts the payload alone; the checksum covers the header, with zero
//! in its own place, and the payload. The header is the same in all versions.

use crate::checksum::crc32;
use crate::reader::Reader;

pub(crate) const HEADER: usize = 52;
/// No frame carries more; a longer one ends the connection before it is read.
pub const MAX_PAYLOAD: usize = 32 * 1024;
pub(crate) const MAGIC: u32 = 0x4254_4e53;
const CHECKSUM_AT: usize = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    Batch,
    Ack,
    Heartbeat,
    HaHello,
    /// Types from 128 on may be skipped by whoever does not know them.
    Skippable,
}

impl Kind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::SnapshotBegin => 2,
            Self::SnapshotChunk => 3,
            Self::SnapshotEnd => 4,
            Self::Batch => 5,
            Self::Ack => 6,
            Self::Heartbeat => 7,
            Self::HaHello => 8,
            Self::Skippable => 128,
        }
    }

    fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Hello,
            2 => Self::SnapshotBegin,
            3 => Self::SnapshotChunk,
            4 => Self::SnapshotEnd,
            5 => Self::Batch,
            6 => Self::Ack,
            7 => Self::Heartbeat,
            8 => Self::HaHello,
            128.. => Self::Skippable,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u8,
    pub(crate) kind: Kind,
    pub(crate) epoch: u32,
    pub(crate) cluster: u64,
    pub(crate) node: u64,
    pub(crate) boot: u64,
    pub(crate) sequence: u64,
}

/// What is wrong with a frame or with its place in the stream. Each ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("not a frame: magic {0:#010x}")]
    Magic(u32),
    #[error("unknown message type {0}")]
    Kind(u8),
    #[error("frame of {0} bytes, more than {MAX_PAYLOAD}")]
    Length(u32),
    #[error("checksum {0:#010x}, computed {1:#010x}")]
    Checksum(u32, u32),
    #[error("header ends early")]
    Header,
    #[error("other cluster {0:#018x}")]
    Cluster(u64),
    #[error("other node {0:#018x}")]
    Node(u64),
    #[error("node calls itself {0:?}")]
    Name(String),
    #[error("boot {0:#018x} in a connection of another boot")]
    Boot(u64),
    #[error("boot {0:#018x} is a past incarnation")]
    PastBoot(u64),
    #[error("epoch {got}, expected {expected}")]
    Epoch { got: u32, expected: u32 },
    #[error("sequence {got}, expected {expected}")]
    Sequence { got: u64, expected: u64 },
    #[error("version {got}, agreed on {agreed}")]
    Version { got: u8, agreed: u8 },
    #[error("no common version: the peer speaks {min} to {max}")]
    NoCommonVersion { min: u8, max: u8 },
    #[error("{0:?} before the hello")]
    BeforeHello(Kind),
    #[error("{0:?} out of place")]
    OutOfPlace(Kind),
    #[error("{kind:?} ends early at byte {at} of its payload")]
    Payload { kind: Kind, at: usize },
    #[error("snapshot of {got} flows ends as one of {expected}")]
    SnapshotCount { got: u64, expected: u64 },
    #[error("acknowledged frame {0} was never sent")]
    Acknowledged(u64),
}

impl Header {
    /// The whole frame.
    pub(crate) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + payload.len());
        out.extend_from_slice(&MAGIC.to_be_bytes());
        out.extend_from_slice(&[self.version, self.kind.code(), 0, 0]);
        out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        for field in [self.cluster, self.node, self.boot, self.sequence] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        let checksum = crc32(&[&out, &[0; 4], payload]);
        out.extend_from_slice(&checksum.to_be_bytes());
        out.extend_from_slice(payload);
        out
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) payload: &'a [u8],
    /// Of the whole frame.
    pub(crate) length: usize,
}

/// The first frame of the bytes; `None`: more bytes are needed.
pub(crate) fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(head) = bytes.get(..HEADER) else {
        return Ok(None);
    };
    let mut reader = Reader::new(head);
    let mut fields = || -> Option<_> {
        let magic = reader.u32()?;
        let (version, kind) = (reader.u8()?, reader.u8()?);
        let _zero = reader.u16()?;
        let (length, epoch) = (reader.u32()?, reader.u32()?);
        let (cluster, node, boot, sequence) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        Some((
            magic,
            version,
            kind,
            length,
            epoch,
            [cluster, node, boot, sequence],
            reader.u32()?,
        ))
    };
    let (magic, version, kind, length, epoch, ids, checksum) = fields().ok_or(FrameError::Header)?;
    if magic != MAGIC {
        return Err(FrameError::Magic(magic));
    }
    let end = usize::try_from(length)
        .ok()
        .filter(|&l| l <= MAX_PAYLOAD)
        .ok_or(FrameError::Length(length))?
        + HEADER;
    let Some(payload) = bytes.get(HEADER..end) else {
        return Ok(None);
    };
    let computed = crc32(&[head.get(..CHECKSUM_AT).unwrap_or_default(), &[0; 4], payload]);
    if computed != checksum {
        return Err(FrameError::Checksum(checksum, computed));
    }
    let kind = Kind::of(kind).ok_or(FrameError::Kind(kind))?;
    let [cluster, node, boot, sequence] = ids;
    let header = Header {
        version,
        kind,
        epoch,
        cluster,
        node,
        boot,
        sequence,
    };
    Ok(Some(Frame {
        header,
        payload,
        length: end,
    }))
}

//! What the frames carry.
//!
//! Records stand in `Batch` and `SnapshotChunk` after their number (`u16`), each behind its own length (`u16`), so that a
//! later version can append fields or add kinds and this one skips them:
//! `kind u8 | protocol u8 | client | vip` and for an upsert `| backend | snat | state u8 | flags u16 | age u32 (ms)`. An
//! endpoint is `family u8 (4 or 6; 0: none) | address | port u16`. Numbers are big endian.

use std::net::IpAddr;
use std::time::Duration;

use crate::frame::{FrameError, Kind, MAX_PAYLOAD};
use crate::reader::Reader;
use crate::record::{Change, Endpoint, FlowFlags, FlowIdentity, FlowRecord, FlowState};

const UPSERT: u8 = 1;
const DELETE: u8 = 2;
/// Longest encoded record, its length included: four IPv6 endpoints.
const MAX_RECORD: usize = 2 + 2 + 4 * 19 + 1 + 2 + 4;
/// Longest name of a node.
const MAX_NAME: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) min_version: u8,
    pub(crate) max_version: u8,
    pub(crate) name: String,
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let name = self.name.as_bytes();
        let name = name.get(..MAX_NAME).unwrap_or(name);
        let mut out = vec![
            self.min_version,
            self.max_version,
            u8::try_from(name.len()).unwrap_or(0),
        ];
        out.extend_from_slice(name);
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(payload);
        let mut fields = || -> Option<Self> {
            let (min_version, max_version) = (reader.u8()?, reader.u8()?);
            let length = usize::from(reader.u8()?);
            let name = String::from_utf8_lossy(reader.take(length)?).into_owned();
            Some(Self {
                min_version,
                max_version,
                name,
            })
        };
        fields().ok_or(FrameError::Payload {
            kind: Kind::Hello,
            at: payload.len(),
        })
    }
}

/// One `u64`: what an acknowledgement and the end of a snapshot consist of.
pub(crate) fn decode_number(kind: Kind, payload: &[u8]) -> Result<u64, FrameError> {
    Reader::new(payload).u64().ok_or(FrameError::Payload {
        kind,
        at: payload.len(),
    })
}

/// Collects records until a frame is full.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    payload: Vec<u8>,
    count: u16,
}

impl RecordWriter {
    pub(crate) fn new() -> Self {
        Self {
            payload: vec![0; 2],
            count: 0,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.payload.len() + MAX_RECORD > MAX_PAYLOAD || self.count == u16::MAX
    }

    pub(crate) fn count(&self) -> u32 {
        u32::from(self.count)
    }

    pub(crate) fn push(&mut self, change: &Change) {
        let at = self.payload.len();
        self.payload.extend_from_slice(&[0, 0]);
        encode_change(&mut self.payload, change);
        let length = u16::try_from(self.payload.len() - at - 2).unwrap_or(0);
        self.fill(at, length);
        self.count += 1;
    }

    fn fill(&mut self, at: usize, value: u16) {
        if let Some(slot) = self.payload.get_mut(at..at + 2) {
            slot.copy_from_slice(&value.to_be_bytes());
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.fill(0, self.count);
        self.payload
    }
}

fn encode_change(out: &mut Vec<u8>, change: &Change) {
    let identity = change.identity();
    let kind = if matches!(change, Change::Upsert(_)) {
        UPSERT
    } else {
        DELETE
    };
    out.extend_from_slice(&[kind, identity.protocol]);
    put_endpoint(out, Some(identity.client));
    put_endpoint(out, Some(identity.vip));
    if let Change::Upsert(record) = change {
        put_endpoint(out, Some(record.backend));
        put_endpoint(out, record.snat);
        out.push(state_code(record.state));
        out.extend_from_slice(&record.flags.0.to_be_bytes());
        out.extend_from_slice(
            &u32::try_from(record.age.as_millis())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
    }
}

fn put_endpoint(out: &mut Vec<u8>, endpoint: Option<Endpoint>) {
    match endpoint {
        None => out.push(0),
        Some(Endpoint {
            address: IpAddr::V4(address),
            port,
        }) => {
            out.push(4);
            out.extend_from_slice(&address.octets());
            out.extend_from_slice(&port.to_be_bytes());
        }
        Some(Endpoint {
            address: IpAddr::V6(address),
            port,
        }) => {
            out.push(6);
            out.extend_from_slice(&address.octets());
            out.extend_from_slice(&port.to_be_bytes());
        }
    }
}

/// Returns the changes and how many records were of a kind, family or state that this version does not know.
pub(crate) fn decode_records(kind: Kind, payload: &[u8]) -> Result<(Vec<Change>, u64), FrameError> {
    let mut reader = Reader::new(payload);
    let early = |at| FrameError::Payload { kind, at };
    let count = reader.u16().ok_or_else(|| early(payload.len()))?;
    let mut unknown = 0;
    let mut changes = Vec::with_capacity(usize::from(count).min(MAX_PAYLOAD / 16));
    for _ in 0..count {
        let at = reader.at();
        let length = reader.u16().ok_or_else(|| early(at))?;
        let record = reader.take(usize::from(length)).ok_or_else(|| early(at))?;
        match decode_change(&mut Reader::new(record)).ok_or_else(|| early(at))? {
            Some(change) => changes.push(change),
            None => unknown += 1,
        }
    }
    Ok((changes, unknown))
}

/// Outer `None`: the record is too short. Inner `None`: not known in this version.
fn decode_change(reader: &mut Reader<'_>) -> Option<Option<Change>> {
    let (kind, protocol) = (reader.u8()?, reader.u8()?);
    if kind != UPSERT && kind != DELETE {
        return Some(None);
    }
    let (client, vip) = (endpoint(reader)?, endpoint(reader)?);
    let (Family::Known(client), Family::Known(vip)) = (client, vip) else {
        return Some(None);
    };
    let identity = FlowIdentity {
        protocol,
        client,
        vip,
    };
    if kind == DELETE {
        return Some(Some(Change::Delete(identity)));
    }
    let Family::Known(backend) = endpoint(reader)? else {
        return Some(None);
    };
    let snat = match endpoint(reader)? {
        Family::Known(snat) => Some(snat),
        Family::None => None,
        Family::Unknown => return Some(None),
    };
    let state = state_of(reader.u8()?);
    let flags = FlowFlags(reader.u16()?);
    let age = Duration::from_millis(u64::from(reader.u32()?));
    Some(state.map(|state| {
        Change::Upsert(FlowRecord {
            identity,
            backend,
            snat,
            state,
            age,
            flags,
        })
    }))
}

enum Family {
    Known(Endpoint),
    None,
    /// The rest of the record cannot be told apart.
    Unknown,
}

fn endpoint(reader: &mut Reader<'_>) -> Option<Family> {
    let address: IpAddr = match reader.u8()? {
        4 => reader.array::<4>()?.into(),
        6 => reader.array::<16>()?.into(),
        0 => return Some(Family::None),
        _ => return Some(Family::Unknown),
    };
    Some(Family::Known(Endpoint {
        address,
        port: reader.u16()?,
    }))
}

fn state_code(state: FlowState) -> u8 {
    match state {
        FlowState::Opening => 1,
        FlowState::Established => 2,
        FlowState::ClientClosed => 3,
        FlowState::BackendClosed => 4,
        FlowState::Closing => 5,
    }
}

fn state_of(code: u8) -> Option<FlowState> {
    Some(match code {
        1 => FlowState::Opening,
        2 => FlowState::Established,
        3 => FlowState::ClientClosed,
        4 => FlowState::BackendClosed,
        5 => FlowState::Closing,
        _ => return None,
    })
}

//! What the tap of the pair tells apart: control packets of BFD and UPDATEs of BGP.
use std::net::Ipv4Addr;

use crate::packet::Packet;

const TCP: u8 = 6;
const UPDATE: u8 = 2;
const MULTI_EXIT_DISC: u8 = 4;
const EXTENDED_LENGTH: u8 = 0x10;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Frame {
    Control(Packet),
    /// The first one in a segment that announces something.
    Update {
        source: Ipv4Addr,
        med: Option<u32>,
    },
}

impl Frame {
    /// Of an IPv4 packet.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if *bytes.get(9)? != TCP {
            return Packet::read(bytes).map(Frame::Control);
        }
        let source = Ipv4Addr::from(*bytes.get(12..)?.first_chunk::<4>()?);
        let segment = bytes.get(usize::from(*bytes.first()? & 0xf) * 4..)?;
        let mut messages = segment.get(usize::from(*segment.get(12)? >> 4) * 4..)?;
        loop {
            let length = usize::from(half(messages, 16)?);
            let message = messages.get(..length).filter(|_| length >= 19)?;
            if message[18] == UPDATE
                && let Some(med) = announces(&message[19..])
            {
                return Some(Frame::Update { source, med });
            }
            messages = &messages[length..];
        }
    }

    pub(crate) fn is_update(&self) -> bool {
        matches!(self, Frame::Update { .. })
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The MED of an UPDATE that has attributes: what withdraws only, and End-of-RIB, have none.
fn announces(update: &[u8]) -> Option<Option<u32>> {
    let behind_withdrawn = update.get(2 + usize::from(half(update, 0)?)..)?;
    let length = usize::from(half(behind_withdrawn, 0)?);
    let mut attributes = behind_withdrawn.get(2..2 + length).filter(|_| length > 0)?;
    let mut med = None;
    while let [flags, kind, ..] = *attributes {
        let (length, value) = if flags & EXTENDED_LENGTH == 0 {
            (usize::from(*attributes.get(2)?), 3)
        } else {
            (usize::from(half(attributes, 2)?), 4)
        };
        let bytes = attributes.get(value..value + length)?;
        if kind == MULTI_EXIT_DISC {
            med = bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        }
        attributes = &attributes[value + length..];
    }
    Some(med)
}

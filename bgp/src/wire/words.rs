//! A NOTIFICATION in words: its name, and what its data say.
use std::fmt;

use super::capability::{Capability, family};
use super::error::DecodeError;
use super::notification::Notification;
use super::reader::Reader;
use super::table;

impl Notification {
    fn name(&self) -> &'static str {
        match (self.code, self.subcode) {
            (1, 1) => "connection not synchronized",
            (1, 2) => "bad message length",
            (1, 3) => "bad message type",
            (1, _) => "message header error",
            (2, 1) => "unsupported version number",
            (2, 2) => "bad peer AS",
            (2, 3) => "bad BGP identifier",
            (2, 4) => "unsupported optional parameter",
            (2, 6) => "unacceptable hold time",
            (2, 7) => "unsupported capability",
            (2, 11) => "role mismatch",
            (2, _) => "OPEN message error",
            (3, 1) => "malformed attribute list",
            (3, 2) => "unrecognized well-known attribute",
            (3, 3) => "missing well-known attribute",
            (3, 4) => "attribute flags error",
            (3, 5) => "attribute length error",
            (3, 6) => "invalid ORIGIN attribute",
            (3, 8) => "invalid NEXT_HOP attribute",
            (3, 9) => "optional attribute error",
            (3, 10) => "invalid network field",
            (3, 11) => "malformed AS_PATH",
            (3, _) => "UPDATE message error",
            (4, _) => "hold timer expired",
            (5, 1) => "unexpected message in OpenSent",
            (5, 2) => "unexpected message in OpenConfirm",
            (5, 3) => "unexpected message in Established",
            (5, _) => "finite state machine error",
            (6, 1) => "maximum number of prefixes reached",
            (6, 2) => "administrative shutdown",
            (6, 3) => "peer de-configured",
            (6, 4) => "administrative reset",
            (6, 5) => "connection rejected",
            (6, 6) => "other configuration change",
            (6, 7) => "connection collision resolution",
            (6, 8) => "out of resources",
            (6, 9) => "hard reset",
            (6, 10) => "BFD down",
            (6, _) => "cease",
            (7, 1) => "bad length of a ROUTE-REFRESH",
            (7, _) => "ROUTE-REFRESH message error",
            (8, _) => "send hold timer expired",
            _ => "unknown error",
        }
    }

    /// What the data add, when they are as the RFC wants them. Data of a neighbour are not to be trusted.
    fn detail(&self) -> Option<String> {
        match (self.code, self.subcode, self.data.as_slice()) {
            (1, 2, [high, low]) => Some(format!("{} octets", u16::from_be_bytes([*high, *low]))),
            (1, 3, [kind]) => Some(format!("type {kind}")),
            (2, 1, [high, low]) => Some(format!("version {} wanted", u16::from_be_bytes([*high, *low]))),
            (2, 7, data) => capabilities(data),
            (3, 3, [code]) | (3, 2 | 4 | 5 | 6 | 8 | 9, [_, code, ..]) => Some(table::name(*code)),
            (6, 1, data) => limit(data),
            (6, 9, _) => self
                .hard_reset_cause()
                .filter(|cause| !cause.is_hard_reset())
                .map(|cause| cause.to_string()),
            (6, _, _) => self.shutdown_message(),
            _ => None,
        }
    }
}

/// RFC 4271 section 6.2, RFC 5492 section 5: the capabilities that are missed.
fn capabilities(data: &[u8]) -> Option<String> {
    let mut reader = Reader::new(data, 0, None);
    let mut names = Vec::new();
    while !reader.is_empty() {
        names.push(Capability::decode(&mut reader).ok()?.name());
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// RFC 4486 section 4.
fn limit(data: &[u8]) -> Option<String> {
    let read = |mut reader: Reader<'_>| -> Result<String, DecodeError> {
        let (afi, safi) = (reader.u16()?, reader.u8()?);
        let limit = reader.u32()?;
        Ok(match family(afi, safi) {
            Some(family) => format!("{limit} of {family}"),
            None => format!("{limit} of afi {afi} safi {safi}"),
        })
    };
    read(Reader::new(data, 0, None)).ok()
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.name(), self.code, self.subcode)?;
        match self.detail() {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

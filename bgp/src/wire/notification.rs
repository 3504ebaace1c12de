//! NOTIFICATION (RFC 4271 section 4.5): the last word of a session, and its translation for people.
use std::fmt;

use super::error::DecodeError;
use super::reader::Reader;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub code: u8,
    pub subcode: u8,
    pub data: Vec<u8>,
}

/// Reasons to end a session that is not at fault (RFC 4486, RFC 9384).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cease {
    AdministrativeShutdown,
    PeerDeconfigured,
    ConnectionRejected,
    OtherConfigurationChange,
    Collision,
    BfdDown,
}

impl Cease {
    fn subcode(self) -> u8 {
        match self {
            Cease::AdministrativeShutdown => 2,
            Cease::PeerDeconfigured => 3,
            Cease::ConnectionRejected => 5,
            Cease::OtherConfigurationChange => 6,
            Cease::Collision => 7,
            Cease::BfdDown => 10,
        }
    }
}

impl From<Cease> for Notification {
    fn from(cease: Cease) -> Self {
        Notification {
            code: 6,
            subcode: cease.subcode(),
            data: Vec::new(),
        }
    }
}

impl Notification {
    pub const HOLD_TIMER_EXPIRED: Notification = Notification {
        code: 4,
        subcode: 0,
        data: Vec::new(),
    };
    pub const BAD_PEER_AS: Notification = Notification {
        code: 2,
        subcode: 2,
        data: Vec::new(),
    };
    pub const BAD_IDENTIFIER: Notification = Notification {
        code: 2,
        subcode: 3,
        data: Vec::new(),
    };

    /// RFC 5492 section 5; `data` are the capabilities that are missing.
    pub fn unsupported_capability(data: Vec<u8>) -> Self {
        Notification {
            code: 2,
            subcode: 7,
            data,
        }
    }

    /// RFC 6608: a message that the state has no place for; 1 OpenSent, 2 OpenConfirm, 3 Established.
    pub fn unexpected_message(subcode: u8) -> Self {
        Notification {
            code: 5,
            subcode,
            data: Vec::new(),
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Notification {
            code: reader.u8()?,
            subcode: reader.u8()?,
            data: reader.rest().to_vec(),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.code, self.subcode]);
        out.extend_from_slice(&self.data);
    }

    /// What the operator on the other side wrote (RFC 9003): one octet of length, then UTF-8. Anything else is no
    /// message; control characters would spoil a terminal and are replaced.
    pub fn shutdown_message(&self) -> Option<String> {
        if self.code != 6 || !matches!(self.subcode, 2 | 4) {
            return None;
        }
        let (length, rest) = self.data.split_first()?;
        let text = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
        if text.is_empty() {
            return None;
        }
        Some(
            text.chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect(),
        )
    }

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
            (7, _) => "ROUTE-REFRESH message error",
            _ => "unknown error",
        }
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.name(), self.code, self.subcode)?;
        match self.shutdown_message() {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

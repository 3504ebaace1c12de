//! NOTIFICATION (RFC 4271 section 4.5): the last word of a session, and its translation for people.
use super::capability::{SAFI_UNICAST, afi};
use super::error::DecodeError;
use super::reader::Reader;
use crate::config::Family;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub code: u8,
    pub subcode: u8,
    pub data: Vec<u8>,
}

/// Reasons to end a session that is not at fault (RFC 4486, RFC 8538, RFC 9384).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cease {
    MaximumPrefixes,
    AdministrativeShutdown,
    PeerDeconfigured,
    AdministrativeReset,
    ConnectionRejected,
    OtherConfigurationChange,
    Collision,
    OutOfResources,
    BfdDown,
}

impl Cease {
    fn subcode(self) -> u8 {
        match self {
            Cease::MaximumPrefixes => 1,
            Cease::AdministrativeShutdown => 2,
            Cease::PeerDeconfigured => 3,
            Cease::AdministrativeReset => 4,
            Cease::ConnectionRejected => 5,
            Cease::OtherConfigurationChange => 6,
            Cease::Collision => 7,
            Cease::OutOfResources => 8,
            Cease::BfdDown => 10,
        }
    }

    /// With a word for the operator of the neighbour: cut to 255 octets, and never inside a character. Only an
    /// administrative shutdown and an administrative reset carry one (RFC 9003 section 2).
    pub fn with_communication(self, text: &str) -> Notification {
        let mut notification = Notification::from(self);
        if notification.carries_communication() && !text.is_empty() {
            let end = text.floor_char_boundary(COMMUNICATION);
            let text = text.get(..end).unwrap_or_default();
            notification
                .data
                .push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            notification.data.extend_from_slice(text.as_bytes());
        }
        notification
    }
}

/// Octets of a shutdown communication (RFC 9003 section 2).
const COMMUNICATION: usize = 255;

impl From<Cease> for Notification {
    fn from(cease: Cease) -> Self {
        Notification::new(6, cease.subcode(), Vec::new())
    }
}

const HARD_RESET: u8 = 9;

impl Notification {
    pub const HOLD_TIMER_EXPIRED: Notification = Notification::new(4, 0, Vec::new());
    /// RFC 9687 section 3.2.
    pub const SEND_HOLD_TIMER_EXPIRED: Notification = Notification::new(8, 0, Vec::new());
    pub const BAD_PEER_AS: Notification = Notification::new(2, 2, Vec::new());
    pub const BAD_IDENTIFIER: Notification = Notification::new(2, 3, Vec::new());
    /// RFC 9234 section 4.2.
    pub const ROLE_MISMATCH: Notification = Notification::new(2, 11, Vec::new());

    pub const fn new(code: u8, subcode: u8, data: Vec<u8>) -> Self {
        Notification { code, subcode, data }
    }

    /// RFC 5492 section 5; `data` are the capabilities that are missing.
    pub fn unsupported_capability(data: Vec<u8>) -> Self {
        Notification::new(2, 7, data)
    }

    /// RFC 6608: a message that the state has no place for; 1 OpenSent, 2 OpenConfirm, 3 Established.
    pub fn unexpected_message(subcode: u8) -> Self {
        Notification::new(5, subcode, Vec::new())
    }

    /// More prefixes of the family than the `limit` (RFC 4486 section 4).
    pub fn maximum_prefixes(family: Family, limit: u32) -> Self {
        let mut data = afi(family).to_be_bytes().to_vec();
        data.push(SAFI_UNICAST);
        data.extend_from_slice(&limit.to_be_bytes());
        Notification::new(6, Cease::MaximumPrefixes.subcode(), data)
    }

    /// Tells a neighbour that would otherwise keep our routes to drop them, and why (RFC 8538 section 3.1).
    pub fn hard_reset(cause: &Notification) -> Self {
        let mut data = Vec::new();
        cause.encode(&mut data);
        Notification::new(6, HARD_RESET, data)
    }

    pub fn is_hard_reset(&self) -> bool {
        (self.code, self.subcode) == (6, HARD_RESET)
    }

    /// What a hard reset was sent for.
    pub fn hard_reset_cause(&self) -> Option<Notification> {
        match self.data.as_slice() {
            [code, subcode, data @ ..] if self.is_hard_reset() => {
                Some(Notification::new(*code, *subcode, data.to_vec()))
            }
            _ => None,
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

    fn carries_communication(&self) -> bool {
        self.code == 6 && matches!(self.subcode, 2 | 4)
    }

    /// What the operator on the other side wrote (RFC 9003): one octet of length, then UTF-8. Anything else is no
    /// message; control characters would spoil a terminal and are replaced.
    pub fn shutdown_message(&self) -> Option<String> {
        if let Some(cause) = self.hard_reset_cause() {
            // One level is all that makes sense.
            return if cause.is_hard_reset() {
                None
            } else {
                cause.shutdown_message()
            };
        }
        if !self.carries_communication() {
            return None;
        }
        let (length, rest) = self.data.split_first()?;
        let text = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
        (!text.is_empty()).then(|| printable(text))
    }
}

/// Without what would spoil a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

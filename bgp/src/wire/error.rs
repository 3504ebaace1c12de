//! What can be wrong with a message, where, and which NOTIFICATION says so.
use thiserror::Error;

use super::message::{HEADER_LENGTH, MAX_MESSAGE, MessageType};
use super::notification::Notification;
use super::table;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// From the first byte of the message.
    pub offset: usize,
    /// `None`: in the header.
    pub within: Option<MessageType>,
    pub kind: ErrorKind,
    /// What the NOTIFICATION shows: the attribute, or the ROUTE-REFRESH, as it was received.
    pub culprit: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ErrorKind {
    #[error("truncated: {wanted} bytes wanted, {left} left")]
    Truncated { wanted: usize, left: usize },
    #[error("marker is not all ones")]
    Marker,
    #[error("bad message length {0}")]
    MessageLength(u16),
    #[error("unknown message type {0}")]
    MessageType(u8),
    #[error("unsupported version {0}")]
    Version(u8),
    #[error("AS number 0")]
    ZeroAs,
    #[error("bad BGP identifier")]
    Identifier,
    #[error("unacceptable hold time of {0} s")]
    HoldTime(u16),
    #[error("unsupported optional parameter {0}")]
    OptionalParameter(u8),
    #[error("optional parameters of {0} bytes do not fill the message")]
    ParametersLength(usize),
    #[error("capability {code} has length {length}")]
    CapabilityLength { code: u8, length: usize },
    #[error("malformed attribute list")]
    AttributeList,
    #[error("well-known {} is not known", table::name(*.0))]
    UnrecognizedWellKnown(u8),
    #[error("{} is missing", table::name(*.0))]
    MissingWellKnown(u8),
    #[error("{} has flags {flags:#04x}", table::name(*code))]
    AttributeFlags { code: u8, flags: u8 },
    #[error("{} has length {length}", table::name(*code))]
    AttributeLength { code: u8, length: usize },
    #[error("{} appears again", table::name(*.0))]
    DuplicateAttribute(u8),
    #[error("{} from an external neighbour", table::name(*.0))]
    InternalAttribute(u8),
    #[error("undefined origin {0}")]
    Origin(u8),
    #[error("malformed AS path")]
    AsPath,
    #[error("next hop of a wrong length")]
    NextHop,
    #[error("prefix length {0}")]
    PrefixLength(u8),
    #[error("path identifier without a prefix")]
    PathIdentifier,
    #[error("ROUTE-REFRESH of {0} octets")]
    RefreshLength(usize),
}

/// Room for data in a NOTIFICATION that is not extended.
const DATA: usize = MAX_MESSAGE - HEADER_LENGTH - 2;

impl DecodeError {
    /// Names the octets at fault, as far as a NOTIFICATION has room for them.
    pub(super) fn blame(mut self, culprit: &[u8]) -> Self {
        self.culprit = culprit.get(..DATA).unwrap_or(culprit).to_vec();
        self
    }

    /// RFC 4271 section 6.1-6.3, RFC 4760 section 7, RFC 5492, RFC 6286, RFC 7313 section 5.
    pub fn notification(&self) -> Notification {
        let (code, subcode) = self.code();
        let data = match &self.kind {
            ErrorKind::MessageLength(length) => length.to_be_bytes().to_vec(),
            ErrorKind::MessageType(kind) => vec![*kind],
            // The largest version we support.
            ErrorKind::Version(_) => vec![0, 4],
            ErrorKind::MissingWellKnown(code) => vec![*code],
            // RFC 4271 section 6.3 wants no data with these two.
            ErrorKind::AttributeList | ErrorKind::DuplicateAttribute(_) => Vec::new(),
            ErrorKind::PrefixLength(_)
            | ErrorKind::PathIdentifier
            | ErrorKind::AsPath
            | ErrorKind::ZeroAs
                if subcode >= 10 =>
            {
                Vec::new()
            }
            ErrorKind::Truncated { .. }
            | ErrorKind::Marker
            | ErrorKind::ZeroAs
            | ErrorKind::Identifier
            | ErrorKind::HoldTime(_)
            | ErrorKind::OptionalParameter(_)
            | ErrorKind::ParametersLength(_)
            | ErrorKind::CapabilityLength { .. }
            | ErrorKind::UnrecognizedWellKnown(_)
            | ErrorKind::AttributeFlags { .. }
            | ErrorKind::AttributeLength { .. }
            | ErrorKind::InternalAttribute(_)
            | ErrorKind::Origin(_)
            | ErrorKind::AsPath
            | ErrorKind::NextHop
            | ErrorKind::PrefixLength(_)
            | ErrorKind::PathIdentifier
            | ErrorKind::RefreshLength(_) => self.culprit.clone(),
        };
        Notification { code, subcode, data }
    }

    fn code(&self) -> (u8, u8) {
        match &self.kind {
            ErrorKind::Marker => (1, 1),
            ErrorKind::MessageLength(_) => (1, 2),
            ErrorKind::MessageType(_) => (1, 3),
            ErrorKind::Version(_) => (2, 1),
            ErrorKind::ZeroAs if self.within == Some(MessageType::Open) => (2, 2),
            ErrorKind::Identifier => (2, 3),
            ErrorKind::OptionalParameter(_) => (2, 4),
            ErrorKind::HoldTime(_) => (2, 6),
            ErrorKind::ParametersLength(_) | ErrorKind::CapabilityLength { .. } => (2, 0),
            ErrorKind::UnrecognizedWellKnown(_) => (3, 2),
            ErrorKind::MissingWellKnown(_) => (3, 3),
            ErrorKind::DuplicateAttribute(_) | ErrorKind::AttributeList => (3, 1),
            ErrorKind::AttributeFlags { .. } => (3, 4),
            // RFC 4760 section 7: what is wrong inside a multiprotocol attribute.
            _ if matches!(self.culprit.as_slice(), [_, 14 | 15, ..]) => (3, 9),
            ErrorKind::AttributeLength { .. } => (3, 5),
            ErrorKind::Origin(_) => (3, 6),
            ErrorKind::NextHop => (3, 8),
            ErrorKind::PrefixLength(_) | ErrorKind::PathIdentifier => (3, 10),
            ErrorKind::AsPath | ErrorKind::ZeroAs => (3, 11),
            ErrorKind::RefreshLength(_) => (7, 1),
            ErrorKind::InternalAttribute(_) | ErrorKind::Truncated { .. } => match self.within {
                Some(MessageType::Open) => (2, 0),
                Some(MessageType::Update) => (3, 1),
                Some(MessageType::Notification | MessageType::Keepalive | MessageType::RouteRefresh)
                | None => (1, 2),
            },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    #[error("message of {0} bytes is too long")]
    TooLong(usize),
}

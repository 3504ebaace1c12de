//! What can be wrong with a message, where, and which NOTIFICATION says so.
use thiserror::Error;

use super::message::MessageType;
use super::notification::Notification;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// From the first byte of the message.
    pub offset: usize,
    /// `None`: in the header.
    pub within: Option<MessageType>,
    pub kind: ErrorKind,
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
    #[error("unrecognized well-known attribute {0}")]
    UnrecognizedWellKnown(u8),
    #[error("missing well-known attribute {0}")]
    MissingWellKnown(u8),
    #[error("attribute {code} has flags {flags:#04x}")]
    AttributeFlags { code: u8, flags: u8 },
    #[error("attribute {code} has length {length}")]
    AttributeLength { code: u8, length: usize },
    #[error("attribute {0} appears again")]
    DuplicateAttribute(u8),
    #[error("attribute {0} from an external neighbour")]
    InternalAttribute(u8),
    #[error("undefined origin {0}")]
    Origin(u8),
    #[error("malformed AS path")]
    AsPath,
    #[error("bad next hop")]
    NextHop,
    #[error("prefix length {0}")]
    PrefixLength(u8),
}

impl DecodeError {
    /// RFC 4271 section 6.1-6.3, RFC 5492, RFC 6286, RFC 7313 section 5.
    pub fn notification(&self) -> Notification {
        let (code, subcode, data): (u8, u8, Vec<u8>) = match &self.kind {
            ErrorKind::Marker => (1, 1, Vec::new()),
            ErrorKind::MessageLength(length) => (1, 2, length.to_be_bytes().to_vec()),
            ErrorKind::MessageType(kind) => (1, 3, vec![*kind]),
            // The largest version we support.
            ErrorKind::Version(_) => (2, 1, vec![0, 4]),
            ErrorKind::ZeroAs if self.within == Some(MessageType::Open) => (2, 2, Vec::new()),
            ErrorKind::Identifier => (2, 3, Vec::new()),
            ErrorKind::OptionalParameter(_) => (2, 4, Vec::new()),
            ErrorKind::HoldTime(_) => (2, 6, Vec::new()),
            ErrorKind::ParametersLength(_) | ErrorKind::CapabilityLength { .. } => (2, 0, Vec::new()),
            ErrorKind::UnrecognizedWellKnown(code) => (3, 2, vec![*code]),
            ErrorKind::MissingWellKnown(code) => (3, 3, vec![*code]),
            ErrorKind::AttributeFlags { .. } => (3, 4, Vec::new()),
            ErrorKind::AttributeLength { .. } => (3, 5, Vec::new()),
            ErrorKind::Origin(_) => (3, 6, Vec::new()),
            ErrorKind::NextHop => (3, 8, Vec::new()),
            ErrorKind::PrefixLength(_) => (3, 10, Vec::new()),
            ErrorKind::AsPath | ErrorKind::ZeroAs => (3, 11, Vec::new()),
            ErrorKind::AttributeList
            | ErrorKind::DuplicateAttribute(_)
            | ErrorKind::InternalAttribute(_)
            | ErrorKind::Truncated { .. } => match self.within {
                Some(MessageType::Open) => (2, 0, Vec::new()),
                Some(MessageType::Update) => (3, 1, Vec::new()),
                Some(MessageType::Notification | MessageType::Keepalive | MessageType::RouteRefresh)
                | None => (1, 2, Vec::new()),
            },
        };
        Notification { code, subcode, data }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    #[error("message of {0} bytes is too long")]
    TooLong(usize),
}

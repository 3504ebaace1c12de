//! Message framing (RFC 4271 section 4.1) and the dispatch by type.
use super::capability::{family, read_afi_safi};
use super::error::{DecodeError, EncodeError, ErrorKind};
use super::notification::Notification;
use super::open::Open;
use super::reader::Reader;
use super::table::Context;
use super::update::{Decoded, Update};
use crate::config::Family;

pub const HEADER_LENGTH: usize = 19;
/// RFC 8654 raises this, but only between speakers that both say so; this one does not.
pub const MAX_MESSAGE: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    Open,
    Update,
    Notification,
    Keepalive,
    RouteRefresh,
}

impl MessageType {
    fn from_wire(value: u8) -> Option<Self> {
        match value {
            1 => Some(MessageType::Open),
            2 => Some(MessageType::Update),
            3 => Some(MessageType::Notification),
            4 => Some(MessageType::Keepalive),
            5 => Some(MessageType::RouteRefresh),
            _ => None,
        }
    }

    fn to_wire(self) -> u8 {
        match self {
            MessageType::Open => 1,
            MessageType::Update => 2,
            MessageType::Notification => 3,
            MessageType::Keepalive => 4,
            MessageType::RouteRefresh => 5,
        }
    }

    /// Lengths a message of this type can have (RFC 4271 section 6.1, RFC 2918).
    fn accepts(self, length: usize) -> bool {
        match self {
            MessageType::Open => length >= 29,
            MessageType::Update => length >= 23,
            MessageType::Notification => length >= 21,
            MessageType::Keepalive => length == HEADER_LENGTH,
            MessageType::RouteRefresh => length == 23,
        }
    }
}

/// RFC 2918; `family` is `None` for one this speaker does not know. `subtype` is that of RFC 7313.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    pub afi: u16,
    pub subtype: u8,
    pub safi: u8,
}

impl RouteRefresh {
    pub fn family(&self) -> Option<Family> {
        family(self.afi, self.safi)
    }
}

/// A message; an UPDATE that was received comes with its faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Open(Open),
    Update(Decoded),
    Notification(Notification),
    Keepalive,
    RouteRefresh(RouteRefresh),
}

/// Length of the message that starts `bytes`, as soon as its header is there. Wrong headers are found as early as
/// that, whatever follows.
pub fn frame_length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    if bytes.len() < HEADER_LENGTH {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes, 0, None);
    header(&mut reader).map(|(_, length)| Some(length))
}

fn header(reader: &mut Reader<'_>) -> Result<(MessageType, usize), DecodeError> {
    let marker = *reader;
    if reader.array::<16>()? != [0xff; 16] {
        return Err(marker.error(ErrorKind::Marker));
    }
    let length_at = *reader;
    let length = reader.u16()?;
    if usize::from(length) < HEADER_LENGTH || usize::from(length) > MAX_MESSAGE {
        return Err(length_at.error(ErrorKind::MessageLength(length)));
    }
    let type_at = *reader;
    let value = reader.u8()?;
    let kind = MessageType::from_wire(value).ok_or_else(|| type_at.error(ErrorKind::MessageType(value)))?;
    if !kind.accepts(usize::from(length)) {
        return Err(length_at.error(ErrorKind::MessageLength(length)));
    }
    Ok((kind, usize::from(length)))
}

impl Message {
    /// `bytes` is exactly one message, as cut out by [`frame_length`].
    pub fn decode(bytes: &[u8], context: Context) -> Result<Message, DecodeError> {
        let mut reader = Reader::new(bytes, 0, None);
        let (kind, length) = header(&mut reader)?;
        if length != bytes.len() {
            return Err(reader.error(ErrorKind::Truncated {
                wanted: length,
                left: bytes.len(),
            }));
        }
        let mut body = Reader::new(reader.rest(), reader.offset(), Some(kind));
        match kind {
            MessageType::Open => Open::decode(body).map(Message::Open),
            MessageType::Update => Update::decode(body, context).map(Message::Update),
            MessageType::Notification => Notification::decode(body).map(Message::Notification),
            MessageType::Keepalive => Ok(Message::Keepalive),
            MessageType::RouteRefresh => {
                let (afi, subtype, safi) = read_afi_safi(&mut body)?;
                Ok(Message::RouteRefresh(RouteRefresh { afi, subtype, safi }))
            }
        }
    }

    /// `four_octet`: both speakers have said that they use AS numbers of four octets.
    pub fn encode(&self, four_octet: bool) -> Result<Vec<u8>, EncodeError> {
        let mut body = Vec::new();
        let kind = match self {
            Message::Open(open) => {
                open.encode(&mut body);
                MessageType::Open
            }
            Message::Update(decoded) => {
                decoded.update.encode(&mut body, four_octet);
                MessageType::Update
            }
            Message::Notification(notification) => {
                notification.encode(&mut body);
                MessageType::Notification
            }
            Message::Keepalive => MessageType::Keepalive,
            Message::RouteRefresh(refresh) => {
                body.extend_from_slice(&refresh.afi.to_be_bytes());
                body.extend_from_slice(&[refresh.subtype, refresh.safi]);
                MessageType::RouteRefresh
            }
        };
        let length = HEADER_LENGTH + body.len();
        let wire_length = match u16::try_from(length) {
            Ok(value) if length <= MAX_MESSAGE => value,
            Ok(_) | Err(_) => return Err(EncodeError::TooLong(length)),
        };
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&[0xff; 16]);
        bytes.extend_from_slice(&wire_length.to_be_bytes());
        bytes.push(kind.to_wire());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }
}

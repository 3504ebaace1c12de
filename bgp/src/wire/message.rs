//! Message framing (RFC 4271 section 4.1) and the dispatch by type.
use super::capability::{SAFI_UNICAST, afi, family, read_afi_safi};
use super::context::{Context, Encoding, message_limit};
use super::error::{DecodeError, EncodeError, ErrorKind};
use super::notification::Notification;
use super::open::Open;
use super::reader::Reader;
use super::update::{Decoded, Update};
use crate::config::Family;

pub const HEADER_LENGTH: usize = 19;
pub const MAX_MESSAGE: usize = 4096;
/// Between speakers that have agreed on it (RFC 8654 section 4).
pub const MAX_EXTENDED: usize = 65_535;

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

    /// Lengths a message of this type can have (RFC 4271 section 6.1, RFC 2918). OPEN and KEEPALIVE are never
    /// extended (RFC 8654 section 4). A ROUTE-REFRESH that is too long is judged when it is whole.
    fn accepts(self, length: usize) -> bool {
        match self {
            MessageType::Open => (29..=MAX_MESSAGE).contains(&length),
            MessageType::Update => length >= 23,
            MessageType::Notification => length >= 21,
            MessageType::Keepalive => length == HEADER_LENGTH,
            MessageType::RouteRefresh => length >= 23,
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
    /// Values of `subtype` (RFC 7313 section 3.2).
    pub const REQUEST: u8 = 0;
    pub const BEGIN: u8 = 1;
    pub const END: u8 = 2;

    pub fn new(family: Family, subtype: u8) -> Self {
        RouteRefresh {
            afi: afi(family),
            subtype,
            safi: SAFI_UNICAST,
        }
    }

    /// RFC 7313 section 5: the markers have one length only, and the answer shows the whole message. Longer requests
    /// carry filters (RFC 5291), which were not agreed on.
    fn decode(message: &[u8], mut body: Reader<'_>) -> Result<Self, DecodeError> {
        let start = body;
        let (afi, subtype, safi) = read_afi_safi(&mut body)?;
        match (body.is_empty(), subtype) {
            (true, _) => Ok(RouteRefresh { afi, subtype, safi }),
            (false, Self::BEGIN | Self::END) => Err(start
                .error(ErrorKind::RefreshLength(start.remaining()))
                .blame(message)),
            (false, _) => {
                let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
                Err(Reader::new(message, 16, None).error(ErrorKind::MessageLength(length)))
            }
        }
    }

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
///
/// `extended`: see [`Context::extended`].
pub fn frame_length(bytes: &[u8], extended: bool) -> Result<Option<usize>, DecodeError> {
    if bytes.len() < HEADER_LENGTH {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes, 0, None);
    header(&mut reader, extended).map(|(_, length)| Some(length))
}

fn header(reader: &mut Reader<'_>, extended: bool) -> Result<(MessageType, usize), DecodeError> {
    let marker = *reader;
    if reader.array::<16>()? != [0xff; 16] {
        return Err(marker.error(ErrorKind::Marker));
    }
    let length_at = *reader;
    let length = reader.u16()?;
    if usize::from(length) < HEADER_LENGTH || usize::from(length) > message_limit(extended) {
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
        let (kind, length) = header(&mut reader, context.extended)?;
        if length != bytes.len() {
            return Err(reader.error(ErrorKind::Truncated {
                wanted: length,
                left: bytes.len(),
            }));
        }
        let body = Reader::new(reader.rest(), reader.offset(), Some(kind));
        match kind {
            MessageType::Open => Open::decode(body).map(Message::Open),
            MessageType::Update => Update::decode(body, context).map(Message::Update),
            MessageType::Notification => Notification::decode(body).map(Message::Notification),
            MessageType::Keepalive => Ok(Message::Keepalive),
            MessageType::RouteRefresh => RouteRefresh::decode(bytes, body).map(Message::RouteRefresh),
        }
    }

    pub fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.encode_to(&mut out, encoding)?;
        Ok(out)
    }

    /// Appends the message; nothing when it is longer than it may be.
    pub fn encode_to(&self, out: &mut Vec<u8>, encoding: Encoding) -> Result<(), EncodeError> {
        let start = out.len();
        out.extend_from_slice(&[0xff; 16]);
        let length_at = out.len();
        out.extend_from_slice(&[0, 0, self.kind().to_wire()]);
        match self {
            Message::Open(open) => open.encode(out),
            Message::Update(decoded) => decoded.update.encode(out, encoding),
            Message::Notification(notification) => notification.encode(out),
            Message::Keepalive => {}
            Message::RouteRefresh(refresh) => {
                out.extend_from_slice(&refresh.afi.to_be_bytes());
                out.extend_from_slice(&[refresh.subtype, refresh.safi]);
            }
        }
        let length = out.len() - start;
        let extended = encoding.extended && self.kind() != MessageType::Open;
        let bytes = match u16::try_from(length) {
            Ok(value) if length <= message_limit(extended) => value.to_be_bytes(),
            Ok(_) | Err(_) => {
                out.truncate(start);
                return Err(EncodeError::TooLong(length));
            }
        };
        for (slot, byte) in out.iter_mut().skip(length_at).zip(bytes) {
            *slot = byte;
        }
        Ok(())
    }

    fn kind(&self) -> MessageType {
        match self {
            Message::Open(_) => MessageType::Open,
            Message::Update(_) => MessageType::Update,
            Message::Notification(_) => MessageType::Notification,
            Message::Keepalive => MessageType::Keepalive,
            Message::RouteRefresh(_) => MessageType::RouteRefresh,
        }
    }
}

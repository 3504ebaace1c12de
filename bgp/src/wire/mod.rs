//! Wire format of BGP-4: bytes to messages and back, nothing else.
//!
//! Decoding never panics, never allocates more than its input justifies, and reports the offset of the byte that
//! is wrong, counted from the first byte of the message's marker. Errors inside an UPDATE are graded by their
//! effect (RFC 7606); everything else ends the session with the NOTIFICATION that [`DecodeError::notification`]
//! names. Encoding refuses messages above the limit that the neighbour has agreed to.
//!
//! Pure functions of their arguments; used by the driver thread of the speaker.
mod attribute;
mod capability;
mod context;
mod error;
mod message;
mod notification;
mod open;
mod prefix;
mod reader;
mod table;
mod update;
mod values;
mod words;

pub use attribute::{Aggregator, AsPathSegment, Attribute, MpReach, MpUnreach, Origin, SegmentKind};
pub use capability::{
    AFI_IPV4, AFI_IPV6, AddPath, Capability, ExtendedNextHop, LongLived, Restart, RestartFamily,
    SAFI_UNICAST, afi, family,
};
pub use context::{Context, Encoding, message_limit};
pub use error::{DecodeError, EncodeError, ErrorKind};
pub use message::{
    HEADER_LENGTH, MAX_EXTENDED, MAX_MESSAGE, Message, MessageType, RouteRefresh, frame_length,
};
pub use notification::{Cease, Notification};
pub use open::{AS_TRANS, Open};
pub use prefix::{Nlri, encoded_length as prefix_length};
pub use reader::Reader;
pub use table::Effect;
pub use update::{Decoded, Fault, Reachable, Update};

#[cfg(test)]
mod tests;

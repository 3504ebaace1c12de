//! Wire format of BGP-4: bytes to messages and back, nothing else.
//!
//! Decoding never panics, never allocates more than its input justifies, and reports the offset of the byte that
//! is wrong, counted from the first byte of the message's marker. Errors inside an UPDATE are graded by their
//! effect (RFC 7606); everything else ends the session with the NOTIFICATION that [`DecodeError::notification`]
//! names. Encoding writes only what this speaker may say and refuses messages above 4096 bytes.
//!
//! Pure functions of their arguments; used by the driver thread of the speaker.
mod attribute;
mod capability;
mod error;
mod message;
mod notification;
mod open;
mod prefix;
mod reader;
mod table;
mod update;

pub use attribute::{Aggregator, AsPathSegment, Attribute, MpReach, MpUnreach, Origin, SegmentKind};
pub use capability::{AFI_IPV4, AFI_IPV6, Capability, SAFI_UNICAST, afi, family};
pub use error::{DecodeError, EncodeError, ErrorKind};
pub use message::{HEADER_LENGTH, MAX_MESSAGE, Message, MessageType, RouteRefresh, frame_length};
pub use notification::{Cease, Notification};
pub use open::{AS_TRANS, Open};
pub use prefix::encoded_length as prefix_length;
pub use reader::Reader;
pub use table::{Context, Effect};
pub use update::{Decoded, Fault, Update};

#[cfg(test)]
mod tests;

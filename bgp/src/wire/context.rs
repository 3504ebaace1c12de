//! What a session has agreed on that changes how messages are read and written.
use super::message::{MAX_EXTENDED, MAX_MESSAGE};
use crate::config::Families;

/// For reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// AS numbers have four octets (RFC 6793 section 4.1).
    pub four_octet: bool,
    /// The neighbour is in another AS.
    pub external: bool,
    /// Families whose prefixes the neighbour sends with a path identifier (RFC 7911 section 3).
    pub add_path: Families,
    /// We have offered to take messages of up to 65,535 octets (RFC 8654 section 4).
    pub extended: bool,
}

/// For writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    pub four_octet: bool,
    /// Families whose prefixes we send with a path identifier.
    pub add_path: Families,
    /// The neighbour takes messages of up to 65,535 octets.
    pub extended: bool,
}

/// Between speakers of this century that have agreed on nothing else.
impl Default for Encoding {
    fn default() -> Self {
        Encoding {
            four_octet: true,
            add_path: Families::default(),
            extended: false,
        }
    }
}

impl From<Context> for Encoding {
    fn from(context: Context) -> Self {
        Encoding {
            four_octet: context.four_octet,
            add_path: context.add_path,
            extended: context.extended,
        }
    }
}

/// Octets that a message may have. OPEN and KEEPALIVE keep the old limit (RFC 8654 section 4).
pub const fn message_limit(extended: bool) -> usize {
    if extended { MAX_EXTENDED } else { MAX_MESSAGE }
}

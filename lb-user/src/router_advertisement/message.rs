//! Router solicitations and advertisements (RFC 4861 section 4.1 and 4.2), without a checksum: that is the kernel's.

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// Without options.
const SOLICITATION_LENGTH: usize = 8;
const ADVERTISEMENT_LENGTH: usize = 16;
/// Source link-layer address.
const OPTION_SOURCE: u8 = 1;
/// Options are counted in units of this size.
const UNIT: usize = 8;

/// What matters of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Solicitation,
    Advertisement,
}

impl Message {
    /// Everything but the link-layer address is zero: no default router, no hop limit, no flags, no times.
    pub(super) fn encode(self, link_address: Option<[u8; 6]>) -> Vec<u8> {
        let (kind, length) = match self {
            Message::Solicitation => (SOLICITATION, SOLICITATION_LENGTH),
            Message::Advertisement => (ADVERTISEMENT, ADVERTISEMENT_LENGTH),
        };
        let mut bytes = vec![kind];
        bytes.resize(length, 0);
        if let Some(address) = link_address {
            bytes.extend([OPTION_SOURCE, 1]);
            bytes.extend(address);
        }
        bytes
    }

    /// `None` for what is malformed or something else (RFC 4861 section 6.1.1 and 6.1.2).
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (message, length) = match bytes.first_chunk::<2>()? {
            [SOLICITATION, 0] => (Message::Solicitation, SOLICITATION_LENGTH),
            [ADVERTISEMENT, 0] => (Message::Advertisement, ADVERTISEMENT_LENGTH),
            _ => return None,
        };
        let mut options = bytes.get(length..)?;
        while let Some(units) = options.get(1) {
            if *units == 0 {
                return None;
            }
            options = options.get(usize::from(*units) * UNIT..)?;
        }
        options.is_empty().then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_makes_nobody_a_default_router() {
        let bytes = Message::Advertisement.encode(Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(
            bytes,
            [
                134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1
            ]
        );
        assert_eq!(bytes[6..8], [0, 0], "the lifetime of the router");
    }

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_broken_is_not() {
        for message in [Message::Solicitation, Message::Advertisement] {
            for address in [None, Some([2, 0, 0, 0, 0, 1])] {
                let bytes = message.encode(address);
                assert_eq!(Message::decode(&bytes), Some(message));
                let cut = Message::decode(&bytes[..bytes.len() - 1]);
                assert_eq!(cut, None, "{message:?} cut");
            }
            let mut bytes = message.encode(Some([0; 6]));
            bytes[1] = 1;
            assert_eq!(Message::decode(&bytes), None, "an unknown code");
            let mut bytes = message.encode(Some([0; 6]));
            let option = bytes.len() - 7;
            bytes[option] = 0;
            assert_eq!(Message::decode(&bytes), None, "an option without length");
            bytes[option] = 2;
            assert_eq!(Message::decode(&bytes), None, "an option beyond the end");
        }
        assert_eq!(Message::decode(&[135, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Message::decode(&[]), None);
    }
}

//! Shared secrets of a session and what they may be (RFC 5880 sections 4.2 to 4.4).

use std::fmt;

/// Longest simple password, and longest key of MD5.
const SHORT_SECRET: usize = 16;
/// Longest key of SHA1.
const LONG_SECRET: usize = 20;
/// Keys that one session may know at a time: the old, the new, and some that are still to come.
pub const MAXIMUM_KEYS: usize = 8;

/// Auth Type of RFC 5880 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    SimplePassword = 1,
    KeyedMd5 = 2,
    MeticulousKeyedMd5 = 3,
    KeyedSha1 = 4,
    MeticulousKeyedSha1 = 5,
}

impl Algorithm {
    pub const ALL: [Self; 5] = [
        Self::SimplePassword,
        Self::KeyedMd5,
        Self::MeticulousKeyedMd5,
        Self::KeyedSha1,
        Self::MeticulousKeyedSha1,
    ];

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| *algorithm as u8 == code)
    }

    /// As it is written in configuration and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SimplePassword => "simple",
            Self::KeyedMd5 => "md5",
            Self::MeticulousKeyedMd5 => "meticulous-md5",
            Self::KeyedSha1 => "sha1",
            Self::MeticulousKeyedSha1 => "meticulous-sha1",
        }
    }

    /// Every packet has a sequence number of its own.
    pub(crate) fn is_meticulous(self) -> bool {
        match self {
            Self::MeticulousKeyedMd5 | Self::MeticulousKeyedSha1 => true,
            Self::SimplePassword | Self::KeyedMd5 | Self::KeyedSha1 => false,
        }
    }

    /// Length of the digest at the end of the section; `None` for the password, which is as long as it is.
    pub(crate) fn digest_length(self) -> Option<usize> {
        match self {
            Self::SimplePassword => None,
            Self::KeyedMd5 | Self::MeticulousKeyedMd5 => Some(SHORT_SECRET),
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => Some(LONG_SECRET),
        }
    }

    /// Longest secret, in bytes.
    pub fn longest_secret(self) -> usize {
        self.digest_length().unwrap_or(SHORT_SECRET)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A key. Its secret is not shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub(crate) id: u8,
    pub(crate) algorithm: Algorithm,
    /// Padded with zeros.
    secret: [u8; LONG_SECRET],
    length: u8,
}

impl Key {
    pub fn new(id: u8, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let longest = algorithm.longest_secret();
        let length = secret.len();
        if !(1..=longest).contains(&length) {
            return Err(KeyError::Length {
                id,
                algorithm,
                length,
                longest,
            });
        }
        let mut padded = [0; LONG_SECRET];
        for (to, from) in padded.iter_mut().zip(secret) {
            *to = *from;
        }
        Ok(Self {
            id,
            algorithm,
            secret: padded,
            length: u8::try_from(length).unwrap_or(u8::MAX),
        })
    }

    /// What stands at the end of the section while it is hashed, or the password itself.
    pub(crate) fn trailer(&self) -> &[u8] {
        let length = self.algorithm.digest_length().unwrap_or(self.length.into());
        self.secret.get(..length).unwrap_or(&self.secret)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} ({})", self.id, self.algorithm)
    }
}

/// The keys of a session: any of them is accepted, one is sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<Key>,
    sending: Key,
}

impl Keys {
    /// `send` is the id of the key to send with.
    pub fn new(keys: Vec<Key>, send: u8) -> Result<Self, KeyError> {
        if keys.len() > MAXIMUM_KEYS {
            return Err(KeyError::TooMany);
        }
        for (index, key) in keys.iter().enumerate() {
            if keys.iter().skip(index + 1).any(|other| other.id == key.id) {
                return Err(KeyError::Duplicate(key.id));
            }
        }
        let sending = *keys
            .iter()
            .find(|key| key.id == send)
            .ok_or(KeyError::Unknown(send))?;
        Ok(Self { keys, sending })
    }

    pub(crate) fn get(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(crate) fn sending(&self) -> &Key {
        &self.sending
    }

    /// Id and algorithm of the key that packets are sent with.
    pub fn sends_with(&self) -> (u8, Algorithm) {
        (self.sending.id, self.sending.algorithm)
    }
}

/// Why keys are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the secret of BFD key {id} has {length} bytes, but {algorithm} takes 1 to {longest}")]
    Length {
        id: u8,
        algorithm: Algorithm,
        length: usize,
        longest: usize,
    },
    #[error("BFD key {0} is defined twice")]
    Duplicate(u8),
    #[error("there is no BFD key {0} to send with")]
    Unknown(u8),
    #[error("more than {MAXIMUM_KEYS} BFD keys")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_a_length() {
        for algorithm in Algorithm::ALL {
            let longest = algorithm.longest_secret();
            for (length, fits) in [(0, false), (1, true), (longest, true), (longest + 1, false)] {
                let made = Key::new(1, algorithm, &vec![b'x'; length]);
                assert_eq!(made.is_ok(), fits, "{algorithm} {length}");
            }
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let key = Key::new(7, Algorithm::KeyedSha1, b"hush").unwrap();
        assert_eq!(
            format!("{:?}", Keys::new(vec![key], 7).unwrap())
                .matches("hush")
                .count(),
            0
        );
        assert!(!format!("{key:?}").contains("104"), "nor as numbers");
    }

    #[test]
    fn keys_are_known_by_one_number_each() {
        let key = |id| Key::new(id, Algorithm::KeyedMd5, b"k").unwrap();
        assert_eq!(Keys::new(vec![key(1), key(1)], 1), Err(KeyError::Duplicate(1)));
        assert_eq!(Keys::new(vec![key(1), key(2)], 3), Err(KeyError::Unknown(3)));
        assert_eq!(Keys::new(vec![], 1), Err(KeyError::Unknown(1)));
        assert_eq!(Keys::new((0..9).map(key).collect(), 1), Err(KeyError::TooMany));
        let keys = Keys::new(vec![key(1), key(2)], 2).unwrap();
        assert_eq!(keys.sends_with(), (2, Algorithm::KeyedMd5));
        assert!(keys.get(1).is_some() && keys.get(3).is_none());
    }
}

//! A probe on the wire: who sent it when, and which backend answered when.

use crate::message::Stamp;

pub const LENGTH: usize = 40;
const REQUEST: [u8; 4] = *b"BTNq";
const ANSWER: [u8; 4] = *b"BTNa";

/// An answer as it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub sequence: u64,
    pub stamp: Stamp,
    /// When the backend saw the probe.
    pub seen_ns: u64,
}

#[must_use]
pub fn request(sequence: u64, now: u64) -> [u8; LENGTH] {
    let mut out = [0; LENGTH];
    out[..4].copy_from_slice(&REQUEST);
    out[8..16].copy_from_slice(&sequence.to_be_bytes());
    out[16..24].copy_from_slice(&now.to_be_bytes());
    out
}

/// Turns a request into its answer in place; false when it is none, which is then left alone.
#[must_use]
pub fn answer(datagram: &mut [u8], stamp: Stamp, now: u64) -> bool {
    let Some(bytes) = datagram.first_chunk_mut::<LENGTH>() else {
        return false;
    };
    if bytes[..4] != REQUEST {
        return false;
    }
    bytes[..4].copy_from_slice(&ANSWER);
    bytes[24..32].copy_from_slice(&stamp.0);
    bytes[32..40].copy_from_slice(&now.to_be_bytes());
    true
}

#[must_use]
pub fn read(datagram: &[u8]) -> Option<Answer> {
    let bytes = datagram.first_chunk::<LENGTH>()?;
    let word = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    (bytes[..4] == ANSWER).then_some(Answer {
        sequence: word(8)?,
        stamp: Stamp(word(24)?.to_be_bytes()),
        seen_ns: word(32)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_comes_back_stamped() {
        let mut bytes = request(77, 5);
        let stamp = Stamp::new("be2").unwrap();
        assert_eq!(read(&bytes), None);
        assert!(answer(&mut bytes, stamp, 9));
        assert_eq!(
            read(&bytes),
            Some(Answer {
                sequence: 77,
                stamp,
                seen_ns: 9
            })
        );
        assert!(!answer(&mut bytes, stamp, 9), "an answer is not answered again");
    }

    #[test]
    fn short_and_foreign_datagrams_are_left_alone() {
        let whole = request(1, 1);
        for length in 0..LENGTH {
            let mut short = whole[..length].to_vec();
            assert!(!answer(&mut short, Stamp::default(), 0));
            assert_eq!(read(&short), None);
        }
        assert!(!answer(&mut [0x42; 60], Stamp::default(), 0));
    }
}

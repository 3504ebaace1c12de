//! Authentication of control packets (RFC 5880 section 6.7) and its state variables.
//!
//! Sequence numbers belong to the session, not to a key, so that a change of the key that is sent with is no
//! change of anything else.

use std::time::{Duration, Instant};

use md5::Md5;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::Discard;
use crate::keys::{Algorithm, Key, Keys};
use crate::packet::{AUTHENTICATION, PACKET_LENGTH, Packet, Payload};

/// Type, length, key id.
const SECTION_HEADER: usize = 3;
/// Type, length, key id, reserved, sequence number.
const DIGEST_HEADER: usize = 8;

/// bfd.RcvAuthSeq while bfd.AuthSeqKnown is 1 (RFC 5880 section 6.8.1).
#[derive(Clone, Copy, Debug)]
struct Received {
    sequence: u32,
    /// After so long without a packet the next one may carry any number.
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Authentication {
    /// bfd.XmitAuthSeq.
    transmit: u32,
    /// What was sent last: other contents get another number.
    sent: Option<[u8; PACKET_LENGTH]>,
    received: Option<Received>,
}

/// What an authenticated packet says beyond its header.
#[derive(Clone, Copy, Debug)]
struct Section<'a> {
    algorithm: Algorithm,
    key: u8,
    /// The password, or reserved byte, sequence number and digest.
    rest: &'a [u8],
}

impl Authentication {
    /// RFC 5880 section 6.8.1: bfd.XmitAuthSeq starts with a random number.
    pub(crate) fn new(sequence: u32) -> Self {
        Self {
            transmit: sequence,
            sent: None,
            received: None,
        }
    }

    /// The packet as it goes out.
    pub(crate) fn seal(&mut self, packet: &Packet, keys: Option<&Keys>) -> Payload {
        let mut payload = Payload::plain(packet);
        let Some(key) = keys.map(Keys::sending) else {
            return payload;
        };
        payload.mark_authenticated();
        let trailer = key.trailer();
        let header = SECTION_HEADER
            + if key.algorithm.digest_length().is_some() {
                5
            } else {
                0
            };
        let length = u8::try_from(header + trailer.len()).unwrap_or(u8::MAX);
        payload.append(&[key.algorithm as u8, length, key.id]);
        if key.algorithm.digest_length().is_none() {
            payload.append(trailer);
            return payload;
        }
        self.advance(packet.encode(), key.algorithm);
        payload.append(&[0]);
        payload.append(&self.transmit.to_be_bytes());
        // The length in the header is part of what is hashed: it is written first, with the key in place.
        let mut hashed = payload;
        hashed.append(trailer);
        match key.algorithm {
            Algorithm::KeyedMd5 | Algorithm::MeticulousKeyedMd5 => {
                payload.append(&Md5::digest(hashed.as_bytes()));
            }
            Algorithm::KeyedSha1 | Algorithm::MeticulousKeyedSha1 => {
                payload.append(&Sha1::digest(hashed.as_bytes()));
            }
            Algorithm::SimplePassword => {}
        }
        payload
    }

    /// RFC 5880 sections 6.7.3 and 6.7.4: each packet a new number, or each change of what is said.
    fn advance(&mut self, contents: [u8; PACKET_LENGTH], algorithm: Algorithm) {
        if algorithm.is_meticulous() || self.sent.is_some_and(|sent| sent != contents) {
            self.transmit = self.transmit.wrapping_add(1);
        }
        self.sent = Some(contents);
    }

    /// Whether the packet is the peer's; changes nothing unless it is. `detect_multiplier` is that of the packet.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        payload: &[u8],
        detect_multiplier: u8,
        keys: Option<&Keys>,
    ) -> Result<(), Discard> {
        let section = Section::decode(payload)?;
        let (section, keys) = match (section, keys) {
            (None, None) => {
                self.received = None;
                return Ok(());
            }
            (None, Some(_)) => return Err(Discard::AuthenticationMissing),
            (Some(_), None) => return Err(Discard::AuthenticationUnexpected),
            (Some(section), Some(keys)) => (section, keys),
        };
        let key = keys
            .get(section.key)
            .filter(|key| key.algorithm == section.algorithm)
            .ok_or(Discard::AuthenticationKey)?;
        let Some((head, digest)) = section.digest() else {
            let genuine = section.rest.ct_eq(key.trailer());
            if !bool::from(genuine) {
                return Err(Discard::AuthenticationDigest);
            }
            self.received = None;
            return Ok(());
        };
        let sequence = u32::from_be_bytes(head);
        self.in_window(now, sequence, section.algorithm, detect_multiplier)?;
        let covered = payload.len().saturating_sub(digest.len());
        if !is_genuine(payload.get(..covered).unwrap_or_default(), digest, key) {
            return Err(Discard::AuthenticationDigest);
        }
        self.received = Some(Received { sequence, until: now });
        Ok(())
    }

    /// A packet has been accepted: the number is remembered for twice the detection time (RFC 5880 section 6.8.1).
    pub(crate) fn heard(&mut self, now: Instant, detection_time: Duration) {
        if let Some(received) = &mut self.received {
            received.until = now + detection_time.saturating_mul(2);
        }
    }

    /// Numbers are compared as on a circle.
    fn in_window(
        &self,
        now: Instant,
        sequence: u32,
        algorithm: Algorithm,
        detect_multiplier: u8,
    ) -> Result<(), Discard> {
        let Some(known) = self.received.filter(|known| now < known.until) else {
            return Ok(());
        };
        let ahead = sequence.wrapping_sub(known.sequence);
        let least = u32::from(algorithm.is_meticulous());
        if (least..=3 * u32::from(detect_multiplier)).contains(&ahead) {
            Ok(())
        } else {
            Err(Discard::AuthenticationSequence)
        }
    }
}

impl<'a> Section<'a> {
    /// `None` without the A bit. `payload` is as long as its length field says.
    fn decode(payload: &'a [u8]) -> Result<Option<Self>, Discard> {
        let authenticated = payload.get(1).is_some_and(|flags| flags & AUTHENTICATION != 0);
        if !authenticated {
            return Ok(None);
        }
        let section = payload.get(PACKET_LENGTH..).unwrap_or_default();
        let [code, length, key, rest @ ..] = section else {
            return Err(Discard::AuthenticationMalformed);
        };
        let algorithm = Algorithm::from_code(*code).ok_or(Discard::AuthenticationKey)?;
        let expected = match algorithm.digest_length() {
            Some(digest) => rest.len() == DIGEST_HEADER - SECTION_HEADER + digest,
            // RFC 5880 section 6.7.2: 1 to 16 bytes of password.
            None => (1..=algorithm.longest_secret()).contains(&rest.len()),
        };
        if usize::from(*length) != section.len() || !expected {
            return Err(Discard::AuthenticationMalformed);
        }
        Ok(Some(Self {
            algorithm,
            key: *key,
            rest,
        }))
    }

    /// The sequence number and the digest, unless it is a password.
    fn digest(&self) -> Option<([u8; 4], &'a [u8])> {
        self.algorithm.digest_length()?;
        let [_reserved, a, b, c, d, digest @ ..] = self.rest else {
            return None;
        };
        Some(([*a, *b, *c, *d], digest))
    }
}

fn is_genuine(covered: &[u8], digest: &[u8], key: &Key) -> bool {
    let genuine = match key.algorithm {
        Algorithm::KeyedMd5 | Algorithm::MeticulousKeyedMd5 => {
            let expected = Md5::new_with_prefix(covered)
                .chain_update(key.trailer())
                .finalize();
            expected.ct_eq(digest)
        }
        Algorithm::KeyedSha1 | Algorithm::MeticulousKeyedSha1 => {
            let expected = Sha1::new_with_prefix(covered)
                .chain_update(key.trailer())
                .finalize();
            expected.ct_eq(digest)
        }
        Algorithm::SimplePassword => return false,
    };
    genuine.into()
}

#[cfg(test)]
mod tests;

//! Sections on the wire, windows of sequence numbers, and everything that is not genuine.

use proptest::prelude::*;

use super::*;
use crate::{Diagnostic, Key, State};

fn packet() -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state: State::Up,
        poll: false,
        final_answer: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: 0x1122_3344,
        your_discriminator: 0x5566_7788,
        desired_min_tx: 10_000,
        required_min_rx: 10_000,
        required_min_echo_rx: 0,
    }
}

fn keys(algorithm: Algorithm) -> Keys {
    Keys::new(vec![Key::new(7, algorithm, b"secret").unwrap()], 7).unwrap()
}

#[allow(
    clippy::disallowed_methods,
    reason = "an Instant can only be had from the clock"
)]
fn clock() -> Instant {
    Instant::now()
}

/// The layouts of RFC 5880 sections 4.2 to 4.4; digests from another implementation (Python's hashlib).
#[test]
fn golden_bytes() {
    let golden = |algorithm, sequence| {
        let payload = Authentication::new(sequence).seal(&packet(), Some(&keys(algorithm)));
        let bytes: String = payload
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        bytes
    };
    let body = "1122334455667788000027100000271000000000";
    let password = "010907736563726574";
    let expected = |head: &str, section: &str, digest: &str| format!("{head}{body}{section}{digest}");
    assert_eq!(
        golden(Algorithm::SimplePassword, 1),
        expected("20c40321", password, "")
    );
    assert_eq!(
        golden(Algorithm::KeyedMd5, 1),
        expected("20c40330", "0218070000000001", "916d2bc2bd6f391931bf9db0fc105022")
    );
    assert_eq!(
        golden(Algorithm::MeticulousKeyedSha1, 1),
        expected(
            "20c40334",
            "051c070000000002",
            "162c3745b253ed6a0f435783850a67b7dd69e2cf"
        )
    );
}

#[test]
fn what_is_sealed_is_opened_by_the_same_keys_only() {
    let now = clock();
    for algorithm in Algorithm::ALL {
        let keys = keys(algorithm);
        let payload = Authentication::new(9).seal(&packet(), Some(&keys));
        let open = |bytes: &[u8], keys: Option<&Keys>| Authentication::new(0).open(now, bytes, 3, keys);
        assert_eq!(Packet::decode(payload.as_bytes()), Ok(packet()), "{algorithm}");
        assert_eq!(open(payload.as_bytes(), Some(&keys)), Ok(()), "{algorithm}");
        assert_eq!(
            open(payload.as_bytes(), None),
            Err(Discard::AuthenticationUnexpected)
        );
        let plain = Authentication::new(9).seal(&packet(), None);
        assert_eq!(
            open(plain.as_bytes(), Some(&keys)),
            Err(Discard::AuthenticationMissing)
        );
        assert_eq!(open(plain.as_bytes(), None), Ok(()));
        let other = |id, algorithm, secret: &[u8]| {
            Keys::new(vec![Key::new(id, algorithm, secret).unwrap()], id).unwrap()
        };
        for (keys, reason) in [
            (other(8, algorithm, b"secret"), Discard::AuthenticationKey),
            (other(7, algorithm, b"secreT"), Discard::AuthenticationDigest),
            (other(7, algorithm, b"secret."), Discard::AuthenticationDigest),
        ] {
            assert_eq!(open(payload.as_bytes(), Some(&keys)), Err(reason), "{algorithm}");
        }
    }
}

#[test]
fn a_section_has_the_length_of_its_type() {
    let now = clock();
    for algorithm in Algorithm::ALL {
        let keys = keys(algorithm);
        let good = Authentication::new(9)
            .seal(&packet(), Some(&keys))
            .as_bytes()
            .to_vec();
        let open = |bytes: &[u8]| Authentication::new(0).open(now, bytes, 3, Some(&keys));
        for length in PACKET_LENGTH..good.len() {
            let mut short = good[..length].to_vec();
            short[3] = length as u8;
            assert_eq!(
                open(&short),
                Err(Discard::AuthenticationMalformed),
                "{algorithm} {length}"
            );
        }
        let mut unknown = good.clone();
        unknown[PACKET_LENGTH] = 6;
        assert_eq!(
            open(&unknown),
            Err(Discard::AuthenticationKey),
            "a type from the future"
        );
        let mut lying = good;
        lying[PACKET_LENGTH + 1] += 1;
        assert_eq!(open(&lying), Err(Discard::AuthenticationMalformed), "{algorithm}");
    }
}

/// Opens packets with these numbers, one after the other, and says which were taken.
fn taken(algorithm: Algorithm, sequences: &[u32]) -> Vec<bool> {
    let (now, keys) = (clock(), keys(algorithm));
    let mut receiver = Authentication::new(0);
    sequences
        .iter()
        .map(|sequence| {
            // A meticulous sender counts up before it sends.
            let first = sequence.wrapping_sub(u32::from(algorithm.is_meticulous()));
            let payload = Authentication::new(first).seal(&packet(), Some(&keys));
            let opened = receiver.open(now, payload.as_bytes(), 3, Some(&keys));
            receiver.heard(now, Duration::from_millis(30));
            assert!(matches!(opened, Ok(()) | Err(Discard::AuthenticationSequence)));
            opened.is_ok()
        })
        .collect()
}

/// RFC 5880 sections 6.7.3 and 6.7.4: up to three times the multiplier ahead, on a circle.
#[test]
fn sequence_numbers_have_a_window() {
    let cases = [5, 5, 14, 24, 23, 22, 5, u32::MAX];
    assert_eq!(
        taken(Algorithm::KeyedSha1, &cases),
        [true, true, true, false, true, false, false, false]
    );
    assert_eq!(
        taken(Algorithm::MeticulousKeyedMd5, &cases),
        [true, false, true, false, true, false, false, false]
    );
    let around = [u32::MAX - 1, 3, u32::MAX, 12, 13];
    assert_eq!(
        taken(Algorithm::MeticulousKeyedSha1, &around),
        [true, true, false, true, true]
    );
}

#[test]
fn after_twice_the_detection_time_of_silence_any_number_is_taken() {
    let (now, keys) = (clock(), keys(Algorithm::MeticulousKeyedSha1));
    let payload = |sequence| Authentication::new(sequence).seal(&packet(), Some(&keys));
    let mut receiver = Authentication::new(0);
    receiver
        .open(now, payload(1000).as_bytes(), 3, Some(&keys))
        .unwrap();
    receiver.heard(now, Duration::from_millis(30));
    let mut open = |at, sequence| receiver.open(now + at, payload(sequence).as_bytes(), 3, Some(&keys));
    let early = Duration::from_millis(60) - Duration::from_nanos(1);
    assert_eq!(open(early, 5), Err(Discard::AuthenticationSequence));
    assert_eq!(open(Duration::from_millis(60), 5), Ok(()));
}

#[test]
fn a_number_changes_with_every_packet_or_with_what_is_said() {
    let sequence = |payload: Payload| u32::from_be_bytes(payload.as_bytes()[28..32].try_into().unwrap());
    let other = Packet {
        state: State::Down,
        ..packet()
    };
    let said = [packet(), packet(), other, other, packet()];
    let numbers = |algorithm| {
        let (keys, mut sender) = (keys(algorithm), Authentication::new(u32::MAX));
        said.map(|packet| sequence(sender.seal(&packet, Some(&keys))))
    };
    assert_eq!(numbers(Algorithm::KeyedMd5), [u32::MAX, u32::MAX, 0, 0, 1]);
    assert_eq!(numbers(Algorithm::MeticulousKeyedSha1), [0, 1, 2, 3, 4]);
}

proptest! {
    /// Not one bit of an authenticated packet can be changed, but those that no digest covers with a password.
    #[test]
    fn a_changed_packet_is_not_genuine(algorithm in prop::sample::select(&Algorithm::ALL[1..]), bit in 0_usize..52 * 8) {
        let (now, keys) = (clock(), keys(algorithm));
        let mut bytes = Authentication::new(9).seal(&packet(), Some(&keys)).as_bytes().to_vec();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut receiver = Authentication::new(0);
        let opened = receiver.open(now, &bytes, 3, Some(&keys));
        prop_assert!(opened.is_err(), "bit {bit}");
        prop_assert!(receiver.received.is_none(), "and nothing is remembered of it");
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let now = clock();
        for algorithm in Algorithm::ALL {
            let _ = Authentication::new(0).open(now, &bytes, 3, Some(&keys(algorithm)));
        }
    }
}

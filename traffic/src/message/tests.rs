//! Round trips, and that nothing but the genuine stream is accepted.

use proptest::prelude::*;

use super::*;

fn stream(stamp: &str, payloads: &[u32]) -> Vec<u8> {
    let mut encoder = Encoder::new(9, Direction::ToClient, Stamp::new(stamp).unwrap());
    let (mut all, mut one) = (Vec::new(), Vec::new());
    for &payload in payloads {
        encoder.encode(
            &mut one,
            payload,
            Observation {
                retransmits: 3,
                silence_us: 4,
                silence_end: 5,
            },
        );
        all.extend_from_slice(&one);
    }
    all
}

fn read_all(decoder: &mut Decoder) -> Result<usize, Corrupt> {
    let mut count = 0;
    while decoder.next_message()?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[test]
fn a_hello_survives_the_wire() {
    for kind in Kind::ALL {
        let hello = Hello {
            flow: u64::MAX - 1,
            kind,
            rate: 50,
            payload: 700,
        };
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    }
}

#[test]
fn a_hello_with_unknown_kind_or_endless_payload_is_refused() {
    let mut bytes = Hello {
        flow: 1,
        kind: Kind::Up,
        rate: 50,
        payload: 700,
    }
    .encode();
    bytes[4] = 9;
    assert_eq!(Hello::decode(&bytes), Err(Corrupt::Hello));
    let bytes = Hello {
        flow: 1,
        kind: Kind::Up,
        rate: 50,
        payload: u32::MAX,
    }
    .encode();
    assert_eq!(Hello::decode(&bytes), Err(Corrupt::Hello));
}

#[test]
fn a_stream_cut_anywhere_into_pieces_verifies() {
    let bytes = stream("be1", &[0, 1, 300, 7]);
    for piece in [1, 3, 40, 41, 1000] {
        let mut decoder = Decoder::new(9, Direction::ToClient);
        let mut count = 0;
        for part in bytes.chunks(piece) {
            decoder.feed(part);
            count += read_all(&mut decoder).unwrap();
        }
        assert_eq!(count, 4, "pieces of {piece}");
        assert_eq!(decoder.stamp().unwrap().to_string(), "be1");
    }
}

#[test]
fn an_answer_of_another_backend_is_a_misdelivery() {
    let first = stream("be1", &[10]);
    let other = stream("be2", &[10, 10]);
    let mut decoder = Decoder::new(9, Direction::ToClient);
    decoder.feed(&first);
    decoder.feed(&other[first.len()..]);
    let error = read_all(&mut decoder).unwrap_err();
    assert!(matches!(error, Corrupt::Misdelivered { .. }), "{error}");
}

#[test]
fn a_repeated_message_and_a_foreign_flow_are_noticed() {
    let bytes = stream("be1", &[10]);
    let mut decoder = Decoder::new(9, Direction::ToClient);
    decoder.feed(&bytes);
    decoder.feed(&bytes);
    assert_eq!(
        read_all(&mut decoder),
        Err(Corrupt::Sequence {
            expected: 1,
            found: 0
        })
    );
    let mut decoder = Decoder::new(8, Direction::ToClient);
    decoder.feed(&bytes);
    assert!(matches!(read_all(&mut decoder), Err(Corrupt::Payload(_))));
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), genuine in any::<bool>()) {
        let mut decoder = Decoder::new(9, Direction::ToClient);
        if genuine {
            decoder.feed(&stream("be1", &[20]));
        }
        decoder.feed(&bytes);
        let _ = read_all(&mut decoder);
    }

    #[test]
    fn a_changed_payload_byte_never_passes(at in HEADER_LENGTH..HEADER_LENGTH + 300, bit in 0..8) {
        let mut bytes = stream("be1", &[300]);
        bytes[at] ^= 1_u8 << bit;
        let mut decoder = Decoder::new(9, Direction::ToClient);
        decoder.feed(&bytes);
        prop_assert_eq!(read_all(&mut decoder), Err(Corrupt::Payload((at - HEADER_LENGTH) as u64)));
    }
}

//! The wire format, damaged packets and random input.

use proptest::prelude::*;

use super::*;

/// A packet as it stands on the wire: Up, Poll, multiplier 3, 10 ms both ways.
const UP_WITH_POLL: [u8; PACKET_LENGTH] = [
    0x20, 0xe0, 0x03, 0x18, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x00, 0x00, 0x27, 0x10, 0x00,
    0x00, 0x4e, 0x20, 0x00, 0x00, 0x00, 0x00,
];

fn up_with_poll() -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state: State::Up,
        poll: true,
        final_answer: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: 0x1122_3344,
        your_discriminator: 0x5566_7788,
        desired_min_tx: 10_000,
        required_min_rx: 20_000,
        required_min_echo_rx: 0,
    }
}

#[test]
fn the_wire_format() {
    assert_eq!(up_with_poll().encode(), UP_WITH_POLL);
    assert_eq!(Packet::decode(&UP_WITH_POLL), Ok(up_with_poll()));
}

#[test]
fn each_malformed_packet_has_its_reason() {
    let cases: [(&str, usize, u8, Discard); 9] = [
        ("version 0", 0, 0x00, Discard::Version),
        ("version 2", 0, 0x40, Discard::Version),
        ("length below the minimum", 3, 23, Discard::Length),
        ("length beyond the datagram", 3, 25, Discard::Length),
        ("multiplier 0", 2, 0, Discard::MultiplierZero),
        ("multipoint", 1, 0xe1, Discard::Multipoint),
        ("poll and final", 1, 0xf0, Discard::PollAndFinal),
        ("authentication without its section", 1, 0xe4, Discard::Length),
        ("length 0", 3, 0, Discard::Length),
    ];
    for (name, offset, value, reason) in cases {
        let mut bytes = UP_WITH_POLL;
        bytes[offset] = value;
        assert_eq!(Packet::decode(&bytes), Err(reason), "{name}");
    }
}

#[test]
fn discriminators_of_zero() {
    let mut packet = up_with_poll();
    packet.my_discriminator = 0;
    assert_eq!(
        Packet::decode(&packet.encode()),
        Err(Discard::MyDiscriminatorZero)
    );
    for state in State::ALL {
        let packet = Packet {
            state,
            your_discriminator: 0,
            ..up_with_poll()
        };
        let expected = match state {
            State::AdminDown | State::Down => Ok(packet),
            State::Init | State::Up => Err(Discard::YourDiscriminatorZero),
        };
        assert_eq!(Packet::decode(&packet.encode()), expected, "{state}");
    }
}

/// What stands in the section is judged by the session, which knows the keys.
#[test]
fn an_authenticated_packet_is_decoded_like_any_other() {
    for section in [2_usize, 3, 24, 28] {
        let mut bytes = UP_WITH_POLL.to_vec();
        bytes.extend(std::iter::repeat_n(1, section));
        bytes[1] |= AUTHENTICATION;
        bytes[3] = bytes.len() as u8;
        assert_eq!(
            Packet::decode(&bytes),
            Ok(up_with_poll()),
            "section of {section} bytes"
        );
    }
}

#[test]
fn bytes_after_the_packet_are_ignored() {
    let mut bytes = UP_WITH_POLL.to_vec();
    bytes.extend([0xff; 40]);
    assert_eq!(Packet::decode(&bytes), Ok(up_with_poll()));
}

#[test]
fn every_truncation_is_refused() {
    for length in 0..PACKET_LENGTH {
        assert_eq!(
            Packet::decode(&UP_WITH_POLL[..length]),
            Err(Discard::Length),
            "{length} bytes"
        );
    }
}

prop_compose! {
    fn packets()(
        diagnostic in 0_u8..32,
        state in prop::sample::select(State::ALL.as_slice()),
        answer in 0_u8..3,
        control_plane_independent: bool,
        demand: bool,
        detect_multiplier in 1_u8..,
        my_discriminator in 1_u32..,
        your_discriminator in 1_u32..,
        intervals: [u32; 3],
    ) -> Packet {
        let [desired_min_tx, required_min_rx, required_min_echo_rx] = intervals;
        Packet {
            diagnostic: Diagnostic::from_code(diagnostic),
            state,
            poll: answer == 1,
            final_answer: answer == 2,
            control_plane_independent,
            demand,
            detect_multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx,
            required_min_rx,
            required_min_echo_rx,
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(packet in packets()) {
        prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = Packet::decode(&bytes) {
            prop_assert_eq!(&packet.encode()[4..], &bytes[4..PACKET_LENGTH]);
        }
    }

    #[test]
    fn a_corrupted_packet_is_refused_or_still_well_formed(
        packet in packets(),
        offset in 0..PACKET_LENGTH,
        flip in 1_u8..,
    ) {
        let mut bytes = packet.encode();
        bytes[offset] ^= flip;
        if let Ok(decoded) = Packet::decode(&bytes) {
            prop_assert!(decoded.my_discriminator != 0 && decoded.detect_multiplier != 0);
            prop_assert!(!(decoded.poll && decoded.final_answer));
        }
    }
}

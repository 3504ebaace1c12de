//! OPEN: what the real speakers send, and what is wrong where.
use std::net::Ipv4Addr;

use super::*;
use crate::Families;

/// Version 4, AS 65000, hold time 9, identifier 10.0.0.2, then `parameters` with their length.
fn body(parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![
        4,
        0xfd,
        0xe8,
        0,
        9,
        10,
        0,
        0,
        2,
        u8::try_from(parameters.len()).unwrap(),
    ];
    body.extend_from_slice(parameters);
    body
}

fn decode(body: &[u8]) -> Open {
    match Message::decode(&message(1, body), CONTEXT) {
        Ok(Message::Open(open)) => open,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ours() {
    let open = Open::new(65001, 9, Ipv4Addr::new(10, 0, 0, 1), Families::BOTH);
    let bytes = Message::Open(open.clone()).encode(Encoding::default()).unwrap();
    let mut expected = vec![4, 0xfd, 0xe9, 0, 9, 10, 0, 0, 1, 28];
    expected.extend([
        2, 6, 1, 4, 0, 1, 0, 1, 2, 6, 1, 4, 0, 2, 0, 1, 2, 2, 2, 0, 2, 6, 65, 4, 0, 0, 0xfd, 0xe9,
    ]);
    assert_eq!(bytes, message(1, &expected));
    assert_eq!(Message::decode(&bytes, CONTEXT), Ok(Message::Open(open.clone())));
    assert!(open.route_refresh());
}

#[test]
fn an_as_of_four_octets_travels_in_the_capability() {
    let open = Open::new(4_200_000_001, 9, Ipv4Addr::new(10, 0, 0, 1), Families::IPV4);
    assert_eq!((open.my_as, open.asn()), (AS_TRANS, 4_200_000_001));
    // Without the capability the field counts, whatever it says.
    assert_eq!(decode(&body(&[])).asn(), 65000);
    let mut trans = body(&[]);
    trans[1..3].copy_from_slice(&23456_u16.to_be_bytes());
    assert_eq!(decode(&trans).asn(), 23456);
}

#[test]
fn without_capabilities_it_is_ipv4_unicast() {
    let open = decode(&body(&[]));
    assert_eq!(open.families(), Families::IPV4);
    assert!(!open.route_refresh());
    assert_eq!(open.four_octet_as(), None);
    // VPNv4 only is neither of ours.
    assert_eq!(
        decode(&body(&[2, 6, 1, 4, 0, 1, 0, 128])).families(),
        Families::default()
    );
}

#[test]
fn capabilities_of_bird_frr_and_gobgp_that_mean_nothing_here_are_kept_for_display() {
    // Extended message, graceful restart, four octets, enhanced refresh, long-lived restart: in one parameter.
    let open = decode(&body(&[
        2, 26, 1, 4, 0, 1, 0, 1, 2, 0, 6, 0, 64, 2, 0, 120, 65, 4, 0, 0, 0xfd, 0xe8, 70, 0, 71, 0, 128, 0,
    ]));
    let names: Vec<String> = open.capabilities.iter().map(Capability::name).collect();
    assert_eq!(
        names,
        [
            "ipv4-unicast",
            "route-refresh",
            "extended-message",
            "graceful-restart",
            "four-octet-as",
            "enhanced-route-refresh",
            "long-lived-graceful-restart",
            "cisco-route-refresh"
        ]
    );
    assert_eq!(open.asn(), 65000);
}

#[test]
fn extended_optional_parameters() {
    // RFC 9072: 255, 255, length of two octets, then parameters with lengths of two octets.
    let mut extended = body(&[]);
    extended[9] = 255;
    extended.extend([255, 0, 9, 2, 0, 6, 65, 4, 0, 0, 0xfd, 0xe8]);
    assert_eq!(decode(&extended).four_octet_as(), Some(65000));
    extended[12] = 10;
    assert_eq!(
        verdict(&error(&message(1, &extended))),
        (28, ErrorKind::ParametersLength(10), (2, 0))
    );
}

#[test]
fn errors_and_their_places() {
    let with = |at: usize, value: u8| {
        let mut body = body(&[]);
        body[at] = value;
        error(&message(1, &body))
    };
    let version = with(0, 3);
    assert_eq!(verdict(&version), (19, ErrorKind::Version(3), (2, 1)));
    assert_eq!(version.notification().data, [0, 4]);
    assert_eq!(verdict(&with(4, 1)), (22, ErrorKind::HoldTime(1), (2, 6)));
    assert_eq!(verdict(&with(4, 2)), (22, ErrorKind::HoldTime(2), (2, 6)));
    assert_eq!(verdict(&with(9, 1)), (28, ErrorKind::ParametersLength(1), (2, 0)));

    let mut zeroes = body(&[]);
    zeroes[1..3].fill(0);
    assert_eq!(
        verdict(&error(&message(1, &zeroes))),
        (20, ErrorKind::ZeroAs, (2, 2))
    );
    let mut zeroes = body(&[]);
    zeroes[5..9].fill(0);
    assert_eq!(
        verdict(&error(&message(1, &zeroes))),
        (24, ErrorKind::Identifier, (2, 3))
    );

    let rows: [(&[u8], Verdict); 7] = [
        // Authentication, long withdrawn; and one nobody knows, after a good one.
        (&[1, 0], (29, ErrorKind::OptionalParameter(1), (2, 4))),
        (
            &[2, 2, 2, 0, 99, 0],
            (33, ErrorKind::OptionalParameter(99), (2, 4)),
        ),
        (&[2], (30, ErrorKind::Truncated { wanted: 1, left: 0 }, (2, 0))),
        (
            &[2, 3, 2, 0],
            (31, ErrorKind::Truncated { wanted: 3, left: 2 }, (2, 0)),
        ),
        (
            &[2, 2, 2, 1],
            (33, ErrorKind::Truncated { wanted: 1, left: 0 }, (2, 0)),
        ),
        (
            &[2, 5, 65, 3, 0, 0, 1],
            (31, ErrorKind::CapabilityLength { code: 65, length: 3 }, (2, 0)),
        ),
        (&[2, 6, 65, 4, 0, 0, 0, 0], (33, ErrorKind::ZeroAs, (2, 2))),
    ];
    for (parameters, expected) in rows {
        assert_eq!(
            verdict(&error(&message(1, &body(parameters)))),
            expected,
            "{parameters:?}"
        );
    }
}

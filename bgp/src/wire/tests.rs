//! Codec tests: messages byte by byte, every kind of damage with its place, and random input.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one kind of message at a time"
)]
mod attributes;
mod open;
mod random;

use super::*;

pub(super) const CONTEXT: Context = Context {
    four_octet: true,
    external: true,
    add_path: crate::Families {
        ipv4: false,
        ipv6: false,
    },
    extended: false,
};

/// A message of `kind` around `body`.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend(u16::try_from(HEADER_LENGTH + body.len()).unwrap().to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn error(bytes: &[u8]) -> DecodeError {
    Message::decode(bytes, CONTEXT).unwrap_err()
}

/// Offset, kind, and code and subcode of the NOTIFICATION.
pub(super) type Verdict = (usize, ErrorKind, (u8, u8));

pub(super) fn verdict(error: &DecodeError) -> Verdict {
    let notification = error.notification();
    (
        error.offset,
        error.kind.clone(),
        (notification.code, notification.subcode),
    )
}

#[test]
fn headers() {
    let good = message(4, &[]);
    assert_eq!(Message::decode(&good, CONTEXT), Ok(Message::Keepalive));
    assert_eq!(Message::Keepalive.encode(Encoding::default()), Ok(good.clone()));

    let mut marker = good.clone();
    marker[7] = 0xfe;
    assert_eq!(verdict(&error(&marker)), (0, ErrorKind::Marker, (1, 1)));

    for (length, kind) in [
        (18, 4),
        (4097, 2),
        (0, 4),
        (65535, 2),
        (20, 4),
        (22, 2),
        (28, 1),
        (20, 3),
        (22, 5),
    ] {
        let mut bytes = good.clone();
        bytes[16..18].copy_from_slice(&u16::to_be_bytes(length));
        bytes[18] = kind;
        let error = frame_length(&bytes, false).unwrap_err();
        assert_eq!(
            verdict(&error),
            (16, ErrorKind::MessageLength(length), (1, 2)),
            "length {length} type {kind}"
        );
        assert_eq!(error.notification().data, length.to_be_bytes());
    }

    for kind in [0, 6, 255] {
        let error = error(&message(kind, &[]));
        assert_eq!(verdict(&error), (18, ErrorKind::MessageType(kind), (1, 3)));
        assert_eq!(error.notification().data, [kind]);
    }
}

#[test]
fn every_message_cut_short_is_an_error_and_not_a_panic() {
    let update = message(
        2,
        &[
            0, 0, 0, 14, 0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4, 10, 0, 0, 1, 32, 10, 1, 1, 1,
        ],
    );
    assert!(Message::decode(&update, CONTEXT).is_ok());
    for length in 0..update.len() {
        assert!(Message::decode(&update[..length], CONTEXT).is_err(), "{length}");
    }
    for length in 0..HEADER_LENGTH {
        assert_eq!(frame_length(&update[..length], false), Ok(None));
    }
}

#[test]
fn notifications_and_their_words() {
    let shutdown = |subcode: u8, data: &[u8]| {
        let mut body = vec![6, subcode];
        body.extend_from_slice(data);
        match Message::decode(&message(3, &body), CONTEXT) {
            Ok(Message::Notification(notification)) => notification,
            other => panic!("{other:?}"),
        }
    };
    let text = shutdown(2, b"\x0bmaintenance");
    assert_eq!(text.shutdown_message().as_deref(), Some("maintenance"));
    assert_eq!(text.to_string(), "administrative shutdown (6/2): maintenance");
    assert_eq!(
        shutdown(4, b"\x02\xc3\xa4").shutdown_message().as_deref(),
        Some("\u{e4}")
    );
    assert_eq!(
        shutdown(2, b"\x03a\x1bb").shutdown_message().as_deref(),
        Some("a\u{fffd}b")
    );
    // Longer than the data, not UTF-8, empty, absent, another subcode.
    for (subcode, data) in [
        (2, &b"\x0cmaintenance"[..]),
        (2, b"\x01\xff"),
        (2, b"\x00"),
        (2, b""),
        (3, b"\x01a"),
    ] {
        assert_eq!(shutdown(subcode, data).shutdown_message(), None, "{data:?}");
    }
    assert_eq!(shutdown(10, b"").to_string(), "BFD down (6/10)");
    let bfd = Message::Notification(Cease::BfdDown.into());
    assert_eq!(bfd.encode(Encoding::default()), Ok(message(3, &[6, 10])));
    assert_eq!(
        Notification {
            code: 99,
            subcode: 1,
            data: vec![]
        }
        .to_string(),
        "unknown error (99/1)"
    );
}

#[test]
fn what_we_say_to_operators() {
    let text = |notification: &Notification| notification.to_string();
    let shutdown = Cease::AdministrativeShutdown.with_communication("back at 14:00");
    assert_eq!(text(&shutdown), "administrative shutdown (6/2): back at 14:00");
    assert_eq!(shutdown.data[0], 13);
    // 255 octets, and no half of a character: the first one moves the others off an even place.
    let long = Cease::AdministrativeReset.with_communication(&format!("x{}", "\u{e4}".repeat(200)));
    assert_eq!((long.data.len(), long.data[0]), (256, 255));
    let even = Cease::AdministrativeReset.with_communication(&"\u{e4}".repeat(200));
    assert_eq!((even.data.len(), even.data[0]), (255, 254));
    assert_eq!(even.shutdown_message(), Some("\u{e4}".repeat(127)));
    assert_eq!(Cease::BfdDown.with_communication("not here").data, []);
    assert_eq!(Cease::AdministrativeShutdown.with_communication("").data, []);

    let reset = Notification::hard_reset(&shutdown);
    assert_eq!(
        text(&reset),
        "hard reset (6/9): administrative shutdown (6/2): back at 14:00"
    );
    assert_eq!(reset.hard_reset_cause(), Some(shutdown));
    // Nesting ends, whatever a neighbour sends.
    assert_eq!(text(&Notification::hard_reset(&reset)), "hard reset (6/9)");
    assert_eq!(Notification::hard_reset(&reset).shutdown_message(), None);

    for (notification, expected) in [
        (
            Notification::maximum_prefixes(crate::Family::Ipv4, 100),
            "maximum number of prefixes reached (6/1): 100 of ipv4",
        ),
        (
            Notification::SEND_HOLD_TIMER_EXPIRED,
            "send hold timer expired (8/0)",
        ),
        (Notification::ROLE_MISMATCH, "role mismatch (2/11)"),
        (
            Notification::unsupported_capability(vec![1, 4, 0, 2, 0, 1, 65, 4, 0, 0, 0, 1]),
            "unsupported capability (2/7): ipv6-unicast, four-octet-as",
        ),
        (
            Notification::new(2, 7, vec![1, 9]),
            "unsupported capability (2/7)",
        ),
        (
            Notification::new(3, 5, vec![0x80, 4, 1, 0]),
            "attribute length error (3/5): MULTI_EXIT_DISC",
        ),
        (
            Notification::new(3, 3, vec![3]),
            "missing well-known attribute (3/3): NEXT_HOP",
        ),
        (
            Notification::new(2, 1, vec![0, 4]),
            "unsupported version number (2/1): version 4 wanted",
        ),
        (
            Notification::new(7, 1, vec![]),
            "bad length of a ROUTE-REFRESH (7/1)",
        ),
    ] {
        assert_eq!(text(&notification), expected);
    }
}

#[test]
fn extended_messages_are_longer_only_where_they_may_be() {
    let update = Update {
        attributes: vec![Attribute::Communities(vec![1; 16_000])],
        ..Update::default()
    };
    let message = Message::Update(update.into());
    let extended = Encoding {
        extended: true,
        ..Encoding::default()
    };
    assert!(message.encode(Encoding::default()).is_err());
    let bytes = message.encode(extended).unwrap();
    assert_eq!(bytes.len(), 19 + 4 + 4 + 64_000);
    let context = Context {
        extended: true,
        ..CONTEXT
    };
    assert_eq!(Message::decode(&bytes, context), Ok(message));
    assert_eq!(
        verdict(&error(&bytes)),
        (16, ErrorKind::MessageLength(64_027), (1, 2))
    );
    let other = Capability::Other {
        code: 200,
        value: vec![0; 255],
    };
    // 19 of the header, 16 of the fixed part and the lengths, 20 and 16 x 257 of the capabilities.
    let mut open = Open::new(1, 9, std::net::Ipv4Addr::LOCALHOST, crate::Families::BOTH);
    open.capabilities.extend(vec![other; 16]);
    assert_eq!(
        Message::Open(open).encode(extended),
        Err(EncodeError::TooLong(4167))
    );
}

#[test]
fn route_refresh() {
    let bytes = message(5, &[0, 2, 0, 1]);
    let refresh = RouteRefresh {
        afi: 2,
        subtype: 0,
        safi: 1,
    };
    assert_eq!(
        Message::decode(&bytes, CONTEXT),
        Ok(Message::RouteRefresh(refresh))
    );
    assert_eq!(refresh.family(), Some(crate::Family::Ipv6));
    assert_eq!(RouteRefresh { safi: 128, ..refresh }.family(), None);
    assert_eq!(
        Message::RouteRefresh(refresh).encode(Encoding::default()),
        Ok(bytes)
    );
}

#[test]
fn a_message_that_would_be_too_long_is_refused() {
    let communities = Attribute::Communities(vec![1; 1100]);
    let update = Update {
        attributes: vec![communities],
        ..Update::default()
    };
    assert_eq!(
        Message::Update(update.into()).encode(Encoding::default()),
        Err(EncodeError::TooLong(19 + 4 + 4 + 4400))
    );
}

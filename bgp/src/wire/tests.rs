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

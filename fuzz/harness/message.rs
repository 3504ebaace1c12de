//! One message: reading it does not panic, and what was read can be written and read again as the same.
//!
//! Input: an octet of options, an octet of type, the body. Used by the fuzzer and by `bgp/tests/corpus.rs`.
use bgp::wire::{Context, Encoding, HEADER_LENGTH, Message, frame_length};
use bgp::{Families, PathAttributes};

const FOUR_OCTET: u8 = 1;
const EXTERNAL: u8 = 2;
const ADD_PATH_IPV4: u8 = 4;
const ADD_PATH_IPV6: u8 = 8;
const EXTENDED: u8 = 16;
/// The rest is a message with its header, right or wrong.
const RAW: u8 = 32;

fn context(options: u8) -> Context {
    Context {
        four_octet: options & FOUR_OCTET != 0,
        external: options & EXTERNAL != 0,
        add_path: Families {
            ipv4: options & ADD_PATH_IPV4 != 0,
            ipv6: options & ADD_PATH_IPV6 != 0,
        },
        extended: options & EXTENDED != 0,
    }
}

/// The body behind a right header.
fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER_LENGTH + body.len()).unwrap_or(u16::MAX);
    let mut message = vec![0xff; 16];
    message.extend(length.to_be_bytes());
    message.push(kind);
    message.extend(body);
    message.truncate(length.into());
    message
}

pub(crate) fn run(data: &[u8]) {
    let [options, rest @ ..] = data else { return };
    let context = context(*options);
    let message = match rest {
        raw if options & RAW != 0 => raw.to_vec(),
        [kind, body @ ..] => framed(*kind, body),
        [] => return,
    };
    match frame_length(&message, context.extended) {
        Ok(Some(length)) => assert!((HEADER_LENGTH..=65535).contains(&length)),
        Ok(None) => assert!(message.len() < HEADER_LENGTH),
        Err(error) => assert!(error.offset < HEADER_LENGTH, "{error}"),
    }
    match Message::decode(&message, context) {
        Ok(read) => check(&message, &read, context),
        Err(error) => {
            assert!(error.offset <= message.len(), "{error}");
            let notification = error.notification();
            assert!((1..=7).contains(&notification.code), "{error}");
            assert!(!format!("{error}, {notification}").contains(char::is_control));
            // What is said about it fits a message that is not extended.
            assert!(
                Message::Notification(notification)
                    .encode(Encoding::default())
                    .is_ok()
            );
        }
    }
}

fn check(message: &[u8], read: &Message, context: Context) {
    let written = match read.encode(context.into()) {
        Ok(written) => written,
        Err(error) => panic!("{error}: {read:?}"),
    };
    let Message::Update(decoded) = read else {
        assert_eq!(Message::decode(&written, context).as_ref(), Ok(read));
        if let Message::Notification(notification) = read {
            assert!(!notification.to_string().contains(char::is_control));
        }
        return;
    };
    assert!(written.len() <= message.len(), "longer than it was: {read:?}");
    let attributes = PathAttributes::from_update(decoded);
    assert!(!attributes.to_string().contains(char::is_control));
    let sound = decoded.faults.is_empty();
    let by_next_hop = decoded.announced_by_next_hop();
    let reachable: usize = by_next_hop.map(|reachable| reachable.nlri.len()).sum();
    assert!(!sound || reachable == decoded.announced().count(), "{read:?}");
    // Without what was discarded an UPDATE may lack something; without faults it is the same.
    match Message::decode(&written, context) {
        Ok(Message::Update(again)) => {
            assert_eq!(again.update, decoded.update);
            assert!(!sound || again.faults.is_empty());
            let twice = Message::Update(again).encode(context.into());
            assert_eq!(twice, Ok(written));
        }
        other => assert!(!sound, "{other:?} from {read:?}"),
    }
}

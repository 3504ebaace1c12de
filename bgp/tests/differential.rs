//! Two independent implementations as judges of the wire format: netgauze-bgp-pkt (strict, octet by octet) and
//! bgpkit-parser (by value).
//!
//! What we write both read as the same. Of damaged messages, where a judge and we differ, the difference is one of
//! the few explained here. Deterministic: the same messages every time; `DIFFERENTIAL_CASES` asks for more.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the judges know a hundred kinds of things that are not ours"
)]
use std::collections::BTreeSet;

use bgp::wire::{Attribute, Context, DecodeError, Decoded, Message, SegmentKind};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};

#[path = "differential/bgpkit.rs"]
mod bgpkit;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/netgauze.rs"]
mod netgauze;

fn cases(default: u32) -> u32 {
    let asked = std::env::var("DIFFERENTIAL_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

fn each<T>(strategy: impl Strategy<Value = T>, count: u32, mut check: impl FnMut(T)) {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    for _ in 0..count {
        check(strategy.new_tree(&mut runner).unwrap().current());
    }
}

#[test]
fn what_we_write_we_read() {
    let mut seen = [0; 5];
    each(generate::message(), cases(2000), |(context, message)| {
        let Ok(bytes) = message.encode(context.into()) else {
            return;
        };
        seen[usize::from(bytes[18]) - 1] += 1;
        assert_eq!(Message::decode(&bytes, context).as_ref(), Ok(&message));
        // And appended to something else it is the same.
        let mut appended = vec![1, 2, 3];
        message.encode_to(&mut appended, context.into()).unwrap();
        assert_eq!(appended[3..], bytes);
    });
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
}

#[test]
fn netgauze_reads_what_we_write_and_writes_the_same() {
    let mut judged = 0;
    let mut wrong = Vec::new();
    each(generate::message(), cases(2000), |(context, message)| {
        let Ok(bytes) = message.encode(context.into()) else {
            return;
        };
        if unknown_to_netgauze(&message, &bytes) {
            return;
        }
        judged += 1;
        match netgauze::read(&bytes, context) {
            Ok(read) if netgauze::write(&read) == bytes => {}
            Ok(read) => wrong.push(format!("read as {read:?}: {message:?}")),
            Err(error) => wrong.push(format!("{error}: {message:?}")),
        }
    });
    assert!(
        wrong.is_empty(),
        "{} wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    assert!(judged > cases(2000) / 4, "{judged} messages judged");
}

#[test]
fn bgpkit_reads_the_same_values() {
    let mut judged = 0;
    each(generate::message(), cases(2000), |(context, message)| {
        let Ok(bytes) = message.encode(context.into()) else {
            return;
        };
        if !bgpkit::understands(context) {
            return;
        }
        let read = bgpkit::read(&bytes, context).unwrap_or_else(|error| panic!("{error}: {message:?}"));
        compare_with_bgpkit(&message, &read);
        judged += 1;
    });
    assert!(judged > cases(2000) / 4, "{judged} messages judged");
}

fn compare_with_bgpkit(ours: &Message, theirs: &bgpkit_parser::models::BgpMessage) {
    use bgpkit_parser::models::BgpMessage;
    match (ours, theirs) {
        (Message::Update(ours), BgpMessage::Update(theirs)) => {
            assert_eq!(bgpkit::comparable(&ours.update), bgpkit::update(theirs));
        }
        (Message::Open(ours), BgpMessage::Open(theirs)) => {
            assert_eq!(
                (u32::from(ours.my_as), ours.hold_time, ours.identifier),
                (theirs.asn.to_u32(), theirs.hold_time, theirs.bgp_identifier)
            );
        }
        (Message::Notification(ours), BgpMessage::Notification(theirs)) => {
            assert_eq!(ours.data, theirs.data);
        }
        (Message::RouteRefresh(ours), BgpMessage::RouteRefresh(theirs)) => {
            assert_eq!(
                (ours.afi, ours.subtype, ours.safi),
                (theirs.afi, theirs.subtype, theirs.safi)
            );
        }
        (Message::Keepalive, BgpMessage::KeepAlive) => {}
        (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
    }
}

/// What netgauze does not read at all.
fn unknown_to_netgauze(message: &Message, bytes: &[u8]) -> bool {
    match message {
        // RFC 9072.
        Message::Open(_) => bytes[28] == 255,
        // It refuses codes that it has no name for.
        Message::Notification(notification) => !matches!(
            (notification.code, notification.subcode),
            (1, 1..=3) | (2, 1..=4) | (3, 1..=6 | 8..=11) | (4, 0) | (5, 1..=3) | (6, 1..=8)
        ),
        Message::Update(decoded) => decoded.update.attributes.iter().any(has_confederation),
        _ => false,
    }
}

fn has_confederation(attribute: &Attribute) -> bool {
    let inner = [SegmentKind::ConfederationSequence, SegmentKind::ConfederationSet];
    let (Attribute::AsPath(path) | Attribute::As4Path(path)) = attribute else {
        return false;
    };
    path.iter().any(|segment| inner.contains(&segment.kind))
}

/// What we find wrong, in words; the strongest first.
fn fault(bytes: &[u8], context: Context) -> Option<String> {
    match Message::decode(bytes, context) {
        Ok(Message::Update(decoded)) => strongest(&decoded).map(|error| error.kind.to_string()),
        Ok(_) => None,
        Err(error) => Some(error.kind.to_string()),
    }
}

fn strongest(decoded: &Decoded) -> Option<&DecodeError> {
    let effect = decoded.effect()?;
    let fault = decoded.faults.iter().find(|fault| fault.effect == effect)?;
    Some(&fault.error)
}

/// A part of what the one that objects says, and why the other does not.
type Explained = (&'static str, &'static str);

/// Differences over `count` damaged messages that none of the explanations covers, and the number of all.
fn unexplained(
    judge: impl Fn(&[u8], Context) -> Option<String>,
    they_object: &[Explained],
    we_object: &[Explained],
) -> (BTreeSet<String>, usize) {
    let mut open = BTreeSet::new();
    let mut differences = 0;
    each(generate::damaged(), cases(6000), |(context, bytes)| {
        let (side, words, list) = match (fault(&bytes, context), judge(&bytes, context)) {
            (None, Some(theirs)) => ("they object", theirs, they_object),
            (Some(ours), None) => ("we object", ours, we_object),
            (Some(_), Some(_)) | (None, None) => return,
        };
        differences += 1;
        if !list.iter().any(|(part, _why)| words.contains(part)) {
            open.insert(format!("{side}: {words}: {context:?} {bytes:02x?}"));
        }
    });
    (open, differences)
}

#[test]
fn damage_that_netgauze_and_we_judge_differently_is_explained() {
    let they_object = [
        (
            "unknown AS_PATH segment type",
            "it does not read confederations, and we no AS4_PATH between speakers of four octets",
        ),
        (
            "unicast network",
            "multicast among unicast prefixes: refused by import, not by the codec",
        ),
        ("address family", "we ignore families that were not agreed on"),
        ("multicast address", "a family that was not agreed on"),
        ("labeled", "a family that was not agreed on"),
        (
            "Invalid partial flag",
            "RFC 7606 section 3 (c) judges two flags, and this is not one of them",
        ),
        ("Ok(As4Path)", "dropped unread between speakers of four octets"),
        (
            "Ok(As4Aggregator)",
            "dropped unread between speakers of four octets",
        ),
        ("in BGP-LS", "an attribute we do not know"),
        ("IPv6 extended communities", "an attribute we do not know"),
        ("segment identifier", "an attribute we do not know"),
        ("AIGP", "an attribute we do not know"),
    ];
    let we_object = [
        (
            "is not known",
            "it keeps well-known attributes that it does not know",
        ),
        ("appears again", "it does not look for duplicates"),
        (
            "from an external neighbour",
            "it does not know who sent the message",
        ),
        ("AS4_AGGREGATOR has flags", "it does not check these"),
        (
            "ONLY_TO_CUSTOMER has length",
            "it ignores what is behind the AS number",
        ),
        (
            "next hop of a wrong length",
            "it takes the first octets of a longer one",
        ),
        ("truncated", "it takes the first octets of a longer next hop"),
        ("is missing", "it does not ask for the mandatory ones"),
    ];
    let judge = |bytes: &[u8], context| netgauze::read(bytes, context).err();
    let (open, differences) = unexplained(judge, &they_object, &we_object);
    assert!(open.is_empty(), "{open:#?}");
    assert!(differences > 0);
}

#[test]
fn damage_that_bgpkit_and_we_judge_differently_is_explained() {
    let they_object = [
        (
            "AttributeFlagsError",
            "the partial bit, which RFC 7606 section 3 (c) does not judge",
        ),
        ("Unknown AFI", "we ignore families that were not agreed on"),
        ("Unknown SAFI", "we ignore families that were not agreed on"),
        ("attr_type: MP_", "it reads more families than were agreed on"),
        (
            "attr_type: AS4_PATH",
            "dropped unread between speakers of four octets",
        ),
        (
            "attr_type: AS4_AGGREGATOR",
            "dropped unread between speakers of four octets",
        ),
        ("attr_type: BGP_PREFIX_SID", "an attribute we do not know"),
        ("attr_type: BGP_DOMAIN_PATH", "an attribute we do not know"),
        ("attr_type: BGP_LS_ATTRIBUTE", "an attribute we do not know"),
        ("attr_type: IPV6_ADDRESS_SPECIFIC", "an attribute we do not know"),
        ("attr_type: BIER", "an attribute we do not know"),
        ("attr_type: SFP_ATTRIBUTE", "an attribute we do not know"),
    ];
    let we_object = [
        (
            "is not known",
            "it keeps well-known attributes that it does not know",
        ),
        ("malformed attribute list", "it ends the list without a word"),
        (
            "from an external neighbour",
            "it does not know who sent the message",
        ),
    ];
    let judge = |bytes: &[u8], context: Context| {
        // It does not read such sessions; the same verdict as ours is none.
        if bgpkit::understands(context) {
            bgpkit::read(bytes, context).err()
        } else {
            fault(bytes, context)
        }
    };
    let (open, differences) = unexplained(judge, &they_object, &we_object);
    assert!(open.is_empty(), "{open:#?}");
    assert!(differences > 0);
}

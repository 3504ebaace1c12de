//! RFC 7606, attribute by attribute: what is wrong, where, and what it does.
use ipnet::IpNet;

use super::*;

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 10, 0, 0, 2];
const NLRI: &[u8] = &[24, 192, 0, 2];
/// 2001:db8::/32 by way of 2001:db8::1.
const MP_REACH: &[u8] = &[
    0x80, 14, 26, 0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 32, 0x20, 1, 0xd,
    0xb8,
];
/// Where the first attribute starts in an UPDATE without withdrawn routes.
const FIRST: usize = 23;

fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |field: &[u8]| u16::try_from(field.len()).unwrap().to_be_bytes();
    let parts: [&[u8]; 5] = [
        &length(withdrawn),
        withdrawn,
        &length(attributes),
        attributes,
        nlri,
    ];
    message(2, &parts.concat())
}

fn decode_in(context: Context, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    match Message::decode(bytes, context)? {
        Message::Update(decoded) => Ok(decoded),
        other => panic!("{other:?}"),
    }
}

fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    decode_in(CONTEXT, bytes)
}

/// The attribute after the three mandatory ones, with an IPv4 prefix.
fn with(attribute: &[u8]) -> Vec<u8> {
    update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, attribute].concat(), NLRI)
}

fn offset_of_extra() -> usize {
    FIRST + ORIGIN.len() + AS_PATH.len() + NEXT_HOP.len()
}

fn prefixes(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|prefix| prefix.parse().unwrap()).collect()
}

#[test]
fn a_sound_update() {
    let bytes = update(
        &[16, 172, 16],
        &[MP_REACH, ORIGIN, AS_PATH, NEXT_HOP].concat(),
        NLRI,
    );
    let decoded = decode(&bytes).unwrap();
    assert_eq!(decoded.effect(), None);
    let announced: Vec<IpNet> = decoded.announced().map(|nlri| nlri.prefix).collect();
    assert_eq!(announced, prefixes(&["192.0.2.0/24", "2001:db8::/32"]));
    let withdrawn: Vec<IpNet> = decoded.withdrawn().map(|nlri| nlri.prefix).collect();
    assert_eq!(withdrawn, prefixes(&["172.16.0.0/16"]));
    assert_eq!(
        Message::Update(decoded.update.into()).encode(Encoding::default()),
        Ok(bytes)
    );
}

#[test]
fn end_of_rib_is_an_empty_update() {
    assert_eq!(decode(&update(&[], &[], &[])), Ok(Decoded::default()));
    let ipv6 = decode(&update(&[], &[0x80, 15, 3, 0, 2, 1], &[])).unwrap();
    assert_eq!((ipv6.effect(), ipv6.withdrawn().count()), (None, 0));
    for family in crate::Family::ALL {
        let bytes = Message::Update(Update::end_of_rib(family).into())
            .encode(Encoding::default())
            .unwrap();
        assert_eq!(decode(&bytes).unwrap().end_of_rib(), Some(family));
    }
    assert_eq!(decode(&update(&[8, 10], &[], &[])).unwrap().end_of_rib(), None);
    let one = decode(&update(&[], &[0x80, 15, 4, 0, 2, 1, 0], &[])).unwrap();
    assert_eq!(one.end_of_rib(), None);
}

/// Attribute, offset of the error behind the start of the attribute, kind, effect.
type Row = (&'static [u8], usize, ErrorKind, Effect);

fn length(code: u8, length: usize) -> ErrorKind {
    ErrorKind::AttributeLength { code, length }
}

fn check_extra(rows: &[Row]) {
    for (attribute, offset, kind, effect) in rows {
        check(
            CONTEXT,
            &with(attribute),
            offset_of_extra() + offset,
            kind,
            *effect,
        );
    }
}

fn flags(code: u8, flags: u8) -> ErrorKind {
    ErrorKind::AttributeFlags { code, flags }
}

#[test]
fn med_atomic_aggregate_and_aggregator() {
    use Effect::{AttributeDiscard, TreatAsWithdraw};
    check_extra(&[
        (&[0x80, 4, 3, 0, 0, 1], 3, length(4, 3), TreatAsWithdraw),
        (&[0x80, 4, 0], 3, length(4, 0), TreatAsWithdraw),
        (&[0xc0, 4, 4, 0, 0, 0, 1], 0, flags(4, 0xc0), TreatAsWithdraw),
        (&[0x40, 6, 1, 0], 3, length(6, 1), AttributeDiscard),
        (&[0xc0, 6, 0], 0, flags(6, 0xc0), TreatAsWithdraw),
        (
            &[0xc0, 7, 6, 0, 1, 10, 0, 0, 1],
            3,
            length(7, 6),
            AttributeDiscard,
        ),
        (
            &[0xc0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1],
            3,
            ErrorKind::ZeroAs,
            AttributeDiscard,
        ),
    ]);
}

#[test]
fn communities_of_all_sizes() {
    use Effect::TreatAsWithdraw;
    check_extra(&[
        (&[0xc0, 8, 0], 3, length(8, 0), TreatAsWithdraw),
        (&[0xc0, 8, 5, 0, 0, 0, 0, 0], 3, length(8, 5), TreatAsWithdraw),
        (&[0x80, 8, 4, 0, 0, 0, 0], 0, flags(8, 0x80), TreatAsWithdraw),
        (
            &[0xc0, 16, 7, 0, 0, 0, 0, 0, 0, 0],
            3,
            length(16, 7),
            TreatAsWithdraw,
        ),
        (&[0xc0, 32, 4, 0, 0, 0, 0], 3, length(32, 4), TreatAsWithdraw),
        (&[0xd0, 32, 0, 0], 4, length(32, 0), TreatAsWithdraw),
    ]);
}

#[test]
fn what_is_discarded_however_it_looks() {
    use Effect::AttributeDiscard;
    check_extra(&[
        // Internal attributes from an external neighbour.
        (
            &[0x40, 5, 4, 0, 0, 0, 100],
            0,
            ErrorKind::InternalAttribute(5),
            AttributeDiscard,
        ),
        (
            &[0x40, 5, 3, 0, 0, 0],
            0,
            ErrorKind::InternalAttribute(5),
            AttributeDiscard,
        ),
        (
            &[0x80, 9, 4, 10, 0, 0, 1],
            0,
            ErrorKind::InternalAttribute(9),
            AttributeDiscard,
        ),
        (
            &[0x80, 10, 4, 10, 0, 0, 1],
            0,
            ErrorKind::InternalAttribute(10),
            AttributeDiscard,
        ),
        // The same again.
        (
            &[0x40, 1, 1, 7],
            0,
            ErrorKind::DuplicateAttribute(1),
            AttributeDiscard,
        ),
    ]);
}

fn check(context: Context, bytes: &[u8], offset: usize, kind: &ErrorKind, effect: Effect) {
    let decoded = decode_in(context, bytes).unwrap();
    let faults: Vec<(usize, &ErrorKind, Effect)> = decoded
        .faults
        .iter()
        .map(|fault| (fault.error.offset, &fault.error.kind, fault.effect))
        .collect();
    assert_eq!(faults, [(offset, kind, effect)]);
    let (announced, withdrawn) = match effect {
        Effect::AttributeDiscard => (1, 0),
        _ => (0, 1),
    };
    assert_eq!(
        (decoded.announced().count(), decoded.withdrawn().count()),
        (announced, withdrawn),
        "{kind}"
    );
}

#[test]
fn internal_attributes_from_inside() {
    let internal = Context {
        external: false,
        ..CONTEXT
    };
    let rows: [(&[u8], ErrorKind); 5] = [
        (&[0x40, 5, 3, 0, 0, 0], length(5, 3)),
        (&[0x80, 9, 3, 10, 0, 0], length(9, 3)),
        (&[0x80, 10, 0], length(10, 0)),
        (&[0x80, 10, 5, 10, 0, 0, 1, 1], length(10, 5)),
        (&[0x80, 9, 8, 10, 0, 0, 1, 10, 0, 0, 1], length(9, 8)),
    ];
    for (attribute, kind) in rows {
        check(
            internal,
            &with(attribute),
            offset_of_extra() + 3,
            &kind,
            Effect::TreatAsWithdraw,
        );
    }
    let sound = with(&[
        0x40, 5, 4, 0, 0, 0, 100, 0x80, 9, 4, 10, 0, 0, 1, 0x80, 10, 4, 10, 0, 0, 1,
    ]);
    assert_eq!(decode_in(internal, &sound).unwrap().effect(), None);
}

#[test]
fn origin() {
    let after = [AS_PATH, NEXT_HOP].concat();
    let rows: [(&[u8], usize, ErrorKind); 4] = [
        (&[0x40, 1, 1, 3], 3, ErrorKind::Origin(3)),
        (&[0x40, 1, 2, 0, 0], 3, length(1, 2)),
        (&[0x40, 1, 0], 3, length(1, 0)),
        (
            &[0x80, 1, 1, 0],
            0,
            ErrorKind::AttributeFlags { code: 1, flags: 0x80 },
        ),
    ];
    for (attribute, offset, kind) in rows {
        let bytes = update(&[], &[attribute, &after].concat(), NLRI);
        check(CONTEXT, &bytes, FIRST + offset, &kind, Effect::TreatAsWithdraw);
    }
}

#[test]
fn as_path() {
    let rows: [(&[u8], usize, ErrorKind); 6] = [
        // Unknown type, overrun, underrun, empty segment, AS 0, second segment damaged.
        (&[0x40, 2, 6, 5, 1, 0, 0, 0, 1], 3, ErrorKind::AsPath),
        (&[0x40, 2, 6, 2, 2, 0, 0, 0, 1], 3, ErrorKind::AsPath),
        (&[0x40, 2, 1, 2], 3, ErrorKind::AsPath),
        (&[0x40, 2, 2, 2, 0], 3, ErrorKind::AsPath),
        (&[0x40, 2, 6, 2, 1, 0, 0, 0, 0], 5, ErrorKind::ZeroAs),
        (&[0x40, 2, 8, 2, 1, 0, 0, 0, 1, 1, 9], 9, ErrorKind::AsPath),
    ];
    for (attribute, offset, kind) in rows {
        let bytes = update(&[], &[ORIGIN, attribute, NEXT_HOP].concat(), NLRI);
        check(
            CONTEXT,
            &bytes,
            FIRST + ORIGIN.len() + offset,
            &kind,
            Effect::TreatAsWithdraw,
        );
    }
    // Empty is fine: a route of the neighbour's own AS.
    let own = update(&[], &[ORIGIN, &[0x40, 2, 0], NEXT_HOP].concat(), NLRI);
    assert_eq!(decode(&own).unwrap().effect(), None);
    // Two octets, where that was agreed.
    let narrow = update(
        &[],
        &[ORIGIN, &[0x40, 2, 4, 2, 1, 0xfd, 0xe8], NEXT_HOP].concat(),
        NLRI,
    );
    let context = Context {
        four_octet: false,
        ..CONTEXT
    };
    let decoded = decode_in(context, &narrow).unwrap();
    let segment = AsPathSegment {
        kind: SegmentKind::Sequence,
        asns: vec![65000],
    };
    assert!(
        decoded
            .update
            .attributes
            .contains(&Attribute::AsPath(vec![segment]))
    );
    assert_eq!(decode(&narrow).unwrap().effect(), Some(Effect::TreatAsWithdraw));
}

#[test]
fn as4_attributes_only_count_from_a_speaker_of_two_octets() {
    let context = Context {
        four_octet: false,
        ..CONTEXT
    };
    let narrow = [ORIGIN, &[0x40, 2, 4, 2, 1, 0x5b, 0xa0], NEXT_HOP].concat();
    let at = FIRST + narrow.len();
    let bad_path = update(&[], &[&narrow, &[0xc0, 17, 2, 2, 1][..]].concat(), NLRI);
    check(
        context,
        &bad_path,
        at + 3,
        &ErrorKind::AsPath,
        Effect::AttributeDiscard,
    );
    let bad_aggregator = update(&[], &[&narrow, &[0xc0, 18, 2, 0, 1][..]].concat(), NLRI);
    check(
        context,
        &bad_aggregator,
        at + 3,
        &length(18, 2),
        Effect::AttributeDiscard,
    );
    // Between speakers of four octets they are dropped unread.
    assert_eq!(decode(&with(&[0xc0, 17, 2, 2, 1])).unwrap().effect(), None);
}

#[test]
fn next_hop() {
    let rows: [(&[u8], usize, ErrorKind); 3] = [
        (&[0x40, 3, 3, 10, 0, 0], 3, length(3, 3)),
        (&[0x40, 3, 0], 3, length(3, 0)),
        (
            &[0xc0, 3, 4, 10, 0, 0, 2],
            0,
            ErrorKind::AttributeFlags { code: 3, flags: 0xc0 },
        ),
    ];
    for (attribute, offset, kind) in rows {
        let bytes = update(&[], &[ORIGIN, AS_PATH, attribute].concat(), NLRI);
        let at = FIRST + ORIGIN.len() + AS_PATH.len() + offset;
        check(CONTEXT, &bytes, at, &kind, Effect::TreatAsWithdraw);
    }
}

#[test]
fn missing_mandatory_attributes() {
    let rows: [(Vec<u8>, u8); 3] = [
        ([AS_PATH, NEXT_HOP].concat(), 1),
        ([ORIGIN, NEXT_HOP].concat(), 2),
        ([ORIGIN, AS_PATH].concat(), 3),
    ];
    for (attributes, code) in rows {
        let bytes = update(&[], &attributes, NLRI);
        check(
            CONTEXT,
            &bytes,
            21,
            &ErrorKind::MissingWellKnown(code),
            Effect::TreatAsWithdraw,
        );
    }
    // With MP_REACH alone NEXT_HOP is not missed.
    let ipv6 = decode(&update(&[], &[MP_REACH, ORIGIN, AS_PATH].concat(), &[])).unwrap();
    assert_eq!((ipv6.effect(), ipv6.announced().count()), (None, 1));
}

#[test]
fn multiprotocol_errors_reset_the_session() {
    let reset = |attribute: &[u8]| {
        let bytes = update(&[], &[attribute, ORIGIN, AS_PATH].concat(), &[]);
        verdict(&decode(&bytes).unwrap_err())
    };
    let mut next_hop = MP_REACH.to_vec();
    next_hop[6] = 15;
    assert_eq!(reset(&next_hop), (FIRST + 6, ErrorKind::NextHop, (3, 9)));
    let mut prefix = MP_REACH.to_vec();
    prefix[24] = 129;
    assert_eq!(reset(&prefix), (FIRST + 24, ErrorKind::PrefixLength(129), (3, 9)));
    prefix[24] = 40;
    assert_eq!(reset(&prefix), (FIRST + 24, ErrorKind::PrefixLength(40), (3, 9)));
    let truncated = ErrorKind::Truncated { wanted: 2, left: 1 };
    assert_eq!(reset(&[0x80, 14, 1, 0]), (FIRST + 3, truncated, (3, 9)));
    assert_eq!(
        reset(&[0x80, 15, 4, 0, 2, 1, 200]),
        (FIRST + 6, ErrorKind::PrefixLength(200), (3, 9))
    );
    let again = [MP_REACH, MP_REACH].concat();
    assert_eq!(
        reset(&again),
        (FIRST + MP_REACH.len(), ErrorKind::DuplicateAttribute(14), (3, 1))
    );

    // Wrong flags still tell which prefixes to withdraw.
    let mut flags = MP_REACH.to_vec();
    flags[0] = 0xc0;
    let decoded = decode(&update(&[], &[&flags, ORIGIN, AS_PATH].concat(), &[])).unwrap();
    assert_eq!(decoded.effect(), Some(Effect::TreatAsWithdraw));
    assert_eq!(
        decoded.withdrawn().map(|nlri| nlri.prefix).collect::<Vec<_>>(),
        prefixes(&["2001:db8::/32"])
    );
    // A family nobody agreed on is not read.
    let vpn = decode(&update(
        &[],
        &[&[0x80, 14, 5, 0, 1, 128, 1, 2], ORIGIN, AS_PATH].concat(),
        &[],
    ))
    .unwrap();
    assert_eq!((vpn.effect(), vpn.announced().count()), (None, 0));
}

#[test]
fn errors_of_the_frame() {
    let sound = [ORIGIN, AS_PATH, NEXT_HOP].concat();
    // An attribute beyond the end of the list: the prefixes are still known.
    let mut overrun = sound.clone();
    overrun.extend([0x80, 4, 5, 0, 0]);
    let at = offset_of_extra();
    check(
        CONTEXT,
        &update(&[], &overrun, NLRI),
        at,
        &ErrorKind::AttributeList,
        Effect::TreatAsWithdraw,
    );
    let mut stub = sound.clone();
    stub.push(0x80);
    check(
        CONTEXT,
        &update(&[], &stub, NLRI),
        at,
        &ErrorKind::AttributeList,
        Effect::TreatAsWithdraw,
    );

    // Lengths of the fields that do not fit the message.
    let mut bytes = update(&[], &sound, NLRI);
    bytes[22] = 200;
    assert_eq!(verdict(&error(&bytes)), (21, ErrorKind::AttributeList, (3, 1)));
    let mut bytes = update(&[], &sound, NLRI);
    bytes[20] = 200;
    assert_eq!(verdict(&error(&bytes)), (19, ErrorKind::AttributeList, (3, 1)));

    // Prefixes that cannot be read.
    let bad = update(&[33, 1, 2, 3, 4, 5], &[], &[]);
    assert_eq!(verdict(&error(&bad)), (21, ErrorKind::PrefixLength(33), (3, 10)));
    let bad = update(&[], &sound, &[24, 192, 0]);
    assert_eq!(verdict(&error(&bad)), (at, ErrorKind::PrefixLength(24), (3, 10)));

    // A well-known attribute nobody knows, and an optional one.
    let unknown = error(&with(&[0x40, 99, 0]));
    assert_eq!(
        verdict(&unknown),
        (at, ErrorKind::UnrecognizedWellKnown(99), (3, 2))
    );
    let optional = decode(&with(&[0xc0, 99, 1, 5])).unwrap();
    assert_eq!(optional.effect(), None);
    assert!(optional.update.attributes.contains(&Attribute::Other {
        code: 99,
        flags: 0xc0,
        value: vec![5]
    }));

    // RFC 7606 section 5.2: nothing reachable to withdraw.
    let empty = error(&update(&[], &[0x40, 1, 1, 9], &[]));
    assert_eq!(verdict(&empty), (FIRST + 3, ErrorKind::Origin(9), (3, 6)));
}

#[test]
fn the_strongest_of_several_wins() {
    let decoded = decode(&with(&[0x40, 6, 1, 0, 0x80, 4, 1, 0])).unwrap();
    assert_eq!(decoded.faults.len(), 2);
    assert_eq!(decoded.effect(), Some(Effect::TreatAsWithdraw));
    assert!(Effect::SessionReset > Effect::TreatAsWithdraw);
}

#[test]
fn host_bits_mean_nothing() {
    let decoded = decode(&update(
        &[],
        &[ORIGIN, AS_PATH, NEXT_HOP].concat(),
        &[20, 192, 0, 0x2f],
    ))
    .unwrap();
    assert_eq!(
        decoded.announced().map(|nlri| nlri.prefix).collect::<Vec<_>>(),
        prefixes(&["192.0.32.0/20"])
    );
}

#[test]
fn paths_with_identifiers_and_next_hops_of_the_other_family() {
    let context = Context {
        add_path: crate::Families::BOTH,
        ..CONTEXT
    };
    // 192.0.2.0/24 twice, by way of 2001:db8::1.
    let mut reach = vec![0x80, 14, 37, 0, 1, 1, 16];
    reach.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    reach.extend([0, 0, 0, 0, 1, 24, 192, 0, 2, 0, 0, 0, 2, 24, 192, 0, 2]);
    reach[2] = u8::try_from(reach.len() - 3).unwrap();
    let bytes = update(&[0, 0, 0, 9, 8, 10], &[&reach, ORIGIN, AS_PATH].concat(), &[]);
    let decoded = decode_in(context, &bytes).unwrap();
    assert_eq!(decoded.effect(), None);
    let prefix: IpNet = "192.0.2.0/24".parse().unwrap();
    let path = |path_id| Nlri { prefix, path_id };
    assert_eq!(decoded.announced().collect::<Vec<_>>(), [path(1), path(2)]);
    let withdrawn: Vec<String> = decoded.withdrawn().map(|nlri| nlri.to_string()).collect();
    assert_eq!(withdrawn, ["10.0.0.0/8 path 9"]);
    let by: Vec<Reachable> = decoded.announced_by_next_hop().collect();
    assert_eq!(
        (by.len(), by[0].next_hop, by[0].nlri.len()),
        (1, "2001:db8::1".parse().unwrap(), 2)
    );
    assert_eq!(
        Message::Update(decoded.update.clone().into()).encode(context.into()),
        Ok(bytes)
    );
    let cut = update(&[0, 0, 0, 9], &[], &[]);
    assert_eq!(
        verdict(&decode_in(context, &cut).unwrap_err()),
        (25, ErrorKind::PathIdentifier, (3, 10))
    );
}

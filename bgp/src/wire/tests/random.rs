//! Random input: nothing panics, and what is encoded comes back.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::config::{Families, Family};

fn prefix(family: Family) -> BoxedStrategy<IpNet> {
    match family {
        Family::Ipv4 => (any::<u32>(), 0..=32_u8)
            .prop_map(|(bits, length)| IpNet::new(IpAddr::V4(bits.into()), length).unwrap().trunc())
            .boxed(),
        Family::Ipv6 => (any::<u128>(), 0..=128_u8)
            .prop_map(|(bits, length)| IpNet::new(IpAddr::V6(bits.into()), length).unwrap().trunc())
            .boxed(),
    }
}

fn plain(prefixes: Vec<IpNet>) -> Vec<Nlri> {
    prefixes.into_iter().map(Nlri::from).collect()
}

fn path() -> impl Strategy<Value = Vec<AsPathSegment>> {
    let kind = prop_oneof![Just(SegmentKind::Set), Just(SegmentKind::Sequence)];
    let segment = (kind, vec(1..=u32::from(u16::MAX), 1..300)).prop_map(|(kind, asns)| AsPathSegment {
        kind,
        asns: asns.into_iter().take(255).collect(),
    });
    vec(segment, 0..3)
}

fn reach() -> impl Strategy<Value = MpReach> {
    let next_hop = (any::<u128>(), proptest::option::of(any::<u128>()));
    (next_hop, vec(prefix(Family::Ipv6), 1..5)).prop_map(|((global, link_local), prefixes)| MpReach {
        family: Family::Ipv6,
        next_hop: Ipv6Addr::from(global).into(),
        link_local: link_local.map(Ipv6Addr::from),
        prefixes: plain(prefixes),
    })
}

/// Attributes, each at most once, in ascending order.
fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let origin = prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)];
    let mandatory = (origin, path(), any::<u32>(), any::<u32>(), any::<u32>());
    let aggregator = (1..=u32::from(u16::MAX), any::<u32>()).prop_map(|(asn, id)| Aggregator {
        asn,
        identifier: Ipv4Addr::from(id),
    });
    let lists = (
        vec(any::<u32>(), 1..80),
        vec(any::<u32>(), 1..8),
        vec(any::<[u8; 8]>(), 1..8),
        vec(any::<[u32; 3]>(), 1..8),
    );
    let rest = (
        reach(),
        vec(prefix(Family::Ipv6), 0..5),
        aggregator,
        lists,
        vec(any::<u8>(), 0..300),
        vec(any::<bool>(), 10),
    );
    (mandatory, rest).prop_map(|(mandatory, rest)| {
        let (origin, path, next_hop, med, local_pref) = mandatory;
        let (reach, unreach, aggregator, lists, other, chosen) = rest;
        let (communities, clusters, extended, large) = lists;
        let optional = [
            Attribute::Med(med),
            Attribute::LocalPref(local_pref),
            Attribute::AtomicAggregate,
            Attribute::Aggregator(aggregator),
            Attribute::Communities(communities),
            Attribute::ClusterList(clusters.into_iter().map(Ipv4Addr::from).collect()),
            Attribute::MpUnreach(MpUnreach {
                family: Family::Ipv6,
                prefixes: plain(unreach),
            }),
            Attribute::ExtendedCommunities(extended),
            Attribute::LargeCommunities(large),
            Attribute::Other {
                code: 200,
                flags: 0xc0,
                value: other,
            },
        ];
        let mut attributes = vec![
            Attribute::MpReach(reach),
            Attribute::Origin(origin),
            Attribute::AsPath(path),
            Attribute::NextHop(next_hop.into()),
        ];
        attributes.extend(
            optional
                .into_iter()
                .zip(chosen)
                .filter(|(_, chosen)| *chosen)
                .map(|(item, _)| item),
        );
        attributes
    })
}

fn update() -> impl Strategy<Value = Update> {
    let nets = || vec(prefix(Family::Ipv4), 0..20);
    (nets(), attributes(), nets()).prop_map(|(withdrawn, attributes, nlri)| Update {
        withdrawn: plain(withdrawn),
        attributes,
        nlri: plain(nlri),
    })
}

/// A good UPDATE with some of its bytes replaced.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (update(), vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)).prop_filter_map(
        "longer than a message",
        |(update, damages)| {
            let mut bytes = Message::Update(update.into()).encode(Encoding::default()).ok()?;
            for (at, value) in damages {
                let at = HEADER_LENGTH + at.index(bytes.len() - HEADER_LENGTH);
                bytes[at] = value;
            }
            Some(bytes)
        },
    )
}

proptest! {
    #[test]
    fn updates_come_back(update in update(), four_octet: bool) {
        let Ok(bytes) = Message::Update(update.clone().into()).encode(Encoding { four_octet, ..Encoding::default() }) else { return Ok(()) };
        let context = Context { four_octet, ..Context::default() };
        let decoded = Message::decode(&bytes, context);
        prop_assert_eq!(decoded, Ok(Message::Update(update.into())));
    }

    #[test]
    fn opens_come_back(asn in 1..=u32::MAX, hold in 3..=u16::MAX, id in 1..=u32::MAX, ipv4: bool, ipv6: bool) {
        let open = Message::Open(Open::new(asn, hold, id.into(), Families { ipv4, ipv6 }));
        prop_assert_eq!(Message::decode(&open.encode(Encoding::default()).unwrap(), CONTEXT), Ok(open));
    }

    #[test]
    fn notifications_come_back(code: u8, subcode: u8, data in vec(any::<u8>(), 0..300)) {
        let notification = Notification { code, subcode, data };
        let text = notification.to_string();
        prop_assert!(!text.chars().any(char::is_control));
        let message = Message::Notification(notification);
        prop_assert_eq!(Message::decode(&message.encode(Encoding::default()).unwrap(), CONTEXT), Ok(message));
    }

    #[test]
    fn no_body_panics_and_errors_point_into_the_message(
        kind in 0..8_u8, body in vec(any::<u8>(), 0..600), four_octet: bool, external: bool,
    ) {
        let bytes = message(kind, &body);
        if let Err(error) = Message::decode(&bytes, Context { four_octet, external, ..Context::default() }) {
            prop_assert!(error.offset <= bytes.len());
            prop_assert!((1..=7).contains(&error.notification().code));
        }
    }

    #[test]
    fn no_damage_panics_and_what_was_read_can_be_written(bytes in damaged(), external: bool) {
        match Message::decode(&bytes, Context { external, ..CONTEXT }) {
            Ok(message) => prop_assert!(message.encode(Encoding::default()).is_ok()),
            Err(error) => prop_assert!((HEADER_LENGTH..=bytes.len()).contains(&error.offset)),
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let length = frame_length(&bytes, false);
        prop_assert!(length.is_err() || bytes.len() < HEADER_LENGTH || bytes[..16] == [0xff; 16]);
        prop_assert!(Message::decode(&bytes, CONTEXT).is_err() || bytes[..16] == [0xff; 16]);
    }
}

//! Attributes from messages, and the path that speakers of two octets have hidden.
use super::*;
use crate::wire::{Context, Encoding, Message, Update};

fn segment(kind: SegmentKind, asns: &[u32]) -> AsPathSegment {
    AsPathSegment {
        kind,
        asns: asns.to_vec(),
    }
}

fn sequence(asns: &[u32]) -> AsPathSegment {
    segment(SegmentKind::Sequence, asns)
}

fn set(asns: &[u32]) -> AsPathSegment {
    segment(SegmentKind::Set, asns)
}

/// What is left of `attributes` after they have travelled to a speaker of two octets.
fn received(attributes: Vec<Attribute>) -> PathAttributes {
    let update = Update {
        attributes,
        nlri: vec![],
        withdrawn: vec![],
    };
    let encoding = Encoding {
        four_octet: false,
        ..Encoding::default()
    };
    let bytes = Message::Update(update.into()).encode(encoding).unwrap();
    match Message::decode(&bytes, Context::default()) {
        Ok(Message::Update(decoded)) => PathAttributes::from_update(&decoded),
        other => panic!("{other:?}"),
    }
}

const BIG: u32 = 4_200_000_001;

#[test]
fn the_hidden_path_is_found_again() {
    use SegmentKind::ConfederationSequence;
    let rows: [(Vec<AsPathSegment>, Vec<AsPathSegment>, &str); 8] = [
        // The neighbour in front knows two octets only.
        (
            vec![sequence(&[100, 23456, 200])],
            vec![sequence(&[BIG, 200])],
            "100 4200000001 200",
        ),
        // As long as ours: it is all of it.
        (vec![sequence(&[23456])], vec![sequence(&[BIG])], "4200000001"),
        // Longer than ours: of another route.
        (vec![sequence(&[23456])], vec![sequence(&[BIG, BIG])], "23456"),
        // A set counts as one, here and there.
        (
            vec![sequence(&[100, 23456]), set(&[1, 2, 3])],
            vec![sequence(&[BIG]), set(&[1, 2, BIG])],
            "100 4200000001 {1 2 4200000001}",
        ),
        (
            vec![set(&[1, 2]), sequence(&[23456])],
            vec![sequence(&[BIG])],
            "{1 2} 4200000001",
        ),
        // A confederation in front counts as nothing and stays; in AS4_PATH it has no place.
        (
            vec![segment(ConfederationSequence, &[64512]), sequence(&[100, 23456])],
            vec![segment(ConfederationSequence, &[64513]), sequence(&[BIG])],
            "(64512) 100 4200000001",
        ),
        (vec![sequence(&[100])], vec![], "100"),
        (vec![], vec![sequence(&[BIG])], ""),
    ];
    for (path, hidden, expected) in rows {
        let attributes = received(vec![Attribute::AsPath(path.clone()), Attribute::As4Path(hidden)]);
        assert_eq!(attributes.as_path.to_string(), expected, "{path:?}");
    }
}

#[test]
fn the_hidden_aggregator_counts_only_where_something_is_hidden() {
    let aggregator = |asn| Aggregator {
        asn,
        identifier: Ipv4Addr::new(10, 0, 0, 1),
    };
    let with = |seen: Option<u32>| {
        let mut attributes = vec![Attribute::AsPath(vec![sequence(&[100, 23456])])];
        attributes.extend(seen.map(|asn| Attribute::Aggregator(aggregator(asn))));
        attributes.push(Attribute::As4Path(vec![sequence(&[BIG])]));
        attributes.push(Attribute::As4Aggregator(aggregator(BIG)));
        received(attributes)
    };
    let hidden = with(Some(23456));
    assert_eq!(hidden.aggregator, Some(aggregator(BIG)));
    assert_eq!(hidden.as_path.to_string(), "100 4200000001");
    // Aggregated again by somebody of two octets: what was hidden is of the parts.
    let again = with(Some(300));
    assert_eq!(again.aggregator, Some(aggregator(300)));
    assert_eq!(again.as_path.to_string(), "100 23456");
    let alone = with(None);
    assert_eq!(alone.aggregator, None);
    assert_eq!(alone.as_path.to_string(), "100 4200000001");
}

#[test]
fn every_attribute_arrives() {
    let other = |code, flags| Attribute::Other {
        code,
        flags,
        value: vec![1],
    };
    let attributes = received(vec![
        Attribute::Origin(Origin::Egp),
        Attribute::AsPath(vec![sequence(&[1])]),
        Attribute::NextHop(Ipv4Addr::new(10, 0, 0, 1)),
        Attribute::Med(7),
        Attribute::LocalPref(8),
        Attribute::AtomicAggregate,
        Attribute::Communities(vec![9]),
        Attribute::OriginatorId(Ipv4Addr::new(10, 0, 0, 2)),
        Attribute::ClusterList(vec![Ipv4Addr::new(10, 0, 0, 3)]),
        Attribute::ExtendedCommunities(vec![[1; 8]]),
        Attribute::LargeCommunities(vec![[1, 2, 3]]),
        Attribute::OnlyToCustomer(5),
        // The first is to be passed on, the second is not.
        other(200, 0xe0),
        other(201, 0x80),
    ]);
    let expected = PathAttributes {
        origin: Origin::Egp,
        as_path: AsPath::sequence(&[1]),
        med: Some(7),
        local_pref: Some(8),
        atomic_aggregate: true,
        aggregator: None,
        communities: vec![9],
        extended_communities: vec![[1; 8]],
        large_communities: vec![[1, 2, 3]],
        originator_id: Some(Ipv4Addr::new(10, 0, 0, 2)),
        cluster_list: vec![Ipv4Addr::new(10, 0, 0, 3)],
        only_to_customer: Some(5),
        unknown: vec![other(200, 0xe0)],
    };
    assert_eq!(attributes, expected);
}

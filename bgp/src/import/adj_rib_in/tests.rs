//! What is kept of UPDATEs, restarts and refreshes; the counts against a recount after any sequence.
use std::net::Ipv4Addr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::{AsPathSegment, Attribute, MpReach, MpUnreach, Nlri, Origin, SegmentKind, Update};

fn prefix(index: u8) -> IpNet {
    let text = if index < 8 {
        format!("10.42.{index}.0/24")
    } else {
        format!("fd42:{index}::/48")
    };
    text.parse().unwrap()
}

fn nlri(index: u8, path_id: u32) -> Nlri {
    Nlri {
        prefix: prefix(index),
        path_id,
    }
}

/// Prefixes of both families with a MED and communities.
fn announce(nlris: &[Nlri], med: u32, communities: &[u32]) -> Decoded {
    let (ipv4, ipv6) = nlris.iter().partition(|nlri| nlri.family() == Family::Ipv4);
    let path = AsPathSegment {
        kind: SegmentKind::Sequence,
        asns: vec![65001],
    };
    let attributes = vec![
        Attribute::Origin(Origin::Igp),
        Attribute::AsPath(vec![path]),
        Attribute::NextHop(Ipv4Addr::new(10, 0, 0, 1)),
        Attribute::Med(med),
        Attribute::Communities(communities.to_vec()),
        Attribute::MpReach(MpReach {
            family: Family::Ipv6,
            next_hop: "fd00::1".parse().unwrap(),
            link_local: None,
            prefixes: ipv6,
        }),
    ];
    let update = Update {
        withdrawn: Vec::new(),
        attributes,
        nlri: ipv4,
    };
    update.into()
}

fn withdraw(nlris: &[Nlri]) -> Decoded {
    let (ipv4, ipv6) = nlris.iter().partition(|nlri| nlri.family() == Family::Ipv4);
    let update = Update {
        withdrawn: ipv4,
        attributes: vec![Attribute::MpUnreach(MpUnreach {
            family: Family::Ipv6,
            prefixes: ipv6,
        })],
        nlri: Vec::new(),
    };
    update.into()
}

const NO_LIMIT: u32 = u32::MAX;

fn keys(nlris: &[Nlri]) -> Vec<PathKey> {
    nlris.iter().map(|nlri| (nlri.prefix, nlri.path_id)).collect()
}

#[test]
fn only_what_changes_is_told() {
    let mut table = AdjRibIn::default();
    let some = [nlri(0, 0), nlri(1, 0), nlri(9, 0)];
    let mut changed = |decoded: &Decoded| table.update(decoded, NO_LIMIT).changed;
    assert_eq!(changed(&announce(&some, 1, &[])), keys(&some));
    assert_eq!(changed(&announce(&some, 1, &[])), []);
    assert_eq!(changed(&announce(&some[1..], 2, &[])), keys(&some[1..]));
    assert_eq!(changed(&withdraw(&some[..1])), keys(&some[..1]));
    assert_eq!(changed(&withdraw(&some[..1])), []);
    assert_eq!((table.count(Family::Ipv4), table.count(Family::Ipv6)), (1, 1));
    assert_eq!(table.clear(), keys(&some[1..]));
    assert_eq!(table.len(), 0);
}

#[test]
fn attributes_are_shared_between_prefixes_and_updates() {
    let mut table = AdjRibIn::default();
    table.update(&announce(&[nlri(0, 0), nlri(9, 0)], 1, &[7]), NO_LIMIT);
    table.update(&announce(&[nlri(1, 0)], 1, &[7]), NO_LIMIT);
    let of = |index| &table.get(&(prefix(index), 0)).unwrap().received;
    assert!(Arc::ptr_eq(of(0), of(1)));
    assert!(Arc::ptr_eq(&of(0).attributes, &of(9).attributes));
    assert_ne!(of(0).next_hop, of(9).next_hop);
}

/// RFC 7911 section 3: another identifier is another path.
#[test]
fn paths_with_identifiers_stand_beside_each_other() {
    let mut table = AdjRibIn::default();
    table.update(&announce(&[nlri(0, 1), nlri(0, 2)], 1, &[]), NO_LIMIT);
    table.update(&announce(&[nlri(0, 2)], 2, &[]), NO_LIMIT);
    assert_eq!(table.keys(), [(prefix(0), 1), (prefix(0), 2)]);
    table.update(&withdraw(&[nlri(0, 1)]), NO_LIMIT);
    assert_eq!(table.keys(), [(prefix(0), 2)]);
}

#[test]
fn beyond_the_limit_nothing_is_added_but_everything_is_updated() {
    let mut table = AdjRibIn::default();
    let three = [nlri(0, 0), nlri(1, 0), nlri(2, 0)];
    let updated = table.update(&announce(&three, 1, &[]), 2);
    assert_eq!(updated.changed, keys(&three[..2]));
    assert_eq!(updated.beyond, Families::IPV4);
    let updated = table.update(&announce(&[three[1], nlri(9, 0)], 2, &[]), 2);
    assert_eq!(updated.changed, keys(&[three[1], nlri(9, 0)]));
    assert_eq!(
        updated.beyond,
        Families::default(),
        "each family has its own limit"
    );
}

#[test]
fn a_crowd_of_paths_to_one_prefix_is_bounded() {
    let mut table = AdjRibIn::default();
    let crowd: Vec<Nlri> = (1..=1000).map(|id| nlri(0, id)).collect();
    let updated = table.update(&announce(&crowd, 1, &[]), NO_LIMIT);
    assert_eq!(updated.beyond, Families::IPV4);
    assert_eq!(table.count(Family::Ipv4), PATHS_PER_PREFIX);
    let updated = table.update(&announce(&crowd[..PATHS_PER_PREFIX], 2, &[]), NO_LIMIT);
    assert_eq!(
        (updated.changed.len(), updated.beyond),
        (PATHS_PER_PREFIX, Families::default())
    );
}

/// RFC 4724 section 4.2.
#[test]
fn what_a_restarted_neighbour_does_not_announce_again_goes() {
    let mut table = AdjRibIn::default();
    table.update(
        &announce(&[nlri(0, 0), nlri(1, 0), nlri(2, 0), nlri(9, 0)], 1, &[]),
        NO_LIMIT,
    );
    table.mark_stale(Family::Ipv4);
    assert_eq!((table.stale(Family::Ipv4), table.stale(Family::Ipv6)), (3, 0));
    // The same again is no change, but it is not stale any more.
    assert_eq!(
        table.update(&announce(&[nlri(0, 0)], 1, &[]), NO_LIMIT).changed,
        []
    );
    table.update(&withdraw(&[nlri(2, 0)]), NO_LIMIT);
    assert_eq!(table.stale(Family::Ipv4), 1);
    assert_eq!(table.sweep_stale(Family::Ipv4), keys(&[nlri(1, 0)]));
    assert_eq!(table.keys(), keys(&[nlri(0, 0), nlri(9, 0)]));
    assert_eq!(table.sweep_stale(Family::Ipv4), []);
}

/// RFC 9494 section 4.2.
#[test]
fn long_lived_paths_are_judged_again_and_those_that_refuse_go() {
    let mut table = AdjRibIn::default();
    table.update(&announce(&[nlri(0, 0), nlri(9, 0)], 1, &[]), NO_LIMIT);
    table.update(&announce(&[nlri(1, 0)], 1, &[NO_LLGR]), NO_LIMIT);
    table.mark_stale(Family::Ipv4);
    table.update(&announce(&[nlri(2, 0)], 1, &[NO_LLGR]), NO_LIMIT);
    assert_eq!(table.long_lived(Family::Ipv4), keys(&[nlri(1, 0), nlri(0, 0)]));
    assert_eq!(table.keys(), keys(&[nlri(0, 0), nlri(2, 0), nlri(9, 0)]));
    assert_eq!(table.long_lived(Family::Ipv4), [], "once");
    // LLGR_STALE goes with the next announcement, though nothing else changes.
    let again = table.update(&announce(&[nlri(0, 0)], 1, &[]), NO_LIMIT);
    assert_eq!(again.changed, keys(&[nlri(0, 0)]));
    assert_eq!(table.stale(Family::Ipv4), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Announce(Vec<(u8, u32)>, u32),
    Withdraw(Vec<(u8, u32)>),
    Stale(Family),
    Unmark(Family),
    LongLived(Family),
    Sweep(Family),
    ClearFamily(Family),
    Judge(u8, u32, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let family = || prop::sample::select(Family::ALL.to_vec());
    let key = || (0..12u8, 0..2u32);
    prop_oneof![
        4 => (vec(key(), 1..6), 0..3u32).prop_map(|(keys, med)| Step::Announce(keys, med)),
        2 => vec(key(), 1..4).prop_map(Step::Withdraw),
        1 => family().prop_map(Step::Stale),
        1 => family().prop_map(Step::Unmark),
        1 => family().prop_map(Step::LongLived),
        1 => family().prop_map(Step::Sweep),
        1 => family().prop_map(Step::ClearFamily),
        3 => (key(), any::<bool>()).prop_map(|((index, id), accepted)| Step::Judge(index, id, accepted)),
    ]
}

proptest! {
    #[test]
    fn the_counts_are_those_of_the_table(steps in vec(step(), 1..40), limit in 1..20u32) {
        let mut table = AdjRibIn::default();
        let nlris = |keys: &[(u8, u32)]| -> Vec<Nlri> { keys.iter().map(|(index, id)| nlri(*index, *id)).collect() };
        for step in &steps {
            match step {
                Step::Announce(keys, med) => { table.update(&announce(&nlris(keys), *med, &[]), limit); }
                Step::Withdraw(keys) => { table.update(&withdraw(&nlris(keys)), limit); }
                Step::Stale(family) => table.mark_stale(*family),
                Step::Unmark(family) => table.unmark_stale(*family),
                Step::LongLived(family) => { table.long_lived(*family); }
                Step::Sweep(family) => { table.sweep_stale(*family); }
                Step::ClearFamily(family) => { table.clear_family(*family); }
                Step::Judge(index, id, accepted) => {
                    let verdict = if *accepted { Ok(()) } else { Err(Rejection::Policy) };
                    table.judged(&(prefix(*index), *id), verdict);
                }
            }
            for family in Family::ALL {
                let of_family = || table.paths.iter().filter(|((prefix, _), _)| Family::of(prefix) == family);
                prop_assert_eq!(table.count(family), of_family().count());
                prop_assert!(table.count(family) <= limit as usize);
                prop_assert_eq!(table.stale(family), of_family().filter(|(_, path)| path.stale.is_some()).count());
                prop_assert_eq!(table.accepted(family), of_family().filter(|(_, path)| path.accepted).count());
            }
        }
    }
}

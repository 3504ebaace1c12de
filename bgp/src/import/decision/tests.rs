//! Each step of the decision, and all of them against another way to say the same.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::attributes::AsPath;
use crate::wire::Origin;

/// A path of neighbour `id`, of AS 65000 + `id`, two hops long, at cost 10.
fn path(id: u8) -> Path {
    let asn = 65000 + u32::from(id);
    Path {
        neighbor: Arc::new(Neighbor {
            peer: PeerId(id.into()),
            internal: false,
            asn,
            router_id: Ipv4Addr::new(1, 1, 1, id),
            address: IpAddr::from([10, 0, 0, id]),
            scope: 0,
            local: None,
        }),
        path_id: 0,
        attributes: Arc::new(PathAttributes {
            as_path: AsPath::sequence(&[asn, 64999]),
            ..PathAttributes::default()
        }),
        gateway: Gateway {
            address: IpAddr::from([10, 0, 0, id]),
            scope: 0,
        },
        on_link: false,
        neighbor_as: Some(asn),
    }
}

fn attributes(path: &mut Path) -> &mut PathAttributes {
    Arc::make_mut(&mut path.attributes)
}

fn neighbor(path: &mut Path) -> &mut Neighbor {
    Arc::make_mut(&mut path.neighbor)
}

fn reasons(paths: &[Path], multipath: usize) -> Vec<Option<&'static str>> {
    decide(paths, |_| Some(10), multipath).reasons
}

/// The first of two paths is changed for the worse: it is not used, for this reason.
#[test]
fn every_step_has_its_say() {
    type Change = fn(&mut Path);
    let steps: [(&str, Change); 12] = [
        ("its next hop is not on a link", |path| path.on_link = true),
        ("long-lived stale", |path| {
            attributes(path).communities = vec![LLGR_STALE];
        }),
        ("lower LOCAL_PREF", |path| attributes(path).local_pref = Some(99)),
        ("longer AS path", |path| {
            attributes(path).as_path.prepend(64998, 1)
        }),
        ("worse origin", |path| attributes(path).origin = Origin::Egp),
        ("higher MED", |path| {
            path.neighbor_as = Some(65002);
            attributes(path).med = Some(1);
        }),
        ("from inside the AS", |path| neighbor(path).internal = true),
        ("higher router identifier", |path| {
            neighbor(path).router_id = Ipv4Addr::new(9, 9, 9, 9);
        }),
        ("higher router identifier", |path| {
            attributes(path).originator_id = Some(Ipv4Addr::new(9, 9, 9, 9));
        }),
        ("longer cluster list", |path| {
            neighbor(path).router_id = Ipv4Addr::new(1, 1, 1, 2);
            attributes(path).cluster_list = vec![Ipv4Addr::new(7, 7, 7, 7)];
        }),
        ("higher address of the neighbour", |path| {
            neighbor(path).router_id = Ipv4Addr::new(1, 1, 1, 2);
            neighbor(path).address = IpAddr::from([10, 0, 0, 9]);
        }),
        ("higher path identifier", |path| {
            path.neighbor = self::path(2).neighbor;
            path.path_id = 7;
        }),
    ];
    for (reason, worsen) in steps {
        let (mut worse, other) = (path(1), path(2));
        worsen(&mut worse);
        let paths = [worse, other];
        assert_eq!(reasons(&paths, 1), [Some(reason), None]);
        let [worse, other] = paths;
        assert_eq!(reasons(&[other, worse], 1), [None, Some(reason)]);
    }
}

#[test]
fn the_nearer_next_hop_is_used_and_one_without_a_way_never() {
    let paths = [path(1), path(2), path(3)];
    let costs = [Some(20), Some(10), None];
    let cost = |path: &Path| costs[usize::try_from(path.neighbor.peer.0).unwrap() - 1];
    let decision = decide(&paths, cost, 16);
    assert_eq!(
        decision.reasons,
        [Some("farther next hop"), None, Some("no way to its next hop")]
    );
    assert_eq!(decision.gateways, [paths[1].gateway]);
    assert_eq!(decide(&paths, |_| None, 16).gateways, []);
}

#[test]
fn a_next_hop_that_has_to_be_on_a_link_is_used_when_it_is() {
    let (mut bound, other) = (path(1), path(2));
    bound.on_link = true;
    let paths = [bound, other];
    let on_link = Some("its next hop is not on a link");
    let farther = Some("farther next hop");
    for (cost, expected) in [
        (Some(0), [None, farther]),
        (Some(1), [on_link, None]),
        (None, [Some("no way to its next hop"), None]),
    ] {
        let costs = |path: &Path| if path.on_link { cost } else { Some(5) };
        assert_eq!(decide(&paths, costs, 16).reasons, expected, "{cost:?}");
    }
}

#[test]
fn a_missing_med_is_zero() {
    let (mut one, mut two) = (path(1), path(2));
    (one.neighbor_as, two.neighbor_as) = (Some(7), Some(7));
    attributes(&mut two).med = Some(1);
    assert_eq!(
        reasons(&[one.clone(), two.clone()], 16),
        [None, Some("higher MED")]
    );
    attributes(&mut two).med = Some(0);
    assert_eq!(reasons(&[one, two], 16), [None, None]);
}

#[test]
fn meds_of_different_neighbouring_ases_are_not_compared() {
    let (mut one, two) = (path(1), path(2));
    attributes(&mut one).med = Some(1000);
    assert_eq!(reasons(&[one, two], 16), [None, None]);
}

/// The example by which comparing pairs in the order of arrival has three different outcomes.
#[test]
fn the_outcome_does_not_depend_on_the_order_of_meds() {
    let (mut a, mut b, mut c) = (path(3), path(2), path(1));
    (a.neighbor_as, b.neighbor_as, c.neighbor_as) = (Some(7), Some(8), Some(7));
    (attributes(&mut a).med, attributes(&mut c).med) = (Some(10), Some(20));
    let all = [a.clone(), b.clone(), c.clone()];
    assert_eq!(
        reasons(&all, 1),
        [Some("higher router identifier"), None, Some("higher MED")]
    );
    for order in [
        [&a, &c, &b],
        [&b, &a, &c],
        [&c, &b, &a],
        [&b, &c, &a],
        [&c, &a, &b],
    ] {
        let order = order.map(Path::clone);
        assert_eq!(decide(&order, |_| Some(1), 1).gateways, [b.gateway]);
    }
}

#[test]
fn equal_paths_share_up_to_the_limit() {
    let paths: Vec<Path> = (1..=5).rev().map(path).collect();
    let decision = decide(&paths, |_| Some(10), 3);
    let gateways: Vec<Gateway> = (1..=3).map(|id| path(id).gateway).collect();
    assert_eq!(decision.gateways, gateways);
    let higher = Some("higher router identifier");
    assert_eq!(decision.reasons, [higher, higher, None, None, None]);
    assert_eq!(decide(&paths, |_| Some(10), 0).gateways.len(), 1);
}

#[test]
fn a_gateway_counts_once_however_many_paths_have_it() {
    let mut paths: Vec<Path> = (1..=4).map(path).collect();
    paths[1].gateway = paths[0].gateway;
    let decision = decide(&paths, |_| Some(10), 2);
    assert_eq!(decision.gateways, [paths[0].gateway, paths[2].gateway]);
    assert_eq!(
        decision.reasons,
        [None, None, None, Some("higher router identifier")]
    );
}

#[test]
fn paths_of_equal_length_share_though_they_differ() {
    let (mut one, two) = (path(1), path(2));
    attributes(&mut one).as_path = AsPath::sequence(&[65001, 1]);
    assert_eq!(reasons(&[one, two], 16), [None, None]);
}

/// Few values for each property, so that ties are common.
fn any_path() -> impl Strategy<Value = (Path, Option<u32>)> {
    let keys = (1..=20u8, 0..3u32, 1..=20u8, any::<bool>());
    let strengths = (
        0..3u32,
        1..3usize,
        0..2u32,
        select(vec![None, Some(0), Some(1), Some(2)]),
    );
    let ties = (
        0..2u8,
        0..2usize,
        select(vec![None, Some(1u32), Some(2)]),
        prop::bool::weighted(0.1),
    );
    (keys, strengths, ties).prop_map(|(keys, strengths, ties)| {
        let ((id, path_id, gateway, internal), (pref, length, asn, med)) = (keys, strengths);
        let (router, clusters, cost, stale) = ties;
        let mut path = path(id);
        path.path_id = path_id;
        path.neighbor_as = Some(asn);
        path.gateway.address = IpAddr::from([10, 9, 0, gateway]);
        let neighbor = neighbor(&mut path);
        // A function of the neighbour, as it is in truth.
        neighbor.internal = internal && id > 10;
        neighbor.router_id = Ipv4Addr::new(1, 1, 1, if id > 15 { router } else { id });
        let attributes = attributes(&mut path);
        attributes.local_pref = (pref > 0).then_some(99 + pref);
        attributes.as_path = AsPath::sequence(&vec![asn; length]);
        attributes.med = med;
        attributes.cluster_list = vec![Ipv4Addr::new(7, 7, 7, 7); clusters];
        attributes.communities = if stale { vec![LLGR_STALE] } else { Vec::new() };
        (path, cost)
    })
}

fn any_paths() -> impl Strategy<Value = BTreeMap<(PeerId, u32), (Path, Option<u32>)>> {
    vec(any_path(), 0..12).prop_map(|paths| {
        let keyed = paths.into_iter().map(|(path, cost)| (path.key(), (path, cost)));
        keyed.collect()
    })
}

type Costs = BTreeMap<(PeerId, u32), Option<u32>>;

/// Higher is better, up to but without the MED.
fn strength(path: &Path) -> impl Ord + use<> {
    let attributes = &path.attributes;
    let stale = attributes.communities.contains(&LLGR_STALE);
    let pref = attributes.local_pref.unwrap_or(100);
    (
        Reverse(stale),
        pref,
        Reverse(attributes.as_path.length()),
        Reverse(attributes.origin),
    )
}

/// Two paths at a time: whether `one` keeps `other` from being used, ties left alone.
fn beats(one: &Path, other: &Path, costs: &Costs) -> bool {
    let after = |path: &Path| (path.neighbor.internal, costs[&path.key()]);
    match strength(one).cmp(&strength(other)) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal if one.neighbor_as == other.neighbor_as => {
            let med = |path: &Path| path.attributes.med.unwrap_or(0);
            (med(one), after(one)) < (med(other), after(other))
        }
        std::cmp::Ordering::Equal => after(one) < after(other),
    }
}

/// The gateways in use, said as a tournament: first within each neighbouring AS, then among the winners.
fn tournament(paths: &[Path], costs: &Costs, multipath: usize) -> Vec<Gateway> {
    let mut groups: BTreeMap<Option<u32>, Vec<&Path>> = BTreeMap::new();
    for path in paths.iter().filter(|path| costs[&path.key()].is_some()) {
        groups.entry(path.neighbor_as).or_default().push(path);
    }
    let unbeaten = |group: &[&Path]| -> Vec<Path> {
        let stays = |path: &&&Path| !group.iter().any(|other| beats(other, path, costs));
        group.iter().filter(stays).map(|path| (**path).clone()).collect()
    };
    let winners: Vec<Path> = groups.values().flat_map(|group| unbeaten(group)).collect();
    let mut last = unbeaten(&winners.iter().collect::<Vec<&Path>>());
    last.sort_by_key(|path| {
        let router = path.attributes.originator_id.unwrap_or(path.neighbor.router_id);
        let clusters = path.attributes.cluster_list.len();
        (router, clusters, path.neighbor.address, path.key())
    });
    let mut gateways: Vec<Gateway> = Vec::new();
    for path in last {
        if gateways.len() < multipath && !gateways.contains(&path.gateway) {
            gateways.push(path.gateway);
        }
    }
    gateways.sort_unstable();
    gateways
}

proptest! {
    #[test]
    fn it_is_the_tournament(paths in any_paths(), multipath in 1..5usize) {
        let costs: Costs = paths.iter().map(|(key, (_, cost))| (*key, *cost)).collect();
        let paths: Vec<Path> = paths.into_values().map(|(path, _)| path).collect();
        let decision = decide(&paths, |path| costs[&path.key()], multipath);
        prop_assert_eq!(&decision.gateways, &tournament(&paths, &costs, multipath));
        // And what is used has no reason not to be.
        let used: BTreeSet<Gateway> = paths.iter().zip(&decision.reasons)
            .filter(|(_, reason)| reason.is_none()).map(|(path, _)| path.gateway).collect();
        prop_assert_eq!(used.into_iter().collect::<Vec<Gateway>>(), decision.gateways);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(
        paths in any_paths().prop_map(|paths| paths.into_values().collect::<Vec<_>>())
            .prop_flat_map(|paths| (Just(paths.clone()), Just(paths).prop_shuffle())),
        multipath in 1..5usize,
    ) {
        let (one, other) = paths;
        let costs: Costs = one.iter().map(|(path, cost)| (path.key(), *cost)).collect();
        let outcome = |paths: Vec<(Path, Option<u32>)>| {
            let paths: Vec<Path> = paths.into_iter().map(|(path, _)| path).collect();
            let decision = decide(&paths, |path| costs[&path.key()], multipath);
            let reasons: BTreeMap<(PeerId, u32), Option<&str>> =
                paths.iter().map(Path::key).zip(decision.reasons).collect();
            (reasons, decision.gateways)
        };
        prop_assert_eq!(outcome(one), outcome(other));
    }
}

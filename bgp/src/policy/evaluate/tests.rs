//! Each match and set by itself, and whole policies against a naive reading of them.
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::attributes::AsPath;
use crate::wire::Origin;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn route() -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence(&[65001, 65002]),
        communities: vec![5, 7],
        extended_communities: vec![[0, 2, 0, 1, 0, 0, 0, 1]],
        large_communities: vec![[1, 2, 3]],
        ..PathAttributes::default()
    }
}

fn candidate(attributes: &PathAttributes) -> Candidate<'_> {
    Candidate {
        prefix: net("10.42.1.0/24"),
        attributes,
        next_hop: Some("10.0.0.1".parse().unwrap()),
        instance: Some(3),
        preference: Some(Preference::Backup),
        local_as: Some(65000),
    }
}

fn one(rule: Rule) -> Policy {
    Policy {
        name: "test".to_owned(),
        rules: vec![rule],
    }
}

fn matching(matches: Matches) -> bool {
    let rule = Rule {
        matches,
        ..Rule::default()
    };
    one(rule).evaluate(candidate(&route())).is_some()
}

fn setting(sets: Sets) -> PathAttributes {
    let rule = Rule {
        sets,
        ..Rule::default()
    };
    let route = route();
    one(rule)
        .evaluate(candidate(&route))
        .unwrap()
        .attributes
        .into_owned()
}

#[test]
fn all_accepts_and_none_rejects() {
    let route = route();
    let outcome = Policy::all().evaluate(candidate(&route)).unwrap();
    assert!(matches!(outcome.attributes, Cow::Borrowed(_)), "nothing to copy");
    assert_eq!((outcome.next_hop, outcome.by_prefix), (None, false));
    assert_eq!(Policy::none().evaluate(candidate(&route)), None);
}

#[test]
fn prefixes_by_length() {
    for (prefix, ge, le, expected) in [
        ("10.42.0.0/16", 16, 32, true),
        ("10.42.0.0/16", 24, 24, true),
        ("10.42.0.0/16", 25, 32, false),
        ("10.42.0.0/16", 16, 23, false),
        ("10.42.1.0/24", 24, 24, true),
        ("10.42.1.0/25", 25, 32, false),
        ("10.43.0.0/16", 16, 32, false),
        ("0.0.0.0/0", 0, 32, true),
        ("0.0.0.0/0", 0, 0, false),
        ("::/0", 0, 128, false),
        // Nonsense that the configuration refuses matches nothing.
        ("10.42.0.0/16", 32, 16, false),
    ] {
        let prefix = net(prefix);
        let prefixes = vec![PrefixMatch { prefix, ge, le }];
        let matches = Matches {
            prefixes,
            ..Matches::default()
        };
        assert_eq!(matching(matches), expected, "{prefix} {ge}..={le}");
    }
}

#[test]
fn paths() {
    for (entry, expected) in [
        (AsPathMatch::Empty, false),
        (AsPathMatch::Contains(65002), true),
        (AsPathMatch::Contains(65003), false),
        (AsPathMatch::First(65001), true),
        (AsPathMatch::First(65002), false),
        (AsPathMatch::Origin(65002), true),
        (AsPathMatch::Origin(65001), false),
        (AsPathMatch::Length { min: 2, max: 2 }, true),
        (AsPathMatch::Length { min: 3, max: 9 }, false),
        (AsPathMatch::Length { min: 0, max: 1 }, false),
    ] {
        let as_path = vec![entry];
        let matches = Matches {
            as_path,
            ..Matches::default()
        };
        assert_eq!(matching(matches), expected, "{entry:?}");
    }
    let both = vec![AsPathMatch::First(65001), AsPathMatch::Origin(65003)];
    let matches = Matches {
        as_path: both,
        ..Matches::default()
    };
    assert!(!matching(matches), "all of them have to hold");
}

#[test]
fn communities_of_every_kind() {
    let extended = [0, 2, 0, 1, 0, 0, 0, 1];
    for (communities, expected) in [
        (vec![Community::Standard(5)], true),
        (vec![Community::Standard(6)], false),
        (vec![Community::Standard(6), Community::Standard(7)], true),
        (vec![Community::Extended(extended)], true),
        (vec![Community::Extended([0; 8])], false),
        (vec![Community::Large([1, 2, 3])], true),
        (vec![Community::Large([1, 2, 4])], false),
    ] {
        let text = format!("{communities:?}");
        let matches = Matches {
            communities,
            ..Matches::default()
        };
        assert_eq!(matching(matches), expected, "{text}");
    }
}

#[test]
fn everything_else() {
    let next_hops = |net: IpNet| Matches {
        next_hops: vec![net],
        ..Matches::default()
    };
    assert!(matching(next_hops(net("10.0.0.0/30"))));
    assert!(!matching(next_hops(net("10.0.0.4/30"))));
    let family = |family| Matches {
        family: Some(family),
        ..Matches::default()
    };
    assert!(matching(family(Family::Ipv4)) && !matching(family(Family::Ipv6)));
    let origin = |origin| Matches {
        origin: Some(origin),
        ..Matches::default()
    };
    assert!(matching(origin(Origin::Igp)) && !matching(origin(Origin::Egp)));
    let instance = |instance| Matches {
        instance: Some(instance),
        ..Matches::default()
    };
    assert!(matching(instance(3)) && !matching(instance(4)));
    let preference = |preference| Matches {
        preference: Some(preference),
        ..Matches::default()
    };
    assert!(matching(preference(Preference::Backup)) && !matching(preference(Preference::Master)));
}

#[test]
fn sets() {
    let changed = setting(Sets {
        origin: Some(Origin::Incomplete),
        med: Some(9),
        local_pref: Some(8),
        prepend: 2,
        remove: vec![Community::Standard(5), Community::Large([1, 2, 3])],
        add: vec![Community::Standard(6), Community::Standard(7)],
        ..Sets::default()
    });
    let expected = PathAttributes {
        origin: Origin::Incomplete,
        med: Some(9),
        local_pref: Some(8),
        as_path: AsPath::sequence(&[65000, 65000, 65001, 65002]),
        communities: vec![6, 7],
        large_communities: Vec::new(),
        ..route()
    };
    assert_eq!(changed, expected);
}

#[test]
fn clearing_comes_before_adding() {
    let changed = setting(Sets {
        clear_communities: true,
        add: vec![Community::Large([4, 4, 4])],
        ..Sets::default()
    });
    assert_eq!(changed.communities, Vec::<u32>::new());
    assert_eq!(changed.extended_communities, Vec::<[u8; 8]>::new());
    assert_eq!(changed.large_communities, [[4, 4, 4]]);
}

#[test]
fn next_changes_what_the_rules_after_it_see() {
    let tag = Rule {
        sets: Sets {
            add: vec![Community::Standard(99)],
            next_hop: Some(NextHopSet::Address("10.9.9.9".parse().unwrap())),
            ..Sets::default()
        },
        action: Action::Next,
        ..Rule::default()
    };
    let accept = Rule {
        matches: Matches {
            communities: vec![Community::Standard(99)],
            next_hops: vec![net("10.9.9.9/32")],
            ..Matches::default()
        },
        ..Rule::default()
    };
    let route = route();
    let policy = |rules: &[&Rule]| Policy {
        name: "test".to_owned(),
        rules: rules.iter().map(|rule| (*rule).clone()).collect(),
    };
    assert_eq!(policy(&[&accept]).evaluate(candidate(&route)), None);
    assert_eq!(
        policy(&[&tag]).evaluate(candidate(&route)),
        None,
        "nobody accepts it"
    );
    let outcome = policy(&[&tag, &accept]);
    let outcome = outcome.evaluate(candidate(&route)).unwrap();
    assert_eq!(outcome.next_hop, tag.sets.next_hop);
    assert!(outcome.attributes.communities.contains(&99));
}

#[test]
fn a_chain_of_prepends_is_bounded() {
    let next = Rule {
        sets: Sets {
            prepend: 200,
            ..Sets::default()
        },
        action: Action::Next,
        ..Rule::default()
    };
    let mut rules = vec![next; 1000];
    rules.push(Rule::default());
    let name = String::new();
    let route = route();
    let outcome = Policy { name, rules };
    let outcome = outcome.evaluate(candidate(&route)).unwrap();
    assert_eq!(outcome.attributes.as_path.length(), MAX_PREPEND + 2);
}

fn any_prefix() -> impl Strategy<Value = IpNet> {
    let ipv4 =
        (0..4u8, 8..=32u8).prop_map(|(octet, length)| net(&format!("10.{octet}.0.0/{length}")).trunc());
    let ipv6 =
        (0..4u8, 16..=128u8).prop_map(|(group, length)| net(&format!("fd00:{group}::/{length}")).trunc());
    prop_oneof![ipv4, ipv6]
}

fn any_community() -> impl Strategy<Value = Community> {
    prop_oneof![
        (0..4u32).prop_map(Community::Standard),
        (0..4u8).prop_map(|value| Community::Extended([value; 8])),
        (0..4u32).prop_map(|value| Community::Large([value; 3])),
    ]
}

fn any_matches() -> impl Strategy<Value = Matches> {
    let prefix =
        (any_prefix(), 0..=128u8, 0..=128u8).prop_map(|(prefix, ge, le)| PrefixMatch { prefix, ge, le });
    let path = prop_oneof![
        Just(AsPathMatch::Empty),
        (1..4u32).prop_map(AsPathMatch::Contains),
        (1..4u32).prop_map(AsPathMatch::First),
        (1..4u32).prop_map(AsPathMatch::Origin),
        (0..4usize, 0..4usize).prop_map(|(min, max)| AsPathMatch::Length { min, max }),
    ];
    let origin = option::weighted(0.2, select(vec![Origin::Igp, Origin::Egp]));
    (
        option::weighted(0.2, select(Family::ALL.to_vec())),
        vec(prefix, 0..3),
        vec(path, 0..2),
        vec(any_community(), 0..2),
        origin,
    )
        .prop_map(|(family, prefixes, as_path, communities, origin)| Matches {
            family,
            prefixes,
            as_path,
            communities,
            origin,
            ..Matches::default()
        })
}

fn any_sets() -> impl Strategy<Value = Sets> {
    (
        option::of(0..3u32),
        option::of(0..3u32),
        0..3u8,
        any::<bool>(),
        vec(any_community(), 0..2),
        vec(any_community(), 0..2),
    )
        .prop_map(
            |(med, local_pref, prepend, clear_communities, remove, add)| Sets {
                med,
                local_pref,
                prepend,
                clear_communities,
                remove,
                add,
                ..Sets::default()
            },
        )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let action = select(vec![Action::Accept, Action::Reject, Action::Next, Action::Next]);
    let rule = (any_matches(), any_sets(), action).prop_map(|(matches, sets, action)| Rule {
        matches,
        sets,
        action,
    });
    vec(rule, 0..5).prop_map(|rules| Policy {
        name: "random".to_owned(),
        rules,
    })
}

fn any_route() -> impl Strategy<Value = (IpNet, PathAttributes)> {
    let attributes = (vec(1..4u32, 0..3), vec(any_community(), 0..3)).prop_map(|(asns, communities)| {
        let mut attributes = PathAttributes {
            as_path: AsPath::sequence(&asns),
            ..PathAttributes::default()
        };
        communities
            .into_iter()
            .for_each(|community| attributes.add(community));
        attributes
    });
    (any_prefix(), attributes)
}

/// Prefix by its bits, text for the rest: slow and plain.
fn reads(matches: &Matches, prefix: &IpNet, route: &PathAttributes) -> bool {
    let bits = |net: &IpNet, count: u8| -> String {
        let octets = match net.network() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let all: String = octets.iter().map(|octet| format!("{octet:08b}")).collect();
        all[..usize::from(count)].to_owned()
    };
    let same_family = |a: &IpNet, b: &IpNet| a.max_prefix_len() == b.max_prefix_len();
    let listed = |entry: &PrefixMatch| {
        same_family(&entry.prefix, prefix)
            && prefix.prefix_len() >= entry.prefix.prefix_len()
            && bits(prefix, entry.prefix.prefix_len()) == bits(&entry.prefix, entry.prefix.prefix_len())
            && prefix.prefix_len() >= entry.ge
            && prefix.prefix_len() <= entry.le
    };
    let text = route.as_path.to_string();
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let path = |entry: &AsPathMatch| match entry {
        AsPathMatch::Empty => words.is_empty(),
        AsPathMatch::Contains(asn) => words.contains(&asn.to_string().as_str()),
        AsPathMatch::First(asn) => words.first() == Some(&asn.to_string().as_str()),
        AsPathMatch::Origin(asn) => words.last() == Some(&asn.to_string().as_str()),
        AsPathMatch::Length { min, max } => words.len() >= *min && words.len() <= *max,
    };
    matches
        .family
        .is_none_or(|family| (family == Family::Ipv4) == (prefix.max_prefix_len() == 32))
        && (matches.prefixes.is_empty() || matches.prefixes.iter().any(listed))
        && matches.as_path.iter().all(path)
        && (matches.communities.is_empty() || matches.communities.iter().any(|one| route.has(*one)))
        && matches.origin.is_none_or(|origin| origin == route.origin)
}

fn by_hand(policy: &[Rule], prefix: &IpNet, mut route: PathAttributes) -> Option<PathAttributes> {
    let (rule, rest) = policy.split_first()?;
    if reads(&rule.matches, prefix, &route) {
        let sets = &rule.sets;
        route.med = sets.med.or(route.med);
        route.local_pref = sets.local_pref.or(route.local_pref);
        let asns: Vec<u32> = (0..sets.prepend)
            .map(|_| 65000)
            .chain(route.as_path.asns())
            .collect();
        route.as_path = AsPath::sequence(&asns);
        if sets.clear_communities {
            route.communities.clear();
            route.extended_communities.clear();
            route.large_communities.clear();
        }
        sets.remove.iter().for_each(|community| route.remove(*community));
        sets.add.iter().for_each(|community| route.add(*community));
        match rule.action {
            Action::Accept => return Some(route),
            Action::Reject => return None,
            Action::Next => {}
        }
    }
    by_hand(rest, prefix, route)
}

proptest! {
    #[test]
    fn a_policy_reads_like_its_text(policy in any_policy(), (prefix, route) in any_route()) {
        let candidate = Candidate { prefix, ..candidate(&route) };
        let outcome = policy.evaluate(candidate).map(|outcome| outcome.attributes.into_owned());
        prop_assert_eq!(outcome, by_hand(&policy.rules, &prefix, route));
    }
}

//! Routes as every kind of neighbour is told them.
use super::*;
use crate::policy::{Action, Matches, Rule, Sets};

const LADDER: [(Preference, u32, usize, u32); 4] = [
    (Preference::Master, 10, 1, 5000),
    (Preference::Backup, 20, 2, 100),
    (Preference::Joining, 200, 2, 50),
    (Preference::Draining, 1000, 2, 10),
];

fn outside() -> Audience {
    let own = Some(NextHop::from(IpAddr::from([10, 0, 0, 1])));
    let own6 = Some(NextHop {
        address: "2001:db8::1".parse().unwrap(),
        link_local: Some("fe80::1".parse().unwrap()),
    });
    Audience {
        local_as: 65001,
        internal: false,
        ladder: None,
        export: Some(Arc::new(Policy::all())),
        families: Families::BOTH,
        ipv4: Offer { usual: own, own },
        ipv6: Offer {
            usual: own6,
            own: own6,
        },
        extended_next_hop: false,
        graceful_shutdown: false,
        only_to_customer: false,
    }
}

fn inside() -> Audience {
    Audience {
        internal: true,
        export: None,
        ..outside()
    }
}

/// Instance 7 claims the prefix.
fn told(audience: &Audience, preference: Preference, overrides: Overrides, prefix: &str) -> Option<Route> {
    let claim = Claim {
        instance: 7,
        overrides: Some(Arc::new(overrides)),
    };
    audience.route(&Ladders::default(), preference, &claim, prefix.parse().unwrap())
}

fn master(audience: &Audience) -> Option<Route> {
    told(
        audience,
        Preference::Master,
        Overrides::default(),
        "203.0.113.10/32",
    )
}

fn attributes(audience: &Audience) -> PathAttributes {
    PathAttributes::clone(&master(audience).unwrap().attributes)
}

fn with(rules: Vec<Rule>) -> Option<Arc<Policy>> {
    let name = "test".to_owned();
    Some(Arc::new(Policy { name, rules }))
}

fn setting(sets: Sets) -> Option<Arc<Policy>> {
    with(vec![Rule {
        sets,
        ..Rule::default()
    }])
}

#[test]
fn the_ladder_inside_and_outside() {
    for (preference, med, path, local_pref) in LADDER {
        let expected = PathAttributes {
            med: Some(med),
            communities: if preference == Preference::Draining {
                vec![GRACEFUL_SHUTDOWN]
            } else {
                vec![]
            },
            ..PathAttributes::default()
        };
        let route = told(&outside(), preference, Overrides::default(), "203.0.113.10/32").unwrap();
        let expected_outside = PathAttributes {
            as_path: AsPath::sequence(&vec![65001; path]),
            ..expected.clone()
        };
        assert_eq!(*route.attributes, expected_outside);
        let route = told(&inside(), preference, Overrides::default(), "203.0.113.10/32").unwrap();
        let expected_inside = PathAttributes {
            local_pref: Some(local_pref),
            ..expected
        };
        assert_eq!(*route.attributes, expected_inside);
    }
    assert_eq!(
        told(
            &outside(),
            Preference::Withdrawn,
            Overrides::default(),
            "203.0.113.10/32"
        ),
        None
    );
}

#[test]
fn the_ladder_never_ties_and_never_crosses() {
    for pair in LADDER.windows(2) {
        let [
            (_, med, path, local_pref),
            (_, worse_med, worse_path, worse_local_pref),
        ] = pair
        else {
            panic!()
        };
        assert!(med < worse_med && path <= worse_path && local_pref > worse_local_pref);
    }
}

#[test]
fn the_ladder_of_the_neighbour_comes_before_that_of_the_instance_before_that_of_all() {
    let ladder = |med: u32| {
        let mut ladder = Ladder::default();
        ladder.master.med = med;
        ladder.master.communities = vec![Community::Large([65001, 1, med]), Community::Standard(med)];
        ladder
    };
    let mut ladders = Ladders {
        all: ladder(1),
        ..Ladders::default()
    };
    let claim = Claim {
        instance: 7,
        overrides: None,
    };
    let mut audience = outside();
    let told = |audience: &Audience, ladders: &Ladders| {
        let prefix = "203.0.113.10/32".parse().unwrap();
        let route = audience
            .route(ladders, Preference::Master, &claim, prefix)
            .unwrap();
        let med = route.attributes.med.unwrap();
        assert_eq!(route.attributes.communities, [med]);
        assert_eq!(route.attributes.large_communities, [[65001, 1, med]]);
        med
    };
    ladders.by_instance.insert(8, ladder(9));
    assert_eq!(told(&audience, &ladders), 1);
    ladders.by_instance.insert(7, ladder(2));
    assert_eq!(told(&audience, &ladders), 2);
    audience.ladder = Some(ladder(3));
    assert_eq!(told(&audience, &ladders), 3);
}

#[test]
fn overrides_replace_values_and_add_communities() {
    let overrides = Overrides {
        med: Some(7),
        prepend: Some(3),
        local_pref: Some(900),
        origin: Some(Origin::Incomplete),
        communities: vec![65001 << 16 | 2, 65001 << 16 | 1, 65001 << 16 | 2],
        extended_communities: vec![[2; 8], [1; 8]],
        large_communities: vec![[65001, 2, 3]],
        next_hop: Some([10, 0, 0, 9].into()),
    };
    let route = told(
        &outside(),
        Preference::Draining,
        overrides.clone(),
        "203.0.113.0/24",
    )
    .unwrap();
    assert_eq!(
        route.attributes.to_string(),
        "med 7 path [65001 65001 65001 65001] 65001:1 65001:2 65535:0 65001:2:3"
    );
    assert_eq!(route.attributes.extended_communities, [[1; 8], [2; 8]]);
    assert_eq!(route.attributes.origin, Origin::Incomplete);
    assert_eq!(route.next_hop, NextHop::from(IpAddr::from([10, 0, 0, 9])));
    let route = told(&inside(), Preference::Draining, overrides, "203.0.113.0/24").unwrap();
    assert_eq!(
        route.attributes.to_string(),
        "med 7 local-pref 900 path [] 65001:1 65001:2 65535:0 65001:2:3"
    );
}

#[test]
fn without_a_policy_nothing_leaves_the_as() {
    let silent = Audience {
        export: None,
        ..outside()
    };
    assert!(silent.hears_nothing() && master(&silent).is_none());
    let rejecting = Audience {
        export: Some(Arc::new(Policy::none())),
        ..outside()
    };
    assert!(!rejecting.hears_nothing() && master(&rejecting).is_none());
    assert!(!inside().hears_nothing() && master(&inside()).is_some());
}

#[test]
fn the_policy_has_the_last_word_but_for_what_the_rfcs_ask() {
    let sets = Sets {
        med: Some(77),
        local_pref: Some(300),
        prepend: 2,
        clear_communities: true,
        add: vec![Community::Standard(5), Community::Standard(3)],
        ..Sets::default()
    };
    let mut audience = outside();
    audience.export = setting(sets.clone());
    let told = attributes(&audience);
    assert_eq!(
        (told.med, told.local_pref),
        (Some(77), None),
        "LOCAL_PREF stays inside"
    );
    assert_eq!(told.as_path, AsPath::sequence(&[65001; 3]));
    assert_eq!(told.communities, [3, 5]);

    let mut audience = inside();
    audience.export = setting(sets);
    let told = attributes(&audience);
    assert_eq!((told.local_pref, told.as_path.is_empty()), (Some(300), true));

    // Whatever the policy says: RFC 8326 and RFC 9234.
    audience.graceful_shutdown = true;
    let told = attributes(&audience);
    assert_eq!(
        (told.local_pref, told.communities),
        (Some(0), vec![3, 5, GRACEFUL_SHUTDOWN])
    );
    let audience = Audience {
        graceful_shutdown: true,
        only_to_customer: true,
        ..outside()
    };
    let told = attributes(&audience);
    assert_eq!(
        (told.local_pref, told.communities),
        (None, vec![GRACEFUL_SHUTDOWN])
    );
    assert_eq!(told.only_to_customer, Some(65001));
}

#[test]
fn policies_look_at_instance_preference_and_next_hop() {
    let matching = |matches: Matches, action| Rule {
        matches,
        action,
        ..Rule::default()
    };
    let of_instance = |instance| Matches {
        instance: Some(instance),
        ..Matches::default()
    };
    let accept = Action::Accept;
    let rows = [
        (of_instance(7), true),
        (of_instance(8), false),
        (
            Matches {
                preference: Some(Preference::Backup),
                ..Matches::default()
            },
            false,
        ),
        (
            Matches {
                next_hops: vec!["10.0.0.0/24".parse().unwrap()],
                ..Matches::default()
            },
            true,
        ),
        (
            Matches {
                family: Some(Family::Ipv6),
                ..Matches::default()
            },
            false,
        ),
    ];
    for (matches, expected) in rows {
        let audience = Audience {
            export: with(vec![matching(matches.clone(), accept)]),
            ..outside()
        };
        assert_eq!(master(&audience).is_some(), expected, "{matches:?}");
    }
}

#[test]
fn next_hops_by_family_and_by_whoever_names_them() {
    let v4 = "203.0.113.10/32";
    let v6 = "2001:db8::10/128";
    let told = |audience: &Audience, given: Option<&str>, prefix: &str| {
        let overrides = Overrides {
            next_hop: given.map(|address| address.parse().unwrap()),
            ..Overrides::default()
        };
        let route = told(audience, Preference::Master, overrides, prefix)?;
        Some((
            route.next_hop.address.to_string(),
            route.next_hop.link_local.is_some(),
        ))
    };
    let row = |address: &str, link_local| Some((address.to_owned(), link_local));
    let mut audience = outside();
    assert_eq!(told(&audience, None, v4), row("10.0.0.1", false));
    assert_eq!(told(&audience, None, v6), row("2001:db8::1", true));
    assert_eq!(told(&audience, Some("10.0.0.9"), v4), row("10.0.0.9", false));
    assert_eq!(told(&audience, Some("10.0.0.9"), v6), None);
    assert_eq!(
        told(&audience, Some("2001:db8::9"), v6),
        row("2001:db8::9", false)
    );
    // RFC 8950: only to those who understand it.
    assert_eq!(told(&audience, Some("2001:db8::9"), v4), None);
    audience.extended_next_hop = true;
    assert_eq!(
        told(&audience, Some("2001:db8::9"), v4),
        row("2001:db8::9", false)
    );
    // The policy has the last word, and can give the next hop back.
    audience.export = setting(Sets {
        next_hop: Some(NextHopSet::Own),
        ..Sets::default()
    });
    assert_eq!(told(&audience, Some("10.0.0.9"), v4), row("10.0.0.1", false));
    audience.export = setting(Sets {
        next_hop: Some(NextHopSet::Address([10, 0, 0, 8].into())),
        ..Sets::default()
    });
    assert_eq!(told(&audience, Some("10.0.0.9"), v4), row("10.0.0.8", false));
    audience.families = Families::IPV6;
    assert_eq!(told(&audience, None, v4), None);
}

#[test]
fn what_is_too_much_goes_and_the_well_known_community_stays() {
    let overrides = Overrides {
        prepend: Some(255),
        communities: (0..2000).collect(),
        extended_communities: (0..2000).map(u64::to_be_bytes).collect(),
        large_communities: (0..2000).map(|index| [index; 3]).collect(),
        ..Overrides::default()
    };
    let mut audience = outside();
    audience.export = setting(Sets {
        prepend: 255,
        ..Sets::default()
    });
    let route = told(&audience, Preference::Draining, overrides, "203.0.113.10/32").unwrap();
    let told = &route.attributes;
    assert_eq!(told.as_path.length(), MAX_PATH);
    assert_eq!(told.communities.len(), MAX_COMMUNITIES);
    assert_eq!(told.communities.last(), Some(&GRACEFUL_SHUTDOWN));
    assert_eq!(told.extended_communities.len(), MAX_EXTENDED_COMMUNITIES);
    assert_eq!(told.large_communities.len(), MAX_LARGE_COMMUNITIES);
}

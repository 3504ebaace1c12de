//! The ladder as every kind of neighbour sees it.
use super::*;

const LADDER: [(Preference, u32, usize, u32); 4] = [
    (Preference::Master, 10, 1, 5000),
    (Preference::Backup, 20, 2, 100),
    (Preference::Joining, 200, 2, 50),
    (Preference::Draining, 1000, 2, 10),
];

fn vip(prefix: &str, instance: u32) -> Announcement {
    Announcement {
        prefix: prefix.parse().unwrap(),
        instance,
        healthy: true,
        overrides: None,
    }
}

fn told(
    announcements: &[Announcement],
    roles: &[(u32, Preference)],
    internal: bool,
) -> Vec<(String, PathAttributes)> {
    let ladder = Ladder::default();
    let audience = Audience {
        local_as: 65001,
        internal,
        ladder: &ladder,
    };
    let roles = roles.iter().copied().collect();
    let rows = attributes(announcements, &roles, audience);
    rows.into_iter()
        .map(|(prefix, attributes)| (prefix.to_string(), attributes))
        .collect()
}

#[test]
fn the_ladder_inside_and_outside() {
    for (preference, med, path, local_pref) in LADDER {
        let communities = if preference == Preference::Draining {
            vec![GRACEFUL_SHUTDOWN]
        } else {
            vec![]
        };
        let outside = PathAttributes {
            as_path: AsPath::sequence(&vec![65001; path]),
            med: Some(med),
            local_pref: None,
            communities: communities.clone(),
            ..PathAttributes::default()
        };
        let inside = PathAttributes {
            as_path: AsPath::default(),
            med: Some(med),
            local_pref: Some(local_pref),
            communities,
            ..PathAttributes::default()
        };
        let vips = [vip("203.0.113.10/32", 0)];
        assert_eq!(
            told(&vips, &[(0, preference)], false),
            [("203.0.113.10/32".to_owned(), outside)]
        );
        assert_eq!(
            told(&vips, &[(0, preference)], true),
            [("203.0.113.10/32".to_owned(), inside)]
        );
    }
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
fn no_role_withdrawn_and_unhealthy_are_not_announced() {
    let mut vips = vec![
        vip("203.0.113.10/32", 0),
        vip("203.0.113.11/32", 1),
        vip("203.0.113.12/32", 2),
    ];
    vips[2].healthy = false;
    assert!(
        told(
            &vips,
            &[(1, Preference::Withdrawn), (2, Preference::Master)],
            false
        )
        .is_empty()
    );
}

#[test]
fn a_prefix_of_several_services_goes_with_the_best_healthy_one() {
    let mut vips = vec![
        vip("203.0.113.10/32", 0),
        vip("203.0.113.10/32", 1),
        vip("203.0.113.10/32", 2),
    ];
    vips[2].healthy = false;
    let roles = [
        (0, Preference::Backup),
        (1, Preference::Joining),
        (2, Preference::Master),
    ];
    for _ in 0..3 {
        let rows = told(&vips, &roles, false);
        assert_eq!((rows.len(), rows[0].1.med), (1, Some(20)));
        vips.rotate_left(1);
    }
}

#[test]
fn overrides_replace_values_and_add_communities() {
    let mut draining = vip("203.0.113.10/24", 0);
    draining.overrides = Some(Overrides {
        med: Some(7),
        prepend: Some(3),
        local_pref: Some(900),
        communities: vec![65001 << 16 | 2, 65001 << 16 | 1, 65001 << 16 | 2],
        ..Overrides::default()
    });
    let rows = told(&[draining.clone()], &[(0, Preference::Draining)], false);
    assert_eq!(rows[0].0, "203.0.113.0/24", "host bits are not announced");
    assert_eq!(
        rows[0].1.to_string(),
        "med 7 path [65001 65001 65001 65001] 65001:1 65001:2 65535:0"
    );
    let rows = told(&[draining], &[(0, Preference::Draining)], true);
    assert_eq!(
        rows[0].1.to_string(),
        "med 7 local-pref 900 path [] 65001:1 65001:2 65535:0"
    );
}

#[test]
fn too_many_communities_leave_the_well_known_one() {
    let mut draining = vip("203.0.113.10/32", 0);
    draining.overrides = Some(Overrides {
        communities: (0..2000).collect(),
        ..Overrides::default()
    });
    let rows = told(&[draining], &[(0, Preference::Draining)], false);
    assert_eq!(rows[0].1.communities.len(), MAX_COMMUNITIES);
    assert_eq!(rows[0].1.communities.last(), Some(&GRACEFUL_SHUTDOWN));
}

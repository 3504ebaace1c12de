//! What is made once, what is shared, and what a change costs.
use ipnet::IpNet;

use super::*;
use crate::config::{Families, Family};
use crate::export::audience::{NextHop, Offer};
use crate::export::prefix_list::PrefixList;
use crate::ladder::{Overrides, Preference};
use crate::policy::{Matches, Policy, PrefixMatch, Rule, Sets};

fn audience(export: Policy) -> Audience {
    let own = |address: &str| {
        let own = Some(NextHop::from(address.parse::<std::net::IpAddr>().unwrap()));
        Offer { usual: own, own }
    };
    Audience {
        local_as: 65001,
        internal: false,
        ladder: None,
        export: Some(Arc::new(export)),
        families: Families::BOTH,
        ipv4: own("10.0.0.1"),
        ipv6: own("2001:db8::1"),
        extended_next_hop: false,
        graceful_shutdown: false,
        only_to_customer: false,
    }
}

fn vip(prefix: &str, instance: u32) -> Announcement {
    Announcement {
        prefix: prefix.parse().unwrap(),
        instance,
        healthy: true,
        overrides: None,
    }
}

fn roles(rows: &[(u32, Preference)]) -> Roles {
    rows.iter().copied().collect()
}

/// A hundred VIPs of each family of instance 0.
fn vips() -> Vec<Announcement> {
    let ipv4 = (0..100).map(|index| vip(&format!("203.0.113.{index}/32"), 0));
    let ipv6 = (0..100).map(|index| vip(&format!("2001:db8::{index:x}/128"), 0));
    ipv4.chain(ipv6).collect()
}

fn table(exports: &mut Exports, roles: &Roles, policy: Policy) -> Arc<Table> {
    exports.table(roles, &Ladders::default(), audience(policy))
}

/// Prefix and MED, in order.
fn told(table: &Table) -> Vec<(String, u32)> {
    let mut rows: Vec<(IpNet, u32)> = table
        .announced()
        .flat_map(|(cell, route)| {
            cell.list
                .iter()
                .map(|prefix| (prefix, route.attributes.med.unwrap()))
        })
        .collect();
    rows.sort_unstable();
    rows.into_iter()
        .map(|(prefix, med)| (prefix.to_string(), med))
        .collect()
}

fn prefixes(lists: &[Arc<PrefixList>]) -> Vec<String> {
    let prefixes = lists.iter().flat_map(|list| list.iter());
    prefixes.map(|prefix| prefix.to_string()).collect()
}

#[test]
fn a_role_swap_hands_on_the_lists_as_they_are() {
    let mut exports = Exports::default();
    exports.set(&vips());
    let backup = table(&mut exports, &roles(&[(0, Preference::Backup)]), Policy::all());
    let master = table(&mut exports, &roles(&[(0, Preference::Master)]), Policy::all());
    let changes = exports.changes(Some(&backup), &master);
    assert_eq!((changes.announced(), changes.withdrawn()), (200, 0));
    assert_eq!(changes.announce.len(), 2, "one group for each family");
    let lists: Vec<_> = changes.announce.values().flatten().collect();
    for (cell, _) in master.announced() {
        assert!(lists.iter().any(|list| Arc::ptr_eq(list, &cell.list)));
    }
    assert!(exports.changes(Some(&master), &master).is_empty());
    let withdrawn = table(&mut exports, &roles(&[]), Policy::all());
    let changes = exports.changes(Some(&master), &withdrawn);
    assert_eq!((changes.announced(), changes.withdrawn()), (0, 200));
}

#[test]
fn neighbours_of_one_kind_share_table_and_difference() {
    let mut exports = Exports::default();
    exports.set(&vips());
    let backup = roles(&[(0, Preference::Backup)]);
    let master = roles(&[(0, Preference::Master)]);
    let old = table(&mut exports, &backup, Policy::all());
    assert!(Arc::ptr_eq(&old, &table(&mut exports, &backup, Policy::all())));
    // The same again is no change.
    exports.set(&vips());
    assert!(Arc::ptr_eq(&old, &table(&mut exports, &backup, Policy::all())));
    let new = table(&mut exports, &master, Policy::all());
    let one = exports.changes(Some(&old), &new);
    assert!(Arc::ptr_eq(&one, &exports.changes(Some(&old), &new)));
    // Another policy without prefix lists: another table of the same cells.
    let none = table(&mut exports, &master, Policy::none());
    assert!(Arc::ptr_eq(&none.partition, &new.partition));
    assert_eq!(none.len(), 0);
}

#[test]
fn what_nobody_uses_is_dropped() {
    let mut exports = Exports::default();
    let mut used = None;
    for round in 0..50_u32 {
        exports.set(&[vip(&format!("203.0.113.{round}/32"), 0)]);
        let new = table(&mut exports, &roles(&[(0, Preference::Master)]), Policy::all());
        exports.changes(used.as_ref(), &new);
        used = Some(new);
    }
    assert!(exports.partitions.len() <= 3 && exports.tables.len() <= 2 && exports.differences.len() <= 1);
}

#[test]
fn only_what_changed_is_sent() {
    let mut exports = Exports::default();
    let roles = roles(&[(0, Preference::Master)]);
    let mut vips: Vec<Announcement> = (0..10)
        .map(|index| vip(&format!("10.0.0.{index}/32"), 0))
        .collect();
    exports.set(&vips);
    let old = table(&mut exports, &roles, Policy::all());
    vips[0].healthy = false;
    vips[3].overrides = Some(Overrides {
        med: Some(7),
        ..Overrides::default()
    });
    vips.push(vip("2001:db8::1/128", 0));
    vips.push(vip("10.0.0.4/32", 0));
    exports.set(&vips);
    let new = table(&mut exports, &roles, Policy::all());
    let changes = exports.changes(Some(&old), &new);
    let announced: Vec<_> = changes.announce.values().map(|lists| prefixes(lists)).collect();
    assert_eq!(announced, [["10.0.0.3/32"], ["2001:db8::1/128"]]);
    assert_eq!(prefixes(&changes.withdraw[&Family::Ipv4]), ["10.0.0.0/32"]);
    assert_eq!(
        changes.summary(),
        "10.0.0.3/32: med 7 path [65001]; 2001:db8::1/128: med 10 path [65001]; withdraw 10.0.0.0/32"
    );
    assert_eq!(Changes::everything(&new, Some(Family::Ipv4)).announced(), 9);
    assert_eq!(Changes::everything(&new, Some(Family::Ipv6)).announced(), 1);
}

#[test]
fn a_prefix_of_several_services_goes_with_the_best_healthy_one() {
    let mut exports = Exports::default();
    let mut vips: Vec<Announcement> = (0..3).map(|instance| vip("203.0.113.10/24", instance)).collect();
    vips[2].healthy = false;
    for _ in 0..3 {
        exports.set(&vips);
        let rows = [
            (Preference::Backup, Preference::Joining, 20),
            (Preference::Draining, Preference::Joining, 200),
            (Preference::Draining, Preference::Master, 10),
        ];
        for (first, second, med) in rows {
            let roles = roles(&[(0, first), (1, second), (2, Preference::Master)]);
            let table = table(&mut exports, &roles, Policy::all());
            assert_eq!(
                told(&table),
                [("203.0.113.0/24".to_owned(), med)],
                "without host bits"
            );
        }
        vips.rotate_left(1);
    }
    // Nobody has said what this node is.
    assert_eq!(table(&mut exports, &roles(&[]), Policy::all()).len(), 0);
}

#[test]
fn a_policy_with_prefix_lists_cuts_classes() {
    let inside = |prefix: &str, med: u32| Rule {
        matches: Matches {
            prefixes: vec![PrefixMatch {
                prefix: prefix.parse().unwrap(),
                ge: 32,
                le: 32,
            }],
            ..Matches::default()
        },
        sets: Sets {
            med: Some(med),
            ..Sets::default()
        },
        ..Rule::default()
    };
    let policy = Policy {
        name: "cut".to_owned(),
        rules: vec![inside("10.0.1.0/24", 1), inside("10.0.0.0/16", 2)],
    };
    let mut exports = Exports::default();
    exports.set(
        &[
            "10.0.0.1/32",
            "10.0.1.1/32",
            "10.0.1.2/32",
            "10.0.2.1/32",
            "10.1.0.1/32",
        ]
        .map(|prefix| vip(prefix, 0)),
    );
    let table = table(&mut exports, &roles(&[(0, Preference::Master)]), policy);
    let row = |prefix: &str, med| (prefix.to_owned(), med);
    let expected = [
        row("10.0.0.1/32", 2),
        row("10.0.1.1/32", 1),
        row("10.0.1.2/32", 1),
        row("10.0.2.1/32", 2),
    ];
    assert_eq!(told(&table), expected);
    assert_eq!(table.partition.cells.len(), 3);
}

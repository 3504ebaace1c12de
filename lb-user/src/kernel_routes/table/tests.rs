//! Rivals, refusals and what an earlier daemon left.

use super::super::next_hops::Resolution;
use super::super::route::Way;
use super::super::{METRIC, PROTOCOL};
use super::*;

fn prefix() -> IpNet {
    "10.42.0.0/26".parse().unwrap()
}

fn gateway() -> Gateway {
    Gateway {
        address: "192.0.2.2".parse().unwrap(),
        scope: 0,
    }
}

fn ways() -> Ways {
    Ways::from([Way {
        gateway: Some("192.0.2.2".parse().unwrap()),
        link: 2,
    }])
}

fn reachable() -> NextHops {
    let mut hops = NextHops::default();
    let resolution = Resolution {
        metric: 0,
        ways: ways(),
    };
    hops.learn((gateway().address, 0), Some(resolution));
    hops
}

fn in_kernel(protocol: u8, metric: u32) -> Observed {
    Observed {
        prefix: prefix(),
        metric,
        protocol,
        main: true,
        unicast: true,
        ways: ways(),
        alive: ways(),
    }
}

fn read(table: &mut Table, routes: &[Observed]) -> usize {
    let mut reading = Reading::default();
    for route in routes {
        table.look(route, &mut reading);
    }
    table.believe(reading)
}

fn plan_all(table: &Table, hops: &NextHops) -> Vec<Operation> {
    table.plan(table.everything(), hops)
}

#[test]
fn an_inherited_route_stays_until_it_is_disowned_or_spoken_of() {
    let mut table = Table::new(METRIC);
    read(&mut table, &[in_kernel(PROTOCOL, METRIC)]);
    table.inherit();
    let hops = reachable();
    assert_eq!(plan_all(&table, &hops), []);
    assert_eq!(table.status(&hops).inherited, 1);
    // Announced as before: nothing to do.
    table.desire(prefix(), vec![gateway()]);
    assert_eq!(plan_all(&table, &hops), []);
    assert_eq!(table.disown(), BTreeSet::new());
    // Withdrawn.
    table.desire(prefix(), Vec::new());
    let removal = Operation::Remove {
        prefix: prefix(),
        metric: METRIC,
    };
    assert_eq!(plan_all(&table, &hops), [removal]);
}

#[test]
fn a_rival_keeps_ours_out_and_is_never_replaced() {
    let mut table = Table::new(METRIC);
    let hops = reachable();
    table.desire(prefix(), vec![gateway()]);
    read(&mut table, &[in_kernel(4, METRIC)]);
    assert_eq!(plan_all(&table, &hops), []);
    let status = table.status(&hops);
    assert_eq!((status.installed, status.missing), (0, 1));
    assert_eq!(
        status.problems[0].reason,
        "there is a route of protocol 4 with the same metric 2048"
    );
    // Beside ours: ours goes, because a replacement might hit the other one.
    read(&mut table, &[in_kernel(4, METRIC), in_kernel(PROTOCOL, METRIC)]);
    assert!(matches!(plan_all(&table, &hops)[..], [Operation::Remove { .. }]));
}

#[test]
fn a_better_route_of_others_is_reported_and_ours_is_there_for_later() {
    let mut table = Table::new(METRIC);
    let hops = reachable();
    table.desire(prefix(), vec![gateway()]);
    read(&mut table, &[in_kernel(4, 0), in_kernel(PROTOCOL, METRIC)]);
    assert_eq!(plan_all(&table, &hops), []);
    let status = table.status(&hops);
    assert_eq!((status.installed, status.missing), (1, 0));
    assert_eq!(
        status.problems[0].reason,
        "not used: a route of protocol 4 has the better metric 0"
    );
    // A worse one is of no interest.
    read(&mut table, &[in_kernel(4, 4096), in_kernel(PROTOCOL, METRIC)]);
    assert_eq!(table.status(&hops).problems, []);
}

#[test]
fn what_is_refused_waits_for_the_next_reading_and_is_told() {
    let mut table = Table::new(METRIC);
    let hops = reachable();
    table.desire(prefix(), vec![gateway()]);
    let operations = plan_all(&table, &hops);
    assert!(matches!(operations[..], [Operation::Create { .. }]));
    let refusal = Refusal {
        errno: libc::ENETUNREACH,
        reason: "Nexthop has invalid gateway".to_owned(),
    };
    assert!(!table.outcome(&operations[0], Err(refusal.clone())));
    assert_eq!(plan_all(&table, &hops), []);
    assert!(table.status(&hops).problems[0].reason.contains("invalid gateway"));
    read(&mut table, &[]);
    assert_eq!(plan_all(&table, &hops), operations);
    // Something is there that nobody knew of.
    let exists = Refusal {
        errno: libc::EEXIST,
        ..refusal
    };
    assert!(table.outcome(&operations[0], Err(exists)));
}

#[test]
fn without_a_way_to_its_next_hop_a_route_goes_and_comes_back() {
    let mut table = Table::new(METRIC);
    table.desire(prefix(), vec![gateway()]);
    assert_eq!(read(&mut table, &[in_kernel(PROTOCOL, METRIC)]), 0);
    let mut hops = reachable();
    hops.learn((gateway().address, 0), None);
    assert!(matches!(plan_all(&table, &hops)[..], [Operation::Remove { .. }]));
    assert_eq!(
        table.status(&hops).problems[0].reason,
        "no way to the next hop 192.0.2.2"
    );
    assert_eq!(read(&mut table, &[]), 1, "gone without our doing");
    assert!(matches!(
        plan_all(&table, &reachable())[..],
        [Operation::Create { .. }]
    ));
}

#[test]
fn an_ipv6_route_has_no_ipv4_next_hop() {
    let mut table = Table::new(METRIC);
    let prefix: IpNet = "2001:db8:1::/48".parse().unwrap();
    table.desire(prefix, vec![gateway()]);
    assert_eq!(plan_all(&table, &reachable()), []);
    assert_eq!(
        table.status(&reachable()).problems[0].reason,
        "an IPv6 route cannot have an IPv4 next hop"
    );
}

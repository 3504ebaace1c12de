//! What counts as a way to a next hop.

use super::super::PROTOCOL;
use super::*;

const STATIC: u8 = 4;

fn way(gateway: Option<&str>, link: u32) -> Way {
    Way {
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        link,
    }
}

fn route(prefix: &str, protocol: u8, metric: u32, ways: &[Way]) -> Observed {
    Observed {
        prefix: prefix.parse().unwrap(),
        metric,
        protocol,
        main: true,
        unicast: true,
        ways: ways.iter().copied().collect(),
        alive: ways.iter().copied().collect(),
    }
}

fn hop(address: &str) -> NextHop {
    (address.parse().unwrap(), 0)
}

#[test]
fn on_the_link_the_next_hop_is_the_gateway() {
    let connected = route("192.0.2.0/24", 2, 256, &[way(None, 3)]);
    let resolution = resolve("192.0.2.7".parse().unwrap(), &connected).unwrap();
    assert_eq!(resolution.metric, 0);
    assert_eq!(resolution.ways, Ways::from([way(Some("192.0.2.7"), 3)]));
}

#[test]
fn elsewhere_the_gateways_of_the_route_are() {
    let ways = [way(Some("192.0.2.1"), 3), way(Some("192.0.2.2"), 3)];
    let far = route("198.51.100.0/24", STATIC, 0, &ways);
    let resolution = resolve("198.51.100.9".parse().unwrap(), &far).unwrap();
    assert_eq!(resolution.metric, 1, "worse than a link");
    assert_eq!(resolution.ways, ways.into());
}

#[test]
fn dead_ways_do_not_count() {
    let mut far = route(
        "0.0.0.0/0",
        STATIC,
        100,
        &[way(Some("192.0.2.1"), 3), way(Some("192.0.2.2"), 4)],
    );
    far.alive.remove(&way(Some("192.0.2.1"), 3));
    let next_hop = "198.51.100.9".parse().unwrap();
    assert_eq!(
        resolve(next_hop, &far).unwrap().ways,
        Ways::from([way(Some("192.0.2.2"), 4)])
    );
    far.alive.clear();
    assert_eq!(resolve(next_hop, &far), None);
    let mut drop = route("198.51.100.0/24", STATIC, 0, &[]);
    drop.unicast = false;
    assert_eq!(resolve(next_hop, &drop), None);
}

#[test]
fn a_route_of_ours_is_looked_beneath() {
    let mut beneath = Beneath::default();
    for address in ["10.0.0.5", "10.9.0.1", "2001:db8::1"] {
        beneath.add(hop(address));
    }
    for route in [
        route("10.0.0.0/16", 2, 0, &[way(None, 2)]),
        route("10.0.0.0/24", PROTOCOL, 2048, &[way(Some("10.0.0.9"), 2)]),
        route("0.0.0.0/0", STATIC, 100, &[way(Some("192.0.2.1"), 4)]),
        route("0.0.0.0/0", STATIC, 50, &[way(Some("192.0.2.2"), 4)]),
    ] {
        beneath.look(&route);
    }
    let found: BTreeMap<NextHop, Option<Resolution>> = beneath.resolutions().collect();
    let ways = |address: &str| found[&hop(address)].as_ref().map(|found| found.ways.clone());
    assert_eq!(ways("10.0.0.5"), Some(Ways::from([way(Some("10.0.0.5"), 2)])));
    assert_eq!(
        ways("10.9.0.1"),
        Some(Ways::from([way(Some("192.0.2.2"), 4)])),
        "the better metric"
    );
    assert_eq!(ways("2001:db8::1"), None);
}

#[test]
fn news_are_told_once_and_whoever_asks_again_hears_again() {
    let mut hops = NextHops::default();
    hops.track(hop("10.0.0.5"));
    assert_eq!(hops.news(), [], "nothing is known yet");
    hops.learn(hop("10.0.0.5"), None);
    assert_eq!(hops.news(), [(hop("10.0.0.5"), None)]);
    assert_eq!(hops.news(), []);
    let resolution = Resolution {
        metric: 0,
        ways: Ways::new(),
    };
    hops.learn(hop("10.0.0.5"), Some(resolution.clone()));
    assert_eq!(hops.news(), [(hop("10.0.0.5"), Some(0))]);
    hops.learn(hop("10.0.0.5"), Some(resolution));
    assert_eq!(hops.news(), []);
    hops.untrack(hop("10.0.0.5"));
    hops.track(hop("10.0.0.5"));
    assert_eq!(hops.news(), [(hop("10.0.0.5"), Some(0))]);
    hops.untrack(hop("10.0.0.5"));
    hops.learn(hop("10.0.0.5"), None);
    assert_eq!(hops.news(), []);
}

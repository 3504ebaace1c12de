//! Neighbours by link-local address and by interface only, between two drivers in namespaces of their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bgp::{Announcement, Families, Hops, NextHops, PeerConfig, Policy, Preference, RemoteAs, Transport};
use lb_user::apply::Speaker as _;
use lb_user::bgp_driver::Command;
use lb_user::desired::NeighborKey;
use support::speaker::{Speaker, peer};
use support::{LEFT, Pair, RIGHT, ip, until};

const LEFT_AT: &str = "fe80::a";
const RIGHT_AT: &str = "fe80::b";

/// As the configuration file makes them: on the link, nothing said about next hops.
fn on_link(address: &str, remote_as: RemoteAs) -> PeerConfig {
    PeerConfig {
        remote_as,
        families: Families::BOTH,
        next_hops: NextHops::default(),
        transport: Transport {
            hops: Hops::Security(1),
            ..Transport::default()
        },
        export: Some(std::sync::Arc::new(Policy::all())),
        ..peer(address, 0)
    }
}

fn unnumbered() -> PeerConfig {
    on_link("::", RemoteAs::External)
}

fn interface() -> NeighborKey {
    NeighborKey::Interface("eth0".to_owned())
}

fn announce(speaker: &mut Speaker, prefixes: &[&str]) {
    speaker.handle.send(Command::SetRole {
        instance: 0,
        preference: Preference::Master,
    });
    let announcement = |prefix: &&str| Announcement {
        prefix: prefix.parse().unwrap(),
        instance: 0,
        healthy: true,
        overrides: None,
    };
    let announcements: Vec<Announcement> = prefixes.iter().map(announcement).collect();
    speaker.handle.set_announcements(&announcements).unwrap();
}

/// The addresses by which the two know each other.
fn add_link_local(pair: &Pair) {
    for (side, address) in [(LEFT, LEFT_AT), (RIGHT, RIGHT_AT)] {
        let address = format!("{address}/64");
        ip(&[
            "-n",
            &pair.name(side),
            "addr",
            "add",
            &address,
            "dev",
            "eth0",
            "nodad",
        ]);
    }
}

/// Both sides know the interface only. Then the link is made anew, with other addresses and another index.
#[test]
fn two_that_know_only_their_interface_find_each_other_and_again_on_a_new_link() {
    let pair = Pair::new("unnumbered");
    let mut left = Speaker::start(&pair, LEFT, 65001, &["::"]);
    let mut right = Speaker::start(&pair, RIGHT, 65002, &["::"]);
    announce(&mut left, &["203.0.113.10/32", "2001:db8:1::10/128"]);
    left.put(interface(), unnumbered());
    left.wait_for_words("eth0", "waiting for a router advertisement on eth0");
    assert_eq!(left.neighbor("eth0").unwrap().state, "idle");
    right.put(interface(), unnumbered());
    left.wait_established("eth0");
    right.wait_established("eth0");
    until("the local address is the link-local one", || {
        let local = left.neighbor("eth0").unwrap().local;
        (
            local.as_ref().is_some_and(|local| local.contains("fe80::")),
            local,
        )
    });
    assert!(!left.events("bgp-discovered").is_empty());

    ip(&["-n", &pair.name(LEFT), "link", "del", "eth0"]);
    pair.connect();
    until("the session is up on the new link", || {
        let ups = (left.events("bgp-up").len(), right.events("bgp-up").len());
        (ups.0 >= 2 && ups.1 >= 2, ups)
    });
    left.wait_established("eth0");
}

#[test]
fn a_link_local_neighbour_is_reached_on_its_interface_and_again_on_a_new_link() {
    let pair = Pair::new("linklocal");
    add_link_local(&pair);
    let mut left = Speaker::start(&pair, LEFT, 65001, &["::"]);
    let mut right = Speaker::start(&pair, RIGHT, 65002, &[]);
    let at = |address: &str, interface: &str| {
        NeighborKey::LinkLocal(address.parse().unwrap(), interface.to_owned())
    };
    let passive = PeerConfig {
        passive: true,
        ..on_link(RIGHT_AT, RemoteAs::Is(65002))
    };
    left.put(at(RIGHT_AT, "eth0"), passive);
    right.put(at(LEFT_AT, "eth0"), on_link(LEFT_AT, RemoteAs::Is(65001)));
    // One on an interface that does not exist waits, and says so.
    right.put(at(LEFT_AT, "eth7"), on_link(LEFT_AT, RemoteAs::Is(65001)));
    right.wait_established("fe80::a%eth0");
    left.wait_established("fe80::b%eth0");
    right.wait_for_words("fe80::a%eth7", "there is no interface eth7");

    ip(&["-n", &pair.name(LEFT), "link", "del", "eth0"]);
    pair.connect();
    add_link_local(&pair);
    until("the session is up on the new link", || {
        let ups = (left.events("bgp-up").len(), right.events("bgp-up").len());
        (ups.0 >= 2 && ups.1 >= 2, ups)
    });
}

/// With IPv4 next hops over IPv6 (RFC 8950) a VIP needs no address on the link at all.
#[test]
fn vips_of_both_families_go_over_an_unnumbered_link() {
    let pair = Pair::new("vips");
    let mut left = Speaker::start(&pair, LEFT, 65001, &["::"]);
    let mut right = Speaker::start(&pair, RIGHT, 65002, &["::"]);
    announce(&mut left, &["203.0.113.10/32", "2001:db8:1::10/128"]);
    left.put(interface(), unnumbered());
    right.put(interface(), unnumbered());
    right.wait("eth0", "both VIPs have come", |seen| seen.received == 2);
}

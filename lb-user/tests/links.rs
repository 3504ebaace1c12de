//! The link monitor against the kernel: carrier, routes, and neighbours that change or only say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::mpsc::{Receiver, channel};

use lb_user::links::{self, LinkChange};
use support::{DEADLINE, LEFT, Pair, RIGHT};

fn carrier(name: &str, up: bool) -> impl Fn(&LinkChange) -> bool {
    let name = name.to_owned();
    move |change| matches!(change, LinkChange::Carrier { name: found, up: now, .. } if *found == name && *now == up)
}

/// Everything up to and including the first change that fits.
fn seen_until(changes: &Receiver<LinkChange>, fits: impl Fn(&LinkChange) -> bool) -> Vec<LinkChange> {
    let mut seen = Vec::new();
    loop {
        let change = changes
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("not told; so far {seen:?}"));
        let done = fits(&change);
        seen.push(change);
        if done {
            return seen;
        }
    }
}

/// What was told before a new link, which the test adds as a mark.
fn settled(pair: &Pair, changes: &Receiver<LinkChange>, number: u32) -> Vec<LinkChange> {
    let (mark, peer) = (format!("mark{number}"), format!("kram{number}"));
    pair.output(
        LEFT,
        &["ip", "link", "add", &mark, "type", "veth", "peer", "name", &peer],
    );
    let is_mark = |change: &LinkChange| matches!(change, LinkChange::Carrier { name, .. } if name.starts_with("mark") || name.starts_with("kram"));
    let mut seen = seen_until(changes, carrier(&mark, false));
    seen.retain(|change| !is_mark(change));
    seen
}

#[test]
fn carrier_routes_and_neighbours() {
    let pair = Pair::new("links");
    // IPv6 changes addresses and routes by itself for a while; here every change is one of the test's.
    for side in [LEFT, RIGHT] {
        pair.output(side, &["sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=1"]);
    }
    pair.enter(LEFT);
    let (sender, changes) = channel();
    links::spawn(move |change| {
        let _ = sender.send(change);
    })
    .unwrap();
    let first = settled(&pair, &changes, 1);
    assert!(
        first.iter().any(carrier("eth0", true)),
        "every link is told at the start: {first:?}"
    );

    pair.output(
        LEFT,
        &["ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2"],
    );
    assert_eq!(settled(&pair, &changes, 2), [LinkChange::Forwarding], "a route");
    let neighbour = |state: &str| {
        let mac = "02:00:00:00:00:09";
        pair.output(
            LEFT,
            &[
                "ip",
                "neigh",
                "replace",
                "192.0.2.9",
                "lladdr",
                mac,
                "dev",
                "eth0",
                "nud",
                state,
            ],
        );
    };
    neighbour("reachable");
    assert_eq!(
        settled(&pair, &changes, 3),
        [LinkChange::Forwarding],
        "a new neighbour"
    );
    neighbour("stale");
    assert_eq!(
        settled(&pair, &changes, 4),
        [],
        "the same link-layer address in another state"
    );

    pair.output(RIGHT, &["ip", "link", "set", "eth0", "down"]);
    seen_until(&changes, carrier("eth0", false));
    pair.output(RIGHT, &["ip", "link", "set", "eth0", "up"]);
    seen_until(&changes, carrier("eth0", true));
}

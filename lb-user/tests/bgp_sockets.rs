//! What the configuration of a neighbour asks of its sockets, between two drivers in namespaces of their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bgp::{
    Announcement, AoKey, Authentication, DynamicPeers, Hops, NextHops, PeerConfig, Policy, Preference,
    RemoteAs, RouteQuery, Secret, Table, Transport,
};
use lb_user::apply::Speaker as _;
use lb_user::bgp_driver::{Command, CommandError};
use lb_user::desired::SpeakerSettings;
use support::speaker::{Speaker, key, peer};
use support::{DEADLINE, LEFT, Pair, RIGHT, ip, until};

const V4: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
const V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];

fn with(mut peer: PeerConfig, change: impl FnOnce(&mut Transport)) -> PeerConfig {
    change(&mut peer.transport);
    peer
}

fn passive(peer: PeerConfig) -> PeerConfig {
    PeerConfig {
        passive: true,
        ..peer
    }
}

/// Two speakers; the left one, AS 65001, listens on all of its addresses, the right one, AS 65002, connects.
fn speakers(pair: &Pair) -> (Speaker, Speaker) {
    let left = Speaker::start(pair, LEFT, 65001, &["0.0.0.0", "::"]);
    let right = Speaker::start(pair, RIGHT, 65002, &[]);
    (left, right)
}

/// RFC 5082: the listener cannot have a limit for each neighbour, so the SYN is judged when it is accepted.
#[test]
fn a_neighbour_from_afar_is_refused_and_one_on_the_link_accepted() {
    for (name, [left_at, right_at]) in [("gtsm4", V4), ("gtsm6", V6)] {
        let pair = Pair::new(name);
        let (mut left, mut right) = speakers(&pair);
        let secure = |transport: &mut Transport| transport.hops = Hops::Security(1);
        left.put(key(right_at), with(passive(peer(right_at, 65002)), secure));
        // Somebody of the same family who may be far away: the kernel cannot drop the SYN by itself.
        let other = if left_at == V4[0] {
            "198.51.100.9"
        } else {
            "2001:db8:9::9"
        };
        left.put(key(other), passive(peer(other, 65009)));
        right.put(key(left_at), peer(left_at, 65001));
        left.wait_for_words(right_at, "it connected with TTL 64, at least 255 is required");
        until("the refusal is counted", || {
            let refused = *left.board.bgp_refused.newest();
            (refused.far > 0, refused)
        });
        assert!(!left.events("bgp-refused").is_empty());
        right.put(key(left_at), with(peer(left_at, 65001), secure));
        left.wait_established(right_at);
        assert_eq!(left.neighbor(right_at).unwrap().last_error.as_deref(), None);
    }
}

/// The connecting side wants 255, too: the SYN-ACK of a listener that sends less does not count.
#[test]
fn a_listener_answers_with_the_ttl_its_neighbours_want() {
    let pair = Pair::new("gtsmack");
    let (mut left, mut right) = speakers(&pair);
    let secure = |transport: &mut Transport| transport.hops = Hops::Security(1);
    left.put(key(V4[1]), passive(peer(V4[1], 65002)));
    right.put(key(V4[0]), with(peer(V4[0], 65001), secure));
    right.wait_for_words(V4[0], "both sides have to send TTL 255");
    left.put(key(V4[1]), with(passive(peer(V4[1], 65002)), secure));
    right.wait_established(V4[0]);
}

/// RFC 2385.
#[test]
fn passwords_are_checked_changed_and_removed_live() {
    for (name, [left_at, right_at]) in [("md5v4", V4), ("md5v6", V6)] {
        let pair = Pair::new(name);
        let (mut left, mut right) = speakers(&pair);
        let password = |word: &'static str| {
            move |transport: &mut Transport| {
                transport.authentication = Some(Authentication::Md5(Secret(word.to_owned())));
            }
        };
        let at_left = || passive(peer(right_at, 65002));
        let at_right = || peer(left_at, 65001);
        left.put(key(right_at), with(at_left(), password("one")));
        right.put(key(left_at), with(at_right(), password("two")));
        // Both sides have words for it: the one that connects, and the one that waits.
        right.wait_for_words(left_at, "with a password configured this is often a wrong one");
        left.wait_for_words(right_at, "the passwords differ");
        until("the timeline has it", || {
            let told = right.events("bgp-authentication");
            (!told.is_empty(), told)
        });

        right.put(key(left_at), with(at_right(), password("one")));
        right.wait_established(left_at);

        // The password is changed on both sides, then removed.
        let flaps = |left: &Speaker| left.neighbor(right_at).map_or(0, |seen| seen.flaps);
        left.put(key(right_at), with(at_left(), password("three")));
        right.put(key(left_at), with(at_right(), password("three")));
        until("the session came back under the new password", || {
            let seen = left.neighbor(right_at);
            (
                flaps(&left) == 1 && seen.as_ref().unwrap().state == "established",
                seen,
            )
        });
        left.put(key(right_at), at_left());
        left.wait_for_words(right_at, "here is none");
        right.put(key(left_at), at_right());
        right.wait_established(left_at);
    }
}

/// RFC 5925: without it in the kernel the neighbour is not connected at all, and the reason is told.
#[test]
fn a_neighbour_with_tcp_ao_is_never_connected_without_it() {
    let pair = Pair::new("ao");
    let (mut left, mut right) = speakers(&pair);
    let ao = |transport: &mut Transport| {
        transport.authentication = Some(Authentication::Ao(vec![AoKey {
            send_id: 1,
            receive_id: 1,
            algorithm: "hmac(sha1)".to_owned(),
            secret: Secret("secret".to_owned()),
        }]));
    };
    left.put(key(V4[1]), with(passive(peer(V4[1], 65002)), ao));
    right.put(key(V4[0]), with(peer(V4[0], 65001), ao));
    until(
        "it is established, or the kernel lacks it and both say so",
        || {
            let seen = (right.neighbor(V4[0]), left.board.bgp_refused.newest());
            let neighbor = seen.0.clone().unwrap_or_default();
            let told = neighbor
                .last_error
                .is_some_and(|error| error.contains("this kernel has no TCP-AO"));
            (told || neighbor.state == "established", seen)
        },
    );
    if right.neighbor(V4[0]).unwrap().state == "established" {
        return;
    }
    // One that connects without is refused, because the listener could not get the key.
    right.put(key(V4[0]), peer(V4[0], 65001));
    left.wait_for_words(V4[1], "this kernel has no TCP-AO");
    assert_ne!(left.neighbor(V4[1]).unwrap().state, "established");
}

#[test]
fn source_address_source_port_and_interface_are_those_configured() {
    let pair = Pair::new("source");
    let mut left = Speaker::start(&pair, LEFT, 65001, &["0.0.0.0"]);
    // Its source port is the one it listens on.
    let mut right = Speaker::start(&pair, RIGHT, 65002, &["0.0.0.0"]);
    ip(&[
        "-n",
        &pair.name(RIGHT),
        "addr",
        "add",
        "192.0.2.9/24",
        "dev",
        "eth0",
    ]);
    left.put(key("192.0.2.9"), passive(peer("192.0.2.9", 65002)));
    let source = |transport: &mut Transport| {
        transport.local_address = Some("192.0.2.9".parse().unwrap());
        transport.local_port = Some(179);
        transport.interface = Some("eth0".to_owned());
    };
    right.put(key(V4[0]), with(peer(V4[0], 65001), source));
    left.wait_established("192.0.2.9");
    right.wait(V4[0], "the source is as configured", |seen| {
        seen.local.as_deref() == Some("192.0.2.9:179")
    });

    let absent = |transport: &mut Transport| transport.interface = Some("eth7".to_owned());
    right.put(key(V4[0]), with(peer(V4[0], 65001), absent));
    right.wait_for_words(V4[0], "there is no interface eth7");
    let foreign = |transport: &mut Transport| transport.local_address = Some("198.51.100.1".parse().unwrap());
    right.put(key(V4[0]), with(peer(V4[0], 65001), foreign));
    right.wait_for_words(V4[0], "source address 198.51.100.1 is not on this node");
}

#[test]
fn an_address_that_is_no_neighbours_is_closed_at_once_and_counted() {
    let pair = Pair::new("unknown");
    let (mut left, _right) = speakers(&pair);
    left.put(key("192.0.2.77"), passive(peer("192.0.2.77", 65002)));
    pair.enter(RIGHT);
    let mut stream = None;
    until("the listener is there", || {
        stream = TcpStream::connect((V4[0], 179)).ok();
        (stream.is_some(), ())
    });
    let mut stream = stream.unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let read = stream.read(&mut [0; 64]);
    let closed = match &read {
        Ok(length) => *length == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    };
    assert!(closed, "no OPEN for a stranger: {read:?}");
    until("it is counted", || {
        let refused = *left.board.bgp_refused.newest();
        (refused.unknown >= 1, refused)
    });
}

/// A flood of connects from strangers does not keep a neighbour out.
#[test]
fn strangers_do_not_keep_a_neighbour_out() {
    let pair = Pair::new("flood");
    let (mut left, mut right) = speakers(&pair);
    ip(&[
        "-n",
        &pair.name(RIGHT),
        "addr",
        "add",
        "192.0.2.9/24",
        "dev",
        "eth0",
    ]);
    left.put(key("192.0.2.9"), passive(peer("192.0.2.9", 65002)));
    pair.enter(RIGHT);
    let flood = std::thread::spawn(|| {
        for _ in 0..3000 {
            let _ = TcpStream::connect_timeout(&"192.0.2.1:179".parse().unwrap(), Duration::from_millis(50));
        }
    });
    let source = |transport: &mut Transport| transport.local_address = Some("192.0.2.9".parse().unwrap());
    right.put(key(V4[0]), with(peer(V4[0], 65001), source));
    left.wait_established("192.0.2.9");
    flood.join().unwrap();
    assert_eq!(left.neighbor("192.0.2.9").unwrap().flaps, 0);
}

#[test]
fn an_address_to_listen_on_may_come_later() {
    let pair = Pair::new("late");
    let mut left = Speaker::start(&pair, LEFT, 65001, &["192.0.2.50", "2001:db8::50"]);
    let mut right = Speaker::start(&pair, RIGHT, 65002, &[]);
    left.put(key(V4[1]), passive(peer(V4[1], 65002)));
    left.put(key(V6[1]), passive(peer(V6[1], 65002)));
    right.put(key("192.0.2.50"), peer("192.0.2.50", 65001));
    right.put(key("2001:db8::50"), peer("2001:db8::50", 65001));
    right.wait_for_words("192.0.2.50", "does not answer");
    ip(&[
        "-n",
        &pair.name(LEFT),
        "addr",
        "add",
        "192.0.2.50/24",
        "dev",
        "eth0",
    ]);
    let late = ["addr", "add", "2001:db8::50/64", "dev", "eth0", "nodad"];
    ip(&[&["-n", &pair.name(LEFT)], &late[..]].concat());
    right.wait_established("192.0.2.50");
    right.wait_established("2001:db8::50");
}

/// A prefix of neighbours shares a password, which is on the listeners for the whole prefix.
#[test]
fn dynamic_neighbours_share_the_password_of_their_prefix() {
    for (name, [left_at, right_at], prefix) in [("dyn4", V4, "192.0.2.0/24"), ("dyn6", V6, "2001:db8::/64")] {
        let pair = Pair::new(name);
        let (mut left, mut right) = speakers(&pair);
        let password = |word: &'static str| {
            move |transport: &mut Transport| {
                transport.authentication = Some(Authentication::Md5(Secret(word.to_owned())));
            }
        };
        let template = PeerConfig {
            remote_as: RemoteAs::External,
            ..with(peer(right_at, 0), password("of the prefix"))
        };
        let settings = SpeakerSettings {
            dynamic: vec![DynamicPeers {
                prefix: prefix.parse().unwrap(),
                limit: 1,
                template,
            }],
            ..SpeakerSettings::default()
        };
        left.handle.put_settings(&settings).unwrap();
        right.put(key(left_at), with(peer(left_at, 65001), password("another")));
        right.wait_for_words(left_at, "often a wrong one");
        assert_eq!(left.neighbor(right_at), None);
        right.put(
            key(left_at),
            with(peer(left_at, 65001), password("of the prefix")),
        );
        right.wait_established(left_at);
        left.wait_established(right_at);
        // One that has gone is forgotten.
        right.handle.remove_neighbor(&key(left_at)).unwrap();
        until("the dynamic neighbour is gone", || {
            let seen = left.neighbor(right_at);
            (seen.is_none(), seen)
        });
    }
}

/// What an operator asks for, and what the answer to a wrong name is.
#[test]
fn a_neighbour_is_disabled_enabled_and_asked_for_its_routes() {
    let pair = Pair::new("operator");
    let (mut left, mut right) = speakers(&pair);
    left.put(key(V4[1]), passive(peer(V4[1], 65002)));
    right.put(key(V4[0]), peer(V4[0], 65001));
    left.wait_established(V4[1]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        left.handle
            .disable(key(V4[1]), "new line card".to_owned())
            .await
            .unwrap();
    });
    right.wait(V4[0], "the neighbour reads why", |seen| {
        seen.last_error
            .as_ref()
            .is_some_and(|error| error.contains("new line card"))
    });
    assert_eq!(left.events("bgp-disabled").len(), 1);
    left.wait(V4[1], "it is idle", |seen| seen.state == "idle");
    runtime.block_on(async {
        left.handle.enable(key(V4[1])).await.unwrap();
        let unknown = left.handle.enable(key("192.0.2.77")).await;
        assert_eq!(unknown, Err(CommandError::NoNeighbor("192.0.2.77".to_owned())));
    });
    left.wait_established(V4[1]);
}

/// Imported routes are in the kernel while the session and the daemon live, and not afterwards.
#[test]
fn imported_routes_are_in_the_kernel_until_the_shutdown() {
    let pair = Pair::new("import");
    let (mut left, mut right) = speakers(&pair);
    let all = || Some(Arc::new(Policy::all()));
    let next_hops = NextHops::default;
    left.put(
        key(V4[1]),
        PeerConfig {
            import: all(),
            next_hops: next_hops(),
            ..passive(peer(V4[1], 65002))
        },
    );
    right.put(
        key(V4[0]),
        PeerConfig {
            export: all(),
            next_hops: next_hops(),
            ..peer(V4[0], 65001)
        },
    );
    let pods = Announcement {
        prefix: "10.42.7.0/26".parse().unwrap(),
        instance: 0,
        healthy: true,
        overrides: None,
    };
    right.handle.send(Command::SetRole {
        instance: 0,
        preference: Preference::Master,
    });
    right.handle.set_announcements(&[pods]).unwrap();
    let routes = || pair.output(LEFT, &["ip", "-N", "route", "show", "proto", "179"]);
    until("the route is in the kernel", || {
        let routes = routes();
        (routes.contains("10.42.7.0/26 via 192.0.2.2"), routes)
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let query = RouteQuery {
        table: Table::Best,
        peer: None,
        family: None,
        within: None,
        after: None,
        limit: 10,
    };
    runtime.block_on(async {
        let best = left.handle.routes(Some(key(V4[1])), query).await.unwrap();
        assert_eq!(best.len(), 1, "{best:?}");
        assert_eq!(best[0].neighbor, V4[1]);
        let ended = tokio::time::timeout(DEADLINE, left.handle.shutdown()).await;
        assert!(ended.is_ok(), "the shutdown is answered");
    });
    assert_eq!(routes(), "");
}

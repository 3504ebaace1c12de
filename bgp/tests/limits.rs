//! The maximum of prefixes, strict BFD, roles, hold times: what keeps a neighbour out, and for how long.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
mod net;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bgp::{
    Announcement, BfdMode, Event, Family, Input, MaxPrefixes, Output, PeerConfig, PeerState, Policy,
    Preference, Role,
};
use net::{Net, PEER};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn announce(net: &mut Net, count: u8) {
    announce_these(net, 0..count);
}

fn announce_these(net: &mut Net, last: Range<u8>) {
    let vip = |last: u8| Announcement {
        prefix: format!("203.0.113.{last}/32").parse().unwrap(),
        instance: 0,
        healthy: true,
        overrides: None,
    };
    net.input(1, Input::SetAnnouncements(last.map(vip).collect()));
}

fn limited(net: &Net, limits: MaxPrefixes) -> PeerConfig {
    PeerConfig {
        import: Some(Arc::new(Policy::all())),
        max_prefixes: limits,
        ..net.config(0)
    }
}

/// Node 1 announces `count` prefixes to node 0.
fn pair(limits: MaxPrefixes, count: u8) -> Net {
    let mut net = Net::pair([65001, 65000], [MS, MS]);
    let preference = Preference::Master;
    net.input(
        1,
        Input::SetRole {
            instance: 0,
            preference,
        },
    );
    announce(&mut net, count);
    let config = limited(&net, limits);
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let config = net.config(1);
    net.input(1, Input::AddPeer(PEER, Box::new(config)));
    net
}

fn limits(limit: u32) -> MaxPrefixes {
    MaxPrefixes {
        limit,
        warning: 75,
        warn_only: false,
        idle_hold: Some(60 * SECOND),
    }
}

fn said(net: &Net, wanted: &Event) -> usize {
    net.events(0).iter().filter(|event| *event == wanted).count()
}

fn idle(net: &Net) -> bool {
    net.state(0) == PeerState::Idle
}

const EXCEEDED: Event = Event::MaxPrefixesExceeded {
    family: Family::Ipv4,
    limit: 2,
};

#[test]
fn too_many_prefixes_end_the_session_and_the_neighbour_is_left_alone() {
    let mut net = pair(limits(2), 3);
    assert!(net.run_until(5 * SECOND, idle));
    let status = net.status(0);
    let until = status.idle_hold.unwrap();
    assert!(until > net.now + 59 * SECOND && until <= net.now + 60 * SECOND);
    assert_eq!((status.received, status.counters.established), (0, 1));
    assert_eq!(
        status.last_error.as_deref(),
        Some("sent: maximum number of prefixes reached (6/1): 2 of ipv4: more than 2 prefixes of ipv4")
    );
    assert_eq!(said(&net, &EXCEEDED), 1);
    let data = [6, 1, 0, 1, 1, 0, 0, 0, 2];
    assert!(net.nodes[0].sent.windows(data.len()).any(|bytes| bytes == data));
    // The neighbour keeps trying, in vain.
    net.run(50 * SECOND);
    assert!(idle(&net));
    assert_eq!(net.status(0).counters.established, 1);
    // By itself it is let in again, and has learned.
    announce(&mut net, 2);
    assert!(net.run_until(90 * SECOND, Net::established));
    net.run(SECOND);
    assert_eq!(net.status(0).received, 2);
}

#[test]
fn the_operator_ends_the_wait() {
    let mut net = pair(limits(2), 3);
    assert!(net.run_until(5 * SECOND, idle));
    announce(&mut net, 1);
    net.input(0, Input::Enable(PEER));
    assert!(net.run_until(5 * SECOND, Net::established));
    // For ever means until the operator says so.
    let forever = MaxPrefixes {
        idle_hold: None,
        ..limits(2)
    };
    let mut net = pair(forever, 3);
    assert!(net.run_until(5 * SECOND, idle));
    net.run(3600 * SECOND);
    let status = net.status(0);
    assert_eq!((status.state, status.enabled), (PeerState::Idle, false));
    announce(&mut net, 1);
    net.input(0, Input::Enable(PEER));
    assert!(net.run_until(90 * SECOND, Net::established));
}

#[test]
fn a_limit_that_only_warns_ignores_what_is_beyond() {
    let warn = MaxPrefixes {
        warn_only: true,
        ..limits(2)
    };
    let mut net = pair(warn, 5);
    assert!(net.run_until(5 * SECOND, Net::established));
    net.run(10 * SECOND);
    assert_eq!((net.established(), net.status(0).received), (true, 2));
    assert_eq!(said(&net, &EXCEEDED), 1);
}

#[test]
fn a_warning_is_given_once_and_again_after_it_was_good() {
    let mut net = pair(limits(4), 2);
    assert!(net.run_until(5 * SECOND, Net::established));
    net.run(SECOND);
    let near = Event::MaxPrefixesNear {
        family: Family::Ipv4,
        count: 3,
        limit: 4,
    };
    for (count, warnings) in [(2, 0), (3, 1), (4, 1), (3, 1), (1, 1), (3, 2)] {
        announce(&mut net, count);
        net.run(SECOND);
        assert_eq!(said(&net, &near), warnings, "{count}");
    }
}

#[test]
fn a_limit_that_is_lowered_counts_at_once() {
    let mut net = pair(limits(10), 3);
    assert!(net.run_until(5 * SECOND, |net| net.status(0).received == 3));
    let config = limited(&net, limits(3));
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    assert!(net.established());
    let config = limited(&net, limits(2));
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    assert!(idle(&net));
}

fn limit(net: &mut Net, limits: MaxPrefixes) {
    let config = limited(net, limits);
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
}

#[test]
fn a_limit_that_is_raised_lets_the_neighbour_in_again() {
    for idle_hold in [Some(3600 * SECOND), None] {
        let limits = |limit| MaxPrefixes {
            idle_hold,
            ..limits(limit)
        };
        let mut net = pair(limits(2), 3);
        assert!(net.run_until(5 * SECOND, idle));
        limit(&mut net, limits(1));
        net.run(120 * SECOND);
        assert!(idle(&net), "a lower one does not");
        limit(&mut net, limits(3));
        let back = |net: &Net| net.established() && net.status(0).received == 3;
        assert!(net.run_until(5 * SECOND, back), "{idle_hold:?}");
        // What the operator has stopped, no limit starts.
        let communication = String::new();
        let peer = PEER;
        net.input(0, Input::Disable { peer, communication });
        limit(&mut net, limits(9));
        net.run(60 * SECOND);
        assert!(idle(&net));
    }
    // Nor does it matter that another session is wanted at the same time.
    let mut net = pair(limits(2), 3);
    assert!(net.run_until(5 * SECOND, idle));
    let mut config = limited(&net, limits(3));
    config.hold_time = 30 * SECOND;
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    assert!(net.run_until(5 * SECOND, Net::established));
}

#[test]
fn a_limit_that_is_raised_brings_back_what_was_ignored() {
    let warn = |limit| MaxPrefixes {
        warn_only: true,
        ..limits(limit)
    };
    let mut net = pair(warn(2), 5);
    assert!(net.run_until(5 * SECOND, Net::established));
    net.run(SECOND);
    assert_eq!(net.status(0).received, 2);
    // Room, but nobody says the others again.
    announce_these(&mut net, 1..5);
    net.run(SECOND);
    assert_eq!(net.status(0).received, 1);
    limit(&mut net, warn(10));
    net.run(SECOND);
    let status = net.status(0);
    assert_eq!((status.received, status.counters.flaps), (4, 0));
    // Asked once, for the family that it was about.
    limit(&mut net, warn(20));
    net.run(SECOND);
    assert_eq!(net.status(1).counters.refreshes_in, 1);
}

fn strict(net: &mut Net, hold: u64) {
    for node in 0..2 {
        let config = PeerConfig {
            bfd: BfdMode::Strict,
            hold_time: Duration::from_secs(hold),
            ..net.config(node)
        };
        net.input(node, Input::AddPeer(PEER, Box::new(config)));
    }
}

#[test]
fn in_strict_mode_the_session_waits_for_bfd_on_both_sides() {
    let mut net = Net::pair([65001, 65000], [MS, MS]);
    strict(&mut net, 9);
    net.run(5 * SECOND);
    assert_eq!(
        (net.state(0), net.state(1)),
        (PeerState::OpenSent, PeerState::OpenSent)
    );
    net.input(0, Input::BfdUp(PEER));
    net.run(10 * MS);
    assert_eq!(
        (net.state(0), net.state(1)),
        (PeerState::OpenConfirm, PeerState::OpenSent)
    );
    net.input(1, Input::BfdUp(PEER));
    assert!(net.run_until(10 * MS, Net::established));
    net.input(0, Input::BfdDown(PEER));
    assert_eq!(net.status(0).last_error.as_deref(), Some("sent: BFD down (6/10)"));
    net.run(30 * SECOND);
    assert!(!net.established(), "strict: no way around BFD");
    net.input(0, Input::BfdUp(PEER));
    assert!(net.run_until(30 * SECOND, Net::established));
}

#[test]
fn without_a_hold_time_the_wait_for_bfd_ends_too() {
    let mut net = Net::pair([65001, 65000], [MS, MS]);
    strict(&mut net, 0);
    let told = |output: &Output| {
        let wanted = "sent: BFD down (6/10): it has not come up";
        matches!(output, Output::Event { event: Event::ConnectionLost { reason }, .. } if reason == wanted)
    };
    net.run(29 * SECOND);
    assert_eq!(net.count(0, told) + net.count(1, told), 0);
    net.run(3 * SECOND);
    assert!(net.count(0, told) + net.count(1, told) > 0);
}

#[test]
fn roles_that_do_not_fit_keep_the_session_down_and_say_why() {
    let mut net = Net::pair([65001, 65000], [MS, MS]);
    for (node, role) in [(0, Role::Customer), (1, Role::Peer)] {
        let config = PeerConfig {
            role: Some(role),
            passive: node == 1,
            ..net.config(node)
        };
        net.input(node, Input::AddPeer(PEER, Box::new(config)));
    }
    net.run(5 * SECOND);
    assert!(!net.established());
    let errors: Vec<String> = (0..2).filter_map(|node| net.status(node).last_error).collect();
    assert!(
        errors.iter().any(|error| error.contains("role mismatch (2/11)")),
        "{errors:?}"
    );
    let config = PeerConfig {
        role: Some(Role::Provider),
        passive: true,
        ..net.config(1)
    };
    net.input(1, Input::AddPeer(PEER, Box::new(config)));
    assert!(net.run_until(60 * SECOND, Net::established));
}

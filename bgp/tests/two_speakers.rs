//! Two speakers on one virtual clock: establishment, collision, timers, BFD, routes.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking and looks at one kind of output at a time"
)]
mod net;

use std::time::Duration;

use bgp::wire::{Encoding, Message};
use bgp::{
    Announcement, BfdState, Cause, Families, Family, Input, NextHops, Output, PeerConfig, PeerState,
    Preference,
};
use net::{Net, PEER};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn pair() -> Net {
    Net::pair([65001, 65000], [MS, MS])
}

fn up(net: &mut Net) {
    net.introduce();
    assert!(net.run_until(5 * SECOND, Net::established));
}

fn vip(prefix: &str, instance: u32) -> Announcement {
    Announcement {
        prefix: prefix.parse().unwrap(),
        instance,
        healthy: true,
        overrides: None,
    }
}

fn down_reasons(net: &Net, node: usize) -> Vec<String> {
    let reason = |output: &Output| match output {
        Output::PeerDown { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    net.nodes[node].outputs.iter().filter_map(reason).collect()
}

#[test]
fn active_meets_passive() {
    let mut net = pair();
    let passive = PeerConfig {
        passive: true,
        ..net.config(1)
    };
    net.input(1, Input::AddPeer(PEER, Box::new(passive)));
    let active = net.config(0);
    net.input(0, Input::AddPeer(PEER, Box::new(active)));
    assert!(net.run_until(SECOND, Net::established));
    assert_eq!(net.count(1, |output| matches!(output, Output::Connect { .. })), 0);
    let status = &net.nodes[0].speaker.peers()[0];
    assert_eq!(status.hold_time, Some(9 * SECOND));
    assert_eq!(status.keepalive, Some(3 * SECOND));
    assert_eq!(status.families, Families::BOTH);
    assert_eq!(status.router_id.unwrap().to_string(), "10.0.0.2");
}

#[test]
fn a_simultaneous_open_ends_in_one_session_whatever_the_delays() {
    for first in (0..40).step_by(3) {
        for second in (1..40).step_by(3) {
            let mut net = Net::pair([65001, 65000], [first * MS, second * MS]);
            net.introduce();
            assert!(
                net.run_until(10 * SECOND, Net::established),
                "delays {first} {second}"
            );
            // And it stays.
            net.run(60 * SECOND);
            assert!(net.established(), "delays {first} {second}");
            for node in 0..2 {
                let ups = net.count(node, |output| matches!(output, Output::PeerUp { .. }));
                let downs = net.count(node, |output| matches!(output, Output::PeerDown { .. }));
                assert_eq!(ups, downs + 1);
                assert_eq!(net.nodes[node].speaker.peers()[0].state, PeerState::Established);
            }
        }
    }
}

#[test]
fn equal_delays_collide_and_the_greater_identifier_wins() {
    let mut net = pair();
    net.introduce();
    assert!(net.run_until(SECOND, Net::established));
    net.run(SECOND);
    assert_eq!(net.nodes[0].speaker.peers()[0].counters.collisions, 1);
    assert_eq!(net.nodes[0].speaker.peers()[0].counters.flaps, 0);
    // Node 1 has the greater identifier: the connection it opened is the one that is up.
    let connect = |output: &Output| match output {
        Output::Connect { connection, .. } => Some(*connection),
        _ => None,
    };
    let up = |output: &Output| match output {
        Output::PeerUp { connection, .. } => Some(*connection),
        _ => None,
    };
    let outputs = &net.nodes[1].outputs;
    assert_eq!(outputs.iter().find_map(connect), outputs.iter().find_map(up));
}

#[test]
fn equal_identifiers_in_different_ases_collide_by_as() {
    let mut net = pair();
    let config = bgp::SpeakerConfig {
        router_id: net.nodes[1].speaker.config().router_id,
        ..net.nodes[0].speaker.config().clone()
    };
    net.nodes[0].speaker = bgp::Speaker::new(config);
    up(&mut net);
    net.run(20 * SECOND);
    assert!(net.established());
}

#[test]
fn keepalives_hold_the_session_and_a_silent_cut_ends_it_after_the_hold_time() {
    let mut net = pair();
    up(&mut net);
    net.run(300 * SECOND);
    assert!(net.established());
    net.cut();
    net.run(6 * SECOND - 10 * MS);
    assert!(net.established(), "the last keepalive is at most 3 s old");
    net.run(4 * SECOND);
    assert!(!net.established());
    assert_eq!(down_reasons(&net, 0), ["sent: hold timer expired (4/0)"]);
}

/// Whoever has much to read before he may judge others must not be judged by them in the meantime.
#[test]
fn keepalives_go_out_before_anybody_is_judged() {
    let mut net = pair();
    up(&mut net);
    let late = net.now + 10 * SECOND;
    let speaker = &mut net.nodes[0].speaker;
    let mut outputs = |input| {
        speaker.handle(late, input);
        std::iter::from_fn(|| speaker.poll_output()).collect::<Vec<_>>()
    };
    let keepalive = Message::Keepalive.encode(Encoding::default()).unwrap();
    let sent = outputs(Input::Keepalives);
    assert!(
        matches!(&sent[..], [Output::Send { bytes, .. }] if *bytes == keepalive),
        "{sent:?}"
    );
    assert!(outputs(Input::Keepalives).is_empty());
    let judged = outputs(Input::Timeout);
    assert!(
        judged
            .iter()
            .any(|output| matches!(output, Output::PeerDown { .. }))
    );
}

#[test]
fn hold_time_zero_needs_no_keepalive_and_never_expires() {
    let mut net = pair();
    for node in 0..2 {
        let config = PeerConfig {
            hold_time: Duration::ZERO,
            ..net.config(node)
        };
        net.input(node, Input::AddPeer(PEER, Box::new(config)));
    }
    assert!(net.run_until(SECOND, Net::established));
    assert_eq!(net.nodes[0].speaker.poll_timeout(), None);
    net.cut();
    net.run(3600 * SECOND);
    assert!(net.established());
    assert_eq!(net.nodes[0].speaker.peers()[0].hold_time, None);
}

#[test]
fn the_shorter_hold_time_wins() {
    let mut net = pair();
    let (short, long) = (
        net.config(0),
        PeerConfig {
            hold_time: 90 * SECOND,
            ..net.config(1)
        },
    );
    net.input(
        0,
        Input::AddPeer(
            PEER,
            Box::new(PeerConfig {
                hold_time: 3 * SECOND,
                ..short
            }),
        ),
    );
    net.input(1, Input::AddPeer(PEER, Box::new(long)));
    assert!(net.run_until(SECOND, Net::established));
    for node in 0..2 {
        assert_eq!(net.nodes[node].speaker.peers()[0].hold_time, Some(3 * SECOND));
    }
    net.run(60 * SECOND);
    assert!(net.established());
}

#[test]
fn a_refused_connect_is_retried_until_the_neighbour_listens() {
    let mut net = pair();
    net.nodes[1].listening = false;
    let config = net.config(0);
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let passive = PeerConfig {
        passive: true,
        ..net.config(1)
    };
    net.input(1, Input::AddPeer(PEER, Box::new(passive)));
    net.run(10 * SECOND);
    let connects = net.count(0, |output| matches!(output, Output::Connect { .. }));
    assert!(
        (10..=14).contains(&connects),
        "{connects} attempts in 10 s at a retry time of 0.75 to 1 s"
    );
    assert_eq!(net.state(0), PeerState::Active);
    net.nodes[1].listening = true;
    assert!(net.run_until(2 * SECOND, Net::established));
}

#[test]
fn a_connect_without_an_answer_is_given_up_and_made_again() {
    let mut net = pair();
    net.cut();
    let config = net.config(0);
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    net.run(5 * SECOND);
    let connects = net.count(0, |output| matches!(output, Output::Connect { .. }));
    let closes = net.count(0, |output| matches!(output, Output::Close { .. }));
    assert!(connects >= 5, "{connects}");
    assert_eq!(closes, connects - 1);
}

#[test]
fn a_neighbour_that_never_sends_an_open_is_dropped() {
    let mut net = pair();
    let config = PeerConfig {
        passive: true,
        ..net.config(0)
    };
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let connection = net.open(0);
    let local = "10.0.0.1:179".parse().unwrap();
    net.input(
        0,
        Input::Accepted {
            connection,
            peer: PEER,
            local,
        },
    );
    assert_eq!(net.state(0), PeerState::OpenSent);
    net.run(59 * SECOND);
    assert_eq!(net.state(0), PeerState::OpenSent);
    net.run(2 * SECOND);
    assert_eq!(net.state(0), PeerState::Active);
}

#[test]
fn bfd_down_ends_the_session_at_once_and_bfd_up_brings_it_back() {
    let mut net = pair();
    up(&mut net);
    net.input(0, Input::BfdUp(PEER));
    let sent = net.nodes[0].sent.len();
    net.input(0, Input::BfdDown(PEER));
    assert_eq!(net.state(0), PeerState::Active);
    assert_eq!(down_reasons(&net, 0), ["sent: BFD down (6/10)"]);
    assert_eq!(net.nodes[0].sent[sent + 19..], [6, 10]);
    // Held back on both sides: nothing is connected, what comes in is closed.
    net.run(700 * MS);
    assert_eq!(net.state(0), PeerState::Active);
    assert_eq!(net.nodes[0].speaker.peers()[0].bfd, BfdState::Down);
    net.input(0, Input::BfdUp(PEER));
    assert_eq!(net.state(0), PeerState::Connect);
    assert!(net.run_until(SECOND, Net::established));
}

#[test]
fn a_neighbour_whose_bfd_has_to_prove_itself_is_waited_for() {
    let mut net = pair();
    up(&mut net);
    net.input(0, Input::BfdUp(PEER));
    net.input(0, Input::BfdDown(PEER));
    net.input(0, Input::BfdHeld(PEER));
    net.run(20 * SECOND);
    assert!(!net.established(), "longer than the retry timer");
    assert_eq!(net.nodes[0].speaker.peers()[0].bfd, BfdState::Held);
    net.input(0, Input::BfdUp(PEER));
    assert!(net.run_until(2 * SECOND, Net::established));
    // One that is there when BFD returns stays, and is ended by the next failure.
    net.input(0, Input::BfdDown(PEER));
    assert!(net.run_until(5 * SECOND, Net::established));
    net.input(0, Input::BfdHeld(PEER));
    assert!(net.established());
    net.input(0, Input::BfdDown(PEER));
    assert!(!net.established());
    // Switched off, it is as if it had never been.
    net.input(0, Input::BfdHeld(PEER));
    net.input(0, Input::BfdForgotten(PEER));
    assert!(net.run_until(5 * SECOND, Net::established));
}

#[test]
fn after_bfd_down_the_retry_timer_also_ends_the_wait() {
    let mut net = pair();
    up(&mut net);
    net.input(0, Input::BfdUp(PEER));
    net.input(0, Input::BfdDown(PEER));
    assert!(net.run_until(5 * SECOND, Net::established));
    // Down again without having been up is not news.
    net.input(0, Input::BfdDown(PEER));
    assert!(net.established());
}

#[test]
fn bfd_that_was_never_up_does_not_matter() {
    let mut net = pair();
    up(&mut net);
    net.input(0, Input::BfdDown(PEER));
    net.run(10 * SECOND);
    assert!(net.established());
    assert!(down_reasons(&net, 0).is_empty());
}

#[test]
fn shutdown_says_why_and_stays_down() {
    let mut net = pair();
    up(&mut net);
    net.input(
        0,
        Input::Shutdown {
            communication: String::new(),
        },
    );
    net.run(30 * SECOND);
    assert_eq!(net.state(0), PeerState::Idle);
    assert_eq!(down_reasons(&net, 1), ["received: administrative shutdown (6/2)"]);
    assert_eq!(net.nodes[0].speaker.poll_timeout(), None);
    net.input(0, Input::Enable(PEER));
    assert_eq!(net.state(0), PeerState::Idle);
}

#[test]
fn disable_enable_remove_and_reconfigure() {
    let mut net = pair();
    up(&mut net);
    net.input(
        0,
        Input::Disable {
            peer: PEER,
            communication: String::new(),
        },
    );
    assert_eq!(net.state(0), PeerState::Idle);
    net.run(10 * SECOND);
    assert_eq!(net.state(0), PeerState::Idle);
    net.input(0, Input::Enable(PEER));
    assert!(net.run_until(3 * SECOND, Net::established));
    net.run(SECOND);
    let same = net.config(0);
    net.input(0, Input::AddPeer(PEER, Box::new(same.clone())));
    assert!(net.established(), "nothing has changed");
    net.input(
        0,
        Input::AddPeer(
            PEER,
            Box::new(PeerConfig {
                description: "router".to_owned(),
                ..same.clone()
            }),
        ),
    );
    assert!(net.established(), "nothing the neighbour could see has changed");
    net.input(
        0,
        Input::AddPeer(
            PEER,
            Box::new(PeerConfig {
                hold_time: 30 * SECOND,
                ..same
            }),
        ),
    );
    assert!(!net.established());
    assert!(net.run_until(5 * SECOND, Net::established));
    net.input(0, Input::RemovePeer(PEER));
    net.run(SECOND);
    assert!(net.nodes[0].speaker.peers().is_empty());
    assert!(down_reasons(&net, 1).contains(&"received: peer de-configured (6/3)".to_owned()));
}

#[test]
fn another_address_is_not_judged_by_the_bfd_of_the_old_one() {
    let mut net = pair();
    up(&mut net);
    net.input(0, Input::BfdUp(PEER));
    net.input(0, Input::BfdDown(PEER));
    let moved = PeerConfig {
        address: "10.0.0.9".parse().unwrap(),
        ..net.config(0)
    };
    net.input(0, Input::AddPeer(PEER, Box::new(moved)));
    let status = &net.nodes[0].speaker.peers()[0];
    assert_eq!(
        (status.bfd, status.state),
        (BfdState::Unknown, PeerState::Connect)
    );
}

#[test]
fn a_wrong_as_is_refused_with_the_reason() {
    let mut net = pair();
    let config = PeerConfig {
        remote_as: bgp::RemoteAs::Is(64999),
        ..net.config(0)
    };
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let passive = PeerConfig {
        passive: true,
        ..net.config(1)
    };
    net.input(1, Input::AddPeer(PEER, Box::new(passive)));
    net.run(SECOND / 2);
    let status = &net.nodes[0].speaker.peers()[0];
    assert_eq!(
        status.last_error.as_deref(),
        Some("sent: bad peer AS (2/2): the neighbour has AS 65000, configured is 64999")
    );
    assert_eq!(status.counters.established, 0);
}

/// They say more than the silence that follows them.
#[test]
fn the_words_of_a_notification_outlive_silent_ends_until_a_session_is_up() {
    let mut net = pair();
    up(&mut net);
    let communication = "moving to another rack".to_owned();
    net.input(
        1,
        Input::Disable {
            peer: PEER,
            communication,
        },
    );
    net.run(10 * MS);
    let error = |net: &Net| net.status(0).last_error.unwrap_or_default();
    assert!(error(&net).contains("moving to another rack"), "{}", error(&net));
    // Node 1 closes what comes, without a word; then it refuses; then it does not answer.
    let lost = |output: &Output| matches!(output, Output::Event { event: bgp::Event::ConnectionLost { reason }, .. } if reason.contains("closed by the neighbour"));
    assert!(net.run_until(20 * SECOND, |net| net.count(0, lost) > 0));
    assert!(error(&net).contains("moving to another rack"), "{}", error(&net));
    let failed = |output: &Output| {
        matches!(
            output,
            Output::Event {
                event: bgp::Event::ConnectFailed { .. },
                ..
            }
        )
    };
    net.nodes[1].listening = false;
    assert!(net.run_until(120 * SECOND, |net| net.count(0, failed) > 0));
    assert!(error(&net).contains("moving to another rack"), "{}", error(&net));
    net.cut = true;
    net.run(120 * SECOND);
    assert!(error(&net).contains("moving to another rack"), "{}", error(&net));
    // What ends the next session is the reason from then on, even when it is silence.
    (net.cut, net.nodes[1].listening) = (false, true);
    net.input(1, Input::Enable(PEER));
    assert!(net.run_until(120 * SECOND, Net::established));
    net.stall();
    net.reset();
    assert_eq!(error(&net), "connection closed by the neighbour");
    net.cut = true;
    net.run(120 * SECOND);
    assert_eq!(error(&net), "connect timed out");
}

#[test]
fn no_common_family_is_refused() {
    let mut net = pair();
    let (first, second) = (net.config(0), net.config(1));
    net.input(
        0,
        Input::AddPeer(
            PEER,
            Box::new(PeerConfig {
                families: Families::IPV4,
                passive: true,
                ..first
            }),
        ),
    );
    net.input(
        1,
        Input::AddPeer(
            PEER,
            Box::new(PeerConfig {
                families: Families::IPV6,
                ..second
            }),
        ),
    );
    net.run(SECOND / 2);
    let errors: Vec<String> = (0..2)
        .filter_map(|node| net.nodes[node].speaker.peers()[0].last_error.clone())
        .collect();
    assert!(
        errors
            .iter()
            .any(|error| error.contains("unsupported capability (2/7)")),
        "{errors:?}"
    );
}

#[test]
fn a_neighbour_that_restarts_gets_in_once_the_old_session_is_known_to_be_dead() {
    let mut net = pair();
    up(&mut net);
    net.run(SECOND);
    // The neighbour loses its memory; its host answers the old connection with a reset.
    net.crash(1, false);
    let fresh = net::speaker(1, 65000);
    net.nodes[1].speaker = fresh;
    let config = net.config(1);
    net.input(1, Input::AddPeer(PEER, Box::new(config)));
    let old = net.nodes[0].outputs.iter().find_map(|output| match output {
        Output::PeerUp { connection, .. } => Some(*connection),
        _ => None,
    });
    let keepalives = net.nodes[0].speaker.peers()[0].counters.messages_out;
    net.run(10 * MS);
    assert_eq!(
        net.nodes[0].speaker.peers()[0].counters.messages_out,
        keepalives + 1,
        "a probe of the old one"
    );
    net.input(
        0,
        Input::Closed {
            connection: old.unwrap(),
        },
    );
    assert!(net.run_until(3 * SECOND, Net::established));
}

/// Node 0 can announce both families to node 1.
fn dual_stack() -> Net {
    let mut net = pair();
    let v6 = NextHops {
        ipv6: Some("2001:db8::1".parse().unwrap()),
        ..NextHops::default()
    };
    let config = PeerConfig {
        next_hops: v6,
        ..net.config(0)
    };
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let config = net.config(1);
    net.input(1, Input::AddPeer(PEER, Box::new(config)));
    net.input(0, Input::SetAnnouncements(three_vips()));
    assert!(net.run_until(5 * SECOND, Net::established));
    net
}

fn three_vips() -> Vec<Announcement> {
    vec![
        vip("203.0.113.10/32", 0),
        vip("203.0.113.11/32", 0),
        vip("2001:db8:1::10/128", 0),
    ]
}

fn set_role(net: &mut Net, instance: u32, preference: Preference) {
    net.input(0, Input::SetRole { instance, preference });
}

#[test]
fn routes_follow_the_role() {
    let mut net = dual_stack();
    net.run(SECOND);
    assert_eq!(
        net.nodes[1].speaker.peers()[0].received,
        0,
        "no role, no announcement"
    );

    set_role(&mut net, 0, Preference::Backup);
    net.run(SECOND);
    assert_eq!(net.nodes[1].speaker.peers()[0].received, 3);

    set_role(&mut net, 0, Preference::Master);
    let last = net.nodes[0].outputs.last().cloned();
    let Some(Output::UpdateSent {
        announced: 3,
        withdrawn: 0,
        messages: 2,
        cause,
        summary,
        ..
    }) = last
    else {
        panic!("{last:?}")
    };
    assert_eq!(
        cause,
        Cause::Role {
            instance: 0,
            preference: Preference::Master
        }
    );
    assert!(
        summary.contains("203.0.113.10/32 and 1 more: med 10 path [65001]"),
        "{summary}"
    );

    let before = net.nodes[0].outputs.len();
    set_role(&mut net, 0, Preference::Master);
    set_role(&mut net, 7, Preference::Master);
    assert_eq!(
        net.nodes[0].outputs.len(),
        before,
        "nothing has changed for the neighbour"
    );

    set_role(&mut net, 0, Preference::Withdrawn);
    net.run(SECOND);
    assert_eq!(net.nodes[1].speaker.peers()[0].received, 0);
}

#[test]
fn routes_follow_health() {
    let mut net = dual_stack();
    net.input(
        0,
        Input::SetRole {
            instance: 0,
            preference: Preference::Master,
        },
    );
    let mut vips = three_vips();
    vips[0].healthy = false;
    net.input(0, Input::SetAnnouncements(vips));
    assert!(
        matches!(
            net.nodes[0].outputs.last(),
            Some(Output::UpdateSent {
                announced: 0,
                withdrawn: 1,
                ..
            })
        ),
        "only the difference is sent"
    );
    net.run(SECOND);
    assert_eq!(net.nodes[1].speaker.peers()[0].received, 2);
    assert_eq!(net.nodes[0].speaker.adj_rib_out(PEER).len(), 2);
}

#[test]
fn a_route_refresh_brings_the_family_again() {
    let mut net = dual_stack();
    net.input(
        0,
        Input::SetRole {
            instance: 0,
            preference: Preference::Master,
        },
    );
    let up = net.nodes[0].outputs.iter().find_map(|output| match output {
        Output::PeerUp { connection, .. } => Some(*connection),
        _ => None,
    });
    let connection = up.unwrap();
    let refresh = |afi: u8, subtype: u8| {
        let mut bytes = vec![0xff; 16];
        bytes.extend([0, 23, 5, 0, afi, subtype, 1]);
        bytes
    };
    net.input(
        0,
        Input::Received {
            connection,
            bytes: &refresh(2, 0),
        },
    );
    let told = |output: &&Output| matches!(output, Output::UpdateSent { .. });
    let Some(Output::UpdateSent {
        announced: 1,
        withdrawn: 0,
        cause,
        ..
    }) = net.nodes[0].outputs.iter().rev().find(told)
    else {
        panic!("{:?}", net.nodes[0].outputs.last())
    };
    assert_eq!(*cause, Cause::RouteRefresh { family: Family::Ipv6 });
    // The markers of an enhanced refresh and a family nobody knows change nothing.
    let before = net.nodes[0].outputs.len();
    net.input(
        0,
        Input::Received {
            connection,
            bytes: &refresh(1, 1),
        },
    );
    net.input(
        0,
        Input::Received {
            connection,
            bytes: &refresh(25, 0),
        },
    );
    assert_eq!(net.nodes[0].outputs.len(), before);
    assert!(net.established());
}

/// A refresh costs a table, and asking for it 23 octets.
#[test]
fn a_flood_of_refreshes_is_answered_once_and_not_before_the_neighbour_has_read() {
    let mut net = dual_stack();
    set_role(&mut net, 0, Preference::Master);
    let up = net.nodes[0].outputs.iter().find_map(|output| match output {
        Output::PeerUp { connection, .. } => Some(*connection),
        _ => None,
    });
    let connection = up.unwrap();
    let flood = |net: &mut Net| {
        let mut bytes = Vec::new();
        for afi in [1, 2].repeat(350) {
            bytes.extend([0xff; 16]);
            bytes.extend([0, 23, 5, 0, afi, 0, 1]);
        }
        let bytes = bytes.as_slice();
        net.input(0, Input::Received { connection, bytes });
    };
    let answers = |net: &Net| {
        let told = |output: &Output| matches!(output, Output::UpdateSent { cause, .. } if matches!(cause, Cause::RouteRefresh { .. }));
        net.count(0, told)
    };
    flood(&mut net);
    assert_eq!(answers(&net), 2, "one for each family");
    backlog(&mut net, 1000);
    flood(&mut net);
    flood(&mut net);
    backlog(&mut net, 500);
    assert_eq!(answers(&net), 2, "the answer before still waits");
    backlog(&mut net, 0);
    assert_eq!(answers(&net), 4);
    backlog(&mut net, 0);
    assert_eq!(answers(&net), 4);
    assert_eq!(net.status(0).counters.refreshes_in, 2100);
    assert!(net.established());
}

#[test]
fn a_session_that_comes_back_is_told_everything_again() {
    let mut net = pair();
    net.input(0, Input::SetAnnouncements(vec![vip("203.0.113.10/32", 0)]));
    net.input(
        0,
        Input::SetRole {
            instance: 0,
            preference: Preference::Master,
        },
    );
    up(&mut net);
    net.run(SECOND);
    assert_eq!(net.nodes[1].speaker.peers()[0].received, 1);
    net.input(
        1,
        Input::Disable {
            peer: PEER,
            communication: String::new(),
        },
    );
    assert_eq!(net.nodes[1].speaker.peers()[0].received, 0);
    net.run(SECOND);
    assert!(net.nodes[0].speaker.adj_rib_out(PEER).is_empty());
    net.input(1, Input::Enable(PEER));
    assert!(net.run_until(5 * SECOND, |net| net.nodes[1].speaker.peers()[0].received == 1));
}

#[test]
fn without_a_next_hop_of_the_family_nothing_is_announced_and_it_is_said() {
    let mut net = pair();
    net.input(0, Input::SetAnnouncements(vec![vip("2001:db8:1::10/128", 0)]));
    net.input(
        0,
        Input::SetRole {
            instance: 0,
            preference: Preference::Master,
        },
    );
    up(&mut net);
    net.run(SECOND);
    assert_eq!(net.nodes[1].speaker.peers()[0].received, 0);
    let event = bgp::Event::NoNextHop { family: Family::Ipv6 };
    let said = |output: &Output| matches!(output, Output::Event { event: other, .. } if *other == event);
    assert_eq!(net.count(0, said), 1);
}

fn backlog(net: &mut Net, waiting: usize) {
    let up = net.nodes[0].outputs.iter().rev().find_map(|output| match output {
        Output::PeerUp { connection, .. } => Some(*connection),
        _ => None,
    });
    let connection = up.unwrap();
    net.input(0, Input::Backlog { connection, waiting });
}

#[test]
fn a_neighbour_that_does_not_read_is_dropped_after_the_send_hold_time() {
    let mut net = pair();
    up(&mut net);
    let expired = |output: &Output| {
        let wanted = bgp::Event::SendHoldExpired;
        matches!(output, Output::Event { event, .. } if *event == wanted)
    };
    backlog(&mut net, 1000);
    net.run(479 * SECOND);
    // Something moved: the wait begins again.
    backlog(&mut net, 900);
    net.run(479 * SECOND);
    assert!(net.established());
    backlog(&mut net, 0);
    net.run(1000 * SECOND);
    assert!(net.established());
    backlog(&mut net, 1);
    net.run(479 * SECOND);
    assert_eq!((net.established(), net.count(0, expired)), (true, 0));
    net.run(2 * SECOND);
    assert_eq!(net.count(0, expired), 1);
    assert_eq!(down_reasons(&net, 0).len(), 1);
    assert!(net.nodes[0].sent.windows(2).any(|bytes| bytes == [8, 0]));
}

#[test]
fn a_neighbour_that_answers_and_refuses_is_asked_less_and_less_often() {
    let mut net = pair();
    let refused = PeerConfig {
        remote_as: bgp::RemoteAs::Is(64999),
        passive: true,
        ..net.config(1)
    };
    net.input(1, Input::AddPeer(PEER, Box::new(refused)));
    let config = net.config(0);
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let connect = |output: &Output| matches!(output, Output::Connect { .. });
    net.run(600 * SECOND);
    let first = net.count(0, connect);
    assert!((15..40).contains(&first), "{first} attempts in 10 minutes");
    // A word of the operator brings it back at once.
    let passive = PeerConfig {
        passive: true,
        ..net.config(1)
    };
    net.input(1, Input::AddPeer(PEER, Box::new(passive)));
    let config = PeerConfig {
        connect_retry: 2 * SECOND,
        ..net.config(0)
    };
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    assert!(net.run_until(SECOND, Net::established));
}

#[test]
fn what_needs_no_new_session_takes_effect_within_the_old_one() {
    let mut net = dual_stack();
    set_role(&mut net, 0, Preference::Master);
    net.run(SECOND);
    let accepted = |net: &Net| net.status(1).accepted;
    assert_eq!(
        (net.status(1).received, accepted(&net)),
        (3, 0),
        "no import policy"
    );
    let mut config = net.config(1);
    config.import = Some(std::sync::Arc::new(bgp::Policy::all()));
    net.input(1, Input::AddPeer(PEER, Box::new(config)));
    assert_eq!(accepted(&net), 3, "judged again without asking for it again");
    // Maintenance (RFC 8326): the community goes out, the session stays.
    let mut config = net.config(0);
    config.next_hops.ipv6 = Some("2001:db8::1".parse().unwrap());
    config.graceful_shutdown = true;
    let sent = net.status(0).counters.updates_out;
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let Some(Output::UpdateSent {
        announced: 3,
        cause: Cause::Configuration,
        summary,
        ..
    }) = net.nodes[0].outputs.last()
    else {
        panic!("{:?}", net.nodes[0].outputs.last())
    };
    assert!(summary.contains("65535:0"), "{summary}");
    assert_eq!(
        net.status(0).counters.updates_out,
        sent + 2,
        "one for each family"
    );
    net.run(60 * SECOND);
    for node in 0..2 {
        assert_eq!(
            (net.status(node).counters.flaps, net.status(node).received),
            (0, 3 * node)
        );
    }
}

#[test]
fn status_tells_what_was_offered_and_what_the_neighbour_sent() {
    let mut net = pair();
    up(&mut net);
    let status = net.status(0);
    for wanted in [
        "ipv4-unicast",
        "four-octet-as",
        "enhanced-route-refresh",
        "graceful-restart",
    ] {
        for list in [&status.offered, &status.capabilities] {
            assert!(list.iter().any(|name| name == wanted), "{wanted}: {list:?}");
        }
    }
    assert_eq!((status.remote_as, status.local.is_some()), (Some(65000), true));
}

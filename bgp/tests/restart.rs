//! Routes that outlive their session, and routes that are told again: RFC 4724, 7313, 8538, 9494.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
mod net;

use std::sync::Arc;
use std::time::Duration;

use bgp::wire::{Encoding, Message, RouteRefresh};
use bgp::{
    Announcement, ConnectionId, Direction, Event, Families, Family, GracefulRestart, Input, Output,
    PeerConfig, PeerState, Policy, Preference, RemoteAs, Speaker, SpeakerConfig,
};
use net::{Net, PEER};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Node 1 may be restarted, node 0 keeps its routes.
fn config(net: &Net, node: usize, long_lived: u64) -> PeerConfig {
    let mut config = PeerConfig {
        import: Some(Arc::new(Policy::all())),
        graceful_restart: GracefulRestart {
            helper: true,
            restarter: node == 1,
            restart_time: 20 * SECOND,
            long_lived_time: Duration::from_secs(long_lived),
        },
        passive: node == 0,
        ..net.config(node)
    };
    config.next_hops.ipv6 = Some("2001:db8::1".parse().unwrap());
    config
}

fn announce(net: &mut Net, count: u8) {
    let vip = |last: u8| Announcement {
        prefix: format!("203.0.113.{last}/32").parse().unwrap(),
        instance: 0,
        healthy: true,
        overrides: None,
    };
    net.input(1, Input::SetAnnouncements((0..count).map(vip).collect()));
}

fn start(net: &mut Net, node: usize, long_lived: u64) {
    if node == 1 {
        let preference = Preference::Master;
        net.input(
            1,
            Input::SetRole {
                instance: 0,
                preference,
            },
        );
    }
    let config = config(net, node, long_lived);
    net.input(node, Input::AddPeer(PEER, Box::new(config)));
}

fn up(long_lived: u64) -> Net {
    let mut net = Net::pair([65001, 65000], [MS, MS]);
    announce(&mut net, 3);
    start(&mut net, 0, long_lived);
    start(&mut net, 1, long_lived);
    assert!(net.run_until(5 * SECOND, |net| net.established() && net.status(0).received == 3));
    net.run(SECOND);
    net
}

/// A new process at node 1, whose data path has survived or not.
fn restart(net: &mut Net, told: bool, restarting: bool) {
    net.crash(1, told);
    let old = net.nodes[1].speaker.config().clone();
    net.nodes[1].speaker = Speaker::new(SpeakerConfig { restarting, ..old });
    net.run(10 * MS);
}

fn counts(net: &Net) -> (usize, usize) {
    let status = net.status(0);
    (status.received, status.stale)
}

fn stale_events(net: &Net) -> Vec<bool> {
    let long_lived = |event: Event| {
        if let Event::StaleRoutes {
            long_lived,
            count: 3,
            family: Family::Ipv4,
        } = event
        {
            Some(long_lived)
        } else {
            None
        }
    };
    net.events(0).into_iter().filter_map(long_lived).collect()
}

#[test]
fn a_neighbour_that_is_back_in_time_loses_only_what_it_does_not_announce_again() {
    let mut net = up(0);
    restart(&mut net, true, true);
    assert_eq!((net.state(0), counts(&net)), (PeerState::Active, (3, 3)));
    assert_eq!(stale_events(&net), [false]);
    net.run(10 * SECOND);
    assert_eq!(counts(&net), (3, 3));
    announce(&mut net, 2);
    start(&mut net, 1, 0);
    assert!(net.run_until(5 * SECOND, Net::established));
    net.run(SECOND);
    assert_eq!(counts(&net), (2, 0), "swept at End-of-RIB");
    net.run(600 * SECOND);
    assert_eq!(counts(&net), (2, 0));
    // The second OPEN of the new process says nothing of a restart any more, and still keeps what is forwarded.
    net.stall();
    net.reset();
    assert_eq!(counts(&net), (2, 2));
    assert!(net.run_until(5 * SECOND, |net| net.established() && counts(net) == (2, 0)));
}

#[test]
fn a_neighbour_that_has_not_kept_its_forwarding_state_starts_from_nothing() {
    let mut net = up(0);
    restart(&mut net, true, false);
    assert_eq!(counts(&net), (3, 3));
    announce(&mut net, 0);
    start(&mut net, 1, 0);
    assert!(net.run_until(5 * SECOND, |net| net.state(0) == PeerState::Established));
    assert_eq!(counts(&net), (0, 0), "before End-of-RIB");
}

#[test]
fn a_neighbour_that_stays_away_is_given_up_after_its_restart_time() {
    let mut net = up(0);
    restart(&mut net, true, true);
    net.run(19 * SECOND);
    assert_eq!(counts(&net), (3, 3));
    net.run(2 * SECOND);
    assert_eq!(counts(&net), (0, 0));
    assert_eq!(stale_events(&net), [false]);
}

#[test]
fn a_neighbour_that_stays_away_has_its_routes_kept_longer_and_then_no_more() {
    let mut net = up(60);
    restart(&mut net, true, true);
    net.run(21 * SECOND);
    assert_eq!(counts(&net), (3, 3));
    assert_eq!(stale_events(&net), [false, true]);
    net.run(58 * SECOND);
    assert_eq!(counts(&net), (3, 3));
    net.run(2 * SECOND);
    assert_eq!(counts(&net), (0, 0));
}

#[test]
fn a_neighbour_that_comes_back_late_takes_its_long_lived_routes_over() {
    let mut net = up(60);
    restart(&mut net, true, true);
    net.run(40 * SECOND);
    announce(&mut net, 2);
    start(&mut net, 1, 60);
    assert!(net.run_until(5 * SECOND, Net::established));
    net.run(SECOND);
    assert_eq!(counts(&net), (2, 0));
    net.run(200 * SECOND);
    assert_eq!(counts(&net), (2, 0));
}

#[test]
fn the_connection_of_a_restarted_neighbour_replaces_the_old_one() {
    let mut net = up(0);
    net.run(20 * SECOND);
    // Its host never says that the old connection is gone.
    restart(&mut net, false, true);
    assert_eq!(net.state(0), PeerState::Established);
    announce(&mut net, 3);
    start(&mut net, 1, 0);
    assert!(net.run_until(SECOND, |net| net.state(1) == PeerState::Established));
    net.run(SECOND);
    assert_eq!(counts(&net), (3, 0));
    let status = net.status(0);
    assert_eq!((status.state, status.counters.flaps), (PeerState::Established, 1));
    assert_eq!(stale_events(&net), [false]);
    net.run(60 * SECOND);
    assert!(net.established());
}

#[test]
fn a_notification_keeps_the_routes_only_where_both_have_said_so() {
    // A hold time that expires: the NOTIFICATION is ours, and both have said so.
    let mut net = up(0);
    net.cut();
    net.run(10 * SECOND);
    assert_eq!((net.state(0), counts(&net)), (PeerState::Active, (3, 3)));
    // An operator that stops the neighbour: a hard reset, because node 0 would keep the routes.
    let mut net = up(0);
    let communication = "moving to another rack".to_owned();
    net.input(
        1,
        Input::Disable {
            peer: PEER,
            communication,
        },
    );
    net.run(10 * MS);
    assert_eq!(counts(&net), (0, 0));
    let error = net.status(0).last_error.unwrap();
    assert!(
        error.contains("hard reset") && error.contains("moving to another rack"),
        "{error}"
    );
    // Nobody that helps: nothing is kept.
    let mut net = up(0);
    let mut plain = config(&net, 0, 0);
    plain.graceful_restart.helper = false;
    net.input(0, Input::AddPeer(PEER, Box::new(plain)));
    assert!(net.run_until(20 * SECOND, |net| net.established() && counts(net) == (3, 0)));
    restart(&mut net, true, true);
    assert_eq!(counts(&net), (0, 0));
}

#[test]
fn when_bfd_is_down_nothing_is_kept() {
    let mut net = up(60);
    net.input(0, Input::BfdUp(PEER));
    net.input(0, Input::BfdDown(PEER));
    assert_eq!(counts(&net), (0, 0));
    let mut net = up(60);
    net.input(0, Input::BfdUp(PEER));
    restart(&mut net, true, true);
    assert_eq!(counts(&net), (3, 3));
    net.input(0, Input::BfdDown(PEER));
    assert_eq!(counts(&net), (0, 0));
}

#[test]
fn an_operator_that_stops_a_neighbour_that_is_away_drops_its_routes() {
    let mut net = up(60);
    restart(&mut net, true, true);
    let communication = String::new();
    net.input(
        0,
        Input::Disable {
            peer: PEER,
            communication,
        },
    );
    assert_eq!(counts(&net), (0, 0));
    assert_eq!(net.nodes[0].speaker.poll_timeout(), None);
}

#[test]
fn a_neighbour_that_becomes_another_while_it_is_away_loses_its_routes() {
    type Change = fn(&mut PeerConfig);
    let changes: [(&str, usize, Change); 7] = [
        ("address", 0, |config| {
            config.address = "10.0.0.9".parse().unwrap();
        }),
        ("remote AS", 0, |config| config.remote_as = RemoteAs::Is(65009)),
        ("families", 0, |config| config.families = Families::IPV6),
        ("no helper", 0, |config| config.graceful_restart.helper = false),
        ("the same AS in other words", 3, |config| {
            config.remote_as = RemoteAs::External;
        }),
        ("connect retry", 3, |config| config.connect_retry = 2 * SECOND),
        ("description", 3, |config| {
            config.description = "router".to_owned()
        }),
    ];
    // Waiting for the restart, and long-lived.
    for away in [10 * MS, 30 * SECOND] {
        for (name, kept, change) in changes {
            let mut net = up(60);
            restart(&mut net, true, true);
            net.run(away);
            assert_eq!(counts(&net), (3, 3), "{name}");
            let mut config = config(&net, 0, 60);
            change(&mut config);
            net.input(0, Input::AddPeer(PEER, Box::new(config)));
            assert_eq!(counts(&net), (kept, kept), "{name}");
        }
    }
}

#[test]
fn a_neighbour_is_waited_for_no_longer_than_the_operator_wants() {
    let mut net = up(0);
    let mut patient = config(&net, 1, 0);
    patient.graceful_restart.restart_time = 4000 * SECOND;
    net.input(1, Input::AddPeer(PEER, Box::new(patient)));
    assert!(net.run_until(20 * SECOND, |net| net.established() && counts(net) == (3, 0)));
    restart(&mut net, true, true);
    net.run(19 * SECOND);
    assert_eq!(counts(&net), (3, 3));
    net.run(2 * SECOND);
    assert_eq!(counts(&net), (0, 0));
}

#[test]
fn routes_that_nobody_uses_are_not_kept() {
    let mut net = up(60);
    let mut config = config(&net, 0, 60);
    config.import = Some(Arc::new(Policy::none()));
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    assert!(net.established());
    restart(&mut net, true, true);
    assert_eq!(counts(&net), (0, 0));
    assert_eq!(stale_events(&net), [false; 0]);
}

fn connection(net: &Net) -> ConnectionId {
    let up = |output: &Output| {
        if let Output::PeerUp { connection, .. } = output {
            Some(*connection)
        } else {
            None
        }
    };
    net.nodes[0].outputs.iter().rev().find_map(up).unwrap()
}

fn marker(net: &mut Net, subtype: u8) {
    let message = Message::RouteRefresh(RouteRefresh::new(Family::Ipv4, subtype));
    let bytes = message.encode(Encoding::default()).unwrap();
    let connection = connection(net);
    net.input(
        0,
        Input::Received {
            connection,
            bytes: &bytes,
        },
    );
}

#[test]
fn an_enhanced_refresh_sweeps_what_is_not_told_again() {
    let mut net = up(0);
    let direction = Direction::In;
    let families = Families::BOTH;
    net.input(
        0,
        Input::Refresh {
            peer: PEER,
            direction,
            families,
        },
    );
    net.run(10 * MS);
    assert_eq!(net.status(1).counters.refreshes_in, 2);
    assert_eq!(
        net.status(0).counters.refreshes_in,
        4,
        "a marker before and one behind each family"
    );
    assert_eq!(counts(&net), (3, 0));
    // A neighbour that tells nothing between the markers has nothing.
    marker(&mut net, RouteRefresh::END);
    assert_eq!(counts(&net), (3, 0), "an end without a beginning");
    marker(&mut net, RouteRefresh::BEGIN);
    assert_eq!(counts(&net), (3, 3));
    marker(&mut net, RouteRefresh::END);
    assert_eq!(counts(&net), (0, 0));
    // Ours, told again by our own will.
    let direction = Direction::Out;
    net.input(
        1,
        Input::Refresh {
            peer: PEER,
            direction,
            families,
        },
    );
    net.run(10 * MS);
    assert_eq!(counts(&net), (3, 0));
}

#[test]
fn a_refresh_without_an_end_ends_by_itself() {
    let mut net = up(0);
    marker(&mut net, RouteRefresh::BEGIN);
    net.run(599 * SECOND);
    assert_eq!(counts(&net), (3, 3));
    net.run(2 * SECOND);
    assert_eq!(counts(&net), (0, 0));
    assert!(net.established());
}

/// What the neighbour has not told again yet is not what it had before a restart.
#[test]
fn a_session_that_is_lost_during_a_refresh_keeps_its_routes() {
    let mut net = up(0);
    marker(&mut net, RouteRefresh::BEGIN);
    assert_eq!(counts(&net), (3, 3));
    restart(&mut net, true, true);
    assert_eq!((net.state(0), counts(&net)), (PeerState::Active, (3, 3)));
    assert_eq!(stale_events(&net), [false]);
    start(&mut net, 1, 0);
    announce(&mut net, 3);
    assert!(net.run_until(5 * SECOND, |net| net.established() && counts(net) == (3, 0)));
}

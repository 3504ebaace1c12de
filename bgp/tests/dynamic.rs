//! Neighbours that nobody has named: admitted from a prefix, up to a limit, and forgotten when they have gone.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking and looks at one kind of output at a time"
)]
mod net;

use std::net::SocketAddr;
use std::time::Duration;

use bgp::{
    Announcement, DynamicPeers, GracefulRestart, Input, Output, PeerConfig, PeerId, PeerState, Preference,
    RemoteAs,
};
use net::{Net, PEER};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn range(prefix: &str, limit: u32, hold: u64) -> DynamicPeers {
    DynamicPeers {
        prefix: prefix.parse().unwrap(),
        limit,
        template: PeerConfig {
            remote_as: RemoteAs::External,
            hold_time: Duration::from_secs(hold),
            ..PeerConfig::new("0.0.0.0".parse().unwrap(), 0)
        },
    }
}

/// Node 0 waits for anybody of 10.0.0.0/24, node 1 connects.
fn up() -> Net {
    let mut net = Net::pair([65001, 65000], [MS, MS]);
    net.input(0, Input::SetDynamic(vec![range("10.0.0.0/24", 1, 9)]));
    let config = net.config(1);
    net.input(1, Input::AddPeer(PEER, Box::new(config)));
    assert!(net.run_until(5 * SECOND, both_established));
    net
}

fn both_established(net: &Net) -> bool {
    (0..2).all(|node| {
        let peers = net.nodes[node].speaker.peers();
        peers
            .first()
            .is_some_and(|peer| peer.state == PeerState::Established)
    })
}

fn presence(net: &Net) -> Vec<(PeerId, bool)> {
    let seen = |output: &Output| match output {
        Output::DynamicPeer { peer, present, .. } => Some((*peer, *present)),
        _ => None,
    };
    net.nodes[0].outputs.iter().filter_map(seen).collect()
}

fn remote(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn one_is_admitted_and_forgotten_when_it_has_gone() {
    let mut net = up();
    let status = net.nodes[0].speaker.peers()[0].clone();
    assert!(status.dynamic && status.id.0 >= 1 << 31);
    assert_eq!(status.remote_as, Some(65000));
    assert_eq!(presence(&net), [(status.id, true)]);
    let stop = Input::Disable {
        peer: PEER,
        communication: String::new(),
    };
    net.input(1, stop);
    net.run(SECOND);
    assert!(net.nodes[0].speaker.peers().is_empty());
    assert_eq!(presence(&net), [(status.id, true), (status.id, false)]);
    net.input(1, Input::Enable(PEER));
    assert!(net.run_until(5 * SECOND, both_established));
}

#[test]
fn the_longest_prefix_decides_and_its_limit_holds() {
    let mut net = up();
    let speaker = &mut net.nodes[0].speaker;
    assert_eq!(speaker.peer_for(remote("10.0.0.9:4000")), None, "the limit is 1");
    assert_eq!(speaker.peer_for(remote("10.0.1.9:4000")), None, "no range");
    let member = speaker.peers()[0].id;
    assert_eq!(
        speaker.peer_for(remote("10.0.0.2:4000")),
        Some(member),
        "known already"
    );
    let ranges = vec![range("10.0.0.0/24", 5, 9), range("10.0.0.8/29", 0, 9)];
    net.input(0, Input::SetDynamic(ranges));
    let speaker = &mut net.nodes[0].speaker;
    assert_eq!(
        speaker.peer_for(remote("10.0.0.9:4000")),
        None,
        "the longer one admits nobody"
    );
    assert!(speaker.peer_for(remote("10.0.0.7:4000")).is_some());
}

#[test]
fn one_that_is_asked_about_and_does_not_come_leaves_no_trace() {
    let mut net = up();
    net.input(0, Input::SetDynamic(vec![range("10.0.0.0/24", 5, 9)]));
    let asked = net.nodes[0].speaker.peer_for(remote("10.0.0.7:4000")).unwrap();
    assert_eq!(net.nodes[0].speaker.peers().len(), 1);
    net.input(0, Input::BfdUp(asked));
    assert_eq!(net.nodes[0].speaker.peers().len(), 1);
    assert!(both_established(&net));
}

#[test]
fn a_range_that_changes_or_goes_takes_its_members_along() {
    let mut net = up();
    net.input(0, Input::SetDynamic(vec![range("10.0.0.0/16", 3, 9)]));
    assert!(both_established(&net), "another prefix alone changes nothing");
    net.input(0, Input::SetDynamic(vec![range("10.0.0.0/16", 3, 30)]));
    assert!(!both_established(&net), "another hold time is another session");
    assert!(net.run_until(5 * SECOND, both_established));
    net.input(0, Input::SetDynamic(Vec::new()));
    assert!(net.nodes[0].speaker.peers().is_empty());
    net.run(10 * SECOND);
    assert!(net.nodes[0].speaker.peers().is_empty());
    assert_eq!(presence(&net).iter().filter(|(_, present)| *present).count(), 2);
}

#[test]
fn a_neighbour_that_gets_a_name_is_no_longer_one_of_these() {
    let mut net = up();
    let config = net.config(0);
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    let ids: Vec<PeerId> = net.nodes[0].speaker.peers().iter().map(|peer| peer.id).collect();
    assert_eq!(ids, [PEER]);
    assert!(net.run_until(5 * SECOND, both_established));
    assert!(!net.nodes[0].speaker.peers()[0].dynamic);
}

/// A neighbour that asks for its routes to be kept would hold its place meanwhile, and keep others out.
#[test]
fn one_whose_routes_nobody_uses_holds_no_place() {
    let mut net = up();
    let asks = PeerConfig {
        graceful_restart: GracefulRestart {
            restarter: true,
            restart_time: Duration::from_secs(4095),
            ..GracefulRestart::default()
        },
        ..net.config(1)
    };
    net.input(1, Input::AddPeer(PEER, Box::new(asks)));
    let vip = Announcement {
        prefix: "203.0.113.1/32".parse().unwrap(),
        instance: 0,
        healthy: true,
        overrides: None,
    };
    net.input(1, Input::SetAnnouncements(vec![vip]));
    let (instance, preference) = (0, Preference::Master);
    net.input(1, Input::SetRole { instance, preference });
    let told = |net: &Net| {
        let peers = net.nodes[0].speaker.peers();
        peers.first().is_some_and(|peer| peer.received == 1)
    };
    assert!(net.run_until(10 * SECOND, told));
    net.crash(1, true);
    net.run(SECOND);
    assert!(net.nodes[0].speaker.peers().is_empty());
}

#[test]
fn one_that_is_disabled_stays_out() {
    let mut net = up();
    let peer = net.nodes[0].speaker.peers()[0].id;
    let communication = String::new();
    net.input(0, Input::Disable { peer, communication });
    net.run(30 * SECOND);
    let status = net.nodes[0].speaker.peers()[0].clone();
    assert_eq!((status.id, status.state), (peer, PeerState::Idle));
    net.input(0, Input::Enable(peer));
    assert!(net.run_until(60 * SECOND, both_established));
}

//! What monitoring stations hear: sessions that come and go, and every UPDATE as it was on the wire (RFC 7854).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
mod net;

use std::sync::Arc;
use std::time::Duration;

use bgp::wire::{Context, Message};
use bgp::{Announcement, DownReason, Families, Input, Monitored, Output, PeerConfig, Policy, Preference};
use net::{Net, PEER};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Both announce a prefix to the other.
fn introduce(net: &mut Net) {
    for node in 0..2 {
        let preference = Preference::Master;
        net.input(
            node,
            Input::SetRole {
                instance: 0,
                preference,
            },
        );
        let vip = Announcement {
            prefix: format!("203.0.113.{node}/32").parse().unwrap(),
            instance: 0,
            healthy: true,
            overrides: None,
        };
        net.input(node, Input::SetAnnouncements(vec![vip]));
        let config = PeerConfig {
            import: Some(Arc::new(Policy::all())),
            passive: node == 1,
            families: Families::IPV4,
            ..net.config(node)
        };
        net.input(node, Input::AddPeer(PEER, Box::new(config)));
    }
    assert!(net.run_until(5 * SECOND, Net::established));
    net.run(SECOND);
}

fn pair() -> Net {
    Net::pair([65001, 65000], [MS, MS])
}

fn monitored(net: &Net) -> Vec<Monitored> {
    let one = |output: &Output| {
        if let Output::Monitor(monitored) = output {
            Some(Monitored::clone(monitored))
        } else {
            None
        }
    };
    net.nodes[0].outputs.iter().filter_map(one).collect()
}

fn kinds(net: &Net) -> Vec<&'static str> {
    let kind = |monitored: &Monitored| match monitored {
        Monitored::PeerUp { .. } => "up",
        Monitored::PeerDown { .. } => "down",
        Monitored::Received { .. } => "received",
        Monitored::Sent { .. } => "sent",
    };
    monitored(net).iter().map(kind).collect()
}

fn decode(bytes: &[u8]) -> Message {
    let context = Context {
        four_octet: true,
        external: true,
        ..Context::default()
    };
    Message::decode(bytes, context).unwrap()
}

fn down(net: &Net) -> DownReason {
    let last = monitored(net).pop().unwrap();
    let Monitored::PeerDown { reason, .. } = last else {
        unreachable!("the session has ended: {last:?}")
    };
    reason
}

#[test]
fn nothing_is_said_unless_asked_for() {
    let mut net = pair();
    introduce(&mut net);
    assert!(monitored(&net).is_empty());
    net.input(0, Input::SetMonitoring(true));
    assert_eq!(kinds(&net), ["up"], "a session that is up already");
    net.input(0, Input::SetMonitoring(true));
    assert_eq!(kinds(&net), ["up"]);
    net.input(0, Input::SetMonitoring(false));
    net.crash(1, true);
    net.run(10 * MS);
    assert_eq!(kinds(&net), ["up"]);
}

#[test]
fn a_session_is_told_with_its_opens_and_updates_as_they_were() {
    let mut net = pair();
    net.input(0, Input::SetMonitoring(true));
    introduce(&mut net);
    // An UPDATE and End-of-RIB each way.
    let mut expected = vec!["up", "sent", "sent", "received", "received"];
    let mut kinds = kinds(&net);
    expected[1..].sort_unstable();
    kinds[1..].sort_unstable();
    assert_eq!(kinds, expected);
    let all = monitored(&net);
    let Monitored::PeerUp { sent, received, .. } = &all[0] else {
        unreachable!("{all:?}")
    };
    let asn = |bytes: &[u8]| {
        let Message::Open(open) = decode(bytes) else {
            unreachable!("an OPEN")
        };
        open.asn()
    };
    assert_eq!((asn(sent), asn(received)), (65001, 65000));
    for one in &all[1..] {
        let (Monitored::Sent { messages: bytes, .. } | Monitored::Received { message: bytes, .. }) = one
        else {
            unreachable!("{one:?}")
        };
        assert!(matches!(decode(bytes), Message::Update(_)));
        let from = usize::from(matches!(one, Monitored::Received { .. }));
        let whole = &net.nodes[from].sent;
        assert!(
            whole
                .windows(bytes.len())
                .any(|window| window == bytes.as_slice())
        );
    }
}

#[test]
fn the_reason_of_an_end_is_told() {
    let up = || {
        let mut net = pair();
        net.input(0, Input::SetMonitoring(true));
        introduce(&mut net);
        net
    };
    let stop = || Input::Disable {
        peer: PEER,
        communication: "night".to_owned(),
    };
    let mut net = up();
    net.input(0, stop());
    let DownReason::LocalNotification(bytes) = down(&net) else {
        unreachable!("ours")
    };
    assert_eq!(bytes[19..], *b"\x06\x02\x05night");
    let mut net = up();
    net.input(1, stop());
    net.run(SECOND);
    let DownReason::RemoteNotification(bytes) = down(&net) else {
        unreachable!("theirs")
    };
    assert_eq!(bytes[19..], *b"\x06\x02\x05night");
    let mut net = up();
    net.crash(1, true);
    net.run(10 * MS);
    assert_eq!(down(&net), DownReason::RemoteSilent);
    let mut net = up();
    net.input(0, Input::RemovePeer(PEER));
    assert_eq!(down(&net), DownReason::Deconfigured);
}

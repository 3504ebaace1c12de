//! What a monitoring station sees of a speaker that is up when it connects.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking and looks at one kind of message at a time"
)]
mod net;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use bgp::bmp::Feed;
use bgp::wire::{Encoding, Message, Open};
use bgp::{Announcement, Families, Input, Monitored, NextHops, PeerConfig, Preference};
use bgpkit_parser::models::BgpMessage;
use bgpkit_parser::parser::bmp::messages::{BmpMessageBody, PerPeerFlags};
use bgpkit_parser::parser::bmp::parse_bmp_msg;
use bytes::Bytes;
use net::{Net, PEER};

const AT: Duration = Duration::from_secs(1_700_000_000);
const VIPS: u8 = 250;

/// Feeds that follow the speaker, as the driver would; the session is up already.
fn feed() -> Feed {
    let open = |asn, host| {
        let open = Open::new(asn, 9, Ipv4Addr::new(10, 0, 0, host), Families::BOTH);
        Message::Open(open).encode(Encoding::default()).unwrap()
    };
    let mut feed = Feed::new();
    let event = Monitored::PeerUp {
        peer: PEER,
        sent: open(65001, 1),
        received: open(65000, 2),
        local: "10.0.0.1:40000".parse().unwrap(),
        remote: "10.0.0.2:179".parse().unwrap(),
    };
    assert!(!feed.encode(AT, &event).is_empty());
    feed
}

/// Prefixes by direction (true: Adj-RIB-Out), and the ends of RIBs.
fn read(bytes: Vec<u8>) -> (BTreeSet<(bool, String)>, Vec<bool>) {
    let mut bytes = Bytes::from(bytes);
    let (mut prefixes, mut ends) = (BTreeSet::new(), Vec::new());
    while !bytes.is_empty() {
        let message = parse_bmp_msg(&mut bytes).expect("bgpkit reads it");
        let BmpMessageBody::RouteMonitoring(routes) = message.message_body else {
            continue;
        };
        let PerPeerFlags::PeerFlags(flags) = message.per_peer_header.unwrap().peer_flags else {
            panic!("no Loc-RIB");
        };
        let out = flags.bits() & 0x10 != 0;
        let BgpMessage::Update(update) = routes.bgp_message else {
            panic!("an UPDATE");
        };
        let reached = update
            .attributes
            .get_reachable_nlri()
            .map(|nlri| nlri.prefixes.clone())
            .unwrap_or_default();
        let all = update.announced_prefixes.iter().chain(&reached);
        let before = prefixes.len();
        prefixes.extend(all.map(|prefix| (out, prefix.prefix.to_string())));
        if prefixes.len() == before {
            ends.push(out);
        }
    }
    (prefixes, ends)
}

#[test]
fn a_station_that_connects_late_gets_the_full_picture_in_slices() {
    let mut net = Net::pair([65001, 65000], [Duration::from_millis(1); 2]);
    net.introduce();
    let config = PeerConfig {
        next_hops: NextHops {
            ipv6: Some("2001:db8:ffff::1".parse().unwrap()),
            ..NextHops::default()
        },
        ..net.config(0)
    };
    net.input(0, Input::AddPeer(PEER, Box::new(config)));
    assert!(net.run_until(Duration::from_secs(5), Net::established));
    net.input(
        0,
        Input::SetRole {
            instance: 0,
            preference: Preference::Master,
        },
    );
    let vip = |prefix: String| Announcement {
        prefix: prefix.parse().unwrap(),
        instance: 0,
        healthy: true,
        overrides: None,
    };
    let vips: Vec<String> = (0..VIPS)
        .flat_map(|host| {
            [
                format!("203.0.113.{host}/32"),
                format!("203.0.114.{host}/32"),
                format!("2001:db8::{host:x}/128"),
            ]
        })
        .collect();
    net.input(
        0,
        Input::SetAnnouncements(vips.iter().cloned().map(vip).collect()),
    );
    net.run(Duration::from_secs(1));

    let feed = feed();
    let speaker = &net.nodes[0].speaker;
    let mut dump = feed.dump();
    let mut bytes = feed.begin(AT, "lb1", "Baton");
    let mut slices = 0;
    while let Some(slice) = feed.slice(AT, &mut dump, speaker) {
        assert!(slice.len() < 100_000, "a slice is bounded");
        bytes.extend(slice);
        slices += 1;
        assert!(slices < 100, "it ends");
    }
    assert!(slices > 3, "{slices}");
    let (prefixes, ends) = read(bytes);
    let normal = |prefix: &String| prefix.parse::<ipnet::IpNet>().unwrap().to_string();
    let expected: BTreeSet<(bool, String)> = vips.iter().map(|prefix| (true, normal(prefix))).collect();
    let told: BTreeSet<(bool, String)> = prefixes
        .into_iter()
        .map(|(out, prefix)| (out, normal(&prefix)))
        .filter(|(out, _)| *out)
        .collect();
    assert_eq!(told, expected);
    assert_eq!(ends, [false, false, true, true], "both families, in then out");
}

#[test]
fn a_neighbour_that_goes_during_the_dump_is_left_out() {
    let mut net = Net::pair([65001, 65000], [Duration::from_millis(1); 2]);
    net.introduce();
    assert!(net.run_until(Duration::from_secs(5), Net::established));
    let mut feed = feed();
    let mut dump = feed.dump();
    let down = Monitored::PeerDown {
        peer: PEER,
        reason: bgp::DownReason::RemoteSilent,
    };
    assert!(!feed.encode(AT, &down).is_empty());
    let mut left = Vec::new();
    while let Some(slice) = feed.slice(AT, &mut dump, &net.nodes[0].speaker) {
        left.extend(slice);
    }
    assert_eq!(left, []);
}

#[test]
fn statistics_of_those_that_are_up() {
    let mut net = Net::pair([65001, 65000], [Duration::from_millis(1); 2]);
    net.introduce();
    assert!(net.run_until(Duration::from_secs(5), Net::established));
    let peers = net.nodes[0].speaker.peers();
    let mut bytes = Bytes::from(feed().statistics(AT, &peers));
    let message = parse_bmp_msg(&mut bytes).expect("bgpkit reads it");
    let BmpMessageBody::StatsReport(report) = message.message_body else {
        panic!("a statistics report");
    };
    assert_eq!(report.stats_count, 4);
    assert!(bytes.is_empty());
    assert_eq!(Feed::new().statistics(AT, &peers), []);
}

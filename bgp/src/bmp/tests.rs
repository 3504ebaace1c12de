//! Golden bytes, and every kind of message read by another implementation.

use std::net::Ipv4Addr;

use bgpkit_parser::parser::bmp::messages::{BmpMessage, BmpMessageBody, BmpPeerType, PerPeerFlags};
use bgpkit_parser::parser::bmp::parse_bmp_msg;
use bytes::Bytes;

use super::*;
use crate::config::Family;
use crate::io::DownReason;
use crate::wire::{Attribute, Capability, Cease, Nlri, Update};

const AT: Duration = Duration::new(0x6000_0000, 500_000_000);
const PEER: PeerId = PeerId(7);

fn open(asn: u32, four_octet: bool) -> Vec<u8> {
    let mut open = Open::new(asn, 9, Ipv4Addr::new(10, 0, 0, 1), Families::BOTH);
    if !four_octet {
        let is_as = |capability: &Capability| matches!(capability, Capability::FourOctetAs(_));
        open.capabilities.retain(|capability| !is_as(capability));
    }
    Message::Open(open).encode(Encoding::default()).unwrap()
}

fn announcement() -> Vec<u8> {
    let update = Update {
        withdrawn: Vec::new(),
        attributes: vec![
            Attribute::Origin(crate::wire::Origin::Igp),
            Attribute::AsPath(crate::AsPath::sequence(&[65000]).0),
            Attribute::NextHop(Ipv4Addr::new(192, 0, 2, 1)),
        ],
        nlri: vec![Nlri::from("203.0.113.0/24".parse::<ipnet::IpNet>().unwrap())],
    };
    Message::Update(update.into())
        .encode(Encoding::default())
        .unwrap()
}

fn peer_up(remote: &str, four_octet: bool) -> Monitored {
    let local = if remote.starts_with('[') {
        "[2001:db8::1]:179"
    } else {
        "192.0.2.1:179"
    };
    Monitored::PeerUp {
        peer: PEER,
        sent: open(65001, true),
        received: open(65000, four_octet),
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

fn up(remote: &str, four_octet: bool) -> Feed {
    let mut feed = Feed::new();
    assert!(!feed.encode(AT, &peer_up(remote, four_octet)).is_empty());
    feed
}

/// All messages, as bgpkit reads them; none may be left over.
fn read(bytes: Vec<u8>) -> Vec<BmpMessage> {
    let mut bytes = Bytes::from(bytes);
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        messages.push(parse_bmp_msg(&mut bytes).expect("bgpkit reads it"));
    }
    messages
}

fn flags(message: &BmpMessage) -> u8 {
    match message.per_peer_header.as_ref().unwrap().peer_flags {
        PerPeerFlags::PeerFlags(flags) => flags.bits(),
        PerPeerFlags::LocalRibPeerFlags(_) => panic!("no Loc-RIB"),
    }
}

/// What follows the common header: global instance, the flags, no distinguisher, address, AS, identifier, time.
fn peer_header(flags: u8) -> Vec<u8> {
    let mut header = vec![0, flags];
    header.extend([0; 8 + 12]);
    header.extend([192, 0, 2, 2]);
    header.extend([0, 0, 0xfd, 0xe8, 10, 0, 0, 1]);
    header.extend([0x60, 0, 0, 0, 0, 0x07, 0xa1, 0x20]);
    header
}

#[test]
fn the_same_link_local_address_on_two_links_is_two_neighbours() {
    let header = |remote: &str| {
        let message = up(remote, true).begin(AT, "", "");
        let up = read(message.clone()).pop().unwrap();
        let header = up.per_peer_header.unwrap();
        (
            header.peer_type,
            header.peer_distinguisher,
            header.peer_ip.to_string(),
        )
    };
    let address = String::from("fe80::1");
    let (kind, distinguisher, ip) = header("[fe80::1%3]:179");
    assert_eq!((kind, distinguisher, &ip), (BmpPeerType::Local, 3, &address));
    let (_, distinguisher, ip) = header("[fe80::1%4]:179");
    assert_eq!((distinguisher, &ip), (4, &address));
    let (kind, distinguisher, _) = header("[2001:db8::2%3]:179");
    assert_eq!((kind, distinguisher), (BmpPeerType::Global, 0));
}

#[test]
fn golden_bytes() {
    let begin = initiation("lb1", "B");
    assert_eq!(
        begin,
        [3, 0, 0, 0, 18, 4, 0, 1, 0, 1, b'B', 0, 2, 0, 3, b'l', b'b', b'1']
    );
    assert_eq!(
        termination(Reason::Administrative),
        [3, 0, 0, 0, 12, 5, 0, 1, 0, 2, 0, 0]
    );

    let mut feed = up("192.0.2.2:1790", true);
    let (sent, received) = (open(65001, true), open(65000, true));
    let mut expected = vec![3, 0, 0, 0, 0, 3];
    expected.extend(peer_header(0));
    expected.extend([0; 12]);
    expected.extend([192, 0, 2, 1]);
    // 179 and 1790.
    expected.extend([0, 0xb3, 0x06, 0xfe]);
    expected.extend(&sent);
    expected.extend(&received);
    expected[4] = u8::try_from(expected.len()).unwrap();
    assert_eq!(feed.encode(AT, &peer_up("192.0.2.2:1790", true)), expected);

    let update = announcement();
    let event = Monitored::Received {
        peer: PEER,
        message: update.clone(),
    };
    let mut expected = vec![3, 0, 0, 0, u8::try_from(48 + update.len()).unwrap(), 0];
    expected.extend(peer_header(0));
    expected.extend(&update);
    assert_eq!(feed.encode(AT, &event), expected);

    let down = Monitored::PeerDown {
        peer: PEER,
        reason: DownReason::LocalSilent,
    };
    let mut expected = vec![3, 0, 0, 0, 51, 2];
    expected.extend(peer_header(0));
    expected.extend([2, 0, 0]);
    assert_eq!(feed.encode(AT, &down), expected);
    assert_eq!(feed.encode(AT, &down), [], "it was not up any more");
    assert_eq!(feed.encode(AT, &event), []);
}

#[test]
fn flags_tell_family_direction_and_size_of_as_numbers() {
    let received = Monitored::Received {
        peer: PEER,
        message: announcement(),
    };
    let sent = Monitored::Sent {
        peer: PEER,
        messages: announcement(),
    };
    for (remote, four_octet, event, expected) in [
        ("192.0.2.2:179", true, &received, 0),
        ("192.0.2.2:179", true, &sent, 0x50),
        ("192.0.2.2:179", false, &received, 0x20),
        ("[2001:db8::2]:179", true, &received, 0x80),
        ("[2001:db8::2]:179", false, &sent, 0xf0),
    ] {
        let bytes = up(remote, four_octet).encode(AT, event);
        assert_eq!(bytes[7], expected, "{remote} {four_octet} {event:?}");
    }
}

#[test]
fn every_message_is_read_by_bgpkit() {
    let mut feed = up("192.0.2.2:179", true);
    let begin = read(feed.begin(AT, "lb1", "Baton"));
    assert!(matches!(
        begin[0].message_body,
        BmpMessageBody::InitiationMessage(_)
    ));
    let BmpMessageBody::PeerUpNotification(peer) = &begin[1].message_body else {
        panic!("{begin:?}");
    };
    assert_eq!(peer.remote_port, 179);
    let header = begin[1].per_peer_header.as_ref().unwrap();
    assert_eq!(header.peer_asn.to_u32(), 65000);
    assert_eq!(header.peer_ip.to_string(), "192.0.2.2");

    // Several messages in a row; a KEEPALIVE among them is no route.
    let keepalive = Message::Keepalive.encode(Encoding::default()).unwrap();
    let event = Monitored::Sent {
        peer: PEER,
        messages: [announcement(), keepalive, announcement()].concat(),
    };
    let routes = read(feed.encode(AT, &event));
    assert_eq!(routes.len(), 2);
    for message in &routes {
        assert!(matches!(message.message_body, BmpMessageBody::RouteMonitoring(_)));
        assert_eq!(flags(message), 0x50);
    }

    let notification = Message::Notification(Cease::BfdDown.into())
        .encode(Encoding::default())
        .unwrap();
    for reason in [
        DownReason::LocalNotification(notification.clone()),
        DownReason::LocalSilent,
        DownReason::RemoteNotification(notification),
        DownReason::RemoteSilent,
        DownReason::Deconfigured,
    ] {
        let down = Monitored::PeerDown { peer: PEER, reason };
        let messages = read(feed.encode(AT, &down));
        assert!(matches!(
            messages[0].message_body,
            BmpMessageBody::PeerDownNotification(_)
        ));
        feed.encode(AT, &peer_up("192.0.2.2:179", true));
    }
    let end = read(termination(Reason::OutOfResources));
    assert!(matches!(
        end[0].message_body,
        BmpMessageBody::TerminationMessage(_)
    ));
}

#[test]
fn paths_are_told_apart_where_the_neighbour_does() {
    let capability = |send, receive| {
        let mut open = Open::new(65001, 9, Ipv4Addr::new(10, 0, 0, 1), Families::BOTH);
        open.capabilities.push(Capability::AddPath(vec![AddPath {
            afi: 1,
            safi: 1,
            receive,
            send,
        }]));
        Message::Open(open).encode(Encoding::default()).unwrap()
    };
    let address: SocketAddr = "192.0.2.2:179".parse().unwrap();
    for (ours, theirs, expected) in [
        (capability(false, true), capability(true, false), true),
        (capability(true, false), capability(false, true), false),
        (open(65001, true), capability(true, true), false),
    ] {
        let session = Session::new(&ours, &theirs, address, address).unwrap();
        assert_eq!(session.encoding.add_path.contains(Family::Ipv4), expected);
        assert!(!session.encoding.add_path.contains(Family::Ipv6));
    }
}

#[test]
fn nonsense_is_no_message() {
    let mut feed = up("192.0.2.2:179", true);
    for message in [
        vec![],
        vec![0xff; 18],
        vec![0xff; 19],
        announcement()[..30].to_vec(),
    ] {
        let event = Monitored::Received { peer: PEER, message };
        assert_eq!(feed.encode(AT, &event), []);
    }
    let broken = Monitored::PeerUp {
        peer: PeerId(8),
        sent: vec![1, 2, 3],
        received: open(65000, true),
        local: "192.0.2.1:179".parse().unwrap(),
        remote: "192.0.2.9:179".parse().unwrap(),
    };
    assert_eq!(feed.encode(AT, &broken), []);
}

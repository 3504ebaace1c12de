//! A neighbour that has much to say of few prefixes: what is kept of it is bounded in octets, not only in routes.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the virtual clock needs a first moment")]
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::wire::{Attribute, Encoding, Message, Nlri, Open, Origin, Update};
use bgp::{
    AsPath, ConnectionId, Families, Input, Output, PeerConfig, PeerId, PeerState, PeerStatus, Policy,
    RouteQuery, Speaker, SpeakerConfig, Table,
};

const PEER: PeerId = PeerId(0);
const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

struct Node {
    speaker: Speaker,
    connection: ConnectionId,
    now: Instant,
    sent: Vec<u8>,
}

impl Node {
    /// Established with a neighbour that may send long messages.
    fn new(change: impl FnOnce(&mut PeerConfig)) -> Self {
        let mut config = PeerConfig::new(IpAddr::V4(REMOTE), 65000);
        config.passive = true;
        config.import = Some(Arc::new(Policy::all()));
        change(&mut config);
        let mut node = Node {
            speaker: Speaker::new(SpeakerConfig::new(65001, Ipv4Addr::new(10, 0, 0, 1), 1)),
            connection: ConnectionId(0),
            now: Instant::now(),
            sent: Vec::new(),
        };
        node.input(Input::AddPeer(PEER, Box::new(config)));
        node.input(Input::Enable(PEER));
        node.connect();
        assert_eq!(node.status().state, PeerState::Established);
        node
    }

    fn connect(&mut self) {
        let connection = self.speaker.allocate_connection();
        self.connection = connection;
        let peer = PEER;
        let local = SocketAddr::from(([10, 0, 0, 1], 179));
        self.input(Input::Accepted {
            connection,
            peer,
            local,
        });
        let mut open = Open::new(65000, 90, REMOTE, Families::BOTH);
        open.capabilities.push(bgp::wire::Capability::ExtendedMessage);
        for message in [Message::Open(open), Message::Keepalive] {
            self.receive(&message);
        }
    }

    fn receive(&mut self, message: &Message) {
        let connection = self.connection;
        let encoding = Encoding {
            four_octet: true,
            extended: true,
            ..Encoding::default()
        };
        let bytes = message.encode(encoding).unwrap();
        self.input(Input::Received {
            connection,
            bytes: &bytes,
        });
    }

    /// A prefix of its own, with one attribute more.
    fn announce(&mut self, index: u32, attribute: Attribute) {
        let prefix = ipnet::Ipv4Net::new(Ipv4Addr::from(0x0a2a_0000 + index), 32).unwrap();
        let update = Update {
            attributes: vec![
                Attribute::Origin(Origin::Igp),
                Attribute::AsPath(AsPath::sequence(&[65000]).0),
                Attribute::NextHop(REMOTE),
                attribute,
            ],
            nlri: vec![Nlri::from(ipnet::IpNet::V4(prefix))],
            ..Update::default()
        };
        self.receive(&Message::Update(update.into()));
    }

    fn input(&mut self, input: Input<'_>) {
        self.speaker.handle(self.now, input);
        while let Some(output) = self.speaker.poll_output() {
            if let Output::Send { bytes, .. } = output {
                self.sent.extend(bytes);
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Timeout);
    }

    fn status(&self) -> PeerStatus {
        self.speaker.peers().remove(0)
    }
}

/// 60,000 octets that no other prefix has.
fn communities(index: u32) -> Attribute {
    Attribute::Communities((0..15_000).map(|low| (index << 16) + low).collect())
}

#[test]
fn a_neighbour_that_says_too_much_is_told_so_and_left_alone() {
    let mut node = Node::new(|config| config.max_prefixes.idle_hold = None);
    let mut announced = 0;
    while node.status().state == PeerState::Established {
        // 64 MiB are 1,118 of them: more are never held.
        assert!(announced <= 1_119, "{announced} times 60,000 octets are held");
        node.announce(announced, communities(announced));
        announced += 1;
    }
    // Half of that is granted, and not ended early because of what is in use no more.
    assert!(announced > 559, "{announced}");
    let status = node.status();
    assert_eq!(
        (status.state, status.received, status.accepted),
        (PeerState::Idle, 0, 0)
    );
    assert_eq!(
        status.last_error.as_deref(),
        Some("sent: out of resources (6/8): its path attributes take more than 32 MiB")
    );
    let cease = [0, 21, 3, 6, 8];
    assert!(node.sent.ends_with(&cease));
    // Not for good.
    assert_eq!(status.idle_hold, Some(node.now + Duration::from_secs(300)));
    node.wait(Duration::from_secs(301));
    node.connect();
    assert_eq!(node.status().state, PeerState::Established);
}

#[test]
fn what_was_replaced_does_not_count() {
    let mut node = Node::new(|_| {});
    // More than may be held, one after the other to the same prefixes.
    for index in 0..1_300 {
        node.announce(index % 8, communities(index));
    }
    let status = node.status();
    assert_eq!((status.state, status.received), (PeerState::Established, 8));
}

#[test]
fn of_long_attributes_that_nobody_knows_nothing_is_kept() {
    let mut node = Node::new(|_| {});
    let other = |index: u32, length| {
        let mut value = index.to_be_bytes().to_vec();
        value.resize(length, 0);
        Attribute::Other {
            code: 200,
            flags: 0xc0,
            value,
        }
    };
    for index in 0..1_200 {
        node.announce(index, other(index, 60_000));
    }
    node.announce(1_200, other(1_200, 40));
    let status = node.status();
    assert_eq!((status.state, status.received), (PeerState::Established, 1_201));
    let routes = node.speaker.routes(&RouteQuery {
        table: Table::Received,
        peer: None,
        family: None,
        within: None,
        after: None,
        limit: usize::MAX,
    });
    let kept = |route: &&bgp::RouteStatus| !route.attributes.unknown.is_empty();
    assert_eq!(routes.iter().filter(kept).count(), 1);
}

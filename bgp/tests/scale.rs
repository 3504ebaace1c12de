//! 64 neighbours with 10,000 prefixes each: what it takes to read them, and to tell 10,000 to all of them.
//!
//! Prints, and asserts only what does not depend on the machine:
//! `cargo test --release -p bgp --test scale -- --ignored --nocapture`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "the virtual clock needs a first moment, and the real one is printed"
)]
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bgp::wire::{AsPathSegment, Attribute, Encoding, Message, Nlri, Open, Origin, SegmentKind, Update};
use bgp::{
    Announcement, ConnectionId, Families, Input, Output, PeerConfig, PeerId, Policy, Preference, Speaker,
    SpeakerConfig,
};

const PEERS: u32 = 64;
const PREFIXES: u32 = 10_000;

fn handle(speaker: &mut Speaker, now: Instant, input: Input<'_>) -> usize {
    speaker.handle(now, input);
    let mut bytes = 0;
    while let Some(output) = speaker.poll_output() {
        if let Output::Send { bytes: sent, .. } = output {
            bytes += sent.len();
        }
    }
    bytes
}

fn prefix(peer: u32, index: u32) -> Nlri {
    let address = Ipv4Addr::from(0x1400_0000 + peer * 0x1_0000 + index);
    Nlri {
        path_id: 0,
        prefix: IpAddr::V4(address).into(),
    }
}

/// As a neighbour would pack them.
fn table(peer: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let indices: Vec<u32> = (0..PREFIXES).collect();
    for chunk in indices.chunks(800) {
        let update = Update {
            attributes: vec![
                Attribute::Origin(Origin::Igp),
                Attribute::AsPath(vec![AsPathSegment {
                    kind: SegmentKind::Sequence,
                    asns: vec![65000],
                }]),
                Attribute::NextHop(Ipv4Addr::new(10, 0, 0, 9)),
            ],
            nlri: chunk.iter().map(|index| prefix(peer, *index)).collect(),
            ..Update::default()
        };
        bytes.extend(
            Message::Update(update.into())
                .encode(Encoding::default())
                .unwrap(),
        );
    }
    bytes
}

fn establish(speaker: &mut Speaker, now: Instant, peer: u32) -> ConnectionId {
    let address = Ipv4Addr::from(0x0a00_0100 + peer);
    let config = PeerConfig {
        passive: true,
        import: Some(Arc::new(Policy::all())),
        export: Some(Arc::new(Policy::all())),
        ..PeerConfig::new(address.into(), 65000)
    };
    handle(speaker, now, Input::AddPeer(PeerId(peer), Box::new(config)));
    let connection = speaker.allocate_connection();
    let local = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), 179);
    let accepted = Input::Accepted {
        connection,
        peer: PeerId(peer),
        local,
    };
    handle(speaker, now, accepted);
    for message in [
        Message::Open(Open::new(65000, 9, address, Families::BOTH)),
        Message::Keepalive,
    ] {
        let bytes = message.encode(Encoding::default()).unwrap();
        handle(
            speaker,
            now,
            Input::Received {
                connection,
                bytes: &bytes,
            },
        );
    }
    connection
}

#[test]
#[ignore = "a measurement"]
fn sixty_four_neighbours_with_ten_thousand_prefixes_each() {
    let now = Instant::now();
    let mut speaker = Speaker::new(SpeakerConfig::new(65001, Ipv4Addr::new(10, 0, 0, 1), 1));
    let connections: Vec<ConnectionId> = (0..PEERS)
        .map(|peer| establish(&mut speaker, now, peer))
        .collect();
    let tables: Vec<Vec<u8>> = (0..PEERS).map(table).collect();
    let (start, mut longest) = (Instant::now(), std::time::Duration::ZERO);
    for (connection, bytes) in connections.iter().zip(&tables) {
        for bytes in bytes.chunks(16 * 1024) {
            let one = Instant::now();
            let connection = *connection;
            handle(&mut speaker, now, Input::Received { connection, bytes });
            longest = longest.max(one.elapsed());
        }
    }
    println!(
        "read {} paths: {:?}, longest input {longest:?}",
        PEERS * PREFIXES,
        start.elapsed()
    );
    for peer in speaker.peers() {
        assert_eq!(peer.received, usize::try_from(PREFIXES).unwrap());
    }
    let vip = |index| Announcement {
        prefix: prefix(PEERS, index).prefix,
        instance: 0,
        healthy: true,
        overrides: None,
    };
    let announcements = (0..PREFIXES).map(vip).collect();
    handle(&mut speaker, now, Input::SetAnnouncements(announcements));
    let (instance, preference) = (0, Preference::Master);
    let start = Instant::now();
    let bytes = handle(&mut speaker, now, Input::SetRole { instance, preference });
    println!(
        "told {PREFIXES} prefixes to {PEERS}: {:?}, {bytes} bytes",
        start.elapsed()
    );
    let start = Instant::now();
    for _ in 0..1000 {
        handle(&mut speaker, now, Input::Timeout);
        std::hint::black_box(speaker.poll_timeout());
    }
    println!("a timeout of nobody: {:?}", start.elapsed() / 1000);
    let keepalive = Message::Keepalive.encode(Encoding::default()).unwrap();
    let start = Instant::now();
    for connection in &connections {
        let connection = *connection;
        handle(
            &mut speaker,
            now,
            Input::Received {
                connection,
                bytes: &keepalive,
            },
        );
    }
    println!("a keepalive: {:?}", start.elapsed() / PEERS);
}

//! One established session, fed with any stream of bytes in any portions: nothing panics, the outputs are bounded by
//! what came in, and the neighbour is still the only one.
//!
//! Input: an octet of options for the OPEN, then portions, each behind an octet of length. Its highest bit makes the
//! portion a message of the type that follows, the one below lets time pass before. Used by the fuzzer and by
//! `bgp/tests/corpus.rs`.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::wire::{AddPath, Capability, Encoding, Message, Open, Restart, RestartFamily};
use bgp::{
    Announcement, ConnectionId, Families, Input, Output, PeerConfig, PeerId, PeerState, Policy, Preference,
    RouteQuery, Speaker, SpeakerConfig, Table,
};

const PEER: PeerId = PeerId(1);
const NEIGHBOR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

const FRAMED: u8 = 0x80;
const LATER: u8 = 0x40;
const LENGTH: u8 = 0x3f;

struct Bench {
    speaker: Speaker,
    now: Instant,
    connection: ConnectionId,
    received: usize,
    sent: usize,
    outputs: usize,
    closed: bool,
}

pub(crate) fn run(data: &[u8]) {
    let [options, rest @ ..] = data else { return };
    #[allow(clippy::disallowed_methods, reason = "the virtual clock needs a first moment")]
    let mut bench = Bench::new(Instant::now(), *options);
    let mut rest = rest;
    while let [control, tail @ ..] = rest {
        let length = usize::from(control & LENGTH).min(tail.len());
        let (portion, tail) = tail.split_at(length);
        rest = tail;
        if control & LATER != 0 {
            bench.now += Duration::from_secs(1);
            bench.handle(Input::Timeout);
        }
        match portion {
            [kind, body @ ..] if control & FRAMED != 0 => bench.message(*kind, body),
            bytes => bench.receive(bytes),
        }
        if bench.closed {
            break;
        }
    }
    bench.end();
}

fn config(options: u8) -> PeerConfig {
    let mut config = PeerConfig::new(IpAddr::V4(NEIGHBOR), if options & 1 == 0 { 65002 } else { 65001 });
    config.passive = true;
    config.import = Some(Arc::new(Policy::all()));
    config.export = Some(Arc::new(Policy::all()));
    config.add_path = true;
    config.next_hops.ipv6 = Some(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    config.max_prefixes.limit = 16;
    config
}

/// What the neighbour can do is up to the input.
fn open(options: u8) -> Open {
    let asn = if options & 1 == 0 { 65002 } else { 65001 };
    let mut open = Open::new(asn, 90, NEIGHBOR, Families::BOTH);
    if options & 2 != 0 {
        open.capabilities.push(Capability::AddPath(
            [1, 2]
                .map(|afi| AddPath {
                    afi,
                    safi: 1,
                    receive: true,
                    send: true,
                })
                .to_vec(),
        ));
    }
    if options & 4 != 0 {
        open.capabilities.push(Capability::ExtendedMessage);
    }
    if options & 8 != 0 {
        let family = |afi| RestartFamily {
            afi,
            safi: 1,
            forwarding: true,
        };
        open.capabilities.push(Capability::GracefulRestart(Restart {
            restarting: false,
            notification: true,
            time: 120,
            families: [1, 2].map(family).to_vec(),
        }));
    }
    if options & 16 != 0 {
        open.capabilities.push(Capability::EnhancedRouteRefresh);
    }
    if options & 32 != 0 {
        open.capabilities
            .retain(|capability| !matches!(capability, Capability::FourOctetAs(_)));
    }
    open
}

impl Bench {
    fn new(now: Instant, options: u8) -> Self {
        let mut speaker = Speaker::new(SpeakerConfig::new(65001, LOCAL, 1));
        let connection = speaker.allocate_connection();
        let mut bench = Bench {
            speaker,
            now,
            connection,
            received: 0,
            sent: 0,
            outputs: 0,
            closed: false,
        };
        bench.handle(Input::SetRole {
            instance: 0,
            preference: Preference::Master,
        });
        let prefixes = ["203.0.113.1/32", "203.0.113.2/32", "2001:db8:1::1/128"];
        let announcement = |prefix: &str| {
            prefix.parse().ok().map(|prefix: ipnet::IpNet| Announcement {
                prefix,
                instance: 0,
                healthy: true,
                overrides: None,
            })
        };
        let list = prefixes.into_iter().filter_map(announcement).collect();
        bench.handle(Input::SetAnnouncements(list));
        bench.handle(Input::AddPeer(PEER, Box::new(config(options))));
        bench.handle(Input::Accepted {
            connection,
            peer: PEER,
            local: SocketAddr::new(IpAddr::V4(LOCAL), 179),
        });
        for message in [Message::Open(open(options)), Message::Keepalive] {
            if let Ok(bytes) = message.encode(Encoding::default()) {
                bench.receive(&bytes);
            }
        }
        let state = bench.speaker.peers().first().map(|peer| peer.state);
        assert_eq!(state, Some(PeerState::Established));
        bench
    }

    fn message(&mut self, kind: u8, body: &[u8]) {
        let mut message = vec![0xff; 16];
        message.extend(u16::try_from(19 + body.len()).unwrap_or(u16::MAX).to_be_bytes());
        message.push(kind);
        message.extend(body);
        self.receive(&message);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        self.handle(Input::Received {
            connection: self.connection,
            bytes,
        });
    }

    fn handle(&mut self, input: Input<'_>) {
        self.speaker.handle(self.now, input);
        while let Some(output) = self.speaker.poll_output() {
            self.outputs += 1;
            if let Output::Send { bytes, .. } = &output {
                self.sent += bytes.len();
            }
            if output
                == (Output::Close {
                    connection: self.connection,
                })
            {
                self.closed = true;
            }
        }
        self.check();
    }

    fn check(&self) {
        // The smallest message has 19 octets. A request of 23 brings all there is, some hundred octets.
        assert!(self.outputs <= 64 + self.received, "{} outputs", self.outputs);
        assert!(
            self.sent <= 8192 + 64 * self.received,
            "{} octets sent",
            self.sent
        );
        let peers = self.speaker.peers();
        assert!(peers.len() <= 1);
        for peer in peers {
            let query = |table| RouteQuery {
                table,
                peer: Some(PEER),
                family: None,
                within: None,
                after: None,
                limit: usize::MAX,
            };
            let received = self.speaker.routes(&query(Table::Received)).len();
            assert_eq!(received, peer.received);
            assert!(peer.accepted <= peer.received && peer.received <= 2 * 16 + 1);
            assert!(self.speaker.routes(&query(Table::Best)).len() <= peer.accepted);
        }
    }

    /// After the end of the connection, time goes on to where nothing is left to be waited for.
    fn end(&mut self) {
        if !self.closed {
            self.handle(Input::Closed {
                connection: self.connection,
            });
        }
        for _ in 0..64 {
            let Some(at) = self.speaker.poll_timeout() else {
                break;
            };
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        let peers = self.speaker.peers();
        assert_eq!(peers.len(), 1);
        for peer in peers {
            assert_ne!(peer.state, PeerState::Established);
            assert_eq!((peer.received, peer.stale, peer.advertised), (0, 0, 0));
        }
    }
}

//! Any sequence of inputs: no panic, no timer left due, no second session, output only for connections that exist.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one kind of output at a time"
)]
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::wire::{
    AsPathSegment, Attribute, Capability, Encoding, Message, Nlri, Notification, Open, Origin, Restart,
    RestartFamily, RouteRefresh, SegmentKind, Update,
};
use bgp::{
    Announcement, BfdMode, ConnectionId, Direction, DynamicPeers, Families, Family, Input, Output,
    PeerConfig, PeerId, PeerState, Policy, Preference, Speaker, SpeakerConfig,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Connections and neighbours are named by index, so that most of them exist.
#[derive(Clone, Debug)]
enum Step {
    Add {
        peer: u32,
        passive: bool,
        hold: u64,
        /// Bits: import, few prefixes, graceful restart, strict BFD.
        flavour: u8,
    },
    /// One that nobody has named connects.
    Stranger(u8),
    Ranges(Vec<(u8, u32)>),
    Refresh(u32, bool),
    Monitoring(bool),
    Backlog(prop::sample::Index, usize),
    Remove(u32),
    Enable(u32),
    Disable(u32),
    Connected(prop::sample::Index),
    ConnectFailed(prop::sample::Index),
    Accepted(u32),
    /// As a neighbour does it that means well.
    Establish(prop::sample::Index),
    Message(prop::sample::Index, Message),
    Bytes(prop::sample::Index, Vec<u8>),
    Closed(prop::sample::Index),
    Bfd(u32, bool),
    Role(u32, usize),
    Announce(Vec<(u32, bool)>),
    Wait(u64),
    Shutdown,
}

fn open(asn: u32, hold: u16) -> Open {
    let mut open = Open::new(asn, hold, Ipv4Addr::new(10, 0, 0, 9), Families::BOTH);
    open.capabilities.push(Capability::EnhancedRouteRefresh);
    open.capabilities.push(Capability::BfdStrict);
    open.capabilities.push(Capability::GracefulRestart(Restart {
        restarting: hold.is_multiple_of(2),
        notification: hold.is_multiple_of(3),
        time: hold,
        families: vec![RestartFamily {
            afi: 1,
            safi: 1,
            forwarding: true,
        }],
    }));
    open
}

fn announcement(count: u8) -> Update {
    let nlri = |last| Nlri {
        path_id: 0,
        prefix: format!("192.0.2.{last}/32").parse().unwrap(),
    };
    Update {
        attributes: vec![
            Attribute::Origin(Origin::Igp),
            Attribute::AsPath(vec![AsPathSegment {
                kind: SegmentKind::Sequence,
                asns: vec![65000],
            }]),
            Attribute::NextHop(Ipv4Addr::new(10, 0, 0, 9)),
        ],
        nlri: (0..=count).map(nlri).collect(),
        ..Update::default()
    }
}

fn message() -> impl Strategy<Value = Message> {
    let update = Update {
        withdrawn: vec!["10.0.0.0/8".parse::<ipnet::IpNet>().unwrap().into()],
        ..Update::default()
    };
    prop_oneof![
        4 => (any::<bool>(), 0..20_u16).prop_map(|(right, hold)| {
            let asn = if right { 65000 } else { 65009 };
            Message::Open(open(asn, hold))
        }),
        4 => (0..4_u8).prop_map(|count| Message::Update(announcement(count).into())),
        1 => Just(Message::Update(Update::end_of_rib(Family::Ipv4).into())),
        1 => (0..4_u8).prop_map(|subtype| Message::RouteRefresh(RouteRefresh::new(Family::Ipv4, subtype))),
        6 => Just(Message::Keepalive),
        2 => Just(Message::Update(update.into())),
        2 => (0..4_u16).prop_map(|afi| Message::RouteRefresh(RouteRefresh { afi, subtype: 0, safi: 1 })),
        1 => Just(Message::Notification(Notification::HOLD_TIMER_EXPIRED)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        2 => (0..3_u32, any::<bool>(), 0..12_u64, 0..16_u8).prop_map(|(peer, passive, hold, flavour)| {
            Step::Add { peer, passive, hold, flavour }
        }),
        4 => (0..6_u8).prop_map(Step::Stranger),
        1 => vec((24..32_u8, 0..3_u32), 0..3).prop_map(Step::Ranges),
        2 => (0..3_u32, any::<bool>()).prop_map(|(peer, outwards)| Step::Refresh(peer, outwards)),
        1 => any::<bool>().prop_map(Step::Monitoring),
        2 => (index(), 0..2_usize).prop_map(|(at, waiting)| Step::Backlog(at, waiting)),
        1 => (0..3_u32).prop_map(Step::Remove),
        1 => (0..3_u32).prop_map(Step::Enable),
        1 => (0..3_u32).prop_map(Step::Disable),
        4 => index().prop_map(Step::Connected),
        2 => index().prop_map(Step::ConnectFailed),
        4 => (0..3_u32).prop_map(Step::Accepted),
        20 => index().prop_map(Step::Establish),
        20 => (index(), message()).prop_map(|(at, message)| Step::Message(at, message)),
        1 => (index(), vec(any::<u8>(), 0..40)).prop_map(|(at, bytes)| Step::Bytes(at, bytes)),
        1 => index().prop_map(Step::Closed),
        2 => (0..3_u32, any::<bool>()).prop_map(|(peer, up)| Step::Bfd(peer, up)),
        2 => (0..2_u32, 0..5_usize).prop_map(|(instance, role)| Step::Role(instance, role)),
        2 => vec((0..50_u32, any::<bool>()), 0..20).prop_map(Step::Announce),
        4 => (0..20_000_u64).prop_map(Step::Wait),
        1 => (0..20_u32).prop_map(|chance| if chance == 0 { Step::Shutdown } else { Step::Wait(1) }),
    ]
}

fn local() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), 179)
}

const PREFERENCES: [Preference; 5] = [
    Preference::Master,
    Preference::Backup,
    Preference::Joining,
    Preference::Draining,
    Preference::Withdrawn,
];

struct Driver {
    now: Instant,
    speaker: Speaker,
    open: BTreeSet<ConnectionId>,
}

impl Driver {
    #[allow(clippy::disallowed_methods, reason = "the virtual clock needs a first moment")]
    fn new() -> Self {
        let router_id = Ipv4Addr::new(10, 0, 0, 1);
        let config = SpeakerConfig {
            local_as: 65001,
            router_id,
            seed: 7,
            ladders: bgp::Ladders::default(),
            multipath: 16,
            restarting: false,
        };
        Driver {
            now: Instant::now(),
            speaker: Speaker::new(config),
            open: BTreeSet::new(),
        }
    }

    fn pick(&self, at: prop::sample::Index) -> ConnectionId {
        // One in between that nobody has ever heard of.
        let mut list: Vec<ConnectionId> = self.open.iter().copied().collect();
        list.push(ConnectionId(999_999));
        list[at.index(list.len())]
    }

    fn handle(&mut self, input: Input<'_>) {
        self.speaker.handle(self.now, input);
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::Connect { connection, .. } => {
                    assert!(self.open.insert(connection), "an id used twice")
                }
                Output::Send { connection, bytes } => {
                    assert!(self.open.contains(&connection), "sent to {connection:?}");
                    assert!(!bytes.is_empty());
                }
                Output::Close { connection } => {
                    assert!(self.open.remove(&connection), "closed {connection:?}")
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add {
                peer,
                passive,
                hold,
                flavour,
            } => self.add(peer, passive, hold, flavour),
            Step::Stranger(last) => self.stranger(last),
            Step::Ranges(ranges) => self.ranges(&ranges),
            Step::Remove(peer) => self.handle(Input::RemovePeer(PeerId(peer))),
            Step::Enable(peer) => self.handle(Input::Enable(PeerId(peer))),
            Step::Disable(peer) => self.handle(Input::Disable {
                peer: PeerId(peer),
                communication: "night".to_owned(),
            }),
            Step::Refresh(peer, outwards) => self.handle(Input::Refresh {
                peer: PeerId(peer),
                direction: if outwards { Direction::Out } else { Direction::In },
                families: Families::BOTH,
            }),
            Step::Monitoring(on) => self.handle(Input::SetMonitoring(on)),
            Step::Bfd(peer, true) => self.handle(Input::BfdUp(PeerId(peer))),
            Step::Bfd(peer, false) => self.handle(Input::BfdDown(PeerId(peer))),
            Step::Role(instance, role) => {
                self.handle(Input::SetRole {
                    instance,
                    preference: PREFERENCES[role],
                });
            }
            Step::Announce(list) => self.announce(&list),
            Step::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                self.handle(Input::Timeout);
            }
            Step::Shutdown => self.handle(Input::Shutdown {
                communication: String::new(),
            }),
            Step::Connected(_)
            | Step::ConnectFailed(_)
            | Step::Accepted(_)
            | Step::Establish(_)
            | Step::Message(..)
            | Step::Bytes(..)
            | Step::Backlog(..)
            | Step::Closed(_) => self.transport(step),
        }
    }

    fn transport(&mut self, step: Step) {
        match step {
            Step::Connected(at) => self.handle(Input::Connected {
                connection: self.pick(at),
                local: local(),
            }),
            Step::ConnectFailed(at) => {
                let connection = self.pick(at);
                self.open.remove(&connection);
                self.handle(Input::ConnectFailed {
                    connection,
                    reason: "refused".to_owned(),
                });
            }
            Step::Accepted(peer) => self.accepted(PeerId(peer)),
            Step::Establish(at) => self.establish(at, local()),
            Step::Message(at, message) => {
                let bytes = message.encode(Encoding::default()).unwrap();
                self.handle(Input::Received {
                    connection: self.pick(at),
                    bytes: &bytes,
                });
            }
            Step::Bytes(at, bytes) => self.handle(Input::Received {
                connection: self.pick(at),
                bytes: &bytes,
            }),
            Step::Backlog(at, waiting) => self.handle(Input::Backlog {
                connection: self.pick(at),
                waiting,
            }),
            Step::Closed(at) => {
                let connection = self.pick(at);
                self.open.remove(&connection);
                self.handle(Input::Closed { connection });
            }
            other => unreachable!("not of the transport: {other:?}"),
        }
    }

    fn add(&mut self, peer: u32, passive: bool, hold: u64, flavour: u8) {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 1, u8::try_from(peer).unwrap()));
        let has = |bit: u8| flavour & bit != 0;
        let mut config = PeerConfig {
            passive,
            hold_time: Duration::from_secs(hold),
            export: Some(Arc::new(Policy::all())),
            import: has(1).then(|| Arc::new(Policy::all())),
            bfd: if has(8) { BfdMode::Strict } else { BfdMode::On },
            ..PeerConfig::new(address, 65000)
        };
        config.max_prefixes.limit = if has(2) { 2 } else { 100 };
        config.max_prefixes.warn_only = hold.is_multiple_of(2);
        config.graceful_restart.restarter = has(4);
        config.graceful_restart.helper = !has(4);
        self.handle(Input::AddPeer(PeerId(peer), Box::new(config)));
    }

    fn ranges(&mut self, ranges: &[(u8, u32)]) {
        let range = |(length, limit): &(u8, u32)| DynamicPeers {
            prefix: format!("10.0.2.0/{length}").parse().unwrap(),
            limit: *limit,
            template: PeerConfig::new(Ipv4Addr::UNSPECIFIED.into(), 65000),
        };
        self.handle(Input::SetDynamic(ranges.iter().map(range).collect()));
    }

    fn stranger(&mut self, last: u8) {
        let remote = SocketAddr::new(Ipv4Addr::new(10, 0, 2, last).into(), 4000);
        if let Some(peer) = self.speaker.peer_for(remote) {
            self.accepted(peer);
        }
    }

    fn accepted(&mut self, peer: PeerId) {
        let connection = self.speaker.allocate_connection();
        self.open.insert(connection);
        self.handle(Input::Accepted {
            connection,
            peer,
            local: local(),
        });
    }

    fn establish(&mut self, at: prop::sample::Index, local: SocketAddr) {
        let connection = self.pick(at);
        self.handle(Input::Connected { connection, local });
        for message in [Message::Open(open(65000, 9)), Message::Keepalive] {
            let bytes = message.encode(Encoding::default()).unwrap();
            self.handle(Input::Received {
                connection,
                bytes: &bytes,
            });
        }
    }

    fn announce(&mut self, list: &[(u32, bool)]) {
        let vip = |(index, healthy): &(u32, bool)| Announcement {
            prefix: IpAddr::V4(Ipv4Addr::from(0xcb00_7100 + index)).into(),
            instance: index % 2,
            healthy: *healthy,
            overrides: None,
        };
        self.handle(Input::SetAnnouncements(list.iter().map(vip).collect()));
    }

    fn check(&mut self) {
        // A timer that has been handled is not due any more; handling nothing twice is nothing.
        self.handle(Input::Timeout);
        assert!(self.speaker.poll_timeout().is_none_or(|at| at > self.now));
        for peer in self.speaker.peers() {
            let told = self.speaker.adj_rib_out(peer.id).len();
            assert_eq!(told, peer.advertised);
            assert!(
                peer.state == PeerState::Established || told == 0 && peer.received == peer.stale,
                "{peer:?}"
            );
            assert!(peer.enabled || peer.state == PeerState::Idle);
            assert!(peer.counters.established >= peer.counters.flaps);
        }
        // Two of a neighbour at the most.
        assert!(
            self.open.len() <= 2 * self.speaker.peers().len(),
            "{:?}",
            self.open
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_inputs(steps in vec(step(), 1..120)) {
        let mut driver = Driver::new();
        for peer in 0..2 {
            driver.step(Step::Add { peer, passive: peer == 1, hold: 9, flavour: 1 });
            driver.step(Step::Role(peer, 0));
        }
        driver.announce(&[(1, true), (2, true)]);
        for step in steps {
            driver.step(step);
            driver.check();
        }
    }
}

//! One machine, fed with packets made by hand: each rule of sections 6.8.x of RFC 5880 on its own.
#![allow(
    clippy::unwrap_used,
    reason = "the lint only exempts functions marked as tests"
)]

mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bfd::{
    Change, ConfigError, Diagnostic, Discard, Hops, Input, MAXIMUM_INTERVAL, Output, Packet, Parameters,
    Path, Role, SessionConfig, SessionId, Sessions, State, Status, Timing,
};
use support::{INTERFACE, address, clock, config, drain, ms, packets, timed};

const PEER: u32 = 0x0bad_cafe;

/// A machine with one session and a peer that says what the test wants.
struct Machine {
    sessions: Sessions,
    id: SessionId,
    now: Instant,
}

impl Machine {
    fn new(config: SessionConfig) -> Self {
        let now = clock();
        let mut sessions = Sessions::new(now, 42, 7);
        let id = sessions.add(now, config).unwrap();
        Self { sessions, id, now }
    }

    fn up(interval: Duration, multiplier: u8) -> Self {
        let mut machine = Self::new(config(1, 2, interval, multiplier));
        machine.say(machine.peer(State::Init));
        assert_eq!(machine.status().state, State::Up);
        machine
    }

    /// Up, and the peer has answered the Poll of coming up.
    fn settled(interval: Duration, multiplier: u8) -> Self {
        let mut machine = Self::up(interval, multiplier);
        machine.say(Packet {
            final_answer: true,
            ..machine.peer(State::Up)
        });
        assert!(!machine.status().polling);
        machine
    }

    fn peer(&self, state: State) -> Packet {
        Packet {
            diagnostic: Diagnostic::None,
            state,
            poll: false,
            final_answer: false,
            control_plane_independent: false,
            demand: false,
            detect_multiplier: 3,
            my_discriminator: PEER,
            your_discriminator: self.id.0,
            desired_min_tx: 10_000,
            required_min_rx: 10_000,
            required_min_echo_rx: 0,
        }
    }

    fn say(&mut self, packet: Packet) -> Vec<Output> {
        self.datagram(address(2), 255, &packet.encode())
    }

    fn datagram(&mut self, source: IpAddr, ttl: u8, payload: &[u8]) -> Vec<Output> {
        let input = Input::Packet {
            source,
            destination: address(1),
            interface: INTERFACE,
            ttl,
            multihop: false,
            payload,
        };
        self.input(input)
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Output> {
        self.sessions.handle(self.now, input);
        drain(&mut self.sessions)
    }

    fn status(&self) -> Status {
        self.sessions.session(self.id).unwrap()
    }

    /// Lets time pass and gives every deadline; the packets sent meanwhile with their moments.
    fn pass(&mut self, duration: Duration) -> Vec<(Instant, Packet)> {
        let until = self.now + duration;
        let mut sent = Vec::new();
        while let Some(deadline) = self.sessions.poll_timeout()
            && deadline <= until
        {
            self.now = self.now.max(deadline);
            let outputs = self.input(Input::Timeout);
            sent.extend(packets(&outputs).into_iter().map(|packet| (self.now, packet)));
        }
        self.now = until;
        sent
    }

    /// As `pass`, while the peer says `packet` every `interval`.
    fn keep_alive(
        &mut self,
        packet: Packet,
        interval: Duration,
        duration: Duration,
    ) -> Vec<(Instant, Packet)> {
        let until = self.now + duration;
        let mut sent = Vec::new();
        while self.now < until {
            self.say(packet);
            sent.extend(self.pass(interval));
        }
        sent
    }
}

fn gaps(sent: &[(Instant, Packet)]) -> Vec<Duration> {
    sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
}

#[test]
fn a_new_session_speaks_at_once_and_slowly() {
    let mut machine = Machine::new(config(1, 2, ms(10), 3));
    let start = machine.now;
    let sent = machine.pass(ms(10_000));
    assert_eq!(sent[0].0, start);
    assert!((10..=14).contains(&sent.len()), "{} packets in 10 s", sent.len());
    for gap in gaps(&sent) {
        assert!((ms(750)..=ms(1000)).contains(&gap), "{gap:?}");
    }
    for (_, packet) in sent {
        assert_eq!(
            (packet.state, packet.your_discriminator, packet.poll),
            (State::Down, 0, false)
        );
        assert_eq!(
            (packet.my_discriminator, packet.detect_multiplier),
            (machine.id.0, 3)
        );
        assert_eq!(
            (packet.desired_min_tx, packet.required_min_rx),
            (1_000_000, 10_000)
        );
    }
}

#[test]
fn the_three_way_handshake() {
    let mut machine = Machine::new(config(1, 2, ms(10), 3));
    let outputs = machine.say(Packet {
        your_discriminator: 0,
        ..machine.peer(State::Down)
    });
    let init = packets(&outputs)[0];
    assert_eq!(
        (init.state, init.your_discriminator),
        (State::Init, PEER),
        "told at once"
    );
    let outputs = machine.say(machine.peer(State::Init));
    assert!(matches!(
        outputs[0],
        Output::StateChanged(Change { session, from: State::Init, to: State::Up, usable: true, .. })
            if session == machine.id
    ));
    let up = packets(&outputs)[0];
    assert_eq!((up.state, up.desired_min_tx, up.poll), (State::Up, 10_000, true));
}

/// RFC 5880 section 4.1: BFD here ends with the control plane, whatever the data path does.
#[test]
fn the_control_plane_independent_bit_is_never_set() {
    let mut machine = Machine::settled(ms(10), 3);
    let sent = machine.keep_alive(machine.peer(State::Up), ms(5), ms(200));
    let answers = packets(&machine.say(Packet {
        poll: true,
        ..machine.peer(State::Up)
    }));
    assert!(sent.len() > 15 && answers.len() == 1);
    let all = sent.iter().map(|(_, packet)| packet).chain(&answers);
    assert!(all.into_iter().all(|packet| !packet.control_plane_independent));
    machine.say(Packet {
        control_plane_independent: true,
        ..machine.peer(State::Up)
    });
    assert!(
        machine.status().remote_independent,
        "what the peer says of itself is kept"
    );
}

#[test]
fn a_poll_is_answered_outside_of_the_schedule() {
    let mut machine = Machine::settled(ms(100), 3);
    machine.pass(ms(1));
    let deadline = machine.sessions.poll_timeout();
    let outputs = machine.say(Packet {
        poll: true,
        ..machine.peer(State::Up)
    });
    let answers = packets(&outputs);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].final_answer && !answers[0].poll);
    machine.say(machine.peer(State::Up));
    assert_eq!(
        machine.sessions.poll_timeout(),
        deadline,
        "the schedule is not moved"
    );
}

#[test]
fn a_poll_during_our_own_gets_an_answer_without_poll() {
    let mut machine = Machine::up(ms(10), 3);
    assert!(machine.status().polling);
    let outputs = machine.say(Packet {
        poll: true,
        ..machine.peer(State::Up)
    });
    let answers = packets(&outputs);
    assert!(answers.iter().any(|packet| packet.final_answer));
    assert!(answers.iter().all(|packet| !(packet.final_answer && packet.poll)));
    assert!(machine.status().polling, "a Poll is no Final");
}

#[test]
fn a_flood_of_polls_is_answered_within_a_bound() {
    let mut machine = Machine::settled(ms(10), 3);
    let mut answers = 0;
    for _ in 0..10_000 {
        let outputs = machine.say(Packet {
            poll: true,
            ..machine.peer(State::Up)
        });
        answers += outputs.len();
        machine.pass(Duration::from_micros(100));
    }
    assert!(
        (100..=210).contains(&answers),
        "{answers} answers to 10,000 Polls in one second"
    );
    let status = machine.status();
    assert_eq!(status.counters.polls_unanswered, 10_000 - answers as u64);
    assert_eq!(status.state, State::Up, "the packets themselves count");
}

#[test]
fn a_flood_of_state_changes_is_answered_within_a_bound() {
    let mut machine = Machine::settled(ms(10), 3);
    let (mut sent, mut told) = (0, 0);
    for turn in 0..10_000 {
        let state = if turn % 2 == 0 {
            State::Down
        } else {
            State::AdminDown
        };
        let outputs = machine.say(machine.peer(state));
        sent += packets(&outputs).len();
        told += outputs.len() - packets(&outputs).len();
        machine.pass(Duration::from_micros(100));
    }
    assert!(sent <= 210, "{sent} packets provoked in one second");
    assert!(told <= 210, "{told} changes told in one second");
}

#[test]
fn a_slower_transmission_waits_for_the_final() {
    let mut machine = Machine::settled(ms(10), 3);
    let timing = Timing {
        desired_min_tx: ms(100),
        ..Timing::symmetric(ms(10), 3)
    };
    assert_eq!(
        machine.input(Input::Update(machine.id, Parameters::new(timing))),
        [],
        "no additional packet"
    );
    let sent = machine.keep_alive(machine.peer(State::Up), ms(5), ms(500));
    assert!(
        sent.iter()
            .all(|(_, packet)| packet.poll && packet.desired_min_tx == 100_000)
    );
    assert!(
        gaps(&sent).into_iter().all(|gap| gap <= ms(10)),
        "still fast while the peer may not know"
    );
    machine.say(Packet {
        final_answer: true,
        ..machine.peer(State::Up)
    });
    let sent = machine.keep_alive(machine.peer(State::Up), ms(5), ms(2_000));
    assert!(sent.iter().all(|(_, packet)| !packet.poll));
    assert!(
        gaps(&sent).into_iter().all(|gap| gap >= ms(75)),
        "slow once it does"
    );
}

#[test]
fn a_faster_transmission_holds_at_once() {
    let mut machine = Machine::settled(ms(1000), 3);
    machine.pass(ms(900));
    let timing = Timing {
        desired_min_tx: ms(10),
        ..Timing::symmetric(ms(1000), 3)
    };
    machine.input(Input::Update(machine.id, Parameters::new(timing)));
    let sent = machine.pass(ms(10));
    assert!(
        !sent.is_empty(),
        "not later than the new interval after the previous packet"
    );
    assert!(sent[0].1.poll);
}

#[test]
fn a_peer_that_takes_packets_faster_gets_them_at_once() {
    let mut machine = Machine::settled(ms(10), 3);
    let slow = Packet {
        required_min_rx: 1_000_000,
        ..machine.peer(State::Up)
    };
    let sent = machine.keep_alive(slow, ms(10), ms(3_000));
    assert!(
        gaps(&sent).into_iter().all(|gap| gap >= ms(750)),
        "the interval of the peer"
    );
    machine.say(machine.peer(State::Up));
    assert!(!machine.pass(ms(10)).is_empty());
}

#[test]
fn a_shorter_detection_time_waits_for_the_final() {
    let mut machine = Machine::settled(ms(50), 3);
    machine.say(Packet {
        detect_multiplier: 4,
        ..machine.peer(State::Up)
    });
    assert_eq!(
        machine.status().detection_time,
        Some(ms(200)),
        "the multiplier of the peer"
    );
    let timing = Timing {
        required_min_rx: ms(20),
        ..Timing::symmetric(ms(50), 3)
    };
    machine.input(Input::Update(machine.id, Parameters::new(timing)));
    machine.say(machine.peer(State::Up));
    assert_eq!(machine.status().detection_time, Some(ms(150)));
    assert_eq!(packets(&machine.input(Input::Timeout)), []);
    machine.say(Packet {
        final_answer: true,
        ..machine.peer(State::Up)
    });
    assert_eq!(machine.status().detection_time, Some(ms(60)));
}

#[test]
fn a_longer_detection_time_holds_at_once() {
    let mut machine = Machine::settled(ms(10), 3);
    let timing = Timing {
        required_min_rx: ms(100),
        ..Timing::symmetric(ms(10), 3)
    };
    machine.input(Input::Update(machine.id, Parameters::new(timing)));
    assert_eq!(machine.status().detection_time, Some(ms(300)));
    machine.say(Packet {
        desired_min_tx: 500_000,
        ..machine.peer(State::Up)
    });
    assert_eq!(
        machine.status().detection_time,
        Some(ms(1500)),
        "the slower of both"
    );
}

#[test]
fn a_change_of_the_multiplier_needs_no_poll() {
    let mut machine = Machine::settled(ms(10), 3);
    machine.input(Input::Update(
        machine.id,
        Parameters::new(Timing::symmetric(ms(10), 5)),
    ));
    let sent = machine.pass(ms(10));
    assert_eq!((sent[0].1.detect_multiplier, sent[0].1.poll), (5, false));
}

#[test]
fn silence_ends_the_session_at_the_detection_time() {
    let mut machine = Machine::settled(ms(10), 5);
    let heard = machine.now;
    machine.pass(ms(30) - Duration::from_nanos(1));
    assert_eq!(machine.status().state, State::Up);
    machine.now = heard + ms(30);
    let outputs = machine.input(Input::Timeout);
    let expected = Output::StateChanged(Change {
        session: machine.id,
        path: config(1, 2, ms(10), 5).path,
        from: State::Up,
        to: State::Down,
        usable: false,
        diagnostic: Diagnostic::DetectionTimeExpired,
        remote_state: State::Up,
        remote_diagnostic: Diagnostic::None,
        remote_independent: false,
        last_packet: Some(heard),
        detection_time: Some(ms(30)),
    });
    assert_eq!(outputs[0], expected);
    let told = packets(&outputs)[0];
    assert_eq!(
        (told.state, told.your_discriminator, told.poll),
        (State::Down, 0, false)
    );
    assert_eq!(told.diagnostic, Diagnostic::DetectionTimeExpired);
    let status = machine.status();
    assert_eq!((status.remote_discriminator, status.detection_time), (0, None));
}

/// A thread that wakes up late first gives the packets that waited, with the time of their arrival.
#[test]
fn a_late_wake_up_is_not_a_missing_packet() {
    let mut machine = Machine::settled(ms(10), 3);
    let start = machine.now;
    for arrival in [10, 20, 30, 40, 50] {
        machine.now = start + ms(arrival);
        machine.say(machine.peer(State::Up));
    }
    machine.now = start + ms(79);
    machine.input(Input::Timeout);
    assert_eq!(machine.status().state, State::Up);
    machine.now = start + ms(20);
    machine.say(machine.peer(State::Up));
    assert_eq!(
        machine.status().last_packet,
        Some(start + ms(50)),
        "an older moment takes nothing back"
    );
    machine.now = start + ms(80);
    machine.input(Input::Timeout);
    assert_eq!(
        machine.status().state,
        State::Down,
        "late, but not later than it must"
    );
}

#[test]
fn a_late_wake_up_sends_one_packet_and_no_burst() {
    let mut machine = Machine::settled(ms(10), 3);
    machine.now += ms(5_000);
    machine.say(machine.peer(State::Up));
    assert_eq!(packets(&machine.input(Input::Timeout)).len(), 1);
}

#[test]
fn a_passive_side_speaks_when_spoken_to() {
    let passive = SessionConfig {
        role: Role::Passive,
        ..config(1, 2, ms(10), 3)
    };
    let mut machine = Machine::new(passive);
    assert_eq!(machine.sessions.poll_timeout(), None);
    assert_eq!(machine.pass(ms(5_000)), []);
    assert_eq!(
        packets(&machine.say(machine.peer(State::Down)))[0].state,
        State::Init
    );
    machine.pass(ms(10_000));
    assert_eq!(
        machine.status().remote_discriminator,
        0,
        "silent again after the peer is"
    );
    assert_eq!(machine.sessions.poll_timeout(), None);
}

#[test]
fn a_peer_that_wants_no_packets_gets_none() {
    let mut machine = Machine::settled(ms(10), 3);
    let deaf = Packet {
        required_min_rx: 0,
        ..machine.peer(State::Up)
    };
    assert_eq!(machine.keep_alive(deaf, ms(10), ms(1_000)), []);
    assert_eq!(machine.status().transmit_interval, None);
    machine.say(machine.peer(State::Up));
    assert!(!machine.pass(ms(10)).is_empty());
}

#[test]
fn demand_mode_of_the_peer_stops_the_periodic_packets() {
    let mut machine = Machine::up(ms(10), 3);
    let demand = Packet {
        demand: true,
        ..machine.peer(State::Up)
    };
    let sent = machine.keep_alive(demand, ms(10), ms(200));
    assert!(
        sent.len() >= 15 && sent.iter().all(|(_, packet)| packet.poll),
        "a Poll Sequence goes on"
    );
    machine.say(Packet {
        final_answer: true,
        ..demand
    });
    assert_eq!(machine.keep_alive(demand, ms(10), ms(1_000)), []);
    let answers = packets(&machine.say(Packet { poll: true, ..demand }));
    assert!(answers[0].final_answer, "Polls are answered in demand mode too");
}

#[test]
fn admin_down_discards_and_tells() {
    let mut machine = Machine::settled(ms(10), 3);
    let outputs = machine.input(Input::AdminDown(machine.id));
    let told = packets(&outputs)[0];
    assert_eq!(
        (told.state, told.diagnostic),
        (State::AdminDown, Diagnostic::AdministrativelyDown)
    );
    let before = machine.status();
    for state in State::ALL {
        machine.say(machine.peer(state));
    }
    let after = machine.status();
    assert_eq!(
        (after.state, after.counters.received),
        (State::AdminDown, before.counters.received)
    );
    assert_eq!(after.counters.discards.get(Discard::AdminDown), 4);
    assert_eq!(machine.sessions.discards().get(Discard::AdminDown), 4);
    assert!(machine.input(Input::LinkDown { interface: INTERFACE }).is_empty());
    let sent = machine.pass(ms(10_000));
    assert!((10..=14).contains(&sent.len()), "goes on telling, slowly");
}

#[test]
fn the_peer_being_admin_down_is_down_here() {
    for state in [State::Init, State::Up] {
        let mut machine = Machine::new(config(1, 2, ms(10), 3));
        machine.say(machine.peer(if state == State::Init {
            State::Down
        } else {
            State::Init
        }));
        assert_eq!(machine.status().state, state);
        machine.say(machine.peer(State::AdminDown));
        let status = machine.status();
        assert_eq!(
            (status.state, status.diagnostic),
            (State::Down, Diagnostic::NeighborSignaledDown)
        );
    }
}

/// One packet for each reason to discard it. All of them would take the session down.
fn bad_packets(good: Packet) -> [(Discard, IpAddr, u8, Vec<u8>); 13] {
    let unknown = Packet {
        your_discriminator: 0,
        ..good
    };
    let wrong_session = Packet {
        your_discriminator: good.your_discriminator ^ 1,
        ..good
    };
    let nobody = Packet {
        my_discriminator: 0,
        ..good
    };
    let altered = |offset: usize, value: u8| {
        let mut bytes = good.encode().to_vec();
        bytes[offset] = value;
        bytes
    };
    let mut authenticated = altered(1, 0x44);
    authenticated[3] = 28;
    authenticated.extend([1, 4, 0, 0]);
    let from_peer = |reason, payload| (reason, address(2), 255, payload);
    [
        (Discard::Ttl, address(2), 254, good.encode().to_vec()),
        (Discard::Ttl, address(2), 0, good.encode().to_vec()),
        from_peer(Discard::Length, good.encode()[..23].to_vec()),
        from_peer(Discard::Version, altered(0, 0x40)),
        from_peer(Discard::MultiplierZero, altered(2, 0)),
        from_peer(Discard::Multipoint, altered(1, 0x41)),
        from_peer(Discard::PollAndFinal, altered(1, 0x70)),
        from_peer(Discard::MyDiscriminatorZero, nobody.encode().to_vec()),
        from_peer(
            Discard::YourDiscriminatorZero,
            Packet {
                state: State::Up,
                ..unknown
            }
            .encode()
            .to_vec(),
        ),
        from_peer(Discard::UnknownDiscriminator, wrong_session.encode().to_vec()),
        (Discard::UnknownSource, address(9), 255, unknown.encode().to_vec()),
        (Discard::Address, address(9), 255, good.encode().to_vec()),
        from_peer(Discard::AuthenticationUnexpected, authenticated),
    ]
}

/// Whatever is discarded leaves the session, its timers and the wire as they were.
#[test]
fn forged_and_malformed_packets_change_nothing() {
    let mut machine = Machine::settled(ms(10), 3);
    for (reason, source, ttl, payload) in bad_packets(machine.peer(State::Down)) {
        let before = (machine.status(), machine.sessions.poll_timeout());
        let counted = machine.sessions.discards().get(reason);
        assert_eq!(machine.datagram(source, ttl, &payload), [], "{reason:?}");
        assert_eq!(machine.sessions.discards().get(reason), counted + 1, "{reason:?}");
        let mut after = machine.status();
        after.counters.discards = before.0.counters.discards;
        assert_eq!((after, machine.sessions.poll_timeout()), before, "{reason:?}");
    }
    assert_eq!(
        machine
            .status()
            .counters
            .discards
            .get(Discard::AuthenticationUnexpected),
        1,
        "seen at the session"
    );
    assert_eq!(machine.sessions.discards().total(), 13);
    machine.say(machine.peer(State::Down));
    assert_eq!(machine.status().state, State::Down, "the same packet, unaltered");
}

#[test]
fn another_interface_is_another_session() {
    let mut machine = Machine::new(config(1, 2, ms(10), 3));
    let mut other = config(1, 2, ms(10), 3);
    other.path.interface = Some(INTERFACE + 1);
    let other = machine.sessions.add(machine.now, other).unwrap();
    let payload = Packet {
        your_discriminator: 0,
        ..machine.peer(State::Down)
    }
    .encode();
    let arrive = |interface| Input::Packet {
        source: address(2),
        destination: address(1),
        interface,
        ttl: 255,
        multihop: false,
        payload: &payload,
    };
    machine.input(arrive(INTERFACE + 1));
    assert_eq!(machine.status().state, State::Down);
    assert_eq!(machine.sessions.session(other).unwrap().state, State::Init);
    machine.input(arrive(INTERFACE + 2));
    assert_eq!(machine.sessions.discards().get(Discard::UnknownSource), 1);
}

/// RFC 5880 section 6.3: the discriminator alone selects the session. What it selects must then have come the way of
/// that session.
#[test]
fn once_known_the_discriminator_selects_and_the_way_must_fit() {
    let mut machine = Machine::settled(ms(10), 3);
    let payload = machine.peer(State::Down).encode();
    let arrive = |source, destination, interface, multihop| Input::Packet {
        source,
        destination,
        interface,
        ttl: 255,
        multihop,
        payload: &payload,
    };
    let ways = [
        (
            Discard::Address,
            arrive(address(77), address(1), INTERFACE, false),
        ),
        (
            Discard::Address,
            arrive(address(2), address(77), INTERFACE, false),
        ),
        (
            Discard::Interface,
            arrive(address(2), address(1), INTERFACE + 1, false),
        ),
        (Discard::Hops, arrive(address(2), address(1), INTERFACE, true)),
    ];
    for (reason, way) in ways {
        let counted = machine.status().counters.discards.get(reason);
        assert_eq!(machine.input(way), []);
        let status = machine.status();
        assert_eq!(status.state, State::Up, "{reason:?}");
        assert_eq!(status.counters.discards.get(reason), counted + 1);
    }
    machine.input(arrive(address(2), address(1), INTERFACE, false));
    assert_eq!(machine.status().state, State::Down);
}

#[test]
fn discriminators_are_random_unique_and_not_zero() {
    let now = clock();
    let all = |seed| {
        let mut sessions = Sessions::new(now, seed, 7);
        let ids: Vec<SessionId> = (2..=250)
            .map(|host| sessions.add(now, config(1, host, ms(10), 3)).unwrap())
            .collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| id.0 != 0));
        ids
    };
    assert_eq!(all(1), all(1));
    assert_ne!(all(1), all(2));
}

#[test]
fn invalid_configurations_are_refused() {
    let now = clock();
    let good = config(1, 2, ms(10), 3);
    let link_local: IpAddr = "fe80::1".parse().unwrap();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let any: IpAddr = "0.0.0.0".parse().unwrap();
    let short = Duration::from_micros(999);
    let long = MAXIMUM_INTERVAL + ms(1);
    let timing = |transmit, receive, detect_multiplier| {
        timed(
            1,
            2,
            Timing {
                desired_min_tx: transmit,
                required_min_rx: receive,
                detect_multiplier,
            },
        )
    };
    let path = |change: fn(&mut Path, IpAddr), address| {
        let mut config = good.clone();
        change(&mut config.path, address);
        config
    };
    let cases = [
        (timing(short, ms(10), 3), ConfigError::Interval(short)),
        (
            timing(ms(10), Duration::ZERO, 3),
            ConfigError::Interval(Duration::ZERO),
        ),
        (timing(ms(10), long, 3), ConfigError::Interval(long)),
        (timing(ms(10), ms(10), 0), ConfigError::MultiplierZero),
        (
            path(|path, v6| path.remote = v6, v6),
            ConfigError::FamilyMismatch {
                local: address(1),
                remote: v6,
            },
        ),
        (
            path(|path, any| path.remote = any, any),
            ConfigError::Address(any),
        ),
        (
            path(|path, own| path.remote = own, address(1)),
            ConfigError::Address(address(1)),
        ),
        (
            path(
                |path, far| {
                    path.local = "2001:db8::1".parse().unwrap();
                    (path.remote, path.interface) = (far, None);
                },
                link_local,
            ),
            ConfigError::InterfaceNeeded(link_local),
        ),
        (
            path(|path, _| path.hops = Hops::Multi { minimum_ttl: 0 }, any),
            ConfigError::MinimumTtl,
        ),
    ];
    for (config, error) in cases {
        assert_eq!(Sessions::new(now, 1, 7).add(now, config), Err(error));
    }
    let mut sessions = Sessions::new(now, 1, 7);
    sessions.add(now, good.clone()).unwrap();
    assert_eq!(sessions.add(now, good), Err(ConfigError::Duplicate(address(2))));
}

#[test]
fn an_invalid_update_is_ignored() {
    let mut machine = Machine::settled(ms(10), 3);
    let before = machine.status();
    machine.input(Input::Update(
        machine.id,
        Parameters::new(Timing::symmetric(ms(10), 0)),
    ));
    machine.input(Input::Update(
        SessionId(machine.id.0 ^ 1),
        Parameters::new(Timing::symmetric(ms(20), 3)),
    ));
    assert_eq!(machine.status(), before);
}

#[test]
fn the_number_of_sessions_is_limited() {
    let now = clock();
    let mut sessions = Sessions::new(now, 1, 7);
    let add = |sessions: &mut Sessions, number: u32| {
        let remote = IpAddr::V4((0x0a01_0000 + number).into());
        let mut config = config(1, 2, ms(10), 3);
        config.path.remote = remote;
        sessions.add(now, config)
    };
    for number in 0..1024 {
        add(&mut sessions, number).unwrap();
    }
    assert_eq!(add(&mut sessions, 1024), Err(ConfigError::TooMany(1024)));
}

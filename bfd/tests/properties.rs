//! Random operations on one machine, with the invariants checked after each of them.
#![allow(
    clippy::expect_used,
    reason = "the lint only exempts functions marked as tests"
)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bfd::{
    Change, Input, Output, Packet, Parameters, Payload, Role, SessionConfig, SessionId, Sessions, State,
    Timing,
};
use proptest::prelude::*;
use support::{INTERFACE, address, clock, config};

#[derive(Clone, Debug)]
enum Operation {
    Add {
        host: u8,
        passive: bool,
        interval: u64,
        multiplier: u8,
    },
    Remove(usize),
    AdminDown(usize),
    AdminUp(usize),
    Update {
        session: usize,
        transmit: u64,
        receive: u64,
        multiplier: u8,
    },
    LinkDown(u32),
    Say {
        session: usize,
        host: u8,
        knows_us: bool,
        ttl: u8,
        packet: Packet,
    },
    Noise(Vec<u8>),
    Pass(u64),
    /// A packet whose kernel time lies behind the clock.
    StepBack(u64),
}

prop_compose! {
    fn packets()(
        state in prop::sample::select(State::ALL.as_slice()),
        answer in 0_u8..3,
        demand in prop::bool::weighted(0.1),
        detect_multiplier in prop_oneof![Just(0_u8), 1_u8..6, any::<u8>()],
        my_discriminator in prop_oneof![Just(0_u32), 1_u32..4, any::<u32>()],
        desired_min_tx in prop_oneof![Just(0_u32), 1_000_u32..100_000, any::<u32>()],
        required_min_rx in prop_oneof![Just(0_u32), Just(1_u32), 1_000_u32..100_000, any::<u32>()],
    ) -> Packet {
        Packet {
            diagnostic: bfd::Diagnostic::None,
            state,
            poll: answer == 1,
            final_answer: answer == 2,
            control_plane_independent: false,
            demand,
            detect_multiplier,
            my_discriminator,
            your_discriminator: 0,
            desired_min_tx,
            required_min_rx,
            required_min_echo_rx: 0,
        }
    }
}

fn operations() -> impl Strategy<Value = Operation> {
    let session = 0_usize..4;
    prop_oneof![
        2 => (2_u8..6, any::<bool>(), 0_u64..3000, 0_u8..6).prop_map(
            |(host, passive, interval, multiplier)| Operation::Add { host, passive, interval, multiplier }
        ),
        1 => session.clone().prop_map(Operation::Remove),
        1 => session.clone().prop_map(Operation::AdminDown),
        2 => session.clone().prop_map(Operation::AdminUp),
        2 => (session.clone(), 0_u64..3000, 0_u64..3000, 0_u8..6).prop_map(
            |(session, transmit, receive, multiplier)| {
                Operation::Update { session, transmit, receive, multiplier }
            }
        ),
        1 => (INTERFACE..INTERFACE + 2).prop_map(Operation::LinkDown),
        16 => (session, 2_u8..7, any::<bool>(), prop_oneof![9 => Just(255), 1 => any::<u8>()], packets())
            .prop_map(|(session, host, knows_us, ttl, packet)| {
                Operation::Say { session, host, knows_us, ttl, packet }
            }),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Operation::Noise),
        8 => (0_u64..3_000_000).prop_map(Operation::Pass),
        1 => (0_u64..100_000).prop_map(Operation::StepBack),
    ]
}

/// What the invariants need to remember.
struct Model {
    sessions: Sessions,
    now: Instant,
    start: Instant,
    states: BTreeMap<SessionId, State>,
    transmitted: BTreeMap<SessionId, u64>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let now = clock();
        Self {
            sessions: Sessions::new(now, seed, 7),
            now,
            start: now,
            states: BTreeMap::new(),
            transmitted: BTreeMap::new(),
        }
    }

    fn id(&self, index: usize) -> SessionId {
        self.states.keys().nth(index).copied().unwrap_or(SessionId(1))
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Add {
                host,
                passive,
                interval,
                multiplier,
            } => self.add(host, passive, interval, multiplier),
            Operation::Remove(index) => {
                let id = self.id(index);
                self.states.remove(&id);
                self.handle(Input::Remove(id));
            }
            Operation::AdminDown(index) => self.handle(Input::AdminDown(self.id(index))),
            Operation::AdminUp(index) => self.handle(Input::AdminUp(self.id(index))),
            Operation::Update {
                session,
                transmit,
                receive,
                multiplier,
            } => {
                let timing = Timing {
                    desired_min_tx: Duration::from_millis(transmit),
                    required_min_rx: Duration::from_millis(receive),
                    detect_multiplier: multiplier,
                };
                self.handle(Input::Update(self.id(session), Parameters::new(timing)));
            }
            Operation::LinkDown(interface) => self.handle(Input::LinkDown { interface }),
            Operation::Say {
                session,
                host,
                knows_us,
                ttl,
                packet,
            } => {
                let your_discriminator = if knows_us { self.id(session).0 } else { 0 };
                self.packet(
                    host,
                    ttl,
                    &Packet {
                        your_discriminator,
                        ..packet
                    }
                    .encode(),
                );
            }
            Operation::Noise(payload) => self.packet(2, 255, &payload),
            Operation::Pass(microseconds) => self.pass(Duration::from_micros(microseconds)),
            Operation::StepBack(microseconds) => {
                let now = self.now;
                self.now = now
                    .checked_sub(Duration::from_micros(microseconds))
                    .unwrap_or(now);
                self.packet(2, 255, &[]);
                self.now = now;
            }
        }
    }

    fn add(&mut self, host: u8, passive: bool, interval: u64, multiplier: u8) {
        let role = if passive { Role::Passive } else { Role::Active };
        let config = SessionConfig {
            role,
            ..config(1, host, Duration::from_millis(interval), multiplier)
        };
        if let Ok(id) = self.sessions.add(self.now, config) {
            assert!(id.0 != 0 && !self.states.contains_key(&id));
            self.states.insert(id, State::Down);
        }
    }

    fn packet(&mut self, host: u8, ttl: u8, payload: &[u8]) {
        let (source, destination) = (address(host), address(1));
        self.handle(Input::Packet {
            source,
            destination,
            interface: INTERFACE,
            ttl,
            multihop: false,
            payload,
        });
    }

    /// Gives deadlines as they come, at most so many that a machine that spins is found out.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        for _ in 0..100_000 {
            let Some(deadline) = self.sessions.poll_timeout().filter(|deadline| *deadline <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(deadline);
            self.handle(Input::Timeout);
            let next = self.sessions.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "the deadline does not advance"
            );
            self.nobody_outlives_its_detection_time();
        }
        unreachable!("too many deadlines");
    }

    fn handle(&mut self, input: Input<'_>) {
        let time_passes = matches!(input, Input::Timeout);
        self.sessions.handle(self.now, input);
        let mut transmissions = 0;
        while let Some(output) = self.sessions.poll_output() {
            match output {
                Output::StateChanged(Change {
                    session, from, to, ..
                }) => {
                    assert_eq!(
                        self.states.insert(session, to),
                        Some(from),
                        "a gap in the reported states"
                    );
                    assert_ne!(from, to);
                }
                Output::Transmit { session, payload, .. } => {
                    transmissions += 1;
                    *self.transmitted.entry(session).or_default() += 1;
                    self.check_packet(session, &payload);
                }
                Output::TransmitEcho { .. } => unreachable!("nobody asked for echo"),
                Output::Usable { .. } => {}
                Output::Forgotten(session) => assert!(!self.states.contains_key(&session)),
            }
        }
        let sessions = self.states.len().max(1);
        assert!(transmissions <= 2 * sessions, "{transmissions} packets at once");
        assert!(time_passes || transmissions <= sessions.max(2));
        for status in self.sessions.sessions() {
            assert_eq!(
                self.states.get(&status.session),
                Some(&status.state),
                "an unreported state"
            );
        }
        assert_eq!(self.sessions.sessions().count(), self.states.len());
    }

    fn check_packet(&self, session: SessionId, payload: &Payload) {
        let packet = Packet::decode(payload.as_bytes()).expect("what is sent is valid");
        assert!(!(packet.poll && packet.final_answer));
        assert!(!packet.demand && packet.required_min_echo_rx == 0);
        assert_eq!(packet.my_discriminator, session.0);
        assert_eq!(
            Packet::decode(&packet.encode()),
            Ok(packet),
            "what we send is valid"
        );
        if packet.state != State::Up {
            assert!(packet.desired_min_tx >= 1_000_000, "the floor of 1 s");
        }
        if let Some(status) = self.sessions.session(session) {
            assert_eq!(packet.state, status.state);
            let passive = status.config.role == Role::Passive;
            assert!(
                !passive || packet.your_discriminator != 0,
                "a passive side spoke first"
            );
        }
    }

    fn nobody_outlives_its_detection_time(&self) {
        for status in self.sessions.sessions() {
            if matches!(status.state, State::Init | State::Up) {
                let deadline = status
                    .last_packet
                    .zip(status.detection_time)
                    .map(|(last, time)| last + time);
                assert!(deadline.is_some_and(|deadline| deadline > self.now));
                assert_ne!(status.remote_discriminator, 0);
            }
        }
    }

    /// Neither the peer nor the operator makes a session send faster than its timing allows: 8 at once,
    /// the provoked ones at twice the interval, the periodic ones at 4/3 of it.
    fn nobody_talked_too_much(&self, operations: u64) {
        let milliseconds = (self.now - self.start).as_millis() as u64 + 1;
        for count in self.transmitted.values() {
            assert!(*count <= 8 + operations + milliseconds * 2 + milliseconds * 4 / 3);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn invariants_hold_after_every_operation(
        seed: u64,
        operations in prop::collection::vec(operations(), 1..120),
    ) {
        let mut model = Model::new(seed);
        let count = operations.len() as u64;
        for operation in operations {
            model.apply(operation);
        }
        model.nobody_talked_too_much(count);
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        seed: u64,
        operations in prop::collection::vec(operations(), 1..60),
    ) {
        let mut models = [Model::new(seed), Model::new(seed)];
        let now = models[0].now;
        models.iter_mut().for_each(|model| (model.now, model.start) = (now, now));
        for operation in operations {
            models.iter_mut().for_each(|model| model.apply(operation.clone()));
            let [one, other] = &models;
            prop_assert_eq!(one.sessions.poll_timeout(), other.sessions.poll_timeout());
            prop_assert!(one.sessions.sessions().eq(other.sessions.sessions()));
        }
    }
}

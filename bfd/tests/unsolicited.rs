//! Sessions that a peer starts (RFC 9468).

mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bfd::{
    Algorithm, Diagnostic, Discard, Input, Key, Keys, Packet, Parameters, Role, Sessions, State, Timing,
    Unsolicited,
};
use support::{INTERFACE, address, clock, config, drain, ms, packets};

fn welcome(limit: u32) -> Unsolicited {
    Unsolicited {
        interface: INTERFACE,
        prefixes: vec![(address(0), 25)],
        limit,
        parameters: Parameters::new(Timing::symmetric(ms(50), 3)),
    }
}

struct Machine {
    sessions: Sessions,
    now: Instant,
    /// Multiplier and interval, in microseconds, of the strangers.
    parameters: (u8, u32),
}

impl Machine {
    fn new(limit: u32) -> Self {
        let now = clock();
        let mut sessions = Sessions::new(now, 3, 7);
        sessions.handle(now, Input::Unsolicited(vec![welcome(limit)]));
        Self {
            sessions,
            now,
            parameters: (3, 50_000),
        }
    }

    fn say(&mut self, source: u8, interface: u32, state: State, your_discriminator: u32) -> Vec<Packet> {
        let (detect_multiplier, interval) = self.parameters;
        let packet = Packet {
            diagnostic: Diagnostic::None,
            state,
            poll: false,
            final_answer: false,
            control_plane_independent: false,
            demand: false,
            detect_multiplier,
            my_discriminator: 1000 + u32::from(source),
            your_discriminator,
            desired_min_tx: interval,
            required_min_rx: interval,
            required_min_echo_rx: 0,
        };
        let input = Input::Packet {
            source: address(source),
            destination: address(200),
            interface,
            ttl: 255,
            multihop: false,
            payload: &packet.encode(),
        };
        self.sessions.handle(self.now, input);
        packets(&drain(&mut self.sessions))
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(deadline) = self.sessions.poll_timeout().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.sessions.handle(self.now, Input::Timeout);
            drain(&mut self.sessions);
            let next = self.sessions.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a deadline that does not advance"
            );
        }
        self.now = until;
    }

    fn remotes(&self) -> Vec<IpAddr> {
        let mut remotes: Vec<_> = self
            .sessions
            .sessions()
            .map(|status| status.config.path.remote)
            .collect();
        remotes.sort_unstable();
        remotes
    }
}

#[test]
fn a_stranger_is_answered_and_comes_up() {
    let mut machine = Machine::new(10);
    let answer = machine.say(7, INTERFACE, State::Down, 0)[0];
    assert_eq!((answer.state, answer.your_discriminator), (State::Init, 1007));
    machine.say(7, INTERFACE, State::Init, answer.my_discriminator);
    let status = machine.sessions.sessions().next().unwrap();
    assert_eq!(
        (status.state, status.unsolicited, status.config.role),
        (State::Up, true, Role::Passive)
    );
    assert_eq!(
        status.config.path.local,
        address(200),
        "the address that was spoken to"
    );
    assert_eq!(status.config.path.interface, Some(INTERFACE));
}

#[test]
fn strangers_elsewhere_are_not_answered() {
    let mut machine = Machine::new(10);
    assert_eq!(
        machine.say(7, INTERFACE + 1, State::Down, 0),
        [],
        "another interface"
    );
    assert_eq!(
        machine.say(130, INTERFACE, State::Down, 0),
        [],
        "outside of the prefix"
    );
    assert_eq!(
        machine.say(7, INTERFACE, State::AdminDown, 0),
        [],
        "says that it wants nothing"
    );
    assert_eq!(machine.sessions.discards().get(Discard::UnknownSource), 3);
    assert!(machine.remotes().is_empty());
}

#[test]
fn there_is_a_limit_and_who_falls_silent_makes_room() {
    let mut machine = Machine::new(2);
    for source in [1, 2, 3] {
        machine.say(source, INTERFACE, State::Down, 0);
    }
    assert_eq!(machine.remotes(), [address(1), address(2)]);
    assert_eq!(machine.sessions.discards().get(Discard::StrangerLimit), 1);
    machine.pass(ms(9_000));
    machine.say(2, INTERFACE, State::Down, 0);
    machine.pass(ms(1_000));
    assert_eq!(machine.remotes(), [address(2)], "the silent one is forgotten");
    machine.say(3, INTERFACE, State::Down, 0);
    assert_eq!(machine.remotes(), [address(2), address(3)]);
    machine.pass(ms(60_000));
    assert!(machine.remotes().is_empty());
    assert_eq!(
        machine.sessions.poll_timeout(),
        None,
        "and nothing is left of them"
    );
}

/// Found by the fuzzer: a stranger that is not Up does not choose how long it keeps its place.
#[test]
fn a_stranger_that_is_not_up_keeps_its_place_no_longer_than_any_other() {
    let mut machine = Machine::new(2);
    machine.parameters = (255, 4_000_000_000);
    let answer = machine.say(1, INTERFACE, State::Down, 0)[0];
    machine.pass(ms(9_999));
    assert_eq!(machine.remotes(), [address(1)]);
    machine.pass(ms(1));
    assert!(machine.remotes().is_empty());
    machine.say(1, INTERFACE, State::Init, answer.my_discriminator);
    assert_eq!(machine.sessions.discards().get(Discard::UnknownDiscriminator), 1);
}

/// Found by the fuzzer: nothing may be due twice at one moment.
#[test]
fn a_stranger_that_was_up_is_silenced_and_forgotten_in_one_turn() {
    let mut machine = Machine::new(2);
    machine.parameters = (255, 100_000);
    let answer = machine.say(1, INTERFACE, State::Down, 0)[0];
    machine.say(1, INTERFACE, State::Init, answer.my_discriminator);
    machine.pass(ms(25_499));
    assert_eq!(machine.remotes(), [address(1)]);
    machine.pass(ms(1));
    assert!(machine.remotes().is_empty());
}

#[test]
fn a_stranger_without_the_key_leaves_no_trace() {
    let mut machine = Machine::new(10);
    let mut with_keys = welcome(10);
    let key = Key::new(1, Algorithm::KeyedSha1, b"k").unwrap();
    with_keys.parameters.keys = Some(Keys::new(vec![key], 1).unwrap().into());
    machine
        .sessions
        .handle(machine.now, Input::Unsolicited(vec![with_keys]));
    assert_eq!(machine.say(7, INTERFACE, State::Down, 0), []);
    assert_eq!(machine.sessions.discards().get(Discard::AuthenticationMissing), 1);
    assert!(machine.remotes().is_empty());
}

#[test]
fn a_stranger_that_is_configured_later_stays_up() {
    let mut machine = Machine::new(10);
    let answer = machine.say(7, INTERFACE, State::Down, 0)[0];
    machine.say(7, INTERFACE, State::Init, answer.my_discriminator);
    let mut known = config(200, 7, ms(20), 3);
    known.path.interface = Some(INTERFACE);
    let id = machine.sessions.add(machine.now, known).unwrap();
    let status = machine.sessions.session(id).unwrap();
    assert_eq!(
        (id.0, status.state, status.unsolicited),
        (answer.my_discriminator, State::Up, false)
    );
    machine
        .sessions
        .handle(machine.now, Input::Unsolicited(Vec::new()));
    assert_eq!(machine.remotes(), [address(7)]);
}

/// A neighbour that connects, or one that is configured without its interface, has the session that it has started.
#[test]
fn a_stranger_that_is_configured_without_its_interface_stays_up() {
    let mut machine = Machine::new(10);
    let answer = machine.say(7, INTERFACE, State::Down, 0)[0];
    machine.say(7, INTERFACE, State::Init, answer.my_discriminator);
    let mut known = config(200, 7, ms(20), 3);
    known.path.interface = None;
    let id = machine.sessions.add(machine.now, known.clone()).unwrap();
    let status = machine.sessions.session(id).unwrap();
    assert_eq!(
        (id.0, status.state, status.config.path.interface),
        (answer.my_discriminator, State::Up, None)
    );
    assert_eq!(machine.remotes(), [address(7)]);
    assert!(
        machine.sessions.add(machine.now, known).is_err(),
        "there is one now"
    );
}

#[test]
fn a_stranger_to_another_address_makes_way() {
    let mut machine = Machine::new(10);
    let answer = machine.say(7, INTERFACE, State::Down, 0)[0];
    machine.say(7, INTERFACE, State::Init, answer.my_discriminator);
    let mut known = config(201, 7, ms(20), 3);
    known.path.interface = Some(INTERFACE);
    let id = machine.sessions.add(machine.now, known).unwrap();
    assert_ne!(id.0, answer.my_discriminator);
    assert_eq!(machine.remotes(), [address(7)]);
    assert_eq!(
        machine.sessions.session(id).unwrap().config.path.local,
        address(201)
    );
}

/// The keys and the port of a session are not walked around by starting another one with its address.
#[test]
fn who_is_configured_is_no_stranger_elsewhere() {
    let mut machine = Machine::new(10);
    let mut far = config(200, 7, ms(20), 3);
    (far.path.interface, far.path.hops) = (None, bfd::Hops::Multi { minimum_ttl: 250 });
    machine.sessions.add(machine.now, far).unwrap();
    assert_eq!(machine.say(7, INTERFACE, State::Down, 0), []);
    assert_eq!(machine.sessions.discards().get(Discard::UnknownSource), 1);
    let mut elsewhere = config(200, 8, ms(20), 3);
    elsewhere.path.interface = Some(INTERFACE + 1);
    machine.sessions.add(machine.now, elsewhere).unwrap();
    assert_eq!(machine.say(8, INTERFACE, State::Down, 0), []);
}

#[test]
fn strangers_in_a_hurry_wait() {
    let mut machine = Machine::new(1000);
    for source in 1..120 {
        machine.say(source, INTERFACE, State::Down, 0);
    }
    assert_eq!(machine.remotes().len(), 8, "at once");
    machine.pass(ms(1_000));
    for source in 1..120 {
        machine.say(source, INTERFACE, State::Down, 0);
    }
    assert_eq!(machine.remotes().len(), 16);
}

#[test]
fn who_is_no_longer_welcome_is_told_so() {
    let mut machine = Machine::new(10);
    let answer = machine.say(7, INTERFACE, State::Down, 0)[0];
    machine.say(7, INTERFACE, State::Init, answer.my_discriminator);
    machine
        .sessions
        .handle(machine.now, Input::Unsolicited(Vec::new()));
    let told = packets(&drain(&mut machine.sessions));
    assert_eq!(told[0].state, State::AdminDown);
    assert!(machine.remotes().is_empty());
}

#[test]
fn changed_parameters_reach_those_who_are_there() {
    let mut machine = Machine::new(10);
    let answer = machine.say(7, INTERFACE, State::Down, 0)[0];
    machine.say(7, INTERFACE, State::Init, answer.my_discriminator);
    let mut slower = welcome(10);
    slower.parameters.timing = Timing::symmetric(ms(100), 5);
    machine
        .sessions
        .handle(machine.now, Input::Unsolicited(vec![slower]));
    let status = machine.sessions.sessions().next().unwrap();
    assert_eq!(
        (status.state, status.config.parameters.timing),
        (State::Up, Timing::symmetric(ms(100), 5))
    );
}

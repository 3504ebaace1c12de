//! The transition table: every state against every event, then the details of the OPEN and of the timers.
use super::*;
use std::net::Ipv4Addr;

use crate::config::{BfdMode, Families};
use crate::wire::{Capability, Cease, RouteRefresh, Update};

const SECOND: Duration = Duration::from_secs(1);

#[allow(clippy::disallowed_methods, reason = "the virtual clock needs a first moment")]
fn epoch() -> Instant {
    Instant::now()
}

struct Bench {
    now: Instant,
    speaker: SpeakerConfig,
    peer: PeerConfig,
    jitter: Jitter,
    bfd_up: bool,
}

type Outcome = (Result<State, Failure>, Vec<Action>);

impl Bench {
    fn new() -> Self {
        let router_id = Ipv4Addr::new(10, 0, 0, 1);
        Bench {
            now: epoch(),
            speaker: SpeakerConfig {
                local_as: 65001,
                router_id,
                seed: 1,
                ladders: crate::Ladders::default(),
                multipath: 16,
                restarting: false,
            },
            peer: PeerConfig::new(Ipv4Addr::new(10, 0, 0, 2).into(), 65000),
            jitter: Jitter::new(1),
            bfd_up: false,
        }
    }

    fn step(&mut self, state: State, event: Event) -> Outcome {
        let mut actions = Vec::new();
        let mut local = Local {
            speaker: &self.speaker,
            peer: &self.peer,
            jitter: &mut self.jitter,
            bfd_up: self.bfd_up,
            restarted: Restarted::default(),
        };
        let state = state.step(self.now, event, &mut local, &mut actions);
        (state, actions)
    }

    fn open(&self) -> Open {
        let mut open = Open::new(65000, 30, Ipv4Addr::new(10, 0, 0, 2), Families::BOTH);
        open.capabilities.push(Capability::EnhancedRouteRefresh);
        open
    }

    /// From a neighbour that insists on BFD.
    fn strict(&self) -> Open {
        let mut open = self.open();
        open.capabilities.push(Capability::BfdStrict);
        open
    }

    fn state(&mut self, name: &str) -> State {
        let mut state = State::Connect;
        self.peer.bfd = if name.starts_with("Await") {
            BfdMode::Strict
        } else {
            BfdMode::Off
        };
        let path: &[Event] = match name {
            "Connect" => &[],
            "OpenSent" => &[Event::TransportUp],
            "AwaitBfd" => &[Event::TransportUp, message(Message::Open(self.strict()))],
            "AwaitBfd confirmed" => &[
                Event::TransportUp,
                message(Message::Open(self.strict())),
                message(Message::Keepalive),
            ],
            "OpenConfirm" => &[Event::TransportUp, message(Message::Open(self.open()))],
            "Established" => &[
                Event::TransportUp,
                message(Message::Open(self.open())),
                message(Message::Keepalive),
            ],
            other => panic!("no state {other}"),
        };
        for event in path {
            state = self.step(state, event.clone()).0.unwrap();
        }
        assert_eq!(name_of(&state), name);
        state
    }
}

fn message(message: Message) -> Event {
    Event::Message(message)
}

fn name_of(state: &State) -> &'static str {
    match state {
        State::Connect => "Connect",
        State::OpenSent { .. } => "OpenSent",
        State::AwaitBfd { confirmed: false, .. } => "AwaitBfd",
        State::AwaitBfd { confirmed: true, .. } => "AwaitBfd confirmed",
        State::OpenConfirm(_) => "OpenConfirm",
        State::Established(_) => "Established",
    }
}

/// "State" or "code/subcode" of the NOTIFICATION, or "closed"; then what is done.
fn told((result, actions): &Outcome) -> String {
    let mut text = match result {
        Ok(state) => name_of(state).to_owned(),
        Err(Failure {
            notification: Some(notification),
            ..
        }) => {
            format!("{}/{}", notification.code, notification.subcode)
        }
        Err(Failure {
            notification: None, ..
        }) => "closed".to_owned(),
    };
    for action in actions {
        text.push_str(match action {
            Action::Send(Message::Open(_)) => " +open",
            Action::Send(Message::Keepalive) => " +keepalive",
            Action::Send(Message::Update(_) | Message::Notification(_) | Message::RouteRefresh(_)) => {
                " +other"
            }
            Action::Routes(_) => " +routes",
            Action::Refresh(_) => " +refresh",
            Action::RefreshBegins(_) => " +begin",
            Action::RefreshEnds(_) => " +end",
        });
    }
    text
}

/// A row per state, a column per event of the test below.
const TABLE: [(&str, &str); 6] = [
    (
        "Connect",
        "OpenSent +open|closed|closed|closed|closed|closed|closed|closed|closed|closed|1/1|Connect|Connect",
    ),
    (
        "OpenSent",
        "OpenSent|OpenConfirm +keepalive|5/1|5/1|5/1|5/1|5/1|5/1|5/1|closed|1/1|OpenSent|OpenSent",
    ),
    (
        "AwaitBfd",
        "AwaitBfd|5/1|AwaitBfd confirmed|5/1|5/1|5/1|5/1|5/1|5/1|closed|1/1|AwaitBfd|OpenConfirm +keepalive",
    ),
    (
        "AwaitBfd confirmed",
        "AwaitBfd confirmed|5/1|AwaitBfd confirmed|5/1|5/1|5/1|5/1|5/1|5/1|closed|1/1|AwaitBfd confirmed|Established +keepalive",
    ),
    (
        "OpenConfirm",
        "OpenConfirm|5/2|Established|5/2|5/2|5/2|5/2|5/2|5/2|closed|1/1|OpenConfirm|OpenConfirm",
    ),
    (
        "Established",
        "Established|5/3|Established|Established +routes|Established +refresh|Established|Established +begin|Established +end|Established|closed|1/1|Established|Established",
    ),
];

#[test]
fn every_state_meets_every_event() {
    let mut bench = Bench::new();
    let refresh = |afi, subtype| {
        message(Message::RouteRefresh(RouteRefresh {
            afi,
            subtype,
            safi: 1,
        }))
    };
    let malformed = Message::decode(
        &[0; 19],
        crate::wire::Context {
            four_octet: true,
            external: true,
            ..crate::wire::Context::default()
        },
    );
    let events = [
        ("transport up", Event::TransportUp),
        ("open", message(Message::Open(bench.open()))),
        ("keepalive", message(Message::Keepalive)),
        ("update", message(Message::Update(Update::default().into()))),
        ("refresh", refresh(2, 0)),
        ("refresh of another family", refresh(25, 0)),
        ("begin of refresh", refresh(1, 1)),
        ("end of refresh", refresh(1, 2)),
        ("refresh of another kind", refresh(1, 3)),
        (
            "notification",
            message(Message::Notification(Cease::AdministrativeShutdown.into())),
        ),
        ("malformed", Event::Malformed(malformed.unwrap_err())),
        ("timer not due", Event::Timer),
        ("BFD up", Event::BfdUp),
    ];
    for (name, row) in TABLE {
        assert_eq!(row.split('|').count(), events.len());
        for ((event_name, event), expected) in events.iter().zip(row.split('|').map(str::trim)) {
            let state = bench.state(name);
            let outcome = bench.step(state, event.clone());
            assert_eq!(told(&outcome), expected, "{name}, {event_name}");
        }
    }
}

#[test]
fn the_open_is_checked_against_the_configuration() {
    let mut bench = Bench::new();
    let good = bench.open();
    let rows: [(&str, Open, &str); 8] = [
        ("as expected", good.clone(), "OpenConfirm +keepalive"),
        (
            "another AS",
            Open::new(65009, 30, good.identifier, Families::BOTH),
            "2/2",
        ),
        (
            "AS_TRANS without the capability",
            Open {
                my_as: 23456,
                capabilities: vec![],
                ..good.clone()
            },
            "2/2",
        ),
        (
            "the right AS behind AS_TRANS",
            Open {
                my_as: 23456,
                ..good.clone()
            },
            "OpenConfirm +keepalive",
        ),
        (
            "no capabilities at all",
            Open {
                capabilities: vec![],
                ..good.clone()
            },
            "OpenConfirm +keepalive",
        ),
        (
            "our identifier from another AS (RFC 6286)",
            Open {
                identifier: bench.speaker.router_id,
                ..good.clone()
            },
            "OpenConfirm +keepalive",
        ),
        (
            "no common family",
            Open::new(65000, 30, good.identifier, Families::default()),
            "OpenConfirm +keepalive",
        ),
        (
            "another family only",
            Open {
                capabilities: vec![Capability::Multiprotocol { afi: 25, safi: 70 }],
                ..good.clone()
            },
            "2/7",
        ),
    ];
    for (name, open, expected) in rows {
        let state = bench.state("OpenSent");
        let outcome = bench.step(state, message(Message::Open(open)));
        assert_eq!(told(&outcome), expected, "{name}");
    }

    bench.peer.remote_as = crate::RemoteAs::Is(bench.speaker.local_as);
    let mirror = Open::new(65001, 30, bench.speaker.router_id, Families::BOTH);
    let state = bench.state_open_sent();
    assert_eq!(told(&bench.step(state, message(Message::Open(mirror)))), "2/3");
}

impl Bench {
    fn state_open_sent(&mut self) -> State {
        self.step(State::Connect, Event::TransportUp).0.unwrap()
    }
}

#[test]
fn what_is_negotiated() {
    let mut bench = Bench::new();
    for (ours, theirs, hold) in [
        (9, 30, Some(9)),
        (30, 9, Some(9)),
        (0, 30, None),
        (30, 0, None),
        (3, 3, Some(3)),
    ] {
        bench.peer.hold_time = Duration::from_secs(ours);
        let state = bench.state_open_sent();
        let open = Open {
            hold_time: theirs,
            ..bench.open()
        };
        let state = bench.step(state, message(Message::Open(open))).0.unwrap();
        let negotiated = &state.link().unwrap().negotiated;
        assert_eq!(negotiated.hold, hold.map(Duration::from_secs));
        assert_eq!(
            negotiated.keepalive(),
            hold.map(|seconds| Duration::from_secs(seconds) / 3)
        );
    }
    let state = bench.state_open_sent();
    let plain = Open {
        capabilities: vec![],
        ..bench.open()
    };
    let state = bench.step(state, message(Message::Open(plain))).0.unwrap();
    let negotiated = &state.link().unwrap().negotiated;
    assert_eq!(
        (negotiated.families, negotiated.four_octet),
        (Families::IPV4, false)
    );
}

#[test]
fn a_hold_time_of_a_second_is_not_proposed() {
    let mut bench = Bench::new();
    for (configured, proposed) in [(0, 0), (1, 3), (2, 3), (3, 3), (90, 90), (1_000_000, 65535)] {
        bench.peer.hold_time = Duration::from_secs(configured);
        let (_, actions) = bench.step(State::Connect, Event::TransportUp);
        let [Action::Send(Message::Open(open))] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert_eq!(open.hold_time, proposed);
    }
}

#[test]
fn timers_of_each_state() {
    let mut bench = Bench::new();
    assert_eq!(bench.state("Connect").deadline(), None);

    let sent = bench.state("OpenSent");
    assert_eq!(sent.deadline(), Some(bench.now + OPEN_WAIT));
    bench.now += OPEN_WAIT;
    assert_eq!(told(&bench.step(sent, Event::Timer)), "4/0");

    for name in ["OpenConfirm", "Established"] {
        // Negotiated: 9 s. A keepalive is due after 2.25 to 3 s, again and again, until the hold time is over.
        let mut state = bench.state(name);
        let start = bench.now;
        let mut keepalives = 0;
        loop {
            let deadline = state.deadline().unwrap();
            assert!(
                deadline > bench.now && deadline <= bench.now + 3 * SECOND,
                "{name}"
            );
            bench.now = deadline;
            match told(&bench.step(state.clone(), Event::Timer)).as_str() {
                "4/0" => break,
                other => assert_eq!(other, format!("{name} +keepalive")),
            }
            state = bench.step(state, Event::Timer).0.unwrap();
            keepalives += 1;
        }
        assert_eq!(bench.now, start + 9 * SECOND, "{name}");
        assert!((2..=4).contains(&keepalives), "{name}: {keepalives}");
    }
}

#[test]
fn keepalives_and_updates_extend_the_hold_time_and_refreshes_do_not() {
    let mut bench = Bench::new();
    let refresh = Message::RouteRefresh(RouteRefresh {
        afi: 1,
        subtype: 0,
        safi: 1,
    });
    let rows = [
        (Message::Keepalive, true),
        (Message::Update(Update::default().into()), true),
        (refresh, false),
    ];
    for (received, extends) in rows {
        let state = bench.state("Established");
        bench.now += 8 * SECOND;
        let state = bench.step(state, message(received)).0.unwrap();
        bench.now += 2 * SECOND;
        assert_eq!(bench.step(state, Event::Timer).0.is_ok(), extends);
    }
}

#[test]
fn without_a_hold_time_the_confirmation_is_still_waited_for_and_nothing_after_that() {
    let mut bench = Bench::new();
    bench.peer.hold_time = Duration::ZERO;
    let confirm = bench.state("OpenConfirm");
    assert_eq!(confirm.deadline(), Some(bench.now + OPEN_WAIT));
    let established = bench.state("Established");
    assert_eq!(established.deadline(), None);
    bench.now += 100_000 * SECOND;
    assert_eq!(told(&bench.step(established, Event::Timer)), "Established");
    assert_eq!(told(&bench.step(confirm, Event::Timer)), "4/0");
}

#[test]
fn strict_bfd_is_waited_for_when_both_sides_want_it_and_no_longer_than_agreed() {
    let mut bench = Bench::new();
    // Up already: no wait.
    bench.peer.bfd = BfdMode::Strict;
    bench.bfd_up = true;
    let sent = bench.state_open_sent();
    let strict = message(Message::Open(bench.strict()));
    assert_eq!(told(&bench.step(sent, strict.clone())), "OpenConfirm +keepalive");
    // The neighbour does not know it: no wait.
    bench.bfd_up = false;
    let sent = bench.state_open_sent();
    let plain = message(Message::Open(bench.open()));
    assert_eq!(told(&bench.step(sent, plain)), "OpenConfirm +keepalive");
    // The hold time bounds the wait; a keepalive begins it again.
    let waiting = bench.state("AwaitBfd");
    assert_eq!(waiting.deadline(), Some(bench.now + 9 * SECOND));
    bench.now += 8 * SECOND;
    let waiting = bench.step(waiting, message(Message::Keepalive)).0.unwrap();
    bench.now += 8 * SECOND;
    assert_eq!(
        told(&bench.step(waiting.clone(), Event::Timer)),
        "AwaitBfd confirmed"
    );
    bench.now += SECOND;
    assert_eq!(told(&bench.step(waiting, Event::Timer)), "4/0");
    // Without one, 30 s do.
    bench.peer.hold_time = Duration::ZERO;
    let waiting = bench.state("AwaitBfd");
    assert_eq!(waiting.deadline(), Some(bench.now + BFD_WAIT));
    bench.now += BFD_WAIT;
    assert_eq!(told(&bench.step(waiting, Event::Timer)), "6/10");
}

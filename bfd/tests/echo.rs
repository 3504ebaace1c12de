//! The Echo function: tried, proven, trusted, and missed.

mod support;

use std::time::Duration;

use bfd::{Diagnostic, Discard, Echo, Input, Output, State};
use support::{INTERFACE, Network, drain, ms, perfect, with};

/// The first node sends Echo packets every 10 ms, the second one returns them; control packets every 300 ms.
fn pair(seed: u64) -> Network<'static> {
    let sender = with(1, 2, ms(300), 3, |parameters| {
        parameters.echo.transmit = Some(ms(10))
    });
    let reflector = with(2, 1, ms(300), 3, |parameters| {
        parameters.echo.required_min_rx = Some(ms(5))
    });
    let mut network = Network::new(seed, [sender, reflector], perfect());
    network.echo = Some(Duration::from_micros(80));
    network
}

#[test]
fn echo_that_comes_back_is_sent_at_the_agreed_pace_and_control_packets_become_slow() {
    let mut network = pair(1);
    network.settle();
    network.run(ms(5_000));
    let status = network.nodes[0].status();
    assert!(status.echo.proven);
    assert_eq!(status.echo.interval, Some(ms(10)));
    assert_eq!(status.echo.round_trip, Some(Duration::from_micros(80)));
    network.nodes[0].echoes.clear();
    network.nodes[1].sent.clear();
    network.run(ms(10_000));
    let echoes = &network.nodes[0].echoes;
    assert!((1_000..=1_334).contains(&echoes.len()), "{}", echoes.len());
    for pair in echoes.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((Duration::from_micros(7_500)..=ms(10)).contains(&gap), "{gap:?}");
    }
    // RFC 5880 section 6.8.3: not less than a second is required of the peer while echo is active.
    let slow = &network.nodes[1].sent;
    assert!(slow.len() <= 14, "{} control packets in 10 s", slow.len());
    assert_eq!(network.nodes[0].status().detection_time, Some(ms(3_000)));
    assert!(
        network.nodes[1].echoes.is_empty(),
        "the other side was not asked to"
    );
    assert!(network.both_up());
}

#[test]
fn an_echo_that_is_missed_ends_the_session_within_its_detection_time() {
    let mut network = pair(2);
    network.settle();
    network.run(ms(5_000));
    network.echo = None;
    let cut = network.now;
    assert!(network.run_until(ms(100), |network| !network.nodes[0].is_up()));
    let down = network.nodes[0].changes[0];
    assert_eq!((down.to, down.diagnostic), (State::Down, Diagnostic::EchoFailed));
    assert!(down.at - cut <= ms(30), "{:?}", down.at - cut);
    assert!(
        network.run_until(ms(100), |network| !network.nodes[1].is_up()),
        "and says so"
    );
}

/// Once failed it has to prove itself again, so a way that swallows Echo packets costs one flap and no more.
#[test]
fn echo_that_never_comes_back_is_tried_and_not_trusted() {
    let mut network = pair(3);
    network.echo = None;
    network.settle();
    network.run(ms(20_000));
    let status = network.nodes[0].status();
    assert_eq!((status.state, status.echo.proven), (State::Up, false));
    assert!(network.nodes[0].changes.is_empty());
    assert!(
        (20..=28).contains(&network.nodes[0].echoes.len()),
        "once a second"
    );
    assert_eq!(
        status.detection_time,
        Some(ms(900)),
        "control packets watch as before"
    );
}

#[test]
fn only_what_was_sent_counts_and_only_once() {
    let mut network = pair(4);
    network.settle();
    network.run(ms(5_000));
    network.schedule = Box::new(|_, _| Vec::new());
    let node = &mut network.nodes[0];
    let now = node.sessions.poll_timeout().unwrap();
    let mut at = now;
    let payload = loop {
        node.sessions.handle(at, Input::Timeout);
        let echo = drain(&mut node.sessions)
            .into_iter()
            .find_map(|output| match output {
                Output::TransmitEcho { payload, .. } => Some(payload),
                Output::Transmit { .. }
                | Output::StateChanged(_)
                | Output::Usable { .. }
                | Output::Forgotten(_) => None,
            });
        if let Some(payload) = echo {
            break payload;
        }
        at = node.sessions.poll_timeout().unwrap();
    };
    let mut back = |interface, payload: &[u8]| {
        let before = node.sessions.discards().get(Discard::Echo);
        node.sessions.handle(at, Input::Echo { interface, payload });
        node.sessions.discards().get(Discard::Echo) == before
    };
    for bit in 0..payload.len() * 8 {
        let mut forged = payload;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(!back(INTERFACE, &forged), "bit {bit}");
    }
    assert!(!back(INTERFACE, &payload[..23]));
    assert!(!back(INTERFACE, &[]));
    assert!(!back(INTERFACE + 1, &payload), "another link");
    assert!(back(INTERFACE, &payload));
    assert!(!back(INTERFACE, &payload), "a replay");
}

#[test]
fn a_peer_that_takes_no_echo_gets_none() {
    let side = |local, remote| {
        with(local, remote, ms(50), 3, |parameters| {
            parameters.echo.transmit = Some(ms(10))
        })
    };
    let mut network = Network::new(5, [side(1, 2), side(2, 1)], perfect());
    network.settle();
    network.run(ms(5_000));
    assert!(network.nodes.iter().all(|node| node.echoes.is_empty()));
}

/// RFC 5880 section 6.8.13: switched off while it runs, without a flap; detection by control packets is fast again.
#[test]
fn echo_is_switched_on_and_off_while_up() {
    let mut network = pair(6);
    network.settle();
    network.run(ms(5_000));
    let id = network.nodes[0].id;
    let mut parameters = network.nodes[0].status().config.parameters;
    parameters.echo = Echo::default();
    network.input(0, Input::Update(id, parameters.clone()));
    network.run(ms(10_000));
    assert_eq!(network.nodes[0].status().detection_time, Some(ms(900)));
    network.nodes[0].echoes.clear();
    network.run(ms(5_000));
    assert!(network.nodes[0].echoes.is_empty());
    parameters.echo.transmit = Some(ms(20));
    network.input(0, Input::Update(id, parameters));
    network.run(ms(5_000));
    assert!(network.nodes[0].status().echo.proven);
    // The peer withdraws its offer.
    let id = network.nodes[1].id;
    let mut parameters = network.nodes[1].status().config.parameters;
    parameters.echo = Echo::default();
    network.input(1, Input::Update(id, parameters));
    network.run(ms(10_000));
    assert_eq!(network.nodes[0].status().echo.interval, None);
    assert!(network.nodes.iter().all(|node| node.changes.is_empty()));
}

/// What was drawn for a long interval must not be missed by a short detection time.
#[test]
fn a_shorter_interval_costs_no_flap() {
    for seed in 0..50 {
        let mut network = pair(seed);
        network.settle();
        let set = |network: &mut Network<'_>, interval| {
            let status = network.nodes[0].status();
            let mut parameters = status.config.parameters;
            parameters.echo.transmit = Some(interval);
            network.input(0, Input::Update(status.session, parameters));
        };
        set(&mut network, ms(500));
        network.run(ms(5_000 + seed * 7));
        assert!(network.nodes[0].status().echo.proven);
        set(&mut network, ms(10));
        network.run(ms(2_000));
        assert!(network.nodes[0].changes.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_way_that_is_too_long_for_the_detection_time_is_not_trusted() {
    let mut network = pair(9);
    network.echo = Some(ms(20));
    network.settle();
    network.run(ms(30_000));
    let status = network.nodes[0].status();
    assert!(!status.echo.proven && status.echo.returned > 20);
    assert!(network.nodes[0].changes.is_empty());
}

#[test]
fn who_has_no_interface_sends_by_the_one_on_which_the_peer_was_heard() {
    let mut sender = with(1, 2, ms(50), 3, |parameters| {
        parameters.echo.transmit = Some(ms(10))
    });
    sender.path.interface = None;
    let reflector = with(2, 1, ms(50), 3, |parameters| {
        parameters.echo.required_min_rx = Some(ms(5))
    });
    let mut network = Network::new(10, [sender, reflector], perfect());
    network.echo = Some(Duration::from_micros(80));
    network.settle();
    network.run(ms(3_000));
    let mut at = network.now;
    let node = &mut network.nodes[0];
    for _ in 0..100 {
        node.sessions.handle(at, Input::Timeout);
        for output in drain(&mut node.sessions) {
            if let Output::TransmitEcho { path, .. } = output {
                assert_eq!(path.interface, Some(INTERFACE));
                return;
            }
        }
        at = node.sessions.poll_timeout().unwrap();
    }
    unreachable!("no Echo packet");
}

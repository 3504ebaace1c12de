//! A peer that returns has to stay for a while before it counts; one that fails fails at once.
#![allow(
    clippy::unwrap_used,
    reason = "the lint only exempts functions marked as tests"
)]

mod support;

use std::time::Duration;

use bfd::{Input, State};
use support::{HOLD_DOWN, Network, ms, perfect, with};

fn pair(seed: u64) -> Network<'static> {
    let side = |local, remote| {
        with(local, remote, ms(10), 3, |parameters| {
            parameters.hold_down = HOLD_DOWN
        })
    };
    let mut network = Network::new(seed, [side(1, 2), side(2, 1)], perfect());
    network.settle();
    network
}

fn cut(network: &mut Network<'_>) {
    network.schedule = Box::new(|_, _| Vec::new());
    network.run(ms(100));
    network.schedule = perfect();
}

/// From Up until it counts.
fn held(network: &mut Network<'_>) -> Duration {
    for node in &mut network.nodes {
        node.changes.clear();
        node.usable.clear();
    }
    assert!(network.run_until(ms(3_000), Network::both_up));
    let up = network.nodes[0].changes.last().copied().unwrap();
    if up.usable {
        return Duration::ZERO;
    }
    assert!(!network.nodes[0].status().usable);
    assert!(network.run_until(ms(100_000), |network| !network.nodes[0].usable.is_empty()));
    assert!(network.nodes[0].status().usable);
    network.nodes[0].usable[0] - up.at
}

#[test]
fn the_first_up_counts_at_once() {
    let network = pair(1);
    assert!(network.nodes.iter().all(|node| node.status().usable));
    assert_eq!(network.nodes[0].status().counters.held, 0);
}

#[test]
fn each_failure_doubles_what_the_return_costs() {
    let mut network = pair(2);
    for seconds in [1, 2, 4, 8] {
        cut(&mut network);
        assert_eq!(held(&mut network), Duration::from_secs(seconds));
    }
    assert_eq!(network.nodes[0].status().counters.held, 4);
    network.run(Duration::from_secs(61));
    cut(&mut network);
    assert_eq!(
        held(&mut network),
        Duration::from_secs(1),
        "a minute of peace is enough"
    );
}

#[test]
fn a_session_that_fails_while_it_is_held_back_is_held_longer() {
    let mut network = pair(3);
    cut(&mut network);
    assert!(network.run_until(ms(3_000), Network::both_up));
    network.run(ms(500));
    assert!(!network.nodes[0].status().usable);
    cut(&mut network);
    assert_eq!(held(&mut network), Duration::from_secs(2));
}

#[test]
fn what_an_administrator_ends_counts_at_once_when_it_returns() {
    let mut network = pair(4);
    let id = network.nodes[0].id;
    network.input(0, Input::AdminDown(id));
    network.run(ms(10_000));
    assert!(network.nodes.iter().all(|node| node.status().state != State::Up));
    network.input(0, Input::AdminUp(id));
    assert!(network.run_until(ms(3_000), Network::both_up));
    assert!(
        network.nodes.iter().all(|node| node.status().usable),
        "on both sides"
    );
}

/// At most one loss is told in each hold-down, however fast the link flaps.
#[test]
fn a_flapping_link_costs_little() {
    let mut network = pair(5);
    let mut told = 0;
    for _ in 0..200 {
        let counted = network.nodes[0].status().usable;
        cut(&mut network);
        told += u32::from(counted);
        network.run(ms(2_000));
    }
    // 420 s of flapping: the hold-down reaches a minute and stays there.
    assert!((1..=3).contains(&told), "{told} losses told");
}

//! Two sessions that share keys: genuine packets only, and new keys without a flap.
#![allow(
    clippy::unwrap_used,
    reason = "the lint only exempts functions marked as tests"
)]

mod support;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bfd::{Algorithm, Discard, Input, Key, Keys, SessionConfig, State};
use proptest::prelude::*;
use support::{Network, config, ms, perfect, with};

fn keys(ids: &[u8], send: u8, algorithm: Algorithm) -> Option<Arc<Keys>> {
    let key = |id: &u8| Key::new(*id, algorithm, &[b'k', *id]).unwrap();
    Some(Arc::new(Keys::new(ids.iter().map(key).collect(), send).unwrap()))
}

fn side(local: u8, remote: u8, keys: Option<Arc<Keys>>) -> SessionConfig {
    with(local, remote, ms(10), 3, |parameters| {
        parameters.keys = keys.clone()
    })
}

fn pair(seed: u64, algorithm: Algorithm) -> Network<'static> {
    let both = keys(&[1], 1, algorithm);
    Network::new(seed, [side(1, 2, both.clone()), side(2, 1, both)], perfect())
}

fn set_keys(network: &mut Network<'_>, node: usize, keys: Option<Arc<Keys>>) {
    let status = network.nodes[node].status();
    let mut parameters = status.config.parameters;
    parameters.keys = keys;
    network.input(node, Input::Update(status.session, parameters));
}

#[test]
fn every_algorithm_comes_up_and_stays_up() {
    for algorithm in Algorithm::ALL {
        let mut network = pair(1, algorithm);
        network.settle();
        network.run(ms(20_000));
        for node in &network.nodes {
            assert_eq!(node.changes, [], "{algorithm}");
            assert_eq!(node.sessions.discards().total(), 0, "{algorithm}");
        }
    }
}

#[test]
fn whoever_has_no_key_or_another_one_is_not_heard() {
    let cases = [
        (None, Discard::AuthenticationMissing),
        (keys(&[2], 2, Algorithm::KeyedSha1), Discard::AuthenticationKey),
        (
            keys(&[1], 1, Algorithm::MeticulousKeyedSha1),
            Discard::AuthenticationKey,
        ),
    ];
    for (other, reason) in cases {
        let own = keys(&[1], 1, Algorithm::KeyedSha1);
        let mut network = Network::new(2, [side(1, 2, own), side(2, 1, other)], perfect());
        network.run(ms(10_000));
        let status = network.nodes[0].status();
        assert_eq!((status.state, status.remote_discriminator), (State::Down, 0));
        assert!(status.counters.discards.get(reason) > 5, "{reason:?}");
        assert_eq!(network.nodes[1].status().state, State::Down);
    }
}

/// Old on both, old and new on both, new on both, and all of that while packets fly.
#[test]
fn keys_are_rolled_over_without_a_flap() {
    for algorithm in Algorithm::ALL {
        let mut network = pair(3, algorithm);
        network.settle();
        for (ids, send) in [(&[1, 2][..], 1), (&[1, 2], 2), (&[2], 2), (&[2, 3], 3)] {
            for node in 0..2 {
                set_keys(&mut network, node, keys(ids, send, algorithm));
                network.run(ms(200));
            }
            if send == 3 {
                continue;
            }
            assert!(
                network.nodes.iter().all(|node| node.changes.is_empty()),
                "{algorithm} {ids:?}"
            );
        }
        let unknown = network.nodes[1]
            .status()
            .counters
            .discards
            .get(Discard::AuthenticationKey);
        assert!(
            unknown > 0,
            "{algorithm}: a key that the other side does not have yet"
        );
    }
}

/// From one algorithm to another, in the same way.
#[test]
fn a_stronger_algorithm_is_introduced_without_a_flap() {
    let mut network = pair(4, Algorithm::KeyedMd5);
    network.settle();
    let key = |id, algorithm| Key::new(id, algorithm, b"k").unwrap();
    let old = Key::new(1, Algorithm::KeyedMd5, &[b'k', 1]).unwrap();
    let new = key(2, Algorithm::MeticulousKeyedSha1);
    for (known, send) in [(vec![old, new], 1), (vec![old, new], 2), (vec![new], 2)] {
        for node in 0..2 {
            set_keys(
                &mut network,
                node,
                Some(Arc::new(Keys::new(known.clone(), send).unwrap())),
            );
            network.run(ms(200));
        }
    }
    assert!(network.nodes.iter().all(|node| node.changes.is_empty()));
}

#[test]
fn a_forger_without_the_key_changes_nothing() {
    for algorithm in &Algorithm::ALL[1..] {
        let mut network = pair(5, *algorithm);
        network.settle();
        network.forge = Some(|bytes| bytes[1] = (bytes[1] & 0x3f) | 0x40);
        let before = network.nodes[1].status();
        network.run(ms(9));
        let after = network.nodes[1].status();
        assert_eq!(
            (after.state, after.remote_state, after.last_packet),
            (State::Up, State::Up, before.last_packet)
        );
        assert!(after.counters.discards.get(Discard::AuthenticationDigest) > 0);
        network.run(ms(100));
        assert!(!network.nodes[1].is_up(), "nothing genuine came");
    }
}

thread_local! {
    /// What an eavesdropper has recorded.
    static HEARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A recorded packet is worth nothing later, and a recorded Down never ends a session.
#[test]
fn a_replay_changes_nothing() {
    let mut network = pair(6, Algorithm::MeticulousKeyedSha1);
    network.settle();
    network.forge = Some(|bytes| HEARD.with_borrow_mut(|heard| heard.push(bytes.clone())));
    network.run(ms(30));
    network.forge = None;
    network.run(ms(50));
    for payload in HEARD.take() {
        for to in 0..2 {
            let before = network.nodes[to].status().last_packet;
            network.deliver(to, &payload);
            assert_eq!(network.nodes[to].status().last_packet, before);
        }
    }
    let replays = |node: usize| {
        let discards = network.nodes[node].status().counters.discards;
        discards.get(Discard::AuthenticationSequence)
    };
    assert!(replays(0) > 0 && replays(1) > 0);
    assert!(network.both_up());
}

/// A peer that restarts begins with another number; it is heard after twice the detection time.
#[test]
fn a_restarted_peer_is_heard_again() {
    for algorithm in Algorithm::ALL {
        let mut network = pair(7, algorithm);
        network.settle();
        network.replace(1, 4711, side(2, 1, keys(&[1], 1, algorithm)));
        assert!(
            network.run_until(ms(100), |network| !network.nodes[0].is_up()),
            "{algorithm}"
        );
        assert!(network.run_until(ms(5_000), Network::both_up), "{algorithm}");
    }
}

#[test]
fn unauthenticated_sessions_stay_as_they_were() {
    let mut network = Network::new(8, [config(1, 2, ms(10), 3), config(2, 1, ms(10), 3)], perfect());
    network.settle();
    set_keys(&mut network, 0, keys(&[1], 1, Algorithm::KeyedSha1));
    network.run(ms(100));
    assert!(!network.nodes[0].is_up(), "keys on one side only are no keys");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Short loss, duplicates and a change of the order do no harm to sequence numbers.
    #[test]
    fn loss_and_duplication_never_drop(
        seed: u64,
        algorithm in prop::sample::select(Algorithm::ALL.as_slice()),
        fates in prop::collection::vec(0_u8..10, 64),
    ) {
        let mut network = pair(seed, algorithm);
        network.settle();
        let mut fates = fates.into_iter().cycle();
        let mut row = [0, 0];
        network.schedule = Box::new(move |_, from| {
            let delay = Duration::from_micros(100);
            match fates.next() {
                Some(0..4) if row[from] < 2 => {
                    row[from] += 1;
                    Vec::new()
                }
                Some(4..7) => {
                    row[from] = 0;
                    vec![delay, delay * 20]
                }
                _ => {
                    row[from] = 0;
                    vec![delay]
                }
            }
        });
        network.run(ms(10_000));
        for node in &network.nodes {
            prop_assert_eq!(&node.changes, &[]);
        }
    }
}

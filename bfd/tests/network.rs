//! Two machines on one virtual clock: loss, delay, duplication, reordering.

mod support;

use std::net::IpAddr;
use std::time::Duration;

use bfd::{Diagnostic, Hops, Input, Parameters, Path, Role, SessionConfig, State, Timing};
use proptest::prelude::*;
use support::{INTERFACE, Network, config, ms, perfect, timed};

const DELAY: Duration = Duration::from_micros(100);

#[test]
fn two_nodes_come_up_and_stay_up() {
    for seed in 0..50 {
        let mut network = Network::pair(seed, ms(10), 3);
        network.settle();
        network.run(ms(60_000));
        for node in &network.nodes {
            assert_eq!(node.changes, [], "seed {seed}");
            let status = node.status();
            assert_eq!(status.transmit_interval, Some(ms(10)));
            assert_eq!(status.detection_time, Some(ms(30)));
            assert_eq!((status.counters.ups, status.counters.downs), (1, 0));
        }
    }
}

#[test]
fn ipv6_and_any_interface() {
    let ends: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()];
    let side = |local, remote| SessionConfig {
        path: Path {
            local,
            remote,
            interface: None,
            hops: Hops::Single,
        },
        ..config(1, 2, ms(50), 3)
    };
    let mut network = Network::new(1, [side(ends[0], ends[1]), side(ends[1], ends[0])], perfect());
    network.settle();
    network.input(0, Input::LinkDown { interface: INTERFACE });
    assert_eq!(
        network.nodes[0].status().state,
        State::Down,
        "the interface is learnt from packets"
    );
}

#[test]
fn different_intervals_are_negotiated() {
    let timing = |transmit, receive, detect_multiplier| Timing {
        desired_min_tx: ms(transmit),
        required_min_rx: ms(receive),
        detect_multiplier,
    };
    let left = timed(1, 2, timing(20, 100, 4));
    let right = timed(2, 1, timing(30, 50, 3));
    let mut network = Network::new(3, [left, right], perfect());
    network.settle();
    let [left, right] = [network.nodes[0].status(), network.nodes[1].status()];
    assert_eq!(
        left.transmit_interval,
        Some(ms(50)),
        "the slower of 20 offered and 50 required"
    );
    assert_eq!(
        right.detection_time,
        Some(ms(200)),
        "the multiplier of the left side, 4 x 50"
    );
    assert_eq!(right.transmit_interval, Some(ms(100)));
    assert_eq!(left.detection_time, Some(ms(300)));
    network.run(ms(10_000));
    assert!(network.both_up());
}

#[test]
fn one_way_loss_takes_both_sides_down() {
    let mut network = Network::pair(5, ms(10), 3);
    network.settle();
    network.schedule = Box::new(|_, from| if from == 0 { vec![] } else { vec![DELAY] });
    network.run(ms(40));
    assert_eq!(
        network.nodes[1].changes[0].diagnostic,
        Diagnostic::DetectionTimeExpired
    );
    assert_eq!(
        network.nodes[0].changes[0].diagnostic,
        Diagnostic::NeighborSignaledDown
    );
    network.run(ms(5_000));
    assert!(network.nodes.iter().all(|node| !node.is_up()));
    network.schedule = perfect();
    assert!(
        network.run_until(ms(3_000), Network::both_up),
        "comes back once the loss ends"
    );
}

#[test]
fn admin_down_is_told_and_ends() {
    let mut network = Network::pair(6, ms(10), 3);
    network.settle();
    let id = network.nodes[0].id;
    network.input(0, Input::AdminDown(id));
    network.run(ms(1));
    let change = network.nodes[1].changes[0];
    assert_eq!(
        (change.to, change.diagnostic),
        (State::Down, Diagnostic::NeighborSignaledDown)
    );
    assert_eq!(network.nodes[1].status().remote_state, State::AdminDown);
    assert_eq!(
        network.nodes[1].status().remote_diagnostic,
        Diagnostic::AdministrativelyDown
    );
    network.run(ms(10_000));
    assert_eq!(
        network.nodes[0].status().state,
        State::AdminDown,
        "nothing of the peer ends it"
    );
    assert_eq!(network.nodes[1].status().state, State::Down);
    network.input(0, Input::AdminUp(id));
    assert!(network.run_until(ms(3_000), Network::both_up));
}

#[test]
fn removal_is_told_until_it_is_confirmed() {
    let mut network = Network::pair(6, ms(10), 3);
    network.settle();
    let id = network.nodes[0].id;
    network.input(0, Input::Remove(id));
    assert_eq!(network.nodes[0].sessions.sessions().count(), 0);
    assert!(network.nodes[0].sessions.is_leaving());
    network.run(ms(1));
    assert_eq!(
        network.nodes[1].changes[0].diagnostic,
        Diagnostic::NeighborSignaledDown
    );
    assert!(
        !network.nodes[0].sessions.is_leaving(),
        "the peer has answered the Poll"
    );
    assert_eq!(network.nodes[0].sessions.poll_timeout(), None);
}

/// One lost packet does not make a failure of a planned end.
#[test]
fn a_removal_is_repeated_at_the_old_pace() {
    let mut network = Network::pair(6, ms(10), 3);
    network.settle();
    let mut lost = false;
    network.schedule = Box::new(move |_, from| {
        let first = from == 0 && !lost;
        lost |= first;
        if first { Vec::new() } else { vec![DELAY] }
    });
    let id = network.nodes[0].id;
    network.input(0, Input::Remove(id));
    network.run(ms(40));
    let change = network.nodes[1].changes[0];
    assert_eq!(change.diagnostic, Diagnostic::NeighborSignaledDown);
    assert_eq!(
        network.nodes[1].status().last_down.map(|down| down.planned),
        Some(true)
    );
}

/// RFC 5880 section 6.8.16: a detection time, and no longer.
#[test]
fn a_removal_that_nobody_confirms_ends() {
    let mut network = Network::pair(6, ms(400), 5);
    network.settle();
    network.schedule = Box::new(|_, _| Vec::new());
    let id = network.nodes[0].id;
    network.input(0, Input::Remove(id));
    network.run(ms(1_999));
    assert!(network.nodes[0].sessions.is_leaving());
    let said = &network.nodes[0].sent;
    assert!(said.len() >= 2, "{said:?}");
    assert!(
        said.iter()
            .all(|(_, packet)| packet.state == State::AdminDown && packet.poll)
    );
    network.run(ms(1));
    assert!(!network.nodes[0].sessions.is_leaving());
    assert_eq!(network.nodes[0].sessions.poll_timeout(), None);
}

#[test]
fn a_session_that_starts_again_is_not_contradicted_by_the_one_before() {
    let mut network = Network::pair(6, ms(10), 3);
    network.settle();
    let id = network.nodes[0].id;
    network.input(0, Input::Remove(id));
    let again = network.nodes[0]
        .sessions
        .add(network.now, config(1, 2, ms(10), 3))
        .unwrap();
    network.nodes[0].id = again;
    assert!(!network.nodes[0].sessions.is_leaving());
    assert!(network.run_until(ms(4_000), Network::both_up));
}

/// RFC 7419 section 3.
#[test]
fn the_common_intervals_are_agreed_on_to_the_microsecond() {
    for micros in [3_300, 10_000, 20_000, 50_000, 100_000, 1_000_000] {
        let interval = Duration::from_micros(micros);
        let mut network = Network::pair(micros, interval, 3);
        network.settle();
        for node in &network.nodes {
            let status = node.status();
            assert_eq!(status.transmit_interval, Some(interval));
            assert_eq!(status.detection_time, Some(interval * 3));
        }
    }
}

#[test]
fn link_down_is_down_at_once() {
    let mut network = Network::pair(7, ms(300), 5);
    network.settle();
    network.input(
        0,
        Input::LinkDown {
            interface: INTERFACE + 1,
        },
    );
    assert!(network.both_up(), "another link");
    network.input(0, Input::LinkDown { interface: INTERFACE });
    let change = network.nodes[0].changes[0];
    assert_eq!(
        (change.at, change.to, change.diagnostic),
        (network.now, State::Down, Diagnostic::PathDown)
    );
    assert!(
        network.run_until(ms(3_000), Network::both_up),
        "comes back by packets alone"
    );
}

#[test]
fn a_restarted_peer_is_noticed_and_comes_back() {
    let mut network = Network::pair(8, ms(10), 3);
    network.settle();
    network.replace(1, 99, config(2, 1, ms(10), 3));
    assert!(network.run_until(ms(100), |network| !network.nodes[0].is_up()));
    assert!(network.run_until(ms(4_000), Network::both_up));
}

#[test]
fn a_passive_side_is_brought_up_by_an_active_one() {
    let passive = SessionConfig {
        role: Role::Passive,
        ..config(2, 1, ms(10), 3)
    };
    let mut network = Network::new(9, [config(1, 2, ms(10), 3), passive.clone()], perfect());
    network.settle();
    let both_passive = [
        SessionConfig {
            role: Role::Passive,
            ..config(1, 2, ms(10), 3)
        },
        passive,
    ];
    let mut network = Network::new(9, both_passive, perfect());
    network.run(ms(10_000));
    assert!(
        network.nodes.iter().all(|node| node.sent.is_empty()),
        "two passive sides stay silent"
    );
}

#[test]
fn periodic_packets_keep_their_distance() {
    let mut network = Network::pair(10, ms(10), 1);
    network.settle();
    network.run(ms(10_000));
    for node in &network.nodes {
        for pair in node.sent.windows(2) {
            let gap = pair[1].0 - pair[0].0;
            assert!(
                (Duration::from_micros(7_500)..=ms(9)).contains(&gap),
                "multiplier 1: {gap:?}"
            );
        }
    }
    let mut network = Network::pair(10, ms(10), 3);
    network.settle();
    network.run(ms(10_000));
    for node in &network.nodes {
        for pair in node.sent.windows(2) {
            let gap = pair[1].0 - pair[0].0;
            assert!(
                (Duration::from_micros(7_500)..=ms(10)).contains(&gap),
                "multiplier 3: {gap:?}"
            );
        }
    }
}

/// Lets at most `most` packets in a row be lost, per direction.
fn bounded_loss<'a>(
    mut pattern: impl FnMut() -> bool + 'a,
    most: u8,
    delay: Duration,
) -> support::Schedule<'a> {
    let mut row = [0_u8; 2];
    Box::new(move |_, from| {
        if row[from] < most && pattern() {
            row[from] += 1;
            return Vec::new();
        }
        row[from] = 0;
        vec![delay]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// One packet in each detection time is enough.
    #[test]
    fn loss_shorter_than_the_multiplier_never_drops(
        seed: u64,
        interval in 1_u64..100,
        multiplier in 2_u8..8,
        losses in prop::collection::vec(any::<bool>(), 64),
        delay in 0_u64..20_000,
    ) {
        let mut network = Network::pair(seed, ms(interval), multiplier);
        network.settle();
        let mut losses = losses.into_iter().cycle();
        let pattern = move || losses.next().unwrap_or(false);
        let delay = DELAY + Duration::from_micros(delay).min(ms(interval) / 2);
        // The first packet on the longer path arrives late by the difference: start without loss.
        network.schedule = Box::new(move |_, _| vec![delay]);
        network.run(ms(interval) * 4);
        network.schedule = bounded_loss(pattern, multiplier - 1, delay);
        network.run(ms(interval) * 400);
        for node in &network.nodes {
            prop_assert_eq!(&node.changes, &[]);
        }
    }

    /// RFC 5880 section 6.8.3: no change of timing may ever drop a session, whatever is lost meanwhile.
    #[test]
    fn changes_of_timing_under_loss_never_drop(
        seed: u64,
        losses in prop::collection::vec(any::<bool>(), 64),
        changes in prop::collection::vec((0_usize..2, 1_u64..200, 1_u64..200, 1_u64..600), 1..12),
    ) {
        let mut network = Network::pair(seed, ms(20), 3);
        network.settle();
        let mut losses = losses.into_iter().cycle();
        network.schedule = bounded_loss(move || losses.next().unwrap_or(false), 2, DELAY);
        for (node, transmit, receive, pause) in changes {
            let timing =
                Timing { desired_min_tx: ms(transmit), required_min_rx: ms(receive), detect_multiplier: 3 };
            let id = network.nodes[node].id;
            network.input(node, Input::Update(id, Parameters::new(timing)));
            network.run(ms(pause));
        }
        network.run(ms(5_000));
        for node in &network.nodes {
            prop_assert_eq!(&node.changes, &[]);
            prop_assert!(!node.status().polling, "the Poll Sequence ends");
        }
        let [left, right] = [network.nodes[0].status(), network.nodes[1].status()];
        for (one, other) in [(&left, &right), (&right, &left)] {
            let interval = one.config.parameters.timing.desired_min_tx.max(other.config.parameters.timing.required_min_rx);
            prop_assert_eq!(one.transmit_interval, Some(interval));
            prop_assert_eq!(other.detection_time, Some(interval * 3));
        }
    }

    #[test]
    fn total_loss_drops_within_the_detection_time(
        seed: u64,
        interval in 1_u64..300,
        multiplier in 1_u8..8,
        moment in 0_u64..1_000_000,
    ) {
        let mut network = Network::pair(seed, ms(interval), multiplier);
        network.settle();
        network.run(Duration::from_micros(moment));
        prop_assert!(network.both_up());
        let cut = network.now;
        network.schedule = Box::new(|_, _| Vec::new());
        let detection = ms(interval) * multiplier.into();
        network.run(detection + DELAY);
        for node in &network.nodes {
            prop_assert_eq!(node.changes.len(), 1);
            let change = node.changes[0];
            prop_assert_eq!((change.to, change.diagnostic), (State::Down, Diagnostic::DetectionTimeExpired));
            let last = change.last_packet.expect("packets were received");
            prop_assert_eq!(change.at - last, detection, "not earlier, not later");
            prop_assert!(last <= cut + DELAY);
        }
    }

    /// Whatever the wire did before, both sides are up soon after it is well again, and agree.
    #[test]
    fn a_bad_wire_is_survived(
        seed: u64,
        fates in prop::collection::vec((0_u64..100, 0_u64..400, 0_u64..400), 16..200),
    ) {
        let mut network = Network::pair(seed, ms(20), 3);
        let mut fates = fates.into_iter().cycle();
        network.schedule = Box::new(move |_, _| match fates.next() {
            Some((0..30, _, _)) | None => Vec::new(),
            Some((30..60, first, second)) => vec![ms(first), ms(second)],
            Some((_, first, _)) => vec![ms(first % 20)],
        });
        network.run(ms(20_000));
        network.schedule = perfect();
        network.run(ms(1_000));
        prop_assert!(network.run_until(ms(8_000), Network::both_up));
        network.run(ms(2_000));
        network.nodes.iter_mut().for_each(|node| node.changes.clear());
        network.run(ms(5_000));
        for node in &network.nodes {
            prop_assert_eq!(&node.changes, &[]);
            prop_assert_eq!(node.status().detection_time, Some(ms(60)));
        }
    }

    /// Delay that varies by less than the slack that the multiplier leaves is no reason to drop.
    #[test]
    fn delay_and_reordering_within_the_slack_never_drop(
        seed: u64,
        delays in prop::collection::vec(0_u64..20_000, 16..64),
    ) {
        let mut network = Network::pair(seed, ms(10), 4);
        network.settle();
        let mut delays = delays.into_iter().cycle();
        network.schedule = Box::new(move |_, _| {
            vec![DELAY + Duration::from_micros(delays.next().unwrap_or(0)), ms(25)]
        });
        network.run(ms(5_000));
        for node in &network.nodes {
            prop_assert_eq!(&node.changes, &[]);
        }
    }
}

//! Demand mode (RFC 5880 section 6.6): silence while Up, and Poll Sequences to make sure.

mod support;

use std::time::{Duration, Instant};

use bfd::{Diagnostic, Input, Packet, State};
use proptest::prelude::*;
use support::{Network, config, ms, perfect, with};

/// The first node asks the second to be silent, and makes sure once a second.
fn one_sided(seed: u64) -> Network<'static> {
    let asking = with(1, 2, ms(20), 3, |parameters| parameters.demand = Some(ms(1_000)));
    let mut network = Network::new(seed, [asking, config(2, 1, ms(20), 3)], perfect());
    network.settle();
    network
}

fn periodic(sent: &[(Instant, Packet)]) -> usize {
    sent.iter().filter(|(_, packet)| !packet.final_answer).count()
}

#[test]
fn the_peer_is_silent_but_for_its_answers() {
    let mut network = one_sided(1);
    network.run(ms(2_000));
    network.nodes.iter_mut().for_each(|node| node.sent.clear());
    network.run(ms(10_000));
    let [asking, asked] = &network.nodes;
    assert!(asking.status().demand && asked.status().remote_demand);
    assert_eq!(periodic(&asked.sent), 0);
    assert!(
        (9..=11).contains(&asked.sent.len()),
        "{} answers",
        asked.sent.len()
    );
    assert!(asking.sent.iter().all(|(_, packet)| packet.demand));
    assert!(
        asking.sent.len() >= 500,
        "its own packets go on: nobody asked it to be silent"
    );
    assert!(network.nodes.iter().all(|node| node.changes.is_empty()));
}

#[test]
fn both_may_be_silent() {
    let side = |local, remote| {
        with(local, remote, ms(20), 3, |parameters| {
            parameters.demand = Some(ms(1_000))
        })
    };
    let mut network = Network::new(2, [side(1, 2), side(2, 1)], perfect());
    network.settle();
    network.run(ms(2_000));
    network.nodes.iter_mut().for_each(|node| node.sent.clear());
    network.run(ms(10_000));
    for node in &network.nodes {
        assert!(node.sent.len() <= 24, "{} packets in 10 s", node.sent.len());
        assert!(
            node.sent
                .iter()
                .all(|(_, packet)| packet.poll || packet.final_answer)
        );
        assert!(node.changes.is_empty());
    }
}

/// RFC 5880 section 6.8.4: the detection time is ours, from the first packet of the Poll Sequence.
#[test]
fn a_poll_that_nobody_answers_ends_the_session() {
    for silence in [0, 137, 501, 940] {
        let mut network = one_sided(3);
        network.run(ms(2_000 + silence));
        network.schedule = Box::new(|_, _| Vec::new());
        let cut = network.now;
        assert!(network.run_until(ms(2_000), |network| !network.nodes[0].is_up()));
        let down = network.nodes[0].changes[0];
        assert_eq!(
            (down.to, down.diagnostic),
            (State::Down, Diagnostic::DetectionTimeExpired)
        );
        let took = down.at - cut;
        assert!(took <= ms(1_000 + 60), "{took:?}");
        let polls: Vec<Instant> = network.nodes[0]
            .sent
            .iter()
            .filter(|(at, packet)| packet.poll && *at >= cut && *at < down.at)
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(
            down.at - polls[0],
            ms(60),
            "three times 20 ms after the first Poll"
        );
        assert!(polls.len() >= 3);
    }
}

/// RFC 5880 section 6.8.14.
#[test]
fn demand_mode_is_switched_on_and_off_while_up() {
    let mut network = Network::pair(4, ms(20), 3);
    network.settle();
    let id = network.nodes[0].id;
    let mut parameters = network.nodes[0].status().config.parameters;
    for demand in [Some(ms(500)), None, Some(ms(100)), None] {
        parameters.demand = demand;
        network.input(0, Input::Update(id, parameters.clone()));
        network.run(ms(3_000));
        assert_eq!(network.nodes[0].status().demand, demand.is_some());
        network.nodes[1].sent.clear();
        network.run(ms(1_000));
        assert_eq!(
            periodic(&network.nodes[1].sent) == 0,
            demand.is_some(),
            "{demand:?}"
        );
    }
    assert!(network.nodes.iter().all(|node| node.changes.is_empty()));
}

/// It would never be polled, and so never be missed.
#[test]
fn a_peer_that_takes_no_packets_is_not_asked_to_be_silent() {
    let mut network = one_sided(5);
    network.run(ms(2_000));
    assert!(network.nodes[0].status().demand);
    let peer = network.nodes[0].status();
    let deaf = Packet {
        diagnostic: Diagnostic::None,
        state: State::Up,
        poll: false,
        final_answer: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: peer.remote_discriminator,
        your_discriminator: peer.session.0,
        desired_min_tx: 20_000,
        required_min_rx: 0,
        required_min_echo_rx: 0,
    };
    network.schedule = Box::new(|_, _| Vec::new());
    network.deliver(0, &deaf.encode());
    assert!(
        network.run_until(ms(200), |network| !network.nodes[0].is_up()),
        "silence ends it"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Loss that is shorter than the multiplier ends nothing, in demand mode as well: of four exchanges one succeeds.
    #[test]
    fn short_loss_never_drops(seed: u64, way in 0_usize..2, losses in prop::collection::vec(any::<bool>(), 64)) {
        let side = |local, remote, demand| {
            with(local, remote, ms(20), 4, |parameters| parameters.demand = demand)
        };
        let configs = [side(1, 2, Some(ms(200))), side(2, 1, None)];
        let mut network = Network::new(seed, configs, perfect());
        network.settle();
        let mut losses = losses.into_iter().cycle();
        let mut row = 0;
        network.schedule = Box::new(move |_, from| {
            if from == way && row < 3 && losses.next().unwrap_or(false) {
                row += 1;
                return Vec::new();
            }
            row = if from == way { 0 } else { row };
            vec![Duration::from_micros(100)]
        });
        network.run(ms(10_000));
        for node in &network.nodes {
            prop_assert_eq!(&node.changes, &[]);
        }
    }
}

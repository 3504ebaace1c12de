//! Two peerings, two tables: equal in the end, whatever happened on the way.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Dice, World, record};
use crate::{FlowState, Input, Limits, Output, Phase};

fn state(dice: &mut Dice) -> FlowState {
    if dice.below(2) == 0 {
        FlowState::Established
    } else {
        FlowState::Closing
    }
}

/// One random thing happens.
fn step(world: &mut World, dice: &mut Dice) {
    let index = dice.size(2);
    match dice.below(100) {
        0..20 => {
            let (number, state) = (u16::try_from(dice.below(200)).unwrap(), state(dice));
            world.upsert(index, number, state);
        }
        20..34 => world.delete(index, dice.size(2), u16::try_from(dice.below(200)).unwrap()),
        34 => world.packet(
            index,
            1 - index,
            u16::try_from(dice.below(200)).unwrap(),
            state(dice),
        ),
        35..50 => {
            let most = dice.size(5);
            world.tell(index, most);
        }
        50..60 => world.hand_chunk(index),
        60..90 => {
            let most = 1 + dice.size(600);
            world.deliver(index, most);
        }
        90..96 => {
            world.now += Duration::from_millis(dice.below(200));
            world.input(0, Input::Timeout);
            world.input(1, Input::Timeout);
        }
        96..98 => {
            // Some bytes still arrive, at any offset, the rest never does.
            for node in 0..2 {
                let most = dice.size(300);
                world.deliver(node, most);
            }
            world.disconnect();
        }
        98 => world.connect(),
        _ if dice.below(3) == 0 => {
            world.reboot(index);
            world.connect();
        }
        _ => {}
    }
}

fn run(seed: u64, limits: Limits) -> World {
    let mut dice = Dice::new(seed);
    let mut world = World::new(limits);
    world.chunk = 1 + dice.size(20);
    world.connect();
    for _ in 0..600 {
        step(&mut world, &mut dice);
        for node in &world.nodes {
            let status = node.peering.status();
            assert!(status.pending <= limits.pending_changes);
            assert!(status.unacknowledged <= limits.window + 40_000);
        }
    }
    // A new connection would repair what the old one got wrong.
    if world
        .nodes
        .iter()
        .any(|node| node.peering.status().phase == Phase::Disconnected)
    {
        world.connect();
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn tables_are_equal_in_the_end(seed: u64) {
        run(seed, Limits::default()).assert_equal();
    }

    #[test]
    fn also_with_tiny_bounds(seed: u64) {
        let limits = Limits { pending_changes: 4, window: 300, resync_pause: Duration::from_millis(50), ..Limits::default() };
        run(seed, limits).assert_equal();
    }
}

#[test]
fn a_joiner_during_churn() {
    let mut world = World::new(Limits::default());
    for number in 0..2000 {
        world.upsert(0, number, FlowState::Established);
    }
    world.tell(0, usize::MAX);
    world.connect();
    for number in 0..2000_u16 {
        // Ahead of the walk, behind it, and where it is.
        world.delete(0, 0, number.wrapping_mul(7) % 2000);
        world.upsert(0, number.wrapping_mul(13) % 2000, FlowState::Closing);
        world.tell(0, 1);
        world.hand_chunk(0);
        world.hand_chunk(1);
        world.deliver(1, 500);
        world.deliver(0, 500);
    }
    world.settle();
    world.assert_equal();
    assert!(world.nodes[1].table.len() > 100);
    assert_eq!(world.nodes[0].peering.status().counters.snapshots_sent, 1);
    assert_eq!(world.nodes[0].peering.status().counters.resyncs, 0);
}

#[test]
fn a_deleted_flow_does_not_come_back_with_the_snapshot() {
    let mut world = World::new(Limits::default());
    world.upsert(0, 1, FlowState::Established);
    world.tell(0, 1);
    world.connect();
    while world.deliver(0, 1000) || world.deliver(1, 1000) {}
    // The walk has read the flow; it ends before the chunk is sent.
    assert_eq!(world.nodes[0].chunks.len(), 1);
    world.delete(0, 0, 1);
    world.tell(0, 1);
    world.settle();
    world.assert_equal();
    assert!(world.nodes[1].table.is_empty());
}

#[test]
fn what_ended_during_a_disconnection_ends_at_the_peer() {
    let mut world = World::new(Limits::default());
    world.upsert(0, 1, FlowState::Established);
    world.upsert(0, 2, FlowState::Established);
    world.connect();
    world.settle();
    world.disconnect();
    world.delete(0, 0, 1);
    world.tell(0, 1);
    world.connect();
    world.settle();
    world.assert_equal();
    assert_eq!(world.nodes[1].table.len(), 1);
}

#[test]
fn the_flows_of_a_dead_peer_are_adopted_and_given_back() {
    let mut world = World::new(Limits::default());
    for number in 0..50 {
        world.upsert(0, number, FlowState::Established);
    }
    world.connect();
    world.settle();
    world.reboot(0);
    assert!(world.nodes[1].table.values().all(|(_, remote)| *remote));
    world.connect();
    world.settle();
    world.assert_equal();
    assert_eq!(world.nodes[0].table.len(), 50);
    assert!(
        world.nodes[0].table.values().all(|(_, remote)| *remote),
        "the survivor owns them"
    );
}

#[test]
fn a_slow_peer_costs_a_snapshot_and_no_memory() {
    let limits = Limits {
        pending_changes: 100,
        window: 2000,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    world.connect();
    world.settle();
    for number in 0..2000 {
        world.upsert(0, number, FlowState::Established);
        world.tell(0, 1);
        let status = world.nodes[0].peering.status();
        assert!(status.pending <= 100);
        assert!(world.nodes[1].pipe.len() < 2000 + 40_000);
    }
    let status = world.nodes[0].peering.status();
    assert_eq!(status.counters.resyncs, 1);
    assert!(!status.peer_current);
    world.settle();
    world.assert_equal();
    assert_eq!(world.nodes[1].table.len(), 2000);
}

#[test]
fn too_many_changes_during_a_snapshot_start_it_again() {
    let limits = Limits {
        snapshot_flows: 10,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    for number in 0..50 {
        world.upsert(0, number, FlowState::Established);
    }
    world.tell(0, usize::MAX);
    world.connect();
    world.deliver(0, 10_000);
    for number in 100..120 {
        world.upsert(0, number, FlowState::Established);
    }
    world.settle();
    assert_eq!(world.nodes[0].peering.status().counters.resyncs, 1);
    world.assert_equal();
}

#[test]
fn lost_events_are_repaired() {
    let mut world = World::new(Limits::default());
    for number in 0..10 {
        world.upsert(0, number, FlowState::Established);
    }
    world.connect();
    world.settle();
    world.delete(0, 0, 1);
    world.upsert(0, 50, FlowState::Established);
    world.nodes[0].events.clear();
    world.input(0, Input::Missed);
    assert!(!world.nodes[0].peering.status().peer_current);
    world.settle();
    world.assert_equal();
    assert_eq!(world.nodes[1].table.len(), 10);
    assert_eq!(world.nodes[0].peering.status().counters.resyncs, 1);
}

#[test]
fn the_lag_is_the_age_of_the_oldest_change() {
    let mut world = World::new(Limits::default());
    world.connect();
    world.settle();
    world.upsert(0, 1, FlowState::Established);
    world.tell(0, 1);
    world.now += Duration::from_millis(3);
    world.deliver(1, 10_000);
    world.now += Duration::from_millis(2);
    world.deliver(0, 10_000);
    assert_eq!(world.nodes[0].lags, [Duration::from_millis(5)]);
    assert_eq!(world.nodes[0].peering.status().counters.changes_acknowledged, 1);
}

#[test]
fn the_latest_hello_goes_out_now_and_after_each_connect() {
    let mut world = World::new(Limits::default());
    world.input(0, Input::Hello(b"old".to_vec()));
    world.input(0, Input::Hello(b"one".to_vec()));
    world.connect();
    world.settle();
    world.input(0, Input::Hello(b"two".to_vec()));
    world.settle();
    world.connect();
    world.settle();
    assert_eq!(world.nodes[1].hellos, [b"one", b"two", b"two"]);
    assert!(world.nodes[0].hellos.is_empty());
}

#[test]
fn silence_ends_the_connection() {
    let mut world = World::new(Limits::default());
    world.connect();
    world.now += Duration::from_secs(3);
    world.input(0, Input::Timeout);
    assert_eq!(world.nodes[0].closed.as_deref(), Some("no hello from the peer"));
    world.connect();
    world.settle();
    assert_eq!(world.nodes[0].closed, None, "heartbeats keep it");
    world.nodes[0].pipe.clear();
    world.now += Duration::from_secs(3);
    world.input(0, Input::Timeout);
    assert_eq!(world.nodes[0].closed.as_deref(), Some("the peer is silent"));
    assert_eq!(world.nodes[0].peering.status().phase, Phase::Closed);
    assert_eq!(world.nodes[0].peering.poll_timeout(), None);
}

#[test]
fn a_peer_that_lives_and_does_not_acknowledge_is_dropped() {
    let mut world = World::new(Limits::default());
    world.connect();
    world.settle();
    world.upsert(0, 1, FlowState::Established);
    world.tell(0, 1);
    world.nodes[1].pipe.clear();
    for _ in 0..30 {
        world.now += Duration::from_millis(100);
        world.input(1, Input::Timeout);
        world.input(0, Input::Timeout);
        world.deliver(0, 1000);
    }
    assert_eq!(
        world.nodes[0].closed.as_deref(),
        Some("the peer does not acknowledge")
    );
}

#[test]
fn an_acknowledgement_comes_after_what_it_acknowledges() {
    let mut world = World::new(Limits::default());
    world.connect();
    world.settle();
    world.upsert(0, 1, FlowState::Established);
    world.tell(0, 1);
    let bytes: Vec<u8> = world.nodes[1].pipe.drain(..).collect();
    let now = world.now;
    let peering = &mut world.nodes[1].peering;
    peering.handle(now, Input::Received(&bytes));
    let Some(Output::Apply(changes)) = peering.poll_output() else {
        panic!("nothing to apply")
    };
    assert_eq!(
        *changes[0].identity(),
        record(0, 1, FlowState::Established).identity
    );
    assert!(matches!(peering.poll_output(), Some(Output::Send(_))));
    assert_eq!(peering.poll_output(), None);
}

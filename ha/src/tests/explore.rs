//! Orders of events, all short ones and many long ones, against what must always hold.

use proptest::prelude::*;

use super::world::{NAMES, World};
use crate::{Input, Role};

#[derive(Clone, Copy, Debug)]
enum Event {
    Kill(usize),
    Start(usize),
    BfdUp,
    BfdDown,
    BfdDownAt(usize),
    ChannelUp,
    ChannelDown,
    CaughtUp(usize),
    SyncLost(usize),
    Deliver(usize),
    Lose(usize),
    Drain(usize),
    Undrain(usize),
    Uplink(usize, bool),
    Announces(usize, bool),
    Wait(u64),
}

const ALL: [Event; 28] = [
    Event::Kill(0),
    Event::Kill(1),
    Event::Start(0),
    Event::Start(1),
    Event::BfdUp,
    Event::BfdDown,
    Event::BfdDownAt(0),
    Event::BfdDownAt(1),
    Event::ChannelUp,
    Event::ChannelDown,
    Event::CaughtUp(0),
    Event::CaughtUp(1),
    Event::SyncLost(0),
    Event::SyncLost(1),
    Event::Deliver(0),
    Event::Deliver(1),
    Event::Lose(0),
    Event::Drain(0),
    Event::Drain(1),
    Event::Undrain(0),
    Event::Undrain(1),
    Event::Uplink(0, false),
    Event::Uplink(1, false),
    Event::Uplink(0, true),
    Event::Announces(0, false),
    Event::Wait(50),
    Event::Wait(250),
    Event::Wait(1500),
];

fn apply(world: &mut World, event: Event) {
    match event {
        Event::Kill(index) => {
            world.kill(index);
            world.bfd_at(1 - index, false);
            world.input(1 - index, Input::CaughtUp(false));
        }
        Event::Start(index) if world.nodes[index].election.is_none() => world.start(index),
        Event::Start(_) => {}
        Event::BfdUp if world.nodes.iter().all(|n| n.election.is_some()) => world.bfd(true),
        Event::BfdUp => {}
        Event::BfdDown => world.bfd(false),
        Event::BfdDownAt(index) => world.bfd_at(index, false),
        Event::ChannelUp => world.channel = true,
        Event::ChannelDown => world.channel = false,
        Event::CaughtUp(index) => world.input(index, Input::CaughtUp(true)),
        Event::SyncLost(index) => world.input(index, Input::CaughtUp(false)),
        Event::Deliver(index) => {
            world.deliver(index);
        }
        Event::Lose(index) => world.nodes[index].inbox.clear(),
        Event::Drain(index) => world.input(index, Input::Drain),
        Event::Undrain(index) => world.input(index, Input::Undrain),
        Event::Uplink(index, up) => world.input(index, Input::Uplink(up)),
        Event::Announces(index, heard) => world.input(index, Input::Announces(heard)),
        Event::Wait(ms) => wait(world, ms),
    }
    always(world);
}

/// Time passes and hellos are delivered only when an event says so.
fn wait(world: &mut World, ms: u64) {
    let held = world.nodes.each_mut().map(|n| std::mem::take(&mut n.inbox));
    world.run_ms(ms);
    for (node, held) in world.nodes.iter_mut().zip(held) {
        node.inbox.splice(0..0, held);
    }
}

/// A node that is alone (BFD was up and says that the peer is dead) serves, in the same instant.
fn always(world: &World) {
    for (index, node) in world.nodes.iter().enumerate() {
        let Some(election) = &node.election else { continue };
        let status = election.status();
        assert_eq!(
            status.instances[0].holds, node.claimed,
            "claims and releases tell the state"
        );
        if status.peers[0].liveness == crate::Liveness::Down {
            assert!(node.claimed, "{} is alone and does not serve", NAMES[index]);
        }
        if status.instances[0].role == Role::Master {
            assert!(node.claimed, "MASTER without the addresses");
        }
    }
}

/// Once everything works, exactly one serves, within a second or so, and it is the right one; nobody ties.
fn heals(world: &mut World) {
    world.channel = true;
    for index in 0..2 {
        if world.nodes[index].election.is_none() {
            world.start(index);
        }
    }
    world.bfd(true);
    world.run_ms(1300);
    let holders = world.holds().iter().filter(|h| **h).count();
    assert_eq!(holders, 1, "{:?}", world.roles());
    assert_ne!(world.role(0), world.role(1));
    world.catch_up();
    world.run_ms(450);
    assert_ne!(world.role(0), world.role(1));
    for index in 0..2 {
        world.input(index, Input::Undrain);
        world.input(index, Input::Uplink(true));
        world.input(index, Input::Announces(true));
    }
    world.run_ms(450);
    let expected = [Some(Role::Master), Some(Role::Backup)];
    let swapped = [expected[1], expected[0]];
    let roles = world.roles();
    assert!(
        roles == expected || (!world.nodes[0].preempt && roles == swapped),
        "{roles:?}"
    );
    assert_eq!(world.holds(), roles.map(|r| r == Some(Role::Master)));
    world.kill(0);
    world.bfd_at(1, false);
    assert_eq!(world.role(1), Some(Role::Master));
}

#[test]
fn all_orders_of_three_events() {
    for first in ALL {
        for second in ALL {
            for third in ALL {
                let mut world = World::settled(true);
                for event in [first, second, third] {
                    apply(&mut world, event);
                }
                heals(&mut world);
            }
        }
    }
}

#[test]
fn all_orders_of_two_events_of_a_cold_start() {
    for preempt in [true, false] {
        for first in ALL {
            for second in ALL {
                let mut world = World::new(preempt);
                world.start(0);
                for event in [Event::Start(1), first, second] {
                    apply(&mut world, event);
                }
                heals(&mut world);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn long_orders(preempt: bool, cold: bool, events in prop::collection::vec(prop::sample::select(&ALL[..]), 0..60)) {
        let mut world = if cold { World::new(preempt) } else { World::settled(preempt) };
        for event in events {
            apply(&mut world, event);
        }
        heals(&mut world);
    }
}

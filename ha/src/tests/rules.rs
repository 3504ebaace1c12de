//! One test per rule.

use std::time::Duration;

use super::world::World;
use crate::{
    Cause, Config, ConfigError, Election, Hello, Input, InstanceConfig, InstanceHello, InstanceId, Output,
    Role, Standing, Timing,
};

const MASTER: Option<Role> = Some(Role::Master);
const BACKUP: Option<Role> = Some(Role::Backup);
const JOINING: Option<Role> = Some(Role::Joining);
const DRAINING: Option<Role> = Some(Role::Draining);
const FAULT: Option<Role> = Some(Role::Fault);
const INSTANCE: InstanceId = InstanceId(0);

fn config(peers: &[&str]) -> Config {
    Config {
        node: "a".to_owned(),
        boot: 1,
        peers: peers.iter().map(|&p| p.to_owned()).collect(),
        instances: vec![InstanceConfig {
            name: "default".to_owned(),
            priority: 100,
            preempt: true,
        }],
        timing: Timing::default(),
    }
}

#[test]
fn a_lone_node_is_master_within_a_second() {
    let start = World::new(true).now;
    let mut election = Election::new(start, config(&[])).unwrap();
    let mut now = start;
    while let Some(at) = election.poll_timeout() {
        now = now.max(at);
        election.handle(now, Input::Timeout);
    }
    assert!(now - start <= Duration::from_secs(1));
    let outputs: Vec<Output> = std::iter::from_fn(|| election.poll_output()).collect();
    let cause = Cause::LoneStart;
    assert_eq!(
        outputs,
        [
            Output::Announce {
                instance: INSTANCE,
                role: Role::Joining
            },
            Output::Claim { instance: INSTANCE },
            Output::Announce {
                instance: INSTANCE,
                role: Role::Master
            },
            Output::RoleChanged {
                instance: INSTANCE,
                from: Role::Joining,
                to: Role::Master,
                cause
            },
        ]
    );
}

#[test]
fn a_silent_peer_is_waited_for_and_then_not() {
    let mut world = World::new(true);
    world.start(0);
    world.run_ms(999);
    assert_eq!(world.role(0), JOINING);
    world.run_ms(1);
    assert_eq!(world.role(0), MASTER);
    assert_eq!(world.last_cause(0), Some(Cause::PeerSilent));
}

#[test]
fn the_start_hold_does_not_begin_before_a_peer_can_be_heard() {
    let mut world = World::new(true);
    world.start_deaf(0);
    world.run_ms(30_000);
    assert_eq!(world.role(0), JOINING);
    world.input(0, Input::Listening);
    world.run_ms(500);
    world.input(0, Input::Listening);
    world.run_ms(499);
    assert_eq!(world.role(0), JOINING);
    world.run_ms(1);
    assert_eq!(world.role(0), MASTER, "said twice, it is no later");
}

#[test]
fn a_peer_that_lives_and_does_not_speak_may_be_master() {
    let mut world = World::new(true);
    world.channel = false;
    world.start(0);
    world.start(1);
    world.bfd(true);
    world.run_ms(9_900);
    assert_eq!(world.roles(), [JOINING, JOINING]);
    world.kill(1);
    world.bfd_at(0, false);
    assert_eq!(world.role(0), MASTER);
}

#[test]
fn without_a_word_of_the_peer_the_lower_name_claims_in_the_end() {
    let mut world = World::new(true);
    // b is preferred, but nobody can say so.
    world.nodes[1].priority = 900;
    world.channel = false;
    world.start(0);
    world.start(1);
    world.bfd(true);
    world.run_ms(10_300);
    assert_eq!(world.roles(), [MASTER, JOINING]);
    assert_eq!(world.last_cause(0), Some(Cause::PeerMute));
    world.run_ms(60_000);
    assert_eq!(world.holds(), [true, false]);
    world.channel = true;
    world.run_ms(1000);
    assert_eq!(world.roles(), [MASTER, JOINING]);
    world.catch_up();
    assert_eq!(world.roles(), [BACKUP, MASTER]);
}

#[test]
fn without_a_word_of_the_peer_only_the_lower_name_stays() {
    let mut world = World::settled(true);
    world.channel = false;
    world.bfd(false);
    world.lose_sync();
    world.run_ms(10_000);
    assert_eq!(world.roles(), [MASTER, MASTER]);
    world.bfd(true);
    world.run_ms(10_900);
    assert_eq!(
        world.roles(),
        [MASTER, MASTER],
        "not before the other has claimed"
    );
    world.run_ms(400);
    assert_eq!(world.roles(), [MASTER, JOINING]);
    assert_eq!(world.last_cause(1), Some(Cause::PeerMute));
    world.run_ms(60_000);
    assert_eq!(world.holds(), [true, false]);
    world.kill(0);
    world.bfd_at(1, false);
    assert_eq!(world.role(1), MASTER);
}

#[test]
fn a_cold_start_is_serialised() {
    for skew in [0, 1, 100, 500] {
        for first in [0, 1] {
            let mut world = World::new(true);
            world.start(first);
            world.run_ms(skew);
            world.start(1 - first);
            world.bfd(true);
            world.deliver_all();
            assert_eq!(world.roles(), [MASTER, JOINING], "skew {skew}");
            assert_eq!(world.last_cause(0), Some(Cause::Elected));
            world.catch_up();
            assert_eq!(world.roles(), [MASTER, BACKUP]);
        }
    }
}

#[test]
fn being_caught_up_first_does_not_win_a_cold_start() {
    let mut world = World::new(true);
    world.start(0);
    world.start(1);
    world.bfd_at(1, true);
    world.input(1, Input::CaughtUp(true));
    world.bfd_at(0, true);
    world.deliver(1);
    assert_eq!(world.roles(), [JOINING, JOINING], "b has nothing that a lacks");
    world.deliver_all();
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

#[test]
fn equal_priorities_go_by_name() {
    let mut world = World::new(true);
    world.nodes[1].priority = 200;
    world.start(1);
    world.start(0);
    world.bfd(true);
    world.deliver_all();
    assert_eq!(world.roles(), [MASTER, JOINING]);
}

#[test]
fn hellos_prove_life_until_bfd_is_up() {
    let mut world = World::new(true);
    world.start(1);
    world.run_ms(5000);
    assert_eq!(world.role(1), MASTER);
    // BFD takes longer to come up than the start hold.
    world.start(0);
    world.run_ms(3000);
    assert_eq!(world.roles(), [JOINING, MASTER]);
    world.bfd(true);
    world.run_ms(500);
    world.catch_up();
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

#[test]
fn a_peer_known_by_hellos_alone_dies_of_silence() {
    let mut world = World::new(true);
    world.start(1);
    world.run_ms(5000);
    world.start(0);
    world.run_ms(3000);
    world.channel = false;
    world.kill(1);
    world.run_ms(999);
    assert_eq!(world.role(0), JOINING);
    world.run_ms(201);
    assert_eq!(world.role(0), MASTER);
    assert_eq!(world.last_cause(0), Some(Cause::PeerLost));
}

#[test]
fn peer_lost_means_master_at_once_and_in_order() {
    let mut world = World::settled(true);
    world.clear_logs();
    world.kill(0);
    let before = world.elapsed();
    world.bfd_at(1, false);
    let log: Vec<Output> = world.nodes[1]
        .log
        .iter()
        .map(|(_, output)| output.clone())
        .collect();
    let cause = Cause::PeerLost;
    assert_eq!(log[0], Output::Claim { instance: INSTANCE });
    assert_eq!(
        log[1],
        Output::Announce {
            instance: INSTANCE,
            role: Role::Master
        }
    );
    assert!(matches!(log[2], Output::SendHello(_)));
    assert_eq!(
        log[3],
        Output::RoleChanged {
            instance: INSTANCE,
            from: Role::Backup,
            to: Role::Master,
            cause
        }
    );
    assert_eq!(world.nodes[1].log[0].0, before);
}

#[test]
fn a_joining_node_takes_over_when_the_peer_dies() {
    let mut world = World::new(true);
    world.start(0);
    world.start(1);
    world.bfd(true);
    world.run_ms(10);
    assert_eq!(world.roles(), [MASTER, JOINING]);
    world.kill(0);
    world.bfd_at(1, false);
    assert_eq!(world.role(1), MASTER);
}

#[test]
fn no_preemption_before_caught_up() {
    let mut world = World::settled(true);
    world.kill(0);
    world.bfd_at(1, false);
    world.lose_sync();
    world.run_ms(10_000);
    world.start(0);
    world.bfd(true);
    world.run_ms(30_000);
    assert_eq!(world.roles(), [JOINING, MASTER]);
    world.clear_logs();
    world.input(0, Input::CaughtUp(true));
    // Make before break: a has claimed, b forwards and keeps its address until it hears of it.
    assert_eq!(world.holds(), [true, true]);
    assert_eq!(world.role(0), MASTER);
    assert_eq!(world.last_cause(0), Some(Cause::Preemption));
    world.deliver_all();
    assert_eq!(world.holds(), [true, false]);
    let cause = Cause::PeerClaimed;
    assert_eq!(
        world.log(1),
        [
            Output::Announce {
                instance: INSTANCE,
                role: Role::Joining
            },
            Output::Release { instance: INSTANCE },
            Output::RoleChanged {
                instance: INSTANCE,
                from: Role::Master,
                to: Role::Joining,
                cause
            },
        ]
    );
    world.input(1, Input::CaughtUp(true));
    assert_eq!(world.role(1), BACKUP);
}

#[test]
fn no_preemption_unless_wanted_or_among_equals() {
    for (preempt, priority) in [(false, 100), (true, 200)] {
        let mut world = World::new(preempt);
        world.nodes[1].priority = priority;
        world.start(1);
        world.run_ms(5000);
        world.start(0);
        world.bfd(true);
        world.run_ms(500);
        world.catch_up();
        world.run_ms(10_000);
        assert_eq!(world.roles(), [BACKUP, MASTER]);
    }
}

#[test]
fn losing_the_channel_makes_a_backup_join_again() {
    let mut world = World::settled(true);
    world.lose_sync();
    assert_eq!(world.roles(), [MASTER, JOINING]);
    assert_eq!(world.last_cause(1), Some(Cause::SyncLost));
    world.catch_up();
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

#[test]
fn a_fast_restart_of_the_master_is_told_by_its_boot() {
    let mut world = World::settled(true);
    // The new incarnation speaks before BFD has noticed anything.
    world.nodes[0].claimed = false;
    world.input(1, Input::CaughtUp(false));
    world.start(0);
    world.bfd_at(0, true);
    world.run_ms(10);
    assert_eq!(world.roles(), [JOINING, MASTER], "whoever has the flows");
}

#[test]
fn drain_is_make_before_break() {
    let mut world = World::settled(true);
    world.clear_logs();
    world.input(0, Input::Drain);
    let draining = Output::Announce {
        instance: INSTANCE,
        role: Role::Draining,
    };
    let cause = Cause::Drain;
    let changed = Output::RoleChanged {
        instance: INSTANCE,
        from: Role::Master,
        to: Role::Draining,
        cause,
    };
    assert_eq!(world.log(0), [draining.clone(), changed.clone()]);
    assert_eq!(world.holds(), [true, false]);
    world.deliver(1);
    assert_eq!(world.holds(), [true, true]);
    assert_eq!(world.last_cause(1), Some(Cause::PeerDraining));
    world.deliver_all();
    assert_eq!(world.holds(), [false, true]);
    let release = Output::Release { instance: INSTANCE };
    assert_eq!(
        world.log(0),
        [draining, changed, release, Output::Drained { complete: true }]
    );
    world.run_ms(60_000);
    assert_eq!(world.roles(), [DRAINING, MASTER]);
    assert_eq!(world.log(0).len(), 4, "drained is said once");
    world.input(0, Input::Undrain);
    world.deliver_all();
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

#[test]
fn draining_a_backup_is_done_at_once() {
    let mut world = World::settled(true);
    world.clear_logs();
    world.input(1, Input::Drain);
    assert!(world.log(1).contains(&Output::Drained { complete: true }));
    assert_eq!(world.roles(), [MASTER, DRAINING]);
}

#[test]
fn draining_alone_ends_in_bounded_time() {
    let mut world = World::settled(true);
    world.kill(1);
    world.bfd_at(0, false);
    world.clear_logs();
    world.input(0, Input::Drain);
    world.run_ms(999);
    assert!(!world.log(0).contains(&Output::Drained { complete: false }));
    world.run_ms(1);
    assert!(world.log(0).contains(&Output::Drained { complete: false }));
    assert_eq!(world.holds(), [true, false]);
}

#[test]
fn a_drain_does_not_hand_over_to_a_node_that_lacks_flows() {
    let mut world = World::settled(true);
    world.lose_sync();
    world.clear_logs();
    world.input(0, Input::Drain);
    world.run_ms(5000);
    // Nor do the routers: MASTER is announced until somebody has the flows.
    assert_eq!(world.roles(), [MASTER, JOINING]);
    assert_eq!(world.holds(), [true, false]);
    world.input(1, Input::CaughtUp(true));
    world.deliver(0);
    assert_eq!(world.roles(), [DRAINING, MASTER]);
    world.deliver_all();
    assert_eq!(world.roles(), [DRAINING, MASTER]);
    assert_eq!(world.holds(), [false, true]);
    assert!(world.log(0).contains(&Output::Drained { complete: true }));
}

#[test]
fn a_drain_that_nobody_answers_is_bounded() {
    let mut world = World::settled(true);
    world.lose_sync();
    world.clear_logs();
    world.input(0, Input::Drain);
    world.run_ms(19_999);
    assert!(!world.log(0).contains(&Output::Drained { complete: false }));
    world.run_ms(1);
    assert!(world.log(0).contains(&Output::Drained { complete: false }));
}

#[test]
fn a_drain_waits_for_a_peer_that_a_router_hears() {
    let mut world = World::settled(true);
    world.input(1, Input::Announces(false));
    world.deliver_all();
    world.input(0, Input::Drain);
    world.run_ms(5000);
    assert_eq!(world.roles(), [MASTER, BACKUP]);
    assert!(!drained(&world));
    world.input(1, Input::Announces(true));
    world.deliver_all();
    assert_eq!(world.roles(), [DRAINING, MASTER]);
    assert!(drained(&world));
    world.input(1, Input::Announces(false));
    world.deliver_all();
    assert!(!drained(&world), "nobody hears the heir");
}

#[test]
fn no_preemption_before_a_router_hears() {
    let mut world = World::settled(true);
    world.kill(0);
    world.bfd_at(1, false);
    world.run_ms(5000);
    world.start(0);
    world.input(0, Input::Announces(false));
    world.bfd(true);
    world.run_ms(500);
    world.catch_up();
    world.run_ms(30_000);
    assert_eq!(world.roles(), [BACKUP, MASTER]);
    world.input(0, Input::Announces(true));
    world.deliver_all();
    assert_eq!(world.holds(), [true, false]);
    // Where no node is heard, nothing is gained by waiting.
    world.catch_up();
    world.input(0, Input::Announces(false));
    world.input(1, Input::Announces(false));
    world.deliver_all();
    world.input(0, Input::Drain);
    world.deliver_all();
    assert_eq!(world.roles(), [DRAINING, MASTER]);
}

fn drained(world: &World) -> bool {
    world.nodes[0].election.as_ref().unwrap().status().drained
}

fn ends(world: &World) -> usize {
    let log = world.log(0);
    log.iter().filter(|o| matches!(o, Output::Drained { .. })).count()
}

#[test]
fn a_drain_that_failed_is_not_drained_and_may_be_asked_for_again() {
    let mut world = World::settled(true);
    world.lose_sync();
    world.input(0, Input::Drain);
    world.run_ms(20_000);
    assert_eq!((ends(&world), drained(&world)), (1, false));
    world.clear_logs();
    world.input(0, Input::Drain);
    world.run_ms(19_999);
    assert_eq!(ends(&world), 0, "the limits are new");
    world.run_ms(1);
    assert!(world.log(0).contains(&Output::Drained { complete: false }));
    world.catch_up();
    assert!(drained(&world), "late, but taken over");
    assert!(world.log(0).contains(&Output::Drained { complete: true }));
}

#[test]
fn a_drained_node_whose_heir_is_gone_is_not_drained() {
    let mut world = World::settled(true);
    world.input(0, Input::Drain);
    world.deliver_all();
    assert!(drained(&world));
    world.clear_logs();
    world.input(0, Input::Drain);
    assert!(
        world.log(0).contains(&Output::Drained { complete: true }),
        "still true"
    );
    world.kill(1);
    world.bfd_at(0, false);
    assert!(!drained(&world));
    world.clear_logs();
    world.input(0, Input::Drain);
    assert_eq!(ends(&world), 0, "the traffic is here again");
    world.run_ms(1000);
    assert!(world.log(0).contains(&Output::Drained { complete: false }));
}

#[test]
fn a_drained_node_serves_when_the_last_peer_dies() {
    let mut world = World::settled(true);
    world.input(0, Input::Drain);
    world.deliver_all();
    world.kill(1);
    world.bfd_at(0, false);
    assert_eq!(world.holds(), [true, false]);
    assert_eq!(world.role(0), DRAINING);
}

#[test]
fn two_draining_nodes_do_not_tie() {
    let mut world = World::settled(true);
    world.input(0, Input::Drain);
    world.deliver_all();
    world.clear_logs();
    world.input(1, Input::Drain);
    world.run_ms(2000);
    assert_eq!(world.roles(), [DRAINING, MASTER]);
    assert!(world.log(1).contains(&Output::Drained { complete: false }));
}

#[test]
fn without_an_uplink_the_role_goes_to_a_peer_that_has_one() {
    let mut world = World::settled(true);
    world.input(0, Input::Uplink(false));
    assert_eq!(world.role(0), FAULT);
    world.deliver_all();
    assert_eq!(world.roles(), [FAULT, MASTER]);
    assert_eq!(world.holds(), [false, true]);
    assert_eq!(world.last_cause(1), Some(Cause::PeerFault));
    world.input(0, Input::Uplink(true));
    world.deliver_all();
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

#[test]
fn without_an_uplink_the_role_goes_even_to_a_peer_that_lacks_flows() {
    let mut world = World::settled(true);
    world.lose_sync();
    world.input(0, Input::Uplink(false));
    world.deliver_all();
    assert_eq!(world.roles(), [FAULT, MASTER]);
    assert_eq!(world.holds(), [false, true]);
    assert_eq!(world.last_cause(1), Some(Cause::PeerFault));
}

#[test]
fn without_any_uplink_one_stays_master() {
    let mut world = World::settled(true);
    world.input(0, Input::Uplink(false));
    world.input(1, Input::Uplink(false));
    world.run_ms(1000);
    assert_eq!(world.roles(), [MASTER, BACKUP]);
    let mut world = World::settled(true);
    world.kill(1);
    world.bfd_at(0, false);
    world.input(0, Input::Uplink(false));
    assert_eq!(world.role(0), MASTER);
}

#[test]
fn split_brain_heals_with_the_next_hello() {
    let mut world = World::settled(true);
    world.channel = false;
    world.bfd(false);
    world.lose_sync();
    world.run_ms(10_000);
    assert_eq!(world.roles(), [MASTER, MASTER]);
    world.channel = true;
    world.bfd(true);
    world.deliver_all();
    assert_eq!(world.roles(), [MASTER, JOINING]);
    assert_eq!(world.holds(), [true, false]);
}

#[test]
fn a_split_is_won_by_the_node_that_has_the_flows() {
    let mut world = World::settled(true);
    world.channel = false;
    world.kill(0);
    world.bfd_at(1, false);
    world.lose_sync();
    // a returns and cannot see b: MASTER with an empty table.
    world.start(0);
    world.run_ms(5000);
    assert_eq!(world.roles(), [MASTER, MASTER]);
    world.channel = true;
    world.bfd(true);
    world.deliver_all();
    assert_eq!(world.roles(), [JOINING, MASTER]);
    world.catch_up();
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

#[test]
fn a_node_that_was_frozen_does_not_insist() {
    let mut world = World::settled(true);
    world.nodes[0].frozen = true;
    world.run_ms(150);
    world.bfd_at(1, false);
    world.run_ms(10_000);
    world.nodes[0].frozen = false;
    // What its sockets held while it slept comes first, then its own BFD notices.
    world.input(0, Input::Timeout);
    world.deliver_all();
    world.bfd_at(0, false);
    world.bfd(true);
    world.deliver_all();
    assert_eq!(world.roles(), [JOINING, MASTER]);
    world.lose_sync();
    world.catch_up();
    world.run_ms(2000);
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

fn hello(boot: u64, sequence: u64, role: Role) -> Hello {
    let instance = InstanceHello {
        name: "default".to_owned(),
        role,
        holds: role == Role::Master,
        standing: Standing::Current,
        priority: 300,
    };
    Hello {
        node: "b".to_owned(),
        boot,
        sequence,
        draining: false,
        uplink: true,
        announces: true,
        instances: vec![instance],
    }
}

#[test]
fn old_hellos_change_nothing() {
    let mut world = World::new(true);
    world.start(0);
    world.bfd_at(0, true);
    world.input(0, Input::PeerHello(hello(7, 5, Role::Master)));
    world.input(0, Input::CaughtUp(true));
    assert_eq!(world.role(0), BACKUP);
    for old in [hello(7, 5, Role::Joining), hello(7, 4, Role::Joining)] {
        world.input(0, Input::PeerHello(old));
    }
    assert_eq!(world.role(0), BACKUP);
    world.input(0, Input::PeerHello(hello(8, 1, Role::Master)));
    world.input(0, Input::PeerHello(hello(7, 6, Role::Joining)));
    assert_eq!(world.role(0), BACKUP, "a past incarnation");
    let counters = world.nodes[0].election.as_ref().unwrap().status().counters;
    assert_eq!((counters.hellos_accepted, counters.hellos_old), (2, 3));
}

#[test]
fn a_hello_that_arrives_after_the_death_does_not_revive() {
    let mut world = World::settled(true);
    world.kill(0);
    world.bfd_at(1, false);
    let late = Hello {
        node: "a".to_owned(),
        ..hello(1200, 1_000_000, Role::Master)
    };
    world.input(1, Input::PeerHello(late));
    assert_eq!(world.role(1), MASTER);
}

#[test]
fn strangers_are_ignored() {
    let mut world = World::settled(true);
    for node in ["a", "c"] {
        world.input(0, Input::PeerUp { node });
        world.input(0, Input::PeerDown { node });
        world.input(
            0,
            Input::PeerHello(Hello {
                node: node.to_owned(),
                ..hello(9, 9, Role::Master)
            }),
        );
    }
    assert_eq!(world.roles(), [MASTER, BACKUP]);
}

#[test]
fn an_instance_that_the_peer_does_not_have_is_ours() {
    let start = World::new(true).now;
    let mut config = config(&["b"]);
    config.instances.push(InstanceConfig {
        name: "other".to_owned(),
        priority: 1,
        preempt: true,
    });
    let mut election = Election::new(start, config).unwrap();
    election.handle(start, Input::PeerUp { node: "b" });
    election.handle(start, Input::PeerHello(hello(7, 1, Role::Master)));
    let roles: Vec<Role> = election.status().instances.iter().map(|i| i.role).collect();
    assert_eq!(roles, [Role::Joining, Role::Master]);
    assert_eq!(election.instance_name(InstanceId(1)), Some("other"));
}

#[test]
fn wrong_configurations_are_refused() {
    let start = World::new(true).now;
    let refused = |config: Config| Election::new(start, config).unwrap_err();
    assert_eq!(refused(config(&["a"])), ConfigError::Twice("a".to_owned()));
    assert_eq!(refused(config(&["b", ""])), ConfigError::Name(String::new()));
    let mut many = config(&[]);
    many.instances = vec![many.instances[0].clone(); 65];
    assert_eq!(refused(many), ConfigError::TooMany(65));
}

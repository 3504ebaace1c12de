//! Seeded schedules: two speakers under delays, cuts, stalls, resets, flapping BFD, changes of what is announced and
//! of the configuration. After every step the harness checks the outputs; in the quiet at the end both sides agree.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
mod net;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bgp::{
    Announcement, Direction, Families, GracefulRestart, Input, PeerConfig, PeerId, PeerState, Policy,
    Preference, RouteQuery, RouteStatus, Speaker, Table,
};
use ipnet::IpNet;
use net::{Net, PEER};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn config(net: &Net, node: usize, random: &mut Random) -> PeerConfig {
    let mut config = PeerConfig {
        import: Some(Arc::new(Policy::all())),
        passive: node == 0 && random.below(4) == 0,
        hold_time: Duration::from_secs([0, 3, 9, 30][usize::try_from(random.below(4)).unwrap()]),
        extended_messages: random.below(2) == 0,
        graceful_restart: GracefulRestart {
            helper: random.below(2) == 0,
            restarter: random.below(2) == 0,
            restart_time: Duration::from_secs(random.below(20)),
            long_lived_time: Duration::from_secs(random.below(2) * 10),
        },
        ..net.config(node)
    };
    config.next_hops.ipv6 = Some(format!("2001:db8::{}", node + 1).parse().unwrap());
    config
}

fn announcements(node: usize, random: &mut Random) -> Vec<Announcement> {
    let vip = |index: u64| Announcement {
        prefix: if index.is_multiple_of(2) {
            format!("203.0.{node}.{index}/32").parse().unwrap()
        } else {
            format!("2001:db8:{node}::{index:x}/128").parse().unwrap()
        },
        instance: 0,
        healthy: true,
        overrides: None,
    };
    let count = random.below(30);
    (0..count).filter(|_| random.below(5) > 0).map(vip).collect()
}

fn preference(random: &mut Random) -> Preference {
    if random.below(3) == 0 {
        Preference::Backup
    } else {
        Preference::Master
    }
}

/// The last word on what is configured, so that there is a session in the end.
fn settle(net: &mut Net, random: &mut Random) {
    net.reset();
    net.cut = false;
    net.shake = None;
    for node in 0..2 {
        net.nodes[node].listening = true;
        let hold = PeerConfig {
            hold_time: 9 * SECOND,
            passive: false,
            ..config(net, node, random)
        };
        net.input(node, Input::AddPeer(PEER, Box::new(hold)));
        net.input(node, Input::Enable(PEER));
    }
}

fn step(net: &mut Net, random: &mut Random) {
    let node = usize::try_from(random.below(2)).unwrap();
    let instance = 0;
    match random.below(16) {
        0 => net.cut(),
        1 | 2 => net.cut = false,
        3 => net.stall(),
        4 | 5 => net.reset(),
        6 => net.input(node, Input::BfdUp(PEER)),
        7 => net.input(node, Input::BfdDown(PEER)),
        8 | 9 => {
            let list = announcements(node, random);
            net.input(node, Input::SetAnnouncements(list));
        }
        10 => {
            let preference = preference(random);
            net.input(node, Input::SetRole { instance, preference });
        }
        11 => {
            let config = config(net, node, random);
            net.input(node, Input::AddPeer(PEER, Box::new(config)));
        }
        12 => {
            let communication = String::new();
            net.input(
                node,
                Input::Disable {
                    peer: PEER,
                    communication,
                },
            );
        }
        13 => net.input(node, Input::Enable(PEER)),
        14 => net.nodes[node].listening = random.below(2) == 0,
        _ => {
            let direction = if random.below(2) == 0 {
                Direction::In
            } else {
                Direction::Out
            };
            let families = Families::BOTH;
            net.input(
                node,
                Input::Refresh {
                    peer: PEER,
                    direction,
                    families,
                },
            );
        }
    }
}

fn rows(speaker: &Speaker, table: Table) -> BTreeSet<(IpNet, String)> {
    let query = RouteQuery {
        table,
        peer: Some(PeerId(1)),
        family: None,
        within: None,
        after: None,
        limit: 1000,
    };
    let row = |route: RouteStatus| {
        assert!(!route.stale);
        (
            route.prefix,
            format!("{} via {}", route.attributes, route.next_hop),
        )
    };
    speaker.routes(&query).into_iter().map(row).collect()
}

fn agree(net: &Net) {
    for (from, to) in [(0, 1), (1, 0)] {
        let told = rows(&net.nodes[from].speaker, Table::Advertised);
        let heard = rows(&net.nodes[to].speaker, Table::Received);
        assert_eq!(told, heard, "{from} to {to}");
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let delay = |random: &mut Random| Duration::from_millis(random.below(30));
    let delays = [delay(&mut random), delay(&mut random)];
    let mut net = Net::pair(
        [65001, if seed.is_multiple_of(5) { 65001 } else { 65000 }],
        delays,
    );
    net.shake = Some((seed, Duration::from_millis(random.below(50))));
    for node in 0..2 {
        let (config, list) = (config(&net, node, &mut random), announcements(node, &mut random));
        net.input(node, Input::AddPeer(PEER, Box::new(config)));
        net.input(node, Input::SetAnnouncements(list));
        let preference = preference(&mut random);
        net.input(
            node,
            Input::SetRole {
                instance: 0,
                preference,
            },
        );
    }
    for _ in 0..40 {
        step(&mut net, &mut random);
        net.run(Duration::from_millis(random.below(4000)));
        for node in 0..2 {
            let status = net.status(node);
            let kept = status.stale > 0 && status.stale == status.received;
            assert!(
                status.state == PeerState::Established || status.received == 0 || kept,
                "seed {seed}: {status:?}"
            );
        }
    }
    settle(&mut net, &mut random);
    assert!(
        net.run_until(200 * SECOND, Net::established),
        "seed {seed}: no session"
    );
    // Waits for End-of-RIB and markers are over by then, and a second session must not come of nothing.
    net.run(400 * SECOND);
    assert!(net.established(), "seed {seed}: not stable");
    for node in 0..2 {
        net.input(node, Input::Timeout);
    }
    net.run(100 * MS);
    assert!(net.established());
    agree(&net);
}

#[test]
fn after_any_schedule_both_sides_agree() {
    let seeds = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    match seeds {
        Some(seed) => run(seed),
        None => (0..150).for_each(run),
    }
}

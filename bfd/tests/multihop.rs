//! Sessions over several hops (RFC 5883).

mod support;

use std::net::IpAddr;
use std::time::Duration;

use bfd::{ConfigError, Discard, Hops, Input, Packet, Path, SessionConfig, Sessions, State};
use support::{INTERFACE, Network, address, clock, config, ms, perfect, with};

const FAR: Hops = Hops::Multi { minimum_ttl: 250 };

fn far(local: u8, remote: u8) -> SessionConfig {
    let mut config = config(local, remote, ms(50), 3);
    config.path.hops = FAR;
    config.path.interface = None;
    config
}

#[test]
fn two_nodes_behind_routers_come_up() {
    let mut network = Network::new(1, [far(1, 2), far(2, 1)], perfect());
    network.multihop = true;
    network.settle();
    network.run(ms(10_000));
    assert!(network.nodes.iter().all(|node| node.changes.is_empty()));
}

#[test]
fn ipv6_behind_routers() {
    let ends: [IpAddr; 2] = ["2001:db8:1::1".parse().unwrap(), "2001:db8:2::1".parse().unwrap()];
    let side = |local, remote| SessionConfig {
        path: Path {
            local,
            remote,
            interface: None,
            hops: FAR,
        },
        ..config(1, 2, ms(50), 3)
    };
    let mut network = Network::new(1, [side(ends[0], ends[1]), side(ends[1], ends[0])], perfect());
    network.multihop = true;
    network.settle();
}

/// RFC 5883 sections 4 and 5: by both addresses, from any interface, with as much TTL as is asked for.
#[test]
fn the_first_packet_is_found_by_both_addresses_and_the_ttl_is_bounded() {
    let now = clock();
    let mut sessions = Sessions::new(now, 1, 7);
    let id = sessions.add(now, far(1, 2)).unwrap();
    let other = sessions.add(now, far(3, 2)).unwrap();
    let hello = Packet {
        diagnostic: bfd::Diagnostic::None,
        state: State::Down,
        poll: false,
        final_answer: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: 5,
        your_discriminator: 0,
        desired_min_tx: 1_000_000,
        required_min_rx: 50_000,
        required_min_echo_rx: 0,
    }
    .encode();
    let mut arrive = |destination: u8, ttl, multihop| {
        let input = Input::Packet {
            source: address(2),
            destination: address(destination),
            interface: INTERFACE + 7,
            ttl,
            multihop,
            payload: &hello,
        };
        sessions.handle(now, input);
        let state = |id| sessions.session(id).unwrap().state;
        (state(id), state(other), sessions.discards().total())
    };
    assert_eq!(
        arrive(1, 249, true),
        (State::Down, State::Down, 1),
        "from too far away"
    );
    assert_eq!(
        arrive(1, 255, false),
        (State::Down, State::Down, 2),
        "not of the link"
    );
    assert_eq!(
        arrive(4, 255, true),
        (State::Down, State::Down, 3),
        "no session of that address"
    );
    assert_eq!(arrive(1, 250, true), (State::Init, State::Down, 3));
    assert_eq!(arrive(3, 255, true), (State::Init, State::Init, 3));
    let discards = *sessions.discards();
    assert_eq!(
        [Discard::Ttl, Discard::UnknownSource].map(|reason| discards.get(reason)),
        [1, 2]
    );
}

#[test]
fn what_makes_no_sense_over_hops_is_refused() {
    let now = clock();
    let mut echo = far(1, 2);
    echo.parameters = with(1, 2, ms(50), 3, |parameters| {
        parameters.echo.transmit = Some(ms(50))
    })
    .parameters;
    assert_eq!(
        Sessions::new(now, 1, 7).add(now, echo),
        Err(ConfigError::EchoOverHops)
    );
    let mut link_local = far(1, 2);
    link_local.path.local = "2001:db8::1".parse().unwrap();
    link_local.path.remote = "fe80::1".parse().unwrap();
    let refused = link_local.path.remote;
    assert_eq!(
        Sessions::new(now, 1, 7).add(now, link_local),
        Err(ConfigError::Address(refused))
    );
}

#[test]
fn one_link_that_goes_down_is_not_the_way() {
    let mut network = Network::new(2, [far(1, 2), far(2, 1)], perfect());
    network.multihop = true;
    network.settle();
    network.run(Duration::from_secs(1));
    network.input(0, Input::LinkDown { interface: INTERFACE });
    assert!(network.both_up(), "packets may take another one");
}

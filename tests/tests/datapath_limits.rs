//! What the packet path must never exceed: the verifier's patience, and the reach of a flood.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so"
)]

mod datapath;

use aya::programs::{SchedClassifier, Xdp};
use datapath::packet::{ACK, SYN, TCP, packet, seen};
use datapath::{Kernel, Program, fresh_network, host_tables, services};
use lb_common::{Address, Flow, FlowFlags, FlowKey, Port, map};
use lb_user::datapath::object;

/// The kernel refuses at a million; older ones look at more states for the same program.
const INSTRUCTIONS: u32 = 500_000;

#[test]
fn the_verifier_is_far_from_its_limit() {
    let ifindex = fresh_network();
    let kernel = Kernel::load(ifindex, 1024, 1024);
    let xdp: &Xdp = kernel.ebpf.program(object::XDP).unwrap().try_into().unwrap();
    let tc: &SchedClassifier = kernel.ebpf.program(object::TC).unwrap().try_into().unwrap();
    for (name, info) in [
        (object::XDP, xdp.info().unwrap()),
        (object::TC, tc.info().unwrap()),
    ] {
        let verified = info.verified_instruction_count().unwrap();
        println!(
            "{name}: {verified} instructions verified, {} bytes",
            info.size_translated().unwrap()
        );
        assert!(
            verified < INSTRUCTIONS,
            "{name}: {verified} instructions to verify"
        );
    }
}

fn key(client: (&str, u16), vip: (&str, u16)) -> FlowKey {
    let side = |(address, port): (&str, u16)| {
        (
            Address::from(address.parse::<std::net::IpAddr>().unwrap()),
            Port::new(port),
        )
    };
    FlowKey::new(side(client), side(vip), TCP)
}

/// I7: a flood of SYNs, five times as many as there is room for, evicts no established flow.
#[test]
fn a_flood_evicts_no_established_flow() {
    let ifindex = fresh_network();
    let mut kernel = Kernel::load(ifindex, 1024, 1024);
    kernel.attach();
    kernel.configure(&host_tables(&services()));
    let (client, vip) = (("198.51.100.7", 40_000), ("203.0.113.10", 80));
    let open = |flags| {
        kernel
            .run(Program::Xdp, &packet(client, vip, TCP, flags).build())
            .1
    };
    let at_backend = seen(&open(SYN));
    let (backend, snat) = (at_backend.dst.to_string(), at_backend.src.to_string());
    let answer = packet(
        (&backend, at_backend.dport),
        (&snat, at_backend.sport),
        TCP,
        SYN | ACK,
    );
    kernel.run(Program::Xdp, &answer.build());
    open(ACK);
    let table = kernel.table::<FlowKey, Flow>(map::ESTABLISHED);
    let before = table
        .get(&key(client, vip))
        .unwrap()
        .expect("the flow is established");

    for number in 0..5 * 1024_u32 {
        let source = format!("10.9.{}.{}", number >> 8, number & 255);
        let program = if number % 2 == 0 {
            Program::Xdp
        } else {
            Program::Tc
        };
        kernel.run(program, &packet((&source, 1234), vip, TCP, SYN).build());
    }
    let after = table
        .get(&key(client, vip))
        .unwrap()
        .expect("the flow is still established");
    assert_eq!(
        (before.address, before.sport, before.service),
        (after.address, after.sport, after.service)
    );
    assert_eq!(seen(&open(ACK)), at_backend, "and its packets go where they went");
    let embryonic = kernel.table::<FlowKey, Flow>(map::EMBRYONIC).all().unwrap();
    assert!(
        embryonic.len() > 512,
        "the flood was there: {} entries",
        embryonic.len()
    );
}

/// A full table refuses newcomers a safe place, and forwards them all the same.
#[test]
fn a_full_table_keeps_what_it_has() {
    let ifindex = fresh_network();
    let mut kernel = Kernel::load(ifindex, 4096, 64);
    kernel.attach();
    kernel.configure(&host_tables(&services()));
    let mut backends = Vec::new();
    for port in 1..=200 {
        let open = |flags| packet(("198.51.100.7", port), ("203.0.113.11", 80), TCP, flags).build();
        let at_backend = seen(&kernel.run(Program::Tc, &open(SYN)).1);
        let backend = at_backend.dst.to_string();
        let answer = packet(
            (&backend, at_backend.dport),
            ("198.51.100.7", port),
            TCP,
            SYN | ACK,
        );
        kernel.run(Program::Tc, &answer.build());
        assert_eq!(seen(&kernel.run(Program::Tc, &open(ACK)).1), at_backend);
        backends.push((open(ACK), at_backend));
    }
    for (packet, at_backend) in &backends {
        assert_eq!(seen(&kernel.run(Program::Tc, packet).1), *at_backend);
    }
    let entries = kernel.table::<FlowKey, Flow>(map::ESTABLISHED).all().unwrap();
    assert_eq!(entries.len(), 64);
    let forward = entries
        .iter()
        .filter(|(_, flow)| !flow.has(FlowFlags::REVERSE))
        .count();
    assert_eq!(forward, 32, "whole flows only");
}

//! What packets make of the flow table, on the host alone: states that the three-way test would not reach on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so"
)]

mod datapath;

use datapath::packet::{ACK, Packet, RST, SYN, Seen, TCP, packet, seen};
use datapath::{host_tables, run_host, services};
use lb_common::{DropReason, EventKind, FlowFlags, FlowKey, HostTables, Tables as _, Tier, Verdict};

/// The one interface.
const INTERFACE: u32 = 7;
const CLIENT: &str = "198.51.100.7";
const FULLNAT: &str = "203.0.113.10";
const DEFAULT: &str = "203.0.113.11";

fn run(tables: &HostTables, packet: &Packet) -> (Verdict, Seen) {
    let mut frame = packet.build();
    let verdict = run_host::<false>(tables, INTERFACE, &mut frame);
    (verdict, seen(&frame))
}

fn forwarded(tables: &HostTables, packet: &Packet) -> Seen {
    let (verdict, seen) = run(tables, packet);
    assert_eq!(verdict, Verdict::Transmit(INTERFACE), "{packet:?}");
    seen
}

fn to(vip: &str, port: u16, flags: u8) -> Packet {
    packet((CLIENT, port), (vip, 80), TCP, flags)
}

/// The answer to what a backend was sent.
fn answer(to: &Seen, flags: u8) -> Packet {
    let (src, dst) = (to.dst.to_string(), to.src.to_string());
    packet((&src, to.dport), (&dst, to.sport), to.protocol, flags)
}

/// I1: a node that derives the wrong backend hears its RST. The client must not.
#[test]
fn a_backend_that_knows_nothing_of_a_derived_flow_resets_nobody() {
    for vip in [FULLNAT, DEFAULT] {
        let tables = host_tables(&services());
        let at_backend = forwarded(&tables, &to(vip, 40_000, ACK));
        for flags in [RST, RST | ACK] {
            assert_eq!(
                run(&tables, &answer(&at_backend, flags)).0,
                Verdict::Drop(DropReason::UnknownReset)
            );
        }
        // The right one after all: it speaks, and then its RST counts.
        forwarded(&tables, &answer(&at_backend, ACK));
        forwarded(&tables, &answer(&at_backend, RST));

        // Nothing was derived here: the backend refuses.
        let at_backend = forwarded(&tables, &to(vip, 40_001, SYN));
        forwarded(&tables, &answer(&at_backend, RST | ACK));
    }
}

/// The halves of a handshake are evicted one by one, and another flow may have the key by then.
#[test]
fn a_handshake_that_lost_a_half_is_made_again() {
    let tables = host_tables(&services());
    let at_backend = forwarded(&tables, &to(FULLNAT, 40_000, SYN));
    let reply = answer(&at_backend, SYN | ACK);
    tables.remove(Tier::Embryonic, &key(&reply));
    assert_eq!(
        run(&tables, &reply).0,
        Verdict::Drop(DropReason::NoService),
        "evicted"
    );
    forwarded(&tables, &to(FULLNAT, 40_000, SYN));
    assert_eq!(forwarded(&tables, &to(FULLNAT, 40_000, SYN)), at_backend);
    let at_client = forwarded(&tables, &reply);
    assert_eq!(
        (at_client.dst.to_string().as_str(), at_client.dport),
        (CLIENT, 40_000)
    );
    forwarded(&tables, &to(FULLNAT, 40_000, ACK));
    assert_eq!(tables.flows(Tier::Established).len(), 2);
    assert_eq!(tables.flows(Tier::Embryonic).len(), 0);
}

/// The same, and the reverse key went to another client: what that one does is not this one's affair.
#[test]
fn a_half_of_another_flow_is_left_alone() {
    let tables = host_tables(&services());
    let at_backend = forwarded(&tables, &to(FULLNAT, 40_000, SYN));
    let reply = answer(&at_backend, SYN | ACK);
    // As if it had been made for port 40001 of the client.
    let found = tables.flow(Tier::Embryonic, &key(&reply)).unwrap();
    // SAFETY: an entry of the table, and nothing else runs.
    let foreign = unsafe {
        (*found).dport = lb_common::Port::new(40_001);
        *found
    };
    // RST closes this client's half alone, and its ACK promotes nobody.
    forwarded(&tables, &to(FULLNAT, 40_000, RST));
    forwarded(&tables, &to(FULLNAT, 40_000, ACK));
    let after = tables.flows(Tier::Embryonic);
    let (_, after) = after.iter().find(|(at, _)| *at == key(&reply)).unwrap();
    assert_eq!(*after, foreign);
    assert_eq!(tables.flows(Tier::Established).len(), 0);
    // The client's next packet makes a flow of its own, by another port.
    let again = forwarded(&tables, &to(FULLNAT, 40_000, SYN));
    assert_ne!(again.sport, at_backend.sport);
    let at_client = forwarded(&tables, &answer(&again, SYN | ACK));
    assert_eq!(at_client.dport, 40_000);
}

/// A flow of the peer whose last packets come by here: its end is news, and the last word.
#[test]
fn the_end_of_a_peers_flow_is_the_last_word() {
    let tables = host_tables(&services());
    let at_backend = forwarded(&tables, &to(FULLNAT, 40_000, SYN));
    forwarded(&tables, &answer(&at_backend, SYN | ACK));
    forwarded(&tables, &to(FULLNAT, 40_000, ACK));
    for (key, _) in tables.flows(Tier::Established) {
        // SAFETY: an entry of the table, and nothing else runs.
        unsafe { (*tables.flow(Tier::Established, &key).unwrap()).flags |= FlowFlags::REMOTE };
    }
    tables.events.borrow_mut().clear();
    forwarded(&tables, &to(FULLNAT, 40_000, RST));
    let kinds: Vec<u32> = tables.events.borrow().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Closed as u32]);
    for (_, flow) in tables.flows(Tier::Established) {
        assert_eq!(
            flow.flags & (FlowFlags::REMOTE | FlowFlags::CLOSED),
            FlowFlags::CLOSED
        );
    }
}

/// A v4-mapped address in an IPv6 header is no IPv4 address.
#[test]
fn a_mapped_address_belongs_to_no_flow() {
    let tables = host_tables(&services());
    let at_backend = forwarded(&tables, &to(DEFAULT, 40_000, SYN));
    let mapped = |mut packet: Packet| {
        let map = |address: std::net::IpAddr| format!("::ffff:{address}").parse().unwrap();
        (packet.src, packet.dst) = (map(packet.src), map(packet.dst));
        packet
    };
    for flags in [SYN, ACK] {
        assert_eq!(
            run(&tables, &mapped(to(DEFAULT, 40_000, flags))).0,
            Verdict::Drop(DropReason::Malformed)
        );
    }
    let reply = mapped(answer(&at_backend, SYN | ACK));
    assert_eq!(run(&tables, &reply).0, Verdict::Pass, "the stack knows as well");
}

fn key(packet: &Packet) -> FlowKey {
    let side = |address: std::net::IpAddr, port| (address.into(), lb_common::Port::new(port));
    FlowKey::new(
        side(packet.src, packet.sport),
        side(packet.dst, packet.dport),
        packet.protocol,
    )
}

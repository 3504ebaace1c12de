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
use lb_common::{DropReason, HostTables, Verdict};

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

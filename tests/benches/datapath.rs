//! What `forward` costs for a packet of an established flow, beside the least that any load balancer must do.
//!
//! The programs run in the kernel (`BPF_PROG_TEST_RUN`), round after round in turn, so that noise hits all of them;
//! medians of the rounds. Prints a table and writes `target/bench/datapath.json`. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so"
)]

#[path = "../tests/datapath/mod.rs"]
mod datapath;

use std::path::PathBuf;

use aya::programs::{TestRun as _, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use datapath::packet::{ACK, TCP, packet};
use datapath::{INTERFACE, Kernel, fresh_network, host_tables, services};
use lb_common::{Flow, FlowFlags, FlowKey, Port, Seen, map};
use lb_user::datapath::object;
use lb_user::datapath::table::{Expect, Table};
use serde_json::json;

const FLOWS: [u32; 3] = [1, 100_000, 1_000_000];
const ROUNDS: usize = 7;
const PROGRAMS: [&str; 3] = ["idle", "floor", "path"];
/// Of the floor.
const TARGET: f64 = 1.5;

#[repr(C)]
#[derive(Clone, Copy)]
struct FloorFlow([u32; 8]);
// SAFETY: repr(C), integers only.
unsafe impl aya::Pod for FloorFlow {}

/// A flow of the n-th client, both directions.
fn flows(n: u32) -> [(FlowKey, Flow); 2] {
    let client = std::net::Ipv4Addr::from(0x0a00_0000 + n);
    let vip = std::net::Ipv4Addr::new(203, 0, 113, 10);
    let backend = std::net::Ipv4Addr::new(10, 77, 2, 21 + u8::try_from(n % 3).unwrap_or(0));
    let key = FlowKey::new(
        (client.into(), Port::new(40_000)),
        (vip.into(), Port::new(80)),
        TCP,
    );
    let snat = Port::new(1024 + u16::try_from(n % 60_000).unwrap_or(0));
    // Backends' ports make the reverse keys of a million flows differ.
    let dport = Port::new(8080 + u16::try_from(n / 60_000).unwrap_or(0));
    let mut forward = Flow {
        address: backend.into(),
        sport: snat,
        dport,
        flags: FlowFlags::SOURCE_NAT,
        seen: Seen::SYN | Seen::ACK,
        ..Flow::default()
    };
    forward.set_deltas(&key);
    let reverse_key = forward.reply_key(&key);
    let mut reverse = Flow {
        address: key.src,
        sport: key.dport,
        dport: key.sport,
        flags: FlowFlags::REVERSE | FlowFlags::SOURCE_NAT,
        seen: Seen::SYN | Seen::ACK,
        ..Flow::default()
    };
    reverse.set_deltas(&reverse_key);
    [(key, forward), (reverse_key, reverse)]
}

fn fill(kernel: &Kernel, count: u32) {
    let established: Table<FlowKey, Flow> = kernel.table(map::ESTABLISHED);
    let floor: Table<[u32; 4], FloorFlow> = kernel.table("FLOOR");
    kernel
        .table::<u32, u32>("TURNS")
        .put(&0, &count, Expect::Any)
        .unwrap();
    let ports = |a: Port, b: Port| u32::from(a.0) | (u32::from(b.0) << 16);
    for (key, flow) in (0..count).flat_map(flows) {
        established.put(&key, &flow, Expect::Any).unwrap();
        let deltas = u32::from(flow.address_delta) | (u32::from(flow.port_delta) << 16);
        let (src, dst) = flow.addresses(&key);
        let (src, dst) = (src.0[3], dst.0[3]);
        let key = [
            key.src.0[3],
            key.dst.0[3],
            ports(key.sport, key.dport),
            u32::from(key.protocol),
        ];
        let value = [src, dst, ports(flow.sport, flow.dport), deltas, 2, 3, 4, 0];
        floor.put(&key, &FloorFlow(value), Expect::Any).unwrap();
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut Xdp {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}

/// Nanoseconds a packet.
fn run(kernel: &mut Kernel, name: &str, repeat: u32) -> f64 {
    let frame = packet(("10.0.0.0", 40_000), ("203.0.113.10", 80), TCP, ACK).build();
    let mut context = [0_u8; 24];
    context[4..8].copy_from_slice(&u32::try_from(frame.len()).unwrap().to_ne_bytes());
    context[12..16].copy_from_slice(&kernel.ifindex.to_ne_bytes());
    let started = std::time::Instant::now();
    let options = TestRunOptions {
        data_in: Some(&frame),
        ctx_in: Some(&context),
        repeat,
        ..TestRunOptions::default()
    };
    let result = program(&mut kernel.ebpf, name).test_run(options).unwrap();
    assert_eq!(result.return_value, 3, "{name} did not forward");
    // The kernel's own figure is whole nanoseconds.
    let elapsed = started.elapsed().as_secs_f64() * 1e9 / f64::from(repeat);
    if result.duration.is_zero() {
        elapsed
    } else {
        elapsed.min(result.duration.as_secs_f64() * 1e9 + 1.0)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Rounds of all programs in turn; the median of each, and of the ratio without the treadmill.
fn measure(kernel: &mut Kernel, count: u32) -> ([f64; 3], f64) {
    let repeat = count.max(500_000) * 2;
    for name in PROGRAMS {
        run(kernel, name, repeat);
    }
    let rounds: Vec<[f64; 3]> = (0..ROUNDS)
        .map(|_| PROGRAMS.map(|name| run(kernel, name, repeat)))
        .collect();
    let medians = [0, 1, 2].map(|at| median(rounds.iter().map(|round| round[at]).collect()));
    let ratio = median(
        rounds
            .iter()
            .map(|[idle, floor, path]| (path - idle) / (floor - idle))
            .collect(),
    );
    (medians, ratio)
}

fn load(ifindex: u32, count: u32) -> Kernel {
    let mut loader = EbpfLoader::new();
    let entries = count.max(1024) * 2;
    loader
        .map_max_entries(map::ESTABLISHED, entries)
        .map_max_entries("FLOOR", entries);
    let mut ebpf = loader.load(object::BENCH).unwrap();
    for name in PROGRAMS {
        program(&mut ebpf, name).load().unwrap();
    }
    // A test run of XDP names a receive queue, and only native XDP makes veth register one.
    program(&mut ebpf, "idle")
        .attach(INTERFACE, XdpMode::Driver)
        .unwrap();
    let kernel = Kernel { ebpf, ifindex };
    kernel.configure(&host_tables(&services()));
    fill(&kernel, count);
    kernel
}

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let ifindex = fresh_network();
    let mut rows = Vec::new();
    println!(
        "{:>10} {:>10} {:>10} {:>8}   (ns a packet, treadmill taken off)",
        "flows", "floor", "forward", "ratio"
    );
    for count in FLOWS {
        let mut kernel = load(ifindex, count);
        let ([idle, floor, path], ratio) = measure(&mut kernel, count);
        let (floor, path) = (floor - idle, path - idle);
        println!("{count:>10} {floor:>10.1} {path:>10.1} {ratio:>8.2}");
        rows.push(json!({
            "name": format!("forward, {count} established flows"),
            "unit": "ns/packet",
            "baton": path,
            "peers": {},
            "floor": floor,
            "target": floor * TARGET,
        }));
    }
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("datapath.json");
    std::fs::write(&file, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    println!("{}", file.display());
}

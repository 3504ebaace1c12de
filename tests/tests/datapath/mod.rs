//! What the data path tests share: a network namespace, the three ways to run the packet path, packets.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod lab;
pub(crate) mod packet;

use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use lb_common::{
    Address, Backend, EchoPeerKey, Endpoint, EndpointKey, HostFrame, HostTables, Interface, Mode, NextHop,
    Port, Route, RouteQuery, Service, ServiceKey, Tables as _, Verdict, forward, maglev_table, map,
};
use lb_user::datapath::object;
use lb_user::datapath::table::{Expect, Table};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::Command;

/// The interface that packets come in by, its peer is where they leave.
pub(crate) const INTERFACE: &str = "dp0";
pub(crate) const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 1, 254];

/// Root is what loads programs and makes namespaces.
pub(crate) fn need_root() {
    let root = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    assert!(
        matches!(root, Ok(0)),
        "this test loads BPF programs into network namespaces of its own: run it as root ('sudo make test')"
    );
}

pub(crate) fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap();
    let output = Command::new(program)
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Moves this thread to a fresh network namespace with one interface, routes and neighbours: clients are behind a
/// gateway, backends are neighbours, those whose last octet is 25 do not answer.
pub(crate) fn fresh_network() -> u32 {
    need_root();
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc_unshare() }, 0, "a new network namespace");
    run("ip link set lo up");
    run("ip link add dp0 address 02:00:00:00:00:01 type veth peer name dp1 address 02:00:00:00:00:02");
    for path in ["ipv4/conf/all/forwarding", "ipv4/conf/dp0/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{path}"), "1").unwrap();
    }
    for path in ["all/forwarding", "dp0/forwarding"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{path}"), "1").unwrap();
    }
    std::fs::write("/proc/sys/net/ipv6/conf/dp0/accept_dad", "0").unwrap();
    run("ip link set dp0 up");
    run("ip link set dp1 up");
    run("ip addr add 10.77.2.1/24 dev dp0");
    run("ip addr add fd77:2::1/64 dev dp0 nodad");
    for (gateway, family) in [("10.77.2.254", "-4"), ("fd77:2::fe", "-6")] {
        run(&format!(
            "ip neigh add {gateway} lladdr 02:00:00:00:01:fe dev dp0 nud permanent"
        ));
        run(&format!("ip {family} route add default via {gateway} dev dp0"));
    }
    run("ip route add unreachable 10.66.0.0/16");
    run("ip -6 route add unreachable fd66::/64");
    for host in 21..25 {
        let mac = format!("02:00:00:00:02:{host}");
        run(&format!(
            "ip neigh add 10.77.2.{host} lladdr {mac} dev dp0 nud permanent"
        ));
        run(&format!(
            "ip neigh add fd77:2::{host} lladdr {mac} dev dp0 nud permanent"
        ));
    }
    let index = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    assert!(index.contains(INTERFACE));
    ifindex(INTERFACE)
}

unsafe fn libc_unshare() -> i32 {
    unsafe extern "C" {
        fn unshare(flags: i32) -> i32;
    }
    const CLONE_NEWNET: i32 = 0x4000_0000;
    // SAFETY: as above.
    unsafe { unshare(CLONE_NEWNET) }
}

pub(crate) fn ifindex(name: &str) -> u32 {
    unsafe extern "C" {
        fn if_nametoindex(name: *const std::ffi::c_char) -> u32;
    }
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: a terminated string that lives for the call.
    unsafe { if_nametoindex(name.as_ptr()) }
}

/// The same routes as [`fresh_network`] makes.
pub(crate) fn route(query: &RouteQuery, ifindex: u32) -> Route {
    let via = |destination| {
        Route::Via(NextHop {
            tag: 0,
            ifindex,
            destination,
            source: OUR_MAC,
        })
    };
    // Link-local and multicast addresses are never forwarded.
    let strict = |address: lb_common::Address| match address.ip() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unicast_link_local() || v6.is_loopback(),
    };
    if strict(query.dst) || (!query.src.is_ipv4() && strict(query.src)) {
        return Route::Local;
    }
    // The neighbours' addresses carry the host in decimal digits, as IPv6 addresses do.
    let (host, unreachable) = match query.dst.ip() {
        IpAddr::V4(v4) => match v4.octets() {
            [10, 77, 2, host @ 20..=25] => (Some(u16::from(host) - 20 + 0x20), false),
            [10, 77, 2, host] => (Some(u16::from(host)), false),
            [10, 66, ..] => (None, true),
            _ => (None, false),
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0xfd77, 2, 0, 0, 0, 0, 0, host] => (Some(host), false),
            [0xfd77, 2, 0, 0, ..] => (Some(0xffff), false),
            [0xfd66, 0, 0, 0, ..] => (None, true),
            _ => (None, false),
        },
    };
    match host {
        None if unreachable => Route::NoRoute,
        None => via(GATEWAY_MAC),
        Some(1 | 255) => Route::Local,
        Some(host @ 0x21..=0x24) => via([2, 0, 0, 0, 2, host.to_be_bytes()[1]]),
        Some(_) => Route::Unresolved(ifindex),
    }
}

/// A service of the test configuration.
#[derive(Clone, Debug)]
pub(crate) struct TestService {
    pub(crate) vip: IpAddr,
    pub(crate) port: u16,
    pub(crate) protocol: u8,
    pub(crate) mode: Mode,
    pub(crate) backends: Vec<(IpAddr, u16)>,
}

pub(crate) fn service(
    vip: &str,
    port: u16,
    protocol: u8,
    mode: Mode,
    backends: &[&str],
    at: u16,
) -> TestService {
    let backends = backends
        .iter()
        .map(|backend| (backend.parse().unwrap(), at))
        .collect();
    TestService {
        vip: vip.parse().unwrap(),
        port,
        protocol,
        mode,
        backends,
    }
}

const V4: [&str; 3] = ["10.77.2.21", "10.77.2.22", "10.77.2.23"];
const V6: [&str; 3] = ["fd77:2::21", "fd77:2::22", "fd77:2::23"];

/// One of each kind.
pub(crate) fn services() -> Vec<TestService> {
    vec![
        service("203.0.113.10", 80, 6, Mode::FullNat, &V4, 8080),
        service("203.0.113.11", 80, 6, Mode::Default, &V4, 8081),
        service("203.0.113.12", 53, 17, Mode::Default, &V4, 5353),
        service("203.0.113.12", 54, 17, Mode::FullNat, &V4, 5354),
        service("203.0.113.13", 80, 6, Mode::Default, &["10.77.2.25"], 8083),
        service("203.0.113.14", 80, 6, Mode::Default, &[], 0),
        service("2001:db8::10", 80, 6, Mode::FullNat, &V6, 8080),
        service("2001:db8::11", 80, 6, Mode::Default, &V6, 8081),
        service("2001:db8::12", 53, 17, Mode::Default, &V6, 5353),
        service("2001:db8::12", 54, 17, Mode::FullNat, &V6, 5354),
        // The port of BFD Echo, for somebody else's purpose.
        service("203.0.113.12", 3785, 17, Mode::Default, &V4, 5355),
        service("2001:db8::12", 3785, 17, Mode::Default, &V6, 5355),
    ]
}

/// Neighbours whose BFD Echo packets are sent back: on any interface, on this one, and on another one alone.
pub(crate) const ECHO_ANYWHERE: [&str; 2] = ["10.77.2.41", "fd77:2::41"];
pub(crate) const ECHO_HERE: [&str; 2] = ["10.77.2.42", "fe80::42"];
pub(crate) const ECHO_ELSEWHERE: [&str; 2] = ["10.77.2.43", "fe80::43"];

/// The same in the tables of the host. The first backends are peers as well.
pub(crate) fn echo_peers(ifindex: u32) -> BTreeSet<EchoPeerKey> {
    let any = EchoPeerKey::ANY_INTERFACE;
    let peers = [
        (ECHO_ANYWHERE, any),
        ([V4[0], V6[0]], any),
        (ECHO_HERE, ifindex),
        (ECHO_ELSEWHERE, ifindex + 1),
    ];
    peers
        .iter()
        .flat_map(|(addresses, on)| addresses.map(|address| (address, *on)))
        .map(|(address, on)| EchoPeerKey::new(address.parse::<IpAddr>().unwrap().into(), on))
        .collect()
}

/// The same configuration in the tables of the host.
pub(crate) fn host_tables(services: &[TestService]) -> HostTables {
    let mut tables = HostTables::default();
    for (id, service) in services.iter().enumerate() {
        let id = u32::try_from(id).unwrap();
        let mut backends = Vec::new();
        for &(address, port) in &service.backends {
            let slot = u32::try_from(tables.backends.len()).unwrap();
            let backend = Backend {
                address: address.into(),
                port: Port::new(port),
                used: 1,
            };
            tables.backends.push(backend);
            backends.push((slot, (backend, 1)));
            if service.mode == Mode::Default {
                let key = EndpointKey::new(address.into(), Port::new(port), service.protocol);
                let endpoint = Endpoint {
                    vip: service.vip.into(),
                    port: Port::new(service.port),
                    ambiguous: 0,
                    service: id,
                    backend: slot,
                };
                tables.endpoints.insert(key, endpoint);
            }
        }
        let weighted: Vec<(Backend, u16)> = backends.iter().map(|(_, weighted)| *weighted).collect();
        let rows = maglev_table(&weighted, 251);
        let record = Service {
            id,
            mode: service.mode as u32,
            table_offset: u32::try_from(tables.maglev.len()).unwrap(),
            table_size: u32::try_from(rows.len()).unwrap(),
        };
        tables
            .maglev
            .extend(rows.iter().map(|&row| backends[row as usize].0));
        let key = ServiceKey::new(service.vip.into(), Port::new(service.port), service.protocol);
        tables.services.insert(key, record);
        tables.vips.insert(service.vip.into());
    }
    tables
}

/// The programs in the kernel, with maps of their own.
pub(crate) struct Kernel {
    pub(crate) ebpf: Ebpf,
    pub(crate) ifindex: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    Xdp,
    Tc,
}

impl Kernel {
    pub(crate) fn load(ifindex: u32, embryonic: u32, established: u32) -> Self {
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries(map::ESTABLISHED, established)
            .map_max_entries(map::EMBRYONIC, embryonic);
        let mut ebpf = loader.load(object::PROGRAMS).unwrap();
        let xdp: &mut Xdp = ebpf.program_mut(object::XDP).unwrap().try_into().unwrap();
        xdp.load().unwrap();
        let tc: &mut SchedClassifier = ebpf.program_mut(object::TC).unwrap().try_into().unwrap();
        tc.load().unwrap();
        Kernel { ebpf, ifindex }
    }

    /// A test run of XDP names a receive queue, and only native XDP makes veth register one.
    pub(crate) fn attach(&mut self) {
        self.attach_to(INTERFACE);
    }

    pub(crate) fn attach_to(&mut self, interface: &str) {
        let xdp: &mut Xdp = self.ebpf.program_mut(object::XDP).unwrap().try_into().unwrap();
        xdp.attach(interface, XdpMode::Driver).unwrap();
    }

    pub(crate) fn table<K: aya::Pod, V: aya::Pod>(&self, name: &str) -> Table<K, V> {
        let map = match self.ebpf.map(name).unwrap() {
            aya::maps::Map::Array(data)
            | aya::maps::Map::HashMap(data)
            | aya::maps::Map::LruHashMap(data) => data,
            other => panic!("{name} is {other:?}"),
        };
        let entries = map.info().unwrap().max_entries();
        Table::new(map.fd().as_fd().try_clone_to_owned().unwrap(), entries)
    }

    /// Writes the configuration of `tables`.
    pub(crate) fn configure(&self, tables: &HostTables) {
        let put = Expect::Any;
        for vip in &tables.vips {
            self.table::<Address, u32>(map::VIPS).put(vip, &1, put).unwrap();
        }
        for (key, service) in &tables.services {
            self.table::<ServiceKey, Service>(map::SERVICES)
                .put(key, service, put)
                .unwrap();
        }
        for (key, endpoint) in &tables.endpoints {
            self.table::<EndpointKey, Endpoint>(map::ENDPOINTS)
                .put(key, endpoint, put)
                .unwrap();
        }
        for (row, id) in (0_u32..).zip(&tables.maglev) {
            self.table::<u32, u32>(map::MAGLEV).put(&row, id, put).unwrap();
        }
        for (slot, backend) in (0_u32..).zip(&tables.backends) {
            self.table::<u32, Backend>(map::BACKENDS)
                .put(&slot, backend, put)
                .unwrap();
        }
        for key in &tables.echo_peers {
            self.table::<EchoPeerKey, u32>(map::ECHO_PEERS)
                .put(key, &1, put)
                .unwrap();
        }
        let interface = Interface {
            ifindex: self.ifindex,
            mac: OUR_MAC,
            pad: [0; 2],
        };
        let slot = self.ifindex % map::INTERFACES_SIZE;
        self.table::<u32, Interface>(map::INTERFACES)
            .put(&slot, &interface, put)
            .unwrap();
    }

    /// Runs a packet through a program; the action and the bytes afterwards.
    pub(crate) fn run(&self, program: Program, packet: &[u8]) -> (u32, Vec<u8>) {
        let mut output = vec![0; packet.len() + 256];
        let context = match program {
            Program::Xdp => {
                let mut context = [0_u8; 24];
                context[4..8].copy_from_slice(&u32::try_from(packet.len()).unwrap().to_ne_bytes());
                context[12..16].copy_from_slice(&self.ifindex.to_ne_bytes());
                context.to_vec()
            }
            Program::Tc => {
                let mut context = [0_u8; 192];
                context[40..44].copy_from_slice(&self.ifindex.to_ne_bytes());
                context.to_vec()
            }
        };
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut output),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let result = match program {
            Program::Xdp => {
                let xdp: &Xdp = self.ebpf.program(object::XDP).unwrap().try_into().unwrap();
                xdp.test_run(options)
            }
            Program::Tc => {
                let tc: &SchedClassifier = self.ebpf.program(object::TC).unwrap().try_into().unwrap();
                tc.test_run(options)
            }
        };
        let result = result.unwrap_or_else(|error| panic!("{program:?} {error:?} {packet:02x?}"));
        output.truncate(result.data_size_out as usize);
        (result.return_value, output)
    }

    /// One slot of the counters, over all CPUs.
    pub(crate) fn counter(&self, slot: u32) -> u64 {
        let counters = PerCpuArray::<_, u64>::try_from(self.ebpf.map(map::COUNTERS).unwrap()).unwrap();
        counters.get(&slot, 0).unwrap().iter().sum()
    }

    pub(crate) fn events(&mut self) -> RingBuf<MapData> {
        RingBuf::try_from(self.ebpf.take_map(map::EVENTS).unwrap()).unwrap()
    }
}

/// Runs a packet on the host; as XDP or as tc.
pub(crate) fn run_host<const KERNEL: bool>(tables: &HostTables, ifindex: u32, packet: &mut [u8]) -> Verdict {
    let for_us = packet.get(..6) == Some(&OUR_MAC);
    let _ = tables.settings();
    let mut frame = HostFrame::<_, KERNEL> {
        bytes: packet,
        for_us,
        ingress: ifindex,
        routes: |query: &RouteQuery| route(query, ifindex),
    };
    forward(&mut frame, tables, 0)
}

/// The action of a program that stands for a verdict.
pub(crate) fn action(program: Program, verdict: Verdict) -> u32 {
    const XDP: [u32; 4] = [2, 1, 3, 4];
    const TC: [u32; 4] = [u32::MAX, 2, 7, 7];
    let [pass, drop, reply, redirect] = if program == Program::Xdp { XDP } else { TC };
    match verdict {
        Verdict::Pass => pass,
        Verdict::Drop(_) => drop,
        Verdict::Reply => reply,
        // Packets leave where they came in, which for XDP is the same as a reply.
        Verdict::Transmit(_) => {
            if program == Program::Xdp {
                reply
            } else {
                redirect
            }
        }
        Verdict::Resolve(_) => {
            if program == Program::Xdp {
                pass
            } else {
                redirect
            }
        }
    }
}

//! The data path as the daemon uses it, between real stacks: client - load balancer - backends in namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so"
)]

mod datapath;

use datapath::lab::{Lab, PATIENCE};
use datapath::run;
use lb_user::apply::DataPath as _;
use lb_user::datapath::{FlowNews, Running};
use lb_user::desired::{Endpoint, Hook, Mode, Protocol, Select, Service, ServiceKey};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use sync::{Change, FlowState};

fn peer_seen_by_backend(stream: &mut TcpStream) -> SocketAddr {
    let mut line = [0; 64];
    stream.read_exact(&mut line).unwrap();
    std::str::from_utf8(&line).unwrap().trim().parse().unwrap()
}

/// A megabyte there and back: large segments pass whole, every byte is checked.
fn exchange(stream: &mut TcpStream, bytes: usize) {
    let mut writer = stream.try_clone().unwrap();
    let sent: Vec<u8> = (0..bytes).map(|at| (at * 31 % 251) as u8).collect();
    let copy = sent.clone();
    let thread = std::thread::spawn(move || writer.write_all(&copy).unwrap());
    let mut received = vec![0; bytes];
    stream.read_exact(&mut received).unwrap();
    thread.join().unwrap();
    assert!(sent == received, "the bytes that come back are those sent");
}

fn service(vip: &str, port: u16, protocol: Protocol, mode: Mode, backends: &[&str]) -> Service {
    Service {
        name: format!("{vip}:{port}"),
        key: ServiceKey {
            vip: vip.parse().unwrap(),
            port,
            protocol,
        },
        mode,
        select: Select::Hash,
        instance: "default".into(),
        idle_timeout: Duration::from_secs(600),
        endpoints: backends
            .iter()
            .map(|backend| Endpoint {
                address: backend.parse().unwrap(),
                port: 8080,
                weight: 1,
            })
            .collect(),
    }
}

fn configure(running: &mut Running) {
    let (v4, v6) = (["10.78.2.2", "10.78.2.3"], ["fd78:2::2"]);
    let services = [
        service("203.0.113.10", 80, Protocol::Tcp, Mode::FullNat, &v4),
        service("203.0.113.11", 80, Protocol::Tcp, Mode::Default, &v4),
        // One address: a wildcard UDP socket answers from the first one of its host.
        service("203.0.113.12", 7, Protocol::Udp, Mode::Default, &v4[..1]),
        service("2001:db8::10", 80, Protocol::Tcp, Mode::FullNat, &v6),
        service("2001:db8::11", 80, Protocol::Tcp, Mode::Default, &v6),
    ];
    for service in &services {
        running.services.put_vip(service.key.vip).unwrap();
        running.services.put_service(service).unwrap();
    }
    let (keys, vips) = running.services.existing().unwrap();
    assert_eq!((keys.len(), vips.len()), (5, 5));
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(5)); // poll
    }
}

fn owned(running: &Running) -> Vec<sync::FlowRecord> {
    let mut walk = running.flows.walk();
    let (records, last) = running.flows.next_part(&mut walk);
    assert!(last);
    records
}

/// Connections through every mode and family, and a UDP flow.
fn traffic(lab: &Lab) -> (Vec<TcpStream>, UdpSocket) {
    let mut streams = Vec::new();
    for (vip, source) in [
        ("203.0.113.10:80", "203.0.113.10"),
        ("203.0.113.11:80", "10.78.1."),
        ("[2001:db8::10]:80", "2001:db8::10"),
        ("[2001:db8::11]:80", "fd78:1::2"),
    ] {
        let mut stream = lab.connect(vip);
        let seen = peer_seen_by_backend(&mut stream).ip().to_canonical().to_string();
        assert!(seen.starts_with(source), "{vip}: the backend sees {seen}");
        exchange(&mut stream, 1 << 20);
        streams.push(stream);
    }
    let probe = lab.on("client", || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect("203.0.113.12:7").unwrap();
        socket
    });
    ask(&probe);
    let refused = lab.on("client", || {
        TcpStream::connect_timeout(&"203.0.113.10:81".parse().unwrap(), Duration::from_millis(300))
    });
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::TimedOut,
        "no RST comes from a VIP"
    );
    run(&format!(
        "ip netns exec {} ping -c1 -W2 203.0.113.10",
        lab.netns("client")
    ));
    (streams, probe)
}

#[test]
fn connections_survive_the_daemon() {
    let lab = Lab::new("dpforward");
    let mut running = lab.start();
    configure(&mut running);
    lab.echo("[::]:8080");

    let (mut streams, probe) = traffic(&lab);
    let established = wait_for("events", || match running.news.try_recv() {
        Ok(FlowNews::Changes(changes)) => Some(changes),
        _ => None,
    });
    assert!(matches!(established[0], Change::Upsert(record) if record.state == FlowState::Established));
    assert_eq!(owned(&running).len(), 5);

    // The daemon is gone; what it attached is not.
    drop(running);
    for stream in &mut streams {
        exchange(stream, 1 << 16);
    }
    ask(&probe);

    let mut running = lab.start();
    assert_eq!(
        running.services.existing().unwrap().0.len(),
        5,
        "the next one finds the services"
    );
    configure(&mut running);
    assert_eq!(owned(&running).len(), 5, "and the flows");
    running.epoch.bump().unwrap();
    for stream in &mut streams {
        exchange(stream, 1 << 16);
    }
    for service in ["203.0.113.12", "2001:db8::11"].map(|vip| vip.parse::<IpAddr>().unwrap()) {
        let key = running
            .services
            .existing()
            .unwrap()
            .0
            .into_iter()
            .find(|key| key.vip == service)
            .unwrap();
        running.services.remove_service(&key).unwrap();
        running.services.remove_vip(service).unwrap();
    }
    wait_for("flows of removed services to go", || {
        (owned(&running).len() == 3).then_some(())
    });
    streams.clear();
    wait_for("closed flows to be no longer owned", || {
        owned(&running).is_empty().then_some(())
    });
}

fn ask(probe: &UdpSocket) {
    let mut buffer = [0; 64];
    probe.send(b"who are you").unwrap();
    let length = probe.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"who are you");
}

/// The links come up again; IPv6 addresses are lost when a link goes down.
fn plug_in(lab: &Lab) {
    let lb = lab.netns("lb");
    for (interface, network) in [("eth1", 1), ("eth2", 2)] {
        run(&format!("ip -n {lb} link set {interface} up"));
        run(&format!(
            "ip -n {lb} addr replace fd78:{network}::1/64 dev {interface} nodad"
        ));
    }
}

/// A flow that a peer installed is forwarded as if it had begun here, and is then this node's own.
#[test]
fn a_flow_moves_to_another_table() {
    let lab = Lab::new("dpmove");
    let mut running = lab.start();
    configure(&mut running);
    lab.echo("0.0.0.0:8080");
    let mut stream = lab.connect("203.0.113.10:80");
    peer_seen_by_backend(&mut stream);
    let record = wait_for("the flow", || owned(&running).first().copied());
    assert!(
        record
            .snat
            .is_some_and(|snat| snat.address == record.identity.vip.address)
    );

    // In use here: the peer's word counts for nothing.
    let flows = running.flows.clone();
    let ended = flows.apply(&[Change::Delete(record.identity)]);
    assert_eq!(ended.kept, 1);
    assert!(
        matches!(ended.answers.as_slice(), [Change::Upsert(again)] if again.identity == record.identity),
        "the peer is told: {ended:?}"
    );
    let mut other = record;
    other.backend.port = 1;
    assert_eq!(
        flows.apply(&[Change::Upsert(other)]).refused,
        1,
        "no such endpoint"
    );

    // Silent here, and the peer sees packets of it: it has moved.
    let mut moved = record;
    moved.age = Duration::ZERO;
    assert_eq!(flows.apply(&[Change::Upsert(moved)]).kept, 1);
    wait_for("the flow to be given away", || {
        (flows.apply(&[Change::Upsert(moved)]).installed == 1).then_some(())
    });
    assert!(owned(&running).is_empty());

    // Another node: fresh maps, the record alone.
    drop(running);
    lab.on("lb", || {
        for interface in ["eth1", "eth2"] {
            run(&format!("ip link set {interface} down"));
        }
    });
    std::fs::remove_dir_all(&lab.pins).unwrap();
    let mut running = lab.start();
    configure(&mut running);
    let flows = running.flows.clone();
    assert_eq!(
        flows
            .apply(&[Change::Upsert(record), Change::Upsert(record)])
            .installed,
        2
    );
    assert!(owned(&running).is_empty(), "the peer owns it");
    plug_in(&lab);
    exchange(&mut stream, 1 << 16);
    let taken = wait_for("the flow to be this node's own", || {
        owned(&running).first().copied()
    });
    assert_eq!(
        (taken.identity, taken.backend, taken.snat),
        (record.identity, record.backend, record.snat)
    );
    wait_for("word of it", || match running.news.try_recv() {
        Ok(FlowNews::Changes(changes)) => changes
            .iter()
            .any(|change| change.identity() == &record.identity)
            .then_some(()),
        _ => None,
    });
}

/// The VIP is an address of this node, and the neighbour is not resolved: the kernel takes over what XDP has rewritten,
/// although it comes in with a source of its own.
#[test]
fn xdp_leaves_unresolved_neighbours_to_the_kernel() {
    let lab = Lab::new("dpmartian");
    let lb = lab.netns("lb");
    run(&format!("ip -n {lb} addr add 203.0.113.10/32 dev eth1"));
    for filter in ["all", "eth1", "eth2"] {
        run(&format!(
            "ip netns exec {lb} sysctl -qw net.ipv4.conf.{filter}.rp_filter=0"
        ));
    }
    // XDP sees checksums that are left to hardware as they are.
    for node in ["client", "backend"] {
        run(&format!(
            "ip netns exec {} ethtool -K eth1 tx off",
            lab.netns(node)
        ));
    }
    let mut running = lab.start_with(Hook::XdpGeneric);
    let (_, vips) = running.services.existing().unwrap();
    assert_eq!(
        vips,
        ["203.0.113.10".parse::<IpAddr>().unwrap()],
        "known before the services"
    );
    lab.echo("0.0.0.0:8080");
    configure(&mut running);
    let mut stream = lab.connect("203.0.113.10:80");
    assert_eq!(peer_seen_by_backend(&mut stream).ip().to_string(), "203.0.113.10");
    exchange(&mut stream, 1 << 16);
}

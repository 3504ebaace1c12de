//! Two threads on the loopback addresses of this machine, with real sockets and real time. No root needed:
//! where SCHED_FIFO is refused the threads run without it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bfd::{Diagnostic, Discard, Role, SessionConfig, State};

use super::{Change, Handle, Options, Report, Scheduling, StartError, spawn};

const DEADLINE: Duration = Duration::from_secs(20);
/// So slow that a busy machine without real-time scheduling keeps the sessions up.
const INTERVAL: Duration = Duration::from_millis(100);
const MULTIPLIER: u8 = 5;

struct Node {
    handle: Handle,
    join: Option<JoinHandle<()>>,
    changes: Receiver<Change>,
    address: IpAddr,
    port: u16,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.handle.halt();
        if let Some(join) = self.join.take() {
            let _ = join.join();
        }
    }
}

/// A port that no other test uses. Loopback addresses are this test's own by their third byte.
fn free_port(address: IpAddr) -> u16 {
    UdpSocket::bind((address, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn options(address: IpAddr, port: u16) -> Options {
    Options {
        listen: vec![address],
        port,
        priority: Some(50),
        lock_memory: false,
        seed: rand::random(),
    }
}

fn start(address: IpAddr, port: u16) -> Node {
    let (sender, changes) = channel();
    let (handle, join) = spawn(&options(address, port), move |change| {
        let _ = sender.send(change);
    })
    .unwrap();
    Node {
        handle,
        join: Some(join),
        changes,
        address,
        port,
    }
}

fn config(local: IpAddr, remote: IpAddr) -> SessionConfig {
    SessionConfig {
        local,
        remote,
        interface: None,
        desired_min_tx: INTERVAL,
        required_min_rx: INTERVAL,
        detect_multiplier: MULTIPLIER,
        role: Role::Active,
    }
}

/// Two nodes that know each other.
fn pair(network: u8) -> [Node; 2] {
    let [one, other]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, network, host).into());
    let port = free_port(one);
    let nodes = [start(one, port), start(other, port)];
    nodes[0].handle.put(config(one, other)).unwrap();
    nodes[1].handle.put(config(other, one)).unwrap();
    nodes
}

impl Node {
    fn wait_for(&self, state: State) -> Change {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = self.changes.recv_timeout(left).unwrap();
            if change.to == state {
                return change;
            }
        }
    }

    fn wait_report(&self, condition: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let report = self.handle.report();
            if condition(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "{report:#?}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn silence_is_detected_within_the_detection_time() {
    let [one, other] = pair(11);
    one.wait_for(State::Up);
    other.wait_for(State::Up);
    let settled = one.wait_report(|report| {
        report
            .sessions
            .iter()
            .all(|session| !session.polling && session.state == State::Up)
    });
    let detection = settled.sessions[0].detection_time.unwrap();
    assert_eq!(detection, INTERVAL * MULTIPLIER.into());
    assert_eq!(settled.discards.total(), 0, "TTL 255 arrives as 255");
    assert_eq!(
        settled.sessions[0].last_interface,
        Some(1),
        "the interface comes with the packet"
    );

    other.handle.halt();
    let down = one.wait_for(State::Down);
    assert_eq!((down.from, down.remote), (State::Up, other.address));
    assert_eq!(down.diagnostic, Diagnostic::DetectionTimeExpired);
    let silence = down.at - down.last_packet.unwrap();
    assert!(silence >= detection, "not before: {silence:?}");
}

#[test]
fn shutdown_says_admin_down() {
    let [one, other] = pair(12);
    one.wait_for(State::Up);
    other.wait_for(State::Up);
    other.handle.shutdown();
    let down = one.wait_for(State::Down);
    assert_eq!(down.diagnostic, Diagnostic::NeighborSignaledDown);
    assert_eq!(down.remote_diagnostic, Diagnostic::AdministrativelyDown);
}

#[test]
fn commands_reach_the_session() {
    let [one, other] = pair(13);
    one.wait_for(State::Up);
    other.wait_for(State::Up);
    one.handle
        .put(SessionConfig {
            detect_multiplier: 7,
            ..config(one.address, other.address)
        })
        .unwrap();
    other.wait_report(|report| report.sessions[0].remote_detect_multiplier == 7);
    one.handle.admin_down(other.address);
    assert_eq!(
        one.wait_for(State::AdminDown).diagnostic,
        Diagnostic::AdministrativelyDown
    );
    other.wait_for(State::Down);
    one.handle.admin_up(other.address);
    one.wait_for(State::Up);
    one.handle.link_down(1);
    assert_eq!(one.wait_for(State::Down).diagnostic, Diagnostic::PathDown);
    one.wait_for(State::Up);
    one.handle.remove(other.address);
    one.wait_report(|report| report.sessions.is_empty());
    other.wait_for(State::Down);
}

#[test]
fn a_packet_that_could_come_from_afar_is_discarded() {
    let [one, other] = pair(14);
    one.wait_for(State::Up);
    other.wait_for(State::Up);
    let id = one.handle.report().sessions[0].session;
    let down = bfd::Packet {
        diagnostic: Diagnostic::None,
        state: State::Down,
        poll: false,
        final_answer: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: 1,
        your_discriminator: id.0,
        desired_min_tx: 1_000_000,
        required_min_rx: 1_000_000,
        required_min_echo_rx: 0,
    };
    let socket = UdpSocket::bind((other.address, 0)).unwrap();
    socket.set_ttl(254).unwrap();
    socket.send_to(&down.encode(), (one.address, one.port)).unwrap();
    // What comes after it over the same way is seen, and nothing else.
    socket.set_ttl(255).unwrap();
    socket.send_to(&[0x20], (one.address, one.port)).unwrap();
    let report = one.wait_report(|report| report.discards.total() > 0);
    assert_eq!(report.discards.total(), 1, "{report:?}");
    assert_eq!(
        report.discards.get(Discard::Ttl),
        0,
        "the kernel has dropped it: the thread was not woken"
    );
    assert_eq!(report.sessions[0].state, State::Up);
}

/// RFC 5881 section 4: the source port is in the dynamic range and stays the same.
#[test]
fn the_source_port_of_a_session() {
    let [local, remote]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, 17, host).into());
    let peer = UdpSocket::bind((remote, 0)).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let node = start(local, peer.local_addr().unwrap().port());
    node.handle.put(config(local, remote)).unwrap();
    let mut bytes = [0; 64];
    let mut sources = [0; 3].map(|_: u8| {
        let (length, source) = peer.recv_from(&mut bytes).unwrap();
        assert_eq!(bfd::Packet::decode(&bytes[..length]).unwrap().state, State::Down);
        assert_eq!(source.ip(), local);
        source.port()
    });
    assert!((49152..=65535).contains(&sources[0]));
    sources.sort_unstable();
    assert_eq!(sources[0], sources[2]);
}

#[test]
fn an_address_that_is_not_here_is_an_error_and_not_the_end() {
    let [local, remote]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, 18, host).into());
    let node = start(local, free_port(local));
    let elsewhere = Ipv4Addr::new(192, 0, 2, 1).into();
    node.handle.put(config(elsewhere, remote)).unwrap();
    let report = node.wait_report(|report| report.thread.transmit_errors > 0);
    assert_eq!(report.thread.last_transmit_error, Some(libc::EADDRNOTAVAIL));
    assert_eq!(report.sessions[0].state, State::Down);
    // The same session with an address that is here replaces it.
    node.handle.put(config(local, remote)).unwrap();
    let report = node.wait_report(|report| report.thread.transmitted > 0);
    assert_eq!(
        (report.sessions.len(), report.sessions[0].config.local),
        (1, local)
    );
}

#[test]
fn a_taken_port_is_named() {
    let address: IpAddr = Ipv4Addr::new(127, 0, 15, 2).into();
    let socket = UdpSocket::bind((address, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let refused = spawn(&options(address, port), |_| {}).map(drop);
    assert!(matches!(refused, Err(StartError::PortTaken { port: taken, .. }) if taken == port));
}

#[test]
fn ipv6_over_loopback_carries_its_hop_limit() {
    let address: IpAddr = "::1".parse().unwrap();
    let port = free_port(address);
    let node = start(address, port);
    node.handle
        .put(config(address, "2001:db8::1".parse().unwrap()))
        .unwrap();
    node.wait_report(|report| report.sessions.len() == 1);
    let socket = UdpSocket::bind((address, 0)).unwrap();
    let raw = socket2::SockRef::from(&socket);
    raw.set_unicast_hops_v6(64).unwrap();
    socket.send_to(&[0; 24], (address, port)).unwrap();
    raw.set_unicast_hops_v6(255).unwrap();
    socket.send_to(&[0; 24], (address, port)).unwrap();
    let report = node.wait_report(|report| report.discards.total() > 0);
    assert_eq!(report.discards.total(), 1, "{report:?}");
    assert_eq!(
        report.discards.get(Discard::Version),
        1,
        "hop limit 255 went on to the decoder, 64 did not wake the thread"
    );
}

/// Without a session nothing listens.
#[test]
fn the_port_is_taken_while_there_is_a_session() {
    let [local, remote]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, 19, host).into());
    let port = free_port(local);
    let node = start(local, port);
    let is_free = || UdpSocket::bind((local, port)).is_ok();
    assert!(is_free());
    node.handle.put(config(local, remote)).unwrap();
    node.wait_report(|report| report.sessions.len() == 1);
    assert!(!is_free());
    node.handle.remove(remote);
    node.wait_report(|report| report.sessions.is_empty());
    assert!(is_free());
}

#[test]
fn the_policy_is_published() {
    let node = start(
        Ipv4Addr::new(127, 0, 16, 2).into(),
        free_port(Ipv4Addr::new(127, 0, 16, 2).into()),
    );
    let report = node.wait_report(|report| report.thread.scheduling != Scheduling::Unknown);
    let scheduling = report.thread.scheduling;
    assert!(
        matches!(
            scheduling,
            Scheduling::Fifo { priority: 50 }
                | Scheduling::Other {
                    refused: Some(libc::EPERM)
                }
        ),
        "{scheduling:?}"
    );
}

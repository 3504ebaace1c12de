//! Two threads on the loopback addresses of this machine, with real sockets and real time. Needs CAP_NET_RAW; where
//! SCHED_FIFO is refused the threads run without it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bfd::{
    Algorithm, Diagnostic, Discard, Hops, Key, Keys, Parameters, Path, Role, SessionConfig, State, Timing,
    Unsolicited,
};

use super::{Handle, News, Options, Report, Scheduling, StartError, spawn};
use crate::desired::SessionKey;

const DEADLINE: Duration = Duration::from_secs(20);
/// So slow that a busy machine without real-time scheduling keeps the sessions up.
const INTERVAL: Duration = Duration::from_millis(100);
const MULTIPLIER: u8 = 5;

struct Node {
    handle: Handle,
    join: Option<JoinHandle<()>>,
    changes: Receiver<(Instant, bfd::Change)>,
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
        multihop_port: port.wrapping_add(1).max(1024),
        priority: Some(50),
        lock_memory: false,
        seed: rand::random(),
        secret: rand::random(),
    }
}

fn start(address: IpAddr, port: u16) -> Node {
    let (sender, changes) = channel();
    let (handle, join) = spawn(&options(address, port), move |change| {
        if let News::State(state) = change.news {
            let _ = sender.send((change.at, state));
        }
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
        path: Path {
            local,
            remote,
            interface: None,
            hops: Hops::Single,
        },
        role: Role::Active,
        parameters: Parameters::new(Timing::symmetric(INTERVAL, MULTIPLIER)),
    }
}

/// Two nodes that know each other.
fn pair(network: u8) -> [Node; 2] {
    let [one, other]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, network, host).into());
    let port = free_port(one);
    let nodes = [start(one, port), start(other, port)];
    nodes[0].put(config(one, other));
    nodes[1].put(config(other, one));
    nodes
}

impl Node {
    fn put(&self, config: SessionConfig) {
        self.handle.put(config.path.remote.into(), config).unwrap();
    }

    fn wait_for(&self, state: State) -> bfd::Change {
        self.wait_at(state).1
    }

    fn wait_at(&self, state: State) -> (Instant, bfd::Change) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = self.changes.recv_timeout(left).unwrap();
            if change.1.to == state {
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
        !report.sessions.is_empty()
            && report
                .sessions
                .iter()
                .all(|session| !session.status.polling && session.status.state == State::Up)
    });
    let detection = settled.sessions[0].status.detection_time.unwrap();
    assert_eq!(detection, INTERVAL * MULTIPLIER.into());
    assert_eq!(settled.discards.total(), 0, "TTL 255 arrives as 255");
    assert_eq!(
        settled.sessions[0].status.last_interface,
        Some(1),
        "the interface comes with the packet"
    );

    other.handle.halt();
    let (at, down) = one.wait_at(State::Down);
    assert_eq!((down.from, down.path.remote), (State::Up, other.address));
    assert_eq!(down.diagnostic, Diagnostic::DetectionTimeExpired);
    let silence = at - down.last_packet.unwrap();
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
    let mut changed = config(one.address, other.address);
    changed.parameters.timing.detect_multiplier = 7;
    one.put(changed);
    other.wait_report(|report| {
        let mut sessions = report.sessions.iter();
        sessions.any(|session| session.status.remote_detect_multiplier == 7)
    });
    let key = SessionKey::from(other.address);
    one.handle.admin_down(key.clone());
    assert_eq!(
        one.wait_for(State::AdminDown).diagnostic,
        Diagnostic::AdministrativelyDown
    );
    other.wait_for(State::Down);
    one.handle.admin_up(key.clone());
    one.wait_for(State::Up);
    one.handle.link_down(1);
    assert_eq!(one.wait_for(State::Down).diagnostic, Diagnostic::PathDown);
    one.wait_for(State::Up);
    one.handle.remove(key);
    one.wait_report(|report| report.sessions.is_empty());
    other.wait_for(State::Down);
}

#[test]
fn a_packet_that_could_come_from_afar_is_discarded() {
    let [one, other] = pair(14);
    one.wait_for(State::Up);
    other.wait_for(State::Up);
    let id = one.wait_report(|report| !report.sessions.is_empty()).sessions[0]
        .status
        .session;
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
    assert_eq!(report.sessions[0].status.state, State::Up);
}

/// RFC 5881 section 4: the source port is in the dynamic range and stays the same.
#[test]
fn the_source_port_of_a_session() {
    let [local, remote]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, 17, host).into());
    let peer = UdpSocket::bind((remote, 0)).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let node = start(local, peer.local_addr().unwrap().port());
    node.put(config(local, remote));
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
    node.put(config(elsewhere, remote));
    let report = node.wait_report(|report| report.thread.transmit_errors > 0);
    assert!(
        report.thread.last_transmit_error.is_some(),
        "the kernel refuses the source"
    );
    assert_eq!(report.sessions[0].status.state, State::Down);
    // The same session with an address that is here replaces it.
    node.put(config(local, remote));
    let report = node.wait_report(|report| report.thread.transmitted > 0);
    assert_eq!(
        (report.sessions.len(), report.sessions[0].status.config.path.local),
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
    node.put(config(address, "2001:db8::1".parse().unwrap()));
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
    node.put(config(local, remote));
    node.wait_report(|report| report.sessions.len() == 1);
    assert!(!is_free());
    node.handle.remove(remote.into());
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

/// RFC 5883: port 4784, and less than 255 of TTL is enough.
#[test]
fn several_hops_have_a_port_of_their_own() {
    let [one, other]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, 20, host).into());
    let port = free_port(one);
    let nodes = [start(one, port), start(other, port)];
    for (node, [local, remote]) in nodes.iter().zip([[one, other], [other, one]]) {
        let mut far = config(local, remote);
        far.path.hops = Hops::Multi { minimum_ttl: 200 };
        node.put(far);
    }
    nodes[0].wait_for(State::Up);
    nodes[1].wait_for(State::Up);
    assert!(
        UdpSocket::bind((one, port)).is_ok(),
        "nobody listens on the port of single hops"
    );
    assert!(UdpSocket::bind((one, port + 1)).is_err());
}

#[test]
fn authenticated_sessions_and_a_stranger_without_a_key() {
    let [one, other] = pair(21);
    one.wait_for(State::Up);
    let key = Key::new(1, Algorithm::MeticulousKeyedSha1, b"secret").unwrap();
    let keys = std::sync::Arc::new(Keys::new(vec![key], 1).unwrap());
    for (node, remote) in [(&one, other.address), (&other, one.address)] {
        let mut known = config(node.address, remote);
        known.parameters.keys = Some(keys.clone());
        node.put(known);
    }
    let up = |report: &Report| {
        report.sessions.iter().any(|session| {
            let status = &session.status;
            status.state == State::Up && status.config.parameters.keys.is_some() && !status.polling
        })
    };
    one.wait_report(up);
    other.wait_report(up);
    let socket = UdpSocket::bind((other.address, 0)).unwrap();
    socket.set_ttl(255).unwrap();
    let forged = bfd::Packet {
        diagnostic: Diagnostic::None,
        state: State::Down,
        poll: false,
        final_answer: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: 1,
        your_discriminator: one.handle.report().sessions[0].status.session.0,
        desired_min_tx: 1_000_000,
        required_min_rx: 1_000_000,
        required_min_echo_rx: 0,
    };
    socket.send_to(&forged.encode(), (one.address, one.port)).unwrap();
    let report = one.wait_report(|report| report.discards.get(Discard::AuthenticationMissing) > 0);
    assert_eq!(report.sessions[0].status.state, State::Up);
}

#[test]
fn a_stranger_on_a_welcoming_interface_comes_up_and_has_a_name() {
    let [one, other]: [IpAddr; 2] = [2, 3].map(|host| Ipv4Addr::new(127, 0, 22, host).into());
    let port = free_port(one);
    let (node, stranger) = (start(one, port), start(other, port));
    let welcome = Unsolicited {
        interface: 1,
        prefixes: vec![(other, 32)],
        limit: 1,
        parameters: Parameters::new(Timing::symmetric(INTERVAL, MULTIPLIER)),
    };
    node.handle.unsolicited(vec![welcome]).unwrap();
    stranger.put(config(other, one));
    stranger.wait_for(State::Up);
    let report = node.wait_report(|report| {
        report
            .sessions
            .iter()
            .any(|session| session.status.state == State::Up)
    });
    assert_eq!(report.sessions[0].key.to_string(), format!("{other}%lo"));
    assert!(report.sessions[0].status.unsolicited);
    node.handle.unsolicited(Vec::new()).unwrap();
    stranger.wait_for(State::Down);
    node.wait_report(|report| report.sessions.is_empty());
}

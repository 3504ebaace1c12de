//! The failover thread against the kernel: addresses move, and the other end of the link hears of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use bfd::{Diagnostic, SessionId, State};
use ha::{Hello, InstanceHello, Role, Standing};
use lb_user::apply::Election as _;
use lb_user::bfd_thread::{Change, News};
use lb_user::bgp_driver::{self, Command as BgpCommand};
use lb_user::desired::{FloatingAddress, HaPeer, Instance, SessionKey};
use lb_user::failover::{self, Command, Drained, FailoverHandle};
use lb_user::status::StatusBoard;
use lb_user::timeline::Timeline;
use socket2::{Domain, Protocol, Socket, Type};
use support::{LEFT, Pair, RIGHT, until};

const PEER: &str = "192.0.2.2";
const FLOATING: &str = "192.0.2.100/24";
const FLOATING6: &str = "2001:db8::100/64";
const VIP: &str = "203.0.113.10/32";

fn instance() -> Instance {
    let floating = |address: &str, prefix_length| FloatingAddress {
        address: address.parse().unwrap(),
        prefix_length,
        interface: "eth0".into(),
    };
    Instance {
        id: 0,
        name: "default".into(),
        priority: 100,
        preempt: true,
        addresses: vec![floating("192.0.2.100", 24), floating("2001:db8::100", 64)],
        vip_interface: Some("eth0".into()),
    }
}

struct Node {
    handle: FailoverHandle,
    board: StatusBoard,
    timeline: Timeline,
    bgp: tokio::sync::mpsc::UnboundedReceiver<BgpCommand>,
    hellos: Receiver<Vec<u8>>,
}

impl Node {
    /// BFD towards the peer comes up, or finds it silent.
    fn bfd(&self, up: bool) {
        self.bfd_with(PEER, up, Diagnostic::None, Diagnostic::None);
    }

    fn bfd_with(&self, remote: &str, up: bool, diagnostic: Diagnostic, remote_diagnostic: Diagnostic) {
        let (from, to) = if up {
            (State::Down, State::Up)
        } else {
            (State::Up, State::Down)
        };
        let remote: IpAddr = remote.parse().unwrap();
        let planned = remote_diagnostic == Diagnostic::AdministrativelyDown;
        let state = bfd::Change {
            session: SessionId(1),
            path: bfd::Path {
                local: "192.0.2.1".parse().unwrap(),
                remote,
                interface: None,
                hops: bfd::Hops::Single,
            },
            from,
            to,
            usable: up,
            diagnostic,
            remote_state: if planned { State::AdminDown } else { State::Up },
            remote_diagnostic,
            remote_independent: false,
            last_packet: None,
            detection_time: None,
        };
        self.handle.send(Command::Bfd(Change {
            at: Instant::now(),
            key: Arc::new(remote.into()),
            unsolicited: false,
            news: News::State(state),
        }));
    }
}

/// The failover thread of a node in the left namespace.
fn start(pair: &Pair, peers: Vec<HaPeer>) -> Node {
    start_with(pair, peers, Vec::new())
}

fn start_with(pair: &Pair, peers: Vec<HaPeer>, neighbours: Vec<(SessionKey, bool)>) -> Node {
    pair.enter(LEFT);
    let (bgp_handle, bgp) = bgp_driver::channel();
    let (hello_sender, hellos) = channel();
    let (board, timeline) = (StatusBoard::new(), Timeline::new());
    let (mut handle, inbox) = failover::inbox(&[instance()]).unwrap();
    let setup = failover::Setup {
        node: "lb1".into(),
        boot: 1,
        peers,
        instances: vec![instance()],
        neighbours,
        links: Vec::new(),
        bgp: bgp_handle,
        hello: Box::new(move |bytes| {
            let _ = hello_sender.send(bytes);
        }),
        timeline: timeline.clone(),
        board: board.clone(),
    };
    handle
        .put_instance(&instance(), &["203.0.113.10".parse().unwrap()])
        .unwrap();
    failover::spawn(setup, inbox).expect("root may open the sockets");
    handle.send(Command::Listening);
    Node {
        handle,
        board,
        timeline,
        bgp,
        hellos,
    }
}

fn peer() -> HaPeer {
    HaPeer {
        name: "lb2".into(),
        address: PEER.parse().unwrap(),
        local: "192.0.2.1".parse().unwrap(),
    }
}

fn addresses(pair: &Pair) -> String {
    pair.output(LEFT, &["ip", "-o", "addr", "show", "dev", "eth0"])
}

fn holds(pair: &Pair, address: &str) -> bool {
    addresses(pair).contains(&format!(" {address} "))
}

fn wait_for_addresses(pair: &Pair, present: bool) {
    for address in [FLOATING, FLOATING6, VIP] {
        until(&format!("{address} present: {present}"), || {
            (holds(pair, address) == present, addresses(pair))
        });
    }
}

/// Frames that arrive in the right namespace from now on.
fn capture(pair: &Pair) -> Receiver<Vec<u8>> {
    let (sender, frames) = channel();
    let (ready, opened) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pair.enter(RIGHT);
            const ETH_P_ALL: i32 = 3;
            let protocol = Protocol::from(i32::from((ETH_P_ALL as u16).to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
            std::thread::spawn(move || {
                use std::io::Read;
                let mut socket = socket;
                let mut buffer = vec![0; 2048];
                while let Ok(length) = socket.read(&mut buffer) {
                    if sender.send(buffer[..length].to_vec()).is_err() {
                        return;
                    }
                }
            });
            ready.send(()).unwrap();
        });
    });
    opened.recv().unwrap();
    frames
}

fn mac_of_left(pair: &Pair) -> Vec<u8> {
    let text = pair.output(LEFT, &["cat", "/sys/class/net/eth0/address"]);
    text.trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// How often each kind of claim for the address was heard: (ARP requests, ARP replies, advertisements).
fn heard(frames: &[Vec<u8>], mac: &[u8], address: IpAddr) -> (usize, usize, usize) {
    let mut count = (0, 0, 0);
    for frame in frames
        .iter()
        .filter(|frame| frame.len() >= 42 && frame[6..12] == *mac)
    {
        match address {
            IpAddr::V4(address) => {
                let arp = frame[12..14] == [8, 6];
                if arp && frame[28..32] == address.octets() && frame[38..42] == address.octets() {
                    count.0 += usize::from(frame[21] == 1);
                    count.1 += usize::from(frame[21] == 2);
                }
            }
            IpAddr::V6(address) => {
                let ipv6 = frame.len() >= 86 && frame[12..14] == [0x86, 0xdd];
                count.2 += usize::from(ipv6 && frame[54] == 136 && frame[62..78] == address.octets());
            }
        }
    }
    count
}

#[test]
fn a_lone_node_claims_and_the_neighbourhood_hears_it() {
    let pair = Pair::new("lone");
    let frames = capture(&pair);
    let mac = mac_of_left(&pair);
    let mut node = start(&pair, Vec::new());
    wait_for_addresses(&pair, true);
    let shown = addresses(&pair);
    let floating6 = shown.lines().find(|line| line.contains(FLOATING6)).unwrap();
    assert!(!floating6.contains("tentative"), "usable at once: {floating6}");

    // Once at the claim and three times after it.
    let mut seen = Vec::new();
    until("every address is told four times, in both forms of ARP", || {
        seen.extend(frames.try_iter());
        let told: Vec<_> = ["192.0.2.100", "203.0.113.10", "2001:db8::100"]
            .iter()
            .map(|address| heard(&seen, &mac, address.parse().unwrap()))
            .collect();
        (told == [(4, 4, 0), (4, 4, 0), (0, 0, 4)], told)
    });

    let mut roles = Vec::new();
    until("the speaker is told to announce as master", || {
        while let Ok(command) = node.bgp.try_recv() {
            if let BgpCommand::SetRole {
                instance: 0,
                preference,
            } = command
            {
                roles.push(preference);
            }
        }
        (
            roles == [bgp::Preference::Joining, bgp::Preference::Master],
            roles.clone(),
        )
    });
    until("the status shows it", || {
        let status = node.board.ha.newest();
        let shown = status.instances.first().is_some_and(|instance| {
            instance.role == "master" && instance.master == "lb1" && instance.addresses.len() == 3
        });
        (shown, status)
    });
    let kinds: Vec<String> = node
        .timeline
        .events(None)
        .into_iter()
        .map(|event| event.kind)
        .collect();
    let position = |kind: &str| kinds.iter().position(|known| known == kind);
    assert!(
        position("address-claimed") < position("role-changed"),
        "claims come first: {kinds:?}"
    );
}

#[test]
fn leftovers_are_removed_and_a_better_peer_takes_the_addresses() {
    let pair = Pair::new("peer");
    for address in [FLOATING, FLOATING6, VIP] {
        pair.output(LEFT, &["ip", "addr", "add", address, "dev", "eth0", "nodad"]);
        assert!(holds(&pair, address));
    }
    let node = start(&pair, vec![peer()]);
    // Alive by BFD, and the holder: this node joins and must not answer for the addresses.
    node.bfd(true);
    let mut hello = Hello {
        node: "lb2".into(),
        boot: 7,
        sequence: 1,
        draining: false,
        uplink: true,
        announces: true,
        instances: vec![InstanceHello {
            name: "default".into(),
            role: Role::Master,
            holds: true,
            standing: Standing::Current,
            priority: 200,
        }],
    };
    node.handle.send(Command::PeerHello(hello.encode()));
    wait_for_addresses(&pair, false);
    node.handle.send(Command::CaughtUp(true));
    until("this node is the backup", || {
        let status = node.board.ha.newest();
        let backup = status
            .instances
            .first()
            .is_some_and(|instance| instance.role == "backup");
        (backup, status)
    });

    // Power loss of the peer.
    node.bfd(false);
    wait_for_addresses(&pair, true);

    // It returns, joins, and later claims because it ranks first.
    node.bfd(true);
    (hello.boot, hello.sequence) = (8, 1);
    node.handle.send(Command::PeerHello(hello.encode()));
    wait_for_addresses(&pair, false);
    let told = node
        .hellos
        .recv_timeout(support::DEADLINE)
        .map(|bytes| Hello::decode(&bytes));
    assert!(
        matches!(told, Ok(Ok(hello)) if hello.node == "lb1"),
        "hellos are sent and can be decoded"
    );
}

#[test]
fn a_drain_without_a_peer_ends_by_itself() {
    let pair = Pair::new("drain");
    let node = start(&pair, Vec::new());
    wait_for_addresses(&pair, true);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    // The second one, as of an operator and then of the service manager, waits for its own end.
    for _ in 0..2 {
        let end = node.handle.drain_to_the_end();
        let drained = runtime.block_on(async { tokio::time::timeout(support::DEADLINE, end).await });
        assert_eq!(drained, Ok(Drained::Alone));
    }
    node.handle.send(Command::Undrain);
    until("the role is taken back", || {
        let status = node.board.ha.newest();
        let master = status
            .instances
            .first()
            .is_some_and(|instance| instance.role == "master");
        (master && !status.draining, status)
    });
}

#[test]
fn vips_that_are_none_any_longer_are_removed() {
    const OLD: &str = "203.0.113.99/32";
    let pair = Pair::new("oldvip");
    pair.output(LEFT, &["ip", "addr", "add", OLD, "dev", "eth0"]);
    let node = start(&pair, Vec::new());
    wait_for_addresses(&pair, true);
    assert!(holds(&pair, OLD));
    let vips = ["203.0.113.99", "203.0.113.10"].map(|vip| vip.parse().unwrap());
    node.handle.send(Command::RemoveVips(vips.to_vec()));
    until("the old VIP is gone", || (!holds(&pair, OLD), addresses(&pair)));
    assert!(holds(&pair, VIP), "one that is configured stays");
}

fn stopped(pair: &Pair, peers: Vec<HaPeer>) {
    let node = start(pair, peers);
    wait_for_addresses(pair, true);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let stop = node.handle.stop();
    let stopped = runtime.block_on(async { tokio::time::timeout(support::DEADLINE, stop).await });
    assert_eq!(stopped, Ok(()));
}

#[test]
fn a_node_that_stops_leaves_no_address_to_its_peer() {
    let pair = Pair::new("stop");
    stopped(&pair, vec![peer()]);
    for address in [FLOATING, FLOATING6, VIP] {
        assert!(!holds(&pair, address), "{address} is still here");
    }
}

#[test]
fn a_lone_node_that_stops_keeps_its_addresses_for_the_next_start() {
    let pair = Pair::new("alone");
    stopped(&pair, Vec::new());
    for address in [FLOATING, FLOATING6, VIP] {
        assert!(holds(&pair, address), "{address} is gone");
    }
}

/// RFC 5882 section 4.2: the router's administrator has ended BFD, not the path.
#[test]
fn a_router_that_takes_bfd_down_on_purpose_is_still_an_uplink() {
    const ROUTER: &str = "192.0.2.254";
    let pair = Pair::new("admin");
    let router: SessionKey = ROUTER.parse().unwrap();
    let node = start_with(&pair, Vec::new(), vec![(router.clone(), true)]);
    let established = |established| {
        node.handle.send(Command::Established {
            neighbour: router.clone(),
            established,
        });
    };
    let uplink = |expected| {
        until(&format!("uplink: {expected}"), || {
            let status = node.board.ha.newest();
            (status.uplink == expected, status)
        });
    };
    established(true);
    node.bfd_with(ROUTER, true, Diagnostic::None, Diagnostic::None);
    let taken_down = || {
        node.bfd_with(
            ROUTER,
            false,
            Diagnostic::NeighborSignaledDown,
            Diagnostic::AdministrativelyDown,
        );
    };
    taken_down();
    established(false);
    uplink(false);
    established(true);
    uplink(true);
    let losses = node
        .timeline
        .events(None)
        .iter()
        .filter(|event| event.kind == "uplink")
        .count();
    assert_eq!(losses, 2, "lost with BGP and found with it, not lost with BFD");
}

/// A link that comes up elsewhere is no reason to tell the neighbourhood of every address again.
#[test]
fn only_a_link_that_carries_addresses_matters() {
    let pair = Pair::new("needed");
    let frames = capture(&pair);
    let mac = mac_of_left(&pair);
    let node = start(&pair, Vec::new());
    let mut seen = Vec::new();
    let mut counts = |addresses: [&str; 2]| {
        seen.extend(frames.try_iter());
        addresses.map(|address| heard(&seen, &mac, address.parse().unwrap()))
    };
    let (old, new) = ("192.0.2.100", "192.0.2.101");
    until("told four times", || {
        let told = counts([old, new]);
        (told[0] == (4, 4, 0), told)
    });
    let carrier = |name: &str| Command::Carrier {
        name: name.into(),
        up: true,
    };
    node.handle.send(carrier("eth9"));
    let mut changed = instance();
    changed.addresses[0].address = new.parse().unwrap();
    node.handle.send(Command::PutAddresses {
        instance: "default".into(),
        placed: failover::placed(&changed, &[]),
    });
    until("the change is told", || {
        let told = counts([old, new]);
        (told[1] == (4, 4, 0), told)
    });
    assert_eq!(
        counts([old, new])[0],
        (4, 4, 0),
        "nothing is told because of another link"
    );
    node.handle.send(carrier("eth0"));
    until("the link with the addresses is told", || {
        let told = counts([old, new]);
        (told[1] == (8, 8, 0), told)
    });
}

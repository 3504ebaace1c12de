//! BFD Echo between a real stack and the data path as the daemon uses it: a neighbour's packets come back to it, by
//! every hook, in both families, and while no daemon runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so"
)]

mod datapath;

use datapath::lab::{Lab, PATIENCE};
use datapath::packet::{Packet, UDP, is_valid, packet, seen};
use datapath::{Kernel, ifindex};
use lb_user::desired::Hook;
use nix::libc;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::io::Read as _;
use std::net::IpAddr;
use std::time::Instant;

/// Addresses of the neighbour that the node has no route to: its stack, which forwards as well, sends nothing back.
const V4: &str = "192.0.2.41";
const V6: &str = "2001:db8:41::41";
/// Link-local: known by its interface.
const LINK: &str = "fe80::41";

/// A neighbour that reads and writes frames, without a stack.
struct Station {
    socket: Socket,
    own: [u8; 6],
    lb: [u8; 6],
    sent: u8,
}

fn mac(interface: &str) -> [u8; 6] {
    let addresses = nix::ifaddrs::getifaddrs().unwrap();
    addresses
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr()?.addr())
        .unwrap()
}

/// Bound to one interface, for frames of every kind.
fn packet_socket(interface: &str) -> Socket {
    let every = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(every)))).unwrap();
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: all bytes zero are a valid sockaddr_ll, and the storage is larger and suitably aligned.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
    address.sll_protocol = every;
    address.sll_ifindex = i32::try_from(ifindex(interface)).unwrap();
    let length = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap();
    // SAFETY: the length is that of the sockaddr_ll written above.
    socket.bind(&unsafe { SockAddr::new(storage, length) }).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

impl Station {
    fn new(lab: &Lab) -> Self {
        let lb = lab.on("lb", || mac("eth1"));
        let (socket, own) = lab.on("client", || (packet_socket("eth1"), mac("eth1")));
        Station {
            socket,
            own,
            lb,
            sent: 0,
        }
    }

    /// Sends an echo packet from the address it goes to; each has a payload of its own.
    fn send(&mut self, address: &str) -> Vec<u8> {
        self.sent += 1;
        let echo = Packet {
            ttl: 255,
            to: self.lb,
            payload: vec![self.sent; 24],
            ..packet((address, 3785), (address, 3785), UDP, 0)
        };
        let mut frame = echo.build();
        frame[6..12].copy_from_slice(&self.own);
        self.socket.send(&frame).unwrap();
        frame
    }

    /// The next echo packet that comes in.
    fn receive(&self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 2048];
        while Instant::now() < deadline {
            let length = (&self.socket)
                .read(&mut buffer)
                .expect("an echo packet comes back");
            let frame = &buffer[..length];
            let ip = [&[8, 0], &[0x86, 0xdd]]
                .iter()
                .any(|kind| frame[12..14] == kind[..]);
            if ip && frame[..6] == self.own && is_echo(frame) {
                return frame.to_vec();
            }
        }
        panic!("no echo packet came back");
    }

    fn hears_itself(&mut self, address: &str) {
        let sent = self.send(address);
        let received = self.receive();
        let (was, is) = (seen(&sent), seen(&received));
        assert_eq!(is, datapath::packet::Seen { ttl: 254, ..was });
        assert_eq!(received[6..12], self.lb, "from the node");
        assert_eq!(sent[sent.len() - 32..], received[received.len() - 32..]);
        assert!(is_valid(&received));
    }
}

fn is_echo(frame: &[u8]) -> bool {
    let found = seen(frame);
    found.protocol == UDP && found.dport == 3785
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// A neighbour that becomes a peer, outlives a daemon, and ceases to be one.
fn a_peer_hears_its_echo(name: &str, hook: Hook) {
    let lab = Lab::new(name);
    // What XDP sends back by a veth arrives only where there is XDP as well: a program that passes everything will do.
    let _other_end = (hook == Hook::Xdp).then(|| {
        lab.on("client", || {
            let mut kernel = Kernel::load(ifindex("eth1"), 64, 64);
            kernel.attach_to("eth1");
            kernel
        })
    });
    let mut running = lab.start_with(hook);
    let (here, there) = lab.on("lb", || (ifindex("eth1"), ifindex("eth2")));
    let mut station = Station::new(&lab);
    assert_eq!(running.echo_peers.existing().unwrap(), []);
    for address in [V4, V6, LINK] {
        station.send(address);
    }
    running.echo_peers.put(ip(V4), None).unwrap();
    running.echo_peers.put(ip(V4), None).unwrap();
    station.hears_itself(V4);
    running.echo_peers.put(ip(V6), Some(there)).unwrap();
    running.echo_peers.put(ip(LINK), Some(here)).unwrap();
    station.send(V6);
    station.hears_itself(LINK);
    running.echo_peers.put(ip(V6), Some(here)).unwrap();
    station.hears_itself(V6);

    // The daemon is gone; peers are not told, nor need they be.
    drop(running);
    for address in [V4, V6, LINK] {
        station.hears_itself(address);
    }

    let mut running = lab.start_with(hook);
    let mut peers = vec![
        (ip(V4), None),
        (ip(V6), Some(here)),
        (ip(V6), Some(there)),
        (ip(LINK), Some(here)),
    ];
    peers.sort_unstable();
    assert_eq!(
        running.echo_peers.existing().unwrap(),
        peers,
        "the next one finds them"
    );
    running.echo_peers.remove(ip(V4), None).unwrap();
    running.echo_peers.remove(ip(V4), None).unwrap();
    running.echo_peers.remove(ip(V6), Some(here)).unwrap();
    for address in [V4, V6] {
        station.send(address);
    }
    station.hears_itself(LINK);
    assert_eq!(
        running.echo_peers.existing().unwrap(),
        [(ip(V6), Some(there)), (ip(LINK), Some(here))]
    );
}

#[test]
fn by_tcx() {
    a_peer_hears_its_echo("dpechotcx", Hook::Tcx);
}

#[test]
fn by_xdp() {
    a_peer_hears_its_echo("dpechoxdp", Hook::Xdp);
}

#[test]
fn by_generic_xdp() {
    a_peer_hears_its_echo("dpechogen", Hook::XdpGeneric);
}

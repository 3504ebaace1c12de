//! One packet path, compiled three times: host, XDP and tc must agree on every byte and every verdict.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so"
)]

mod datapath;

use datapath::packet::{ACK, FIN, Packet, RST, SYN, Seen, TCP, UDP, is_valid, packet, seen};
use datapath::{
    ECHO_ANYWHERE, ECHO_ELSEWHERE, ECHO_HERE, Kernel, Program, action, echo_peers, fresh_network,
    host_tables, run_host, services,
};
use lb_common::{Counter, DropReason, HostTables, Tier, Verdict};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// The three, with equal tables, fed with the same packets in the same order.
struct Trio {
    ifindex: u32,
    as_tc: HostTables,
    as_xdp: HostTables,
    tc: Kernel,
    xdp: Kernel,
}

impl Trio {
    fn new() -> Self {
        let ifindex = fresh_network();
        let (mut as_tc, mut as_xdp) = (host_tables(&services()), host_tables(&services()));
        for tables in [&mut as_tc, &mut as_xdp] {
            tables.echo_peers = echo_peers(ifindex);
        }
        let tc = Kernel::load(ifindex, 1 << 16, 1 << 16);
        let mut xdp = Kernel::load(ifindex, 1 << 16, 1 << 16);
        xdp.attach();
        tc.configure(&as_tc);
        xdp.configure(&as_xdp);
        Trio {
            ifindex,
            as_tc,
            as_xdp,
            tc,
            xdp,
        }
    }

    /// Runs a frame through all of them and compares.
    fn run(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        let (mut tc, mut xdp) = (frame.to_vec(), frame.to_vec());
        let verdict = run_host::<false>(&self.as_tc, self.ifindex, &mut tc);
        let same = run_host::<true>(&self.as_xdp, self.ifindex, &mut xdp);
        assert_eq!(verdict, same, "host as XDP differs from host as tc: {frame:02x?}");
        if !matches!(verdict, Verdict::Resolve(_)) {
            assert_eq!(tc, xdp, "{verdict:?}");
        }
        for (kernel, program, bytes) in [(&self.tc, Program::Tc, &tc), (&self.xdp, Program::Xdp, &xdp)] {
            let (found, output) = kernel.run(program, frame);
            assert_eq!(
                found,
                action(program, verdict),
                "{program:?} for {verdict:?}: {frame:02x?}"
            );
            assert!(
                output == *bytes,
                "{program:?} {verdict:?}\n in {frame:02x?}\nhost {bytes:02x?}\n bpf {output:02x?}"
            );
        }
        let emitted = matches!(
            verdict,
            Verdict::Transmit(_) | Verdict::Resolve(_) | Verdict::Reply
        );
        if emitted {
            assert_eq!(
                is_valid(frame),
                is_valid(&tc),
                "checksum of {tc:02x?} made of {frame:02x?}"
            );
        } else {
            assert_eq!(frame, tc, "{verdict:?} changed the packet");
        }
        (verdict, tc)
    }

    fn forwarded(&self, packet: &Packet) -> Seen {
        let frame = packet.build();
        assert!(is_valid(&frame), "the test builds valid packets");
        let (verdict, bytes) = self.run(&frame);
        assert_eq!(verdict, Verdict::Transmit(self.ifindex), "{packet:?}");
        seen(&bytes)
    }

    fn dropped(&self, packet: &Packet) -> DropReason {
        match self.run(&packet.build()).0 {
            Verdict::Drop(reason) => reason,
            other => panic!("{other:?}: {packet:?}"),
        }
    }

    fn established(&self) -> usize {
        self.as_tc.flows(Tier::Established).len()
    }
}

/// The answer to what a backend was sent.
fn answer(to: &Seen, flags: u8) -> Packet {
    let (src, dst) = (to.dst.to_string(), to.src.to_string());
    packet((&src, to.dport), (&dst, to.sport), to.protocol, flags)
}

fn handshake(trio: &Trio, client: &str, vip: &str) {
    let before = trio.established();
    let open = |flags| packet((client, 40_000), (vip, 80), TCP, flags);
    let at_backend = trio.forwarded(&open(SYN));
    let at_client = trio.forwarded(&answer(&at_backend, SYN | ACK));
    assert_eq!((at_client.src, at_client.sport), (vip.parse().unwrap(), 80));
    assert_eq!(
        (at_client.dst, at_client.dport),
        (client.parse().unwrap(), 40_000)
    );
    assert_eq!(at_client.ttl, 63);
    assert_eq!(trio.established(), before, "two packets are no handshake");
    assert_eq!(trio.forwarded(&open(ACK)), at_backend);
    assert_eq!(trio.established(), before + 2);
    assert_eq!(trio.forwarded(&open(ACK)), at_backend);
    trio.forwarded(&answer(&at_backend, ACK));

    trio.forwarded(&open(FIN | ACK));
    trio.forwarded(&answer(&at_backend, FIN | ACK));
    trio.forwarded(&open(ACK));
    // The port pair again: a new flow.
    let again = trio.forwarded(&open(SYN));
    assert_eq!(trio.established(), before);
    trio.forwarded(&answer(&again, SYN | ACK));
    trio.forwarded(&open(ACK));
    assert_eq!(trio.established(), before + 2);
}

/// `default` keeps the client's address, `fullnat` replaces it by the VIP.
fn modes(trio: &Trio) {
    for (client, fullnat, default) in [
        ("198.51.100.7", "203.0.113.10", "203.0.113.11"),
        ("2001:db8:c::7", "2001:db8::10", "2001:db8::11"),
    ] {
        handshake(trio, client, fullnat);
        handshake(trio, client, default);
        let syn = |vip| packet((client, 41_000), (vip, 80), TCP, SYN);
        let at_backend = trio.forwarded(&syn(default));
        assert_eq!(
            (at_backend.src, at_backend.sport),
            (client.parse().unwrap(), 41_000)
        );
        let at_backend = trio.forwarded(&syn(fullnat));
        assert_eq!(at_backend.src, fullnat.parse::<std::net::IpAddr>().unwrap());
        let mut broken = syn(fullnat);
        broken.options = 0;
        broken.ttl = 1;
        broken.sport = 41_001;
        assert_eq!(trio.dropped(&broken), DropReason::TimeToLive);
    }
}

/// UDP flows are established by an answer; a checksum of 0 stays 0 in IPv4.
fn udp(trio: &Trio) {
    for (client, vip) in [
        ("198.51.100.8", "203.0.113.12"),
        ("2001:db8:c::8", "2001:db8::12"),
    ] {
        for port in [53, 54] {
            let before = trio.established();
            let ask = packet((client, 5000), (vip, port), UDP, 0);
            let at_backend = trio.forwarded(&ask);
            trio.forwarded(&answer(&at_backend, 0));
            assert_eq!(trio.established(), before + 2);
            assert_eq!(trio.forwarded(&ask), at_backend);
        }
    }
    let mut bare = packet(("198.51.100.8", 5001), ("203.0.113.12", 53), UDP, 0);
    bare.udp_checksum = false;
    let (_, bytes) = trio.run(&bare.build());
    assert_eq!(&bytes[40..42], [0, 0], "no checksum is made up");
}

/// A peer died with the only record of the flow.
fn unknown_flows(trio: &Trio) {
    for (client, fullnat, default, backend) in [
        ("198.51.100.9", "203.0.113.10", "203.0.113.11", "10.77.2.22"),
        ("2001:db8:c::9", "2001:db8::10", "2001:db8::11", "fd77:2::22"),
    ] {
        for vip in [fullnat, default] {
            let mut middle = packet((client, 42_000), (vip, 80), TCP, ACK);
            let before = trio.established();
            let at_backend = trio.forwarded(&middle);
            trio.forwarded(&answer(&at_backend, ACK));
            assert_eq!(trio.established(), before + 2, "seen in both directions");
            middle.sport = 42_001;
            middle.flags = RST;
            assert_eq!(trio.dropped(&middle), DropReason::UnknownReset);
            middle.flags = SYN | ACK;
            assert_eq!(trio.dropped(&middle), DropReason::UnknownSegment);
            middle.flags = FIN;
            assert_eq!(trio.dropped(&middle), DropReason::UnknownSegment);
        }
        // The backend speaks first: in `default` mode the endpoint tells the VIP, in fullnat only the client can.
        let mut reply = packet((backend, 8081), (client, 43_000), TCP, ACK);
        let at_client = trio.forwarded(&reply);
        assert_eq!((at_client.src, at_client.sport), (default.parse().unwrap(), 80));
        reply.dport = 43_001;
        reply.flags = RST | ACK;
        assert_eq!(trio.dropped(&reply), DropReason::UnknownReset);
        reply.flags = SYN;
        assert_eq!(
            trio.run(&reply.build()).0,
            Verdict::Pass,
            "a connection of the backend's own"
        );
        let own = if client.contains(':') {
            "fd77:2::1"
        } else {
            "10.77.2.1"
        };
        let check = packet((backend, 8081), (own, 43_002), TCP, SYN | ACK);
        assert_eq!(
            trio.run(&check.build()).0,
            Verdict::Pass,
            "the answer to a health check"
        );
        let late = packet((backend, 8080), (fullnat, 33_333), TCP, ACK);
        assert_eq!(trio.dropped(&late), DropReason::NoService);
    }
}

/// I1: what is for a VIP never reaches the local stack, except neighbour discovery.
fn vip_traffic_is_never_local(trio: &Trio) {
    let client = "198.51.100.10";
    let to = |port, protocol, flags| packet((client, 44_000), ("203.0.113.10", port), protocol, flags);
    assert_eq!(trio.dropped(&to(81, TCP, SYN)), DropReason::NoService);
    assert_eq!(trio.dropped(&to(80, UDP, 0)), DropReason::NoService);
    assert_eq!(trio.dropped(&to(80, 132, 0)), DropReason::Protocol);
    let mut fragment = to(80, TCP, SYN);
    fragment.fragment = 0x2000;
    assert_eq!(trio.dropped(&fragment), DropReason::Fragment);
    fragment.fragment = 0x0010;
    assert_eq!(trio.dropped(&fragment), DropReason::Fragment);
    let none = packet((client, 44_000), ("203.0.113.14", 80), TCP, SYN);
    assert_eq!(trio.dropped(&none), DropReason::NoBackend);
    let lost = packet(("10.66.0.1", 44_000), ("203.0.113.11", 80), TCP, SYN);
    let at_backend = trio.forwarded(&lost);
    assert_eq!(trio.dropped(&answer(&at_backend, SYN | ACK)), DropReason::NoRoute);
    let mut short = to(80, TCP, SYN).build();
    short.truncate(14 + 20 + 10);
    assert_eq!(trio.run(&short).0, Verdict::Drop(DropReason::Malformed));
    let mut extension = packet(("2001:db8:c::a", 1), ("2001:db8::10", 80), TCP, SYN).build();
    for header in [0, 43, 44, 60, 51, 50] {
        extension[20] = header;
        assert_eq!(trio.run(&extension).0, Verdict::Drop(DropReason::ExtensionHeader));
    }
    let mut foreign = to(80, TCP, SYN);
    foreign.to = [2, 0, 0, 0, 0, 99];
    assert_eq!(
        trio.run(&foreign.build()).0,
        Verdict::Pass,
        "flooded by a switch: the stack drops it"
    );
    let other = packet((client, 1), ("192.0.2.1", 80), TCP, SYN);
    assert_eq!(trio.run(&other.build()).0, Verdict::Pass);
    let mut options = to(80, TCP, SYN);
    options.options = 3;
    trio.forwarded(&options);
}

/// Echo is answered, neighbour discovery passed, the rest dropped.
fn icmp(trio: &Trio) {
    for (client, vip, protocol, request, reply) in [
        ("198.51.100.11", "203.0.113.10", 1, 8, 0),
        ("2001:db8:c::b", "2001:db8::10", 58, 128, 129),
    ] {
        let mut echo = packet((client, request << 8), (vip, 0), protocol, 0);
        echo.ttl = 17;
        let (verdict, bytes) = trio.run(&echo.build());
        assert_eq!(verdict, Verdict::Reply);
        assert!(is_valid(&bytes));
        let found = seen(&bytes);
        assert_eq!((found.src, found.dst, found.ttl), (echo.dst, echo.src, 64));
        assert_eq!(found.sport >> 8, reply);
        echo.sport = 3 << 8;
        assert_eq!(trio.dropped(&echo), DropReason::Icmp);
    }
    let mut solicitation = packet(("fe80::1", 135 << 8), ("2001:db8::10", 0), 58, 0);
    solicitation.ttl = 255;
    assert_eq!(trio.run(&solicitation.build()).0, Verdict::Pass);
    solicitation.ttl = 64;
    assert_eq!(trio.dropped(&solicitation), DropReason::Icmp);
}

/// The kernel resolves; XDP passes the packet up for that, and leaves the TTL to the kernel.
fn unresolved(trio: &Trio) {
    let syn = packet(("198.51.100.12", 45_000), ("203.0.113.13", 80), TCP, SYN);
    let (verdict, bytes) = trio.run(&syn.build());
    assert_eq!(verdict, Verdict::Resolve(trio.ifindex));
    assert_eq!(
        (seen(&bytes).dst, seen(&bytes).ttl),
        ("10.77.2.25".parse().unwrap(), 63)
    );
}

/// As many as each of the three has counted.
fn reflected(trio: &Trio) -> u64 {
    let counted = |tables: &HostTables| {
        let counters = tables.counters.borrow();
        counters.get(&Counter::BfdEchoReflected).copied().unwrap_or(0)
    };
    let count = counted(&trio.as_tc);
    assert_eq!(count, counted(&trio.as_xdp));
    for kernel in [&trio.tc, &trio.xdp] {
        assert_eq!(kernel.counter(Counter::BfdEchoReflected.index()), count);
    }
    count
}

/// A peer's echo packet.
fn echo(src: &str, dst: &str) -> Packet {
    let mut echo = packet((src, 49_152), (dst, 3785), UDP, 0);
    echo.ttl = 255;
    echo
}

/// RFC 5880 section 3.2: BFD Echo packets of known peers go back, one hop older, to the station they came from.
fn bfd_echo(trio: &Trio) {
    for peers in [ECHO_ANYWHERE, ECHO_HERE] {
        for (peer, other) in peers.iter().zip(["198.51.100.13", "2001:db8:c::d"]) {
            // FRR and Cisco send from the address they send to, others from one that draws no redirect.
            for src in [peer, other] {
                let sent = echo(src, peer).build();
                let before = reflected(trio);
                let (verdict, bytes) = trio.run(&sent);
                assert_eq!(verdict, Verdict::Reply, "{src} {peer}");
                assert_eq!(reflected(trio), before + 1);
                assert!(is_valid(&bytes));
                assert_eq!((&bytes[..6], &bytes[6..12]), (&sent[6..12], &sent[..6]));
                let (was, is) = (seen(&sent), seen(&bytes));
                assert_eq!(is, Seen { ttl: 254, ..was });
                assert_eq!(
                    sent[sent.len() - 27..],
                    bytes[bytes.len() - 27..],
                    "UDP is untouched"
                );
            }
        }
    }
    let [v4, v6] = ECHO_ANYWHERE;
    let mut bare = echo(v4, v4);
    bare.udp_checksum = false;
    bare.options = 2;
    let (verdict, bytes) = trio.run(&bare.build());
    assert_eq!(verdict, Verdict::Reply);
    assert_eq!(&bytes[48..50], [0, 0], "no checksum is made up");
    for peer in [v4, v6] {
        no_echo(trio, peer);
    }
}

/// What looks like a peer's echo packet and is none.
fn no_echo(trio: &Trio, peer: &str) {
    let before = reflected(trio);
    let passed = |packet: &Packet, why: &str| {
        assert_eq!(trio.run(&packet.build()).0, Verdict::Pass, "{why}: {packet:?}");
    };
    let like = |change: fn(&mut Packet)| {
        let mut packet = echo(peer, peer);
        change(&mut packet);
        packet
    };
    passed(&like(|packet| packet.dport = 3784), "a control packet");
    passed(
        &like(|packet| (packet.sport, packet.dport) = (3785, 7)),
        "the port of the source",
    );
    passed(&like(|packet| packet.protocol = TCP), "another protocol");
    passed(&like(|packet| packet.ttl = 254), "from behind a router");
    passed(&like(|packet| packet.to = [0xff; 6]), "a broadcast");
    passed(
        &like(|packet| packet.to = [1, 0, 0x5e, 0, 0, 1]),
        "a group's frame",
    );
    passed(&like(|packet| packet.to[5] = 99), "somebody else's frame");
    let (stranger, elsewhere) = if peer.contains(':') {
        ("fd77:2::44", ECHO_ELSEWHERE[1])
    } else {
        for fragment in [0x2000, 0x2010, 0x0010] {
            let mut packet = echo(peer, peer);
            packet.fragment = fragment;
            passed(&packet, "a fragment");
        }
        ("10.77.2.44", ECHO_ELSEWHERE[0])
    };
    passed(&echo(peer, stranger), "no peer");
    passed(&echo(elsewhere, elsewhere), "a peer on another interface");
    let mut tagged = echo(peer, peer).build();
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    assert_eq!(trio.run(&tagged).0, Verdict::Pass, "a VLAN");
    assert_eq!(reflected(trio), before);
}

/// A service may have the port, and flows may go to a peer's: both come before echo.
fn services_on_the_echo_port(trio: &Trio) {
    for (client, vip) in [
        ("198.51.100.14", "203.0.113.12"),
        ("2001:db8:c::e", "2001:db8::12"),
    ] {
        let before = reflected(trio);
        let ask = packet((client, 5000), (vip, 3785), UDP, 0);
        let at_backend = trio.forwarded(&ask);
        assert_eq!(at_backend.dport, 5355);
        trio.forwarded(&answer(&at_backend, 0));
        assert_eq!(trio.forwarded(&ask), at_backend);
        // A client by the same port that is a peer: the answer is its flow's.
        let peer = ECHO_ANYWHERE[usize::from(client.contains(':'))];
        let at_backend = trio.forwarded(&packet((peer, 3785), (vip, 53), UDP, 0));
        let (verdict, _) = trio.run(&answer(&at_backend, 0).build());
        assert!(
            matches!(verdict, Verdict::Transmit(_) | Verdict::Resolve(_)),
            "{verdict:?}"
        );
        assert_eq!(reflected(trio), before);
    }
}

#[test]
fn named_packets() {
    let trio = Trio::new();
    modes(&trio);
    udp(&trio);
    unknown_flows(&trio);
    vip_traffic_is_never_local(&trio);
    icmp(&trio);
    unresolved(&trio);
    bfd_echo(&trio);
    services_on_the_echo_port(&trio);
}

const BACKENDS: [&str; 2] = ["10.77.2.21", "fd77:2::21"];
const STRANGERS: [&str; 2] = ["10.77.2.22", "fd77:2::22"];

/// Random packets that meet each other's flows: clients and ports are few, answers are made of what was forwarded.
struct Random {
    rng: TestRng,
    forwarded: Vec<Seen>,
}

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % limit
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn packet(&mut self) -> Packet {
        let flags = self.pick(&[
            SYN,
            SYN | ACK,
            ACK,
            ACK,
            ACK,
            FIN | ACK,
            RST,
            RST | ACK,
            FIN,
            0,
            0xff,
        ]);
        let mut packet = if self.below(12) == 0 {
            self.echo()
        } else if !self.forwarded.is_empty() && self.below(3) == 0 {
            let seen = self.pick(&self.forwarded.clone());
            answer(&seen, flags)
        } else {
            let service = self.pick(&services());
            let client = if service.vip.is_ipv4() {
                self.pick(&["198.51.100.7", "198.51.100.8", "10.66.0.1", "10.77.2.21"])
            } else {
                self.pick(&["2001:db8:c::7", "2001:db8:c::8", "fd66::1", "fd77:2::21"])
            };
            let sport = 1024 + u16::try_from(self.below(200)).unwrap();
            packet(
                (client, sport),
                (&service.vip.to_string(), service.port),
                service.protocol,
                flags,
            )
        };
        if self.below(8) == 0 {
            packet.dport = self.pick(&[80, 81, 8080, 5353, 0]);
        }
        if self.below(16) == 0 {
            packet.protocol = self.pick(&[TCP, UDP, if packet.src.is_ipv4() { 1 } else { 58 }, 47]);
        }
        if self.below(16) == 0 {
            packet.ttl = self.pick(&[0, 1, 2, 255]);
        }
        if self.below(16) == 0 {
            packet.options = self.below(11);
        }
        if self.below(32) == 0 {
            packet.fragment = self.pick(&[0x2000, 0x4000, 0x0001, 0x2010]);
        }
        if self.below(32) == 0 {
            packet.to[5] = 9;
        }
        packet.udp_checksum = self.below(8) != 0;
        let payload = self.below(64);
        packet.payload = (0..payload).map(|_| self.rng.next_u32() as u8).collect();
        packet
    }

    /// To peers and to some that are none, backends among both.
    fn echo(&mut self) -> Packet {
        let family = self.below(2);
        let dst = self.pick(&[ECHO_ANYWHERE, ECHO_HERE, ECHO_ELSEWHERE, BACKENDS, STRANGERS])[family];
        let src = self.pick(&[[dst; 2], BACKENDS, STRANGERS])[family];
        let sport = self.pick(&[3785, 49_152, 5353, 5355]);
        let mut echo = packet((src, sport), (dst, 3785), UDP, 0);
        echo.ttl = 255;
        echo
    }

    /// Flips and cuts; the Ethernet and IP headers are left, for the kernel takes no shorter test packet.
    fn damage(&mut self, frame: &mut Vec<u8>) {
        if self.below(10) == 0 {
            for _ in 0..=self.below(3) {
                let at = 12 + self.below(frame.len().min(80) - 12);
                frame[at] ^= 1 << self.below(8);
            }
        }
        if self.below(20) == 0 {
            let least = if frame[12] == 8 { 34 } else { 54 };
            let length = least + self.below(frame.len() - least + 1);
            frame.truncate(length);
        }
    }
}

#[test]
fn twenty_thousand_random_packets() {
    let trio = Trio::new();
    let seed = *b"thirty-two bytes make one seed..";
    let mut random = Random {
        rng: TestRng::from_seed(RngAlgorithm::ChaCha, &seed),
        forwarded: Vec::new(),
    };
    let (mut forwarded, mut echoes) = (0, 0);
    for _ in 0..24_000 {
        let mut frame = random.packet().build();
        random.damage(&mut frame);
        let (verdict, bytes) = trio.run(&frame);
        echoes += u32::from(verdict == Verdict::Reply);
        if matches!(verdict, Verdict::Transmit(_)) {
            forwarded += 1;
            if random.forwarded.len() >= 500 {
                let at = random.below(500);
                random.forwarded.swap_remove(at);
            }
            random.forwarded.push(seen(&bytes));
        }
    }
    assert!(
        forwarded > 5_000,
        "only {forwarded} packets were forwarded: the test tests too little"
    );
    assert!(echoes > 500, "only {echoes} packets were sent back");
    assert!(reflected(&trio) > 500);
    assert!(
        trio.established() > 500,
        "only {} entries were established",
        trio.established()
    );
    let reasons = trio.as_tc.drops.borrow();
    assert!(reasons.len() > 8, "only these reasons occurred: {reasons:?}");
}

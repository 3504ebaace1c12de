//! Stations on the loopback: who connects late, who does not read, who comes back.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bgp::wire::{Encoding, Message, Open};
use bgp::{DownReason, Families, PeerId, SpeakerConfig};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const PEER_UP: u8 = 3;
const PEER_DOWN: u8 = 2;
const INITIATION: u8 = 4;
const TERMINATION: u8 = 5;
const ROUTE_MONITORING: u8 = 0;

/// The driver's part: answers requests when the test lets it.
struct Driver {
    handle: Handle,
    requests: UnboundedReceiver<Request>,
    speaker: Speaker,
}

impl Driver {
    fn new() -> Self {
        let (ask, requests) = unbounded_channel();
        let setup = Setup {
            name: "lb1".to_owned(),
            ask: Arc::new(move |request| {
                let _ = ask.send(request);
            }),
        };
        Driver {
            handle: spawn(setup).unwrap(),
            requests,
            speaker: Speaker::new(SpeakerConfig::new(65001, Ipv4Addr::new(10, 0, 0, 1), 1)),
        }
    }

    fn answer_all(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            self.handle.answer(request, &self.speaker);
        }
    }

    /// Answers until the station has read this many messages; their types.
    fn read(&mut self, station: &mut TcpStream, count: usize) -> Vec<u8> {
        let end = Instant::now() + DEADLINE;
        station.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let (mut bytes, mut kinds) = (Vec::new(), Vec::new());
        while kinds.len() < count {
            assert!(Instant::now() < end, "only {kinds:?}");
            self.answer_all();
            let mut buffer = [0; 65_536];
            match station.read(&mut buffer) {
                Ok(0) => panic!("the connection has ended after {kinds:?}"),
                Ok(length) => bytes.extend_from_slice(&buffer[..length]),
                Err(_) => continue,
            }
            while let Some(length) = bytes
                .get(1..5)
                .map(|raw| u32::from_be_bytes(raw.try_into().unwrap()) as usize)
                .filter(|length| *length <= bytes.len())
            {
                assert_eq!(bytes[0], 3, "version");
                kinds.push(bytes[5]);
                bytes.drain(..length);
            }
        }
        assert!(bytes.is_empty());
        kinds
    }
}

fn open(asn: u32) -> Vec<u8> {
    let open = Open::new(asn, 9, Ipv4Addr::new(10, 0, 0, 2), Families::IPV4);
    Message::Open(open).encode(Encoding::default()).unwrap()
}

fn up(peer: u32) -> Monitored {
    Monitored::PeerUp {
        peer: PeerId(peer),
        sent: open(65001),
        received: open(65000),
        local: "192.0.2.1:179".parse().unwrap(),
        remote: "192.0.2.2:179".parse().unwrap(),
    }
}

fn down(peer: u32) -> Monitored {
    Monitored::PeerDown {
        peer: PeerId(peer),
        reason: DownReason::RemoteSilent,
    }
}

fn end_of_rib(peer: u32) -> Monitored {
    let update = bgp::wire::Update::end_of_rib(bgp::Family::Ipv4);
    Monitored::Sent {
        peer: PeerId(peer),
        messages: Message::Update(update.into())
            .encode(Encoding::default())
            .unwrap(),
    }
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_station_hears_who_is_up_then_what_happens() {
    let mut driver = Driver::new();
    driver.handle.tell(&up(1));
    driver.handle.tell(&up(2));
    driver.handle.tell(&down(2));
    let (listener, address) = listen();
    driver.handle.set_stations(&[address]);
    let (mut station, _) = listener.accept().unwrap();
    // Who is up, and the ends of both tables of it.
    assert_eq!(
        driver.read(&mut station, 4),
        [INITIATION, PEER_UP, ROUTE_MONITORING, ROUTE_MONITORING]
    );
    driver.handle.tell(&up(3));
    driver.handle.tell(&end_of_rib(3));
    driver.handle.tell(&down(1));
    assert_eq!(
        driver.read(&mut station, 3),
        [PEER_UP, ROUTE_MONITORING, PEER_DOWN]
    );
    // Another one comes later and gets the picture of then; the first hears nothing of it.
    let (other_listener, other_address) = listen();
    driver.handle.set_stations(&[address, other_address]);
    let (mut other, _) = other_listener.accept().unwrap();
    assert_eq!(
        driver.read(&mut other, 4),
        [INITIATION, PEER_UP, ROUTE_MONITORING, ROUTE_MONITORING]
    );
    driver.handle.tell(&end_of_rib(3));
    for station in [&mut station, &mut other] {
        assert_eq!(driver.read(station, 1), [ROUTE_MONITORING]);
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(driver.handle.finish());
    for mut station in [station, other] {
        assert_eq!(driver.read(&mut station, 1), [TERMINATION]);
    }
}

#[test]
fn a_station_that_goes_is_connected_to_again() {
    let mut driver = Driver::new();
    let (listener, address) = listen();
    driver.handle.set_stations(&[address]);
    for _ in 0..2 {
        let (mut station, _) = listener.accept().unwrap();
        assert_eq!(driver.read(&mut station, 1), [INITIATION]);
    }
    // One that is not configured any more is left.
    let (mut station, _) = listener.accept().unwrap();
    driver.read(&mut station, 1);
    driver.handle.set_stations(&[]);
    station.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(station.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn a_slow_station_loses_its_connection_and_holds_up_nobody() {
    let mut driver = Driver::new();
    driver.handle.tell(&up(1));
    let (slow_listener, slow) = listen();
    let (listener, address) = listen();
    driver.handle.set_stations(&[slow, address]);
    let (mut slow_station, _) = slow_listener.accept().unwrap();
    let (mut station, _) = listener.accept().unwrap();
    for station in [&mut slow_station, &mut station] {
        assert_eq!(driver.read(station, 4).len(), 4);
    }
    // Events of a megabyte each, which only the one reads.
    let event = {
        let Monitored::Sent { peer, messages } = end_of_rib(1) else {
            panic!()
        };
        let count = (1 << 20) / messages.len();
        Monitored::Sent {
            peer,
            messages: messages.repeat(count),
        }
    };
    let Monitored::Sent { messages, .. } = &event else {
        panic!()
    };
    let count = messages.len() / 23;
    for _ in 0..12 {
        driver.handle.tell(&event);
        assert_eq!(driver.read(&mut station, count).len(), count);
    }
    // The slow one: what the kernel and the queue hold, then the end.
    slow_station.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut left = Vec::new();
    let _ = slow_station.read_to_end(&mut left);
    assert!(left.len() < 12 * count * (23 + 48), "{}", left.len());
    // It may come back, and begins anew.
    let (mut again, _) = slow_listener.accept().unwrap();
    assert_eq!(driver.read(&mut again, 2), [INITIATION, PEER_UP]);
}

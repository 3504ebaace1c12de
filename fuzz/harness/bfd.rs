//! Datagrams, time and commands at a node with sessions of every kind: nothing panics, nothing that is not genuine has an
//! effect on a session with keys, deadlines advance, and what comes out is bounded by what went in.
//!
//! Input: a stream of steps, each an octet that says what, then what it needs. Used by the fuzzer and by
//! `bfd/tests/corpus.rs`.
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bfd::{
    Algorithm, Hops, Input, Key, Keys, Output, Packet, Parameters, Path, Role, SessionConfig, SessionId,
    Sessions, State, Timing, Unsolicited,
};

const INTERFACE: u32 = 3;
/// More than this at a time comes from no input.
const OUTPUTS_A_STEP: usize = 64;

struct Node {
    sessions: Sessions,
    now: Instant,
    /// Without keys, with echo and demand; with keys; over several hops; passive.
    ids: [SessionId; 4],
}

fn address(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, host).into()
}

fn config(remote: u8, role: Role, hops: Hops, change: impl Fn(&mut Parameters)) -> SessionConfig {
    let mut parameters = Parameters::new(Timing::symmetric(Duration::from_millis(10), 3));
    change(&mut parameters);
    SessionConfig {
        path: Path {
            local: address(1),
            remote: address(remote),
            interface: (!hops.is_multi()).then_some(INTERFACE),
            hops,
        },
        role,
        parameters,
    }
}

fn keys() -> Option<Arc<Keys>> {
    let keys = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| *algorithm != Algorithm::SimplePassword);
    let keys = keys
        .zip(1..)
        .map(|(algorithm, id)| Key::new(id, algorithm, b"not to be guessed"[..16].as_ref()));
    let keys = keys.collect::<Result<Vec<_>, _>>().ok()?;
    Keys::new(keys, 1).ok().map(Arc::new)
}

impl Node {
    fn new() -> Option<Self> {
        #[allow(
            clippy::disallowed_methods,
            reason = "an Instant can only be had from the clock"
        )]
        let now = Instant::now();
        let mut sessions = Sessions::new(now, 7, 7);
        let far = Hops::Multi { minimum_ttl: 200 };
        let configs = [
            config(2, Role::Active, Hops::Single, |parameters| {
                parameters.demand = Some(Duration::from_millis(50));
                parameters.echo.transmit = Some(Duration::from_millis(5));
                parameters.hold_down.first = Duration::from_millis(100);
                parameters.hold_down.longest = Duration::from_secs(1);
            }),
            config(3, Role::Active, Hops::Single, |parameters| {
                parameters.keys = keys()
            }),
            config(4, Role::Active, far, |_| {}),
            config(5, Role::Passive, Hops::Single, |_| {}),
        ];
        let mut ids = [SessionId(0); 4];
        for (id, config) in ids.iter_mut().zip(configs) {
            *id = sessions.add(now, config).ok()?;
        }
        let welcome = Unsolicited {
            interface: INTERFACE,
            prefixes: vec![(address(128), 25)],
            limit: 4,
            parameters: Parameters::new(Timing::symmetric(Duration::from_millis(20), 3)),
        };
        sessions.handle(now, Input::Unsolicited(vec![welcome]));
        Some(Self { sessions, now, ids })
    }

    fn handle(&mut self, input: Input<'_>) {
        self.sessions.handle(self.now, input);
        let mut count = 0;
        while let Some(output) = self.sessions.poll_output() {
            count += 1;
            if let Output::Transmit { session, payload, .. } = output {
                let packet = Packet::decode(payload.as_bytes()).expect("what is sent is valid");
                assert_eq!(packet.my_discriminator, session.0);
                assert!(packet.state == State::Up || packet.desired_min_tx >= 1_000_000);
            }
        }
        assert!(count <= OUTPUTS_A_STEP, "{count} outputs of one input");
    }

    fn packet(&mut self, host: u8, how: u8, payload: &[u8]) {
        let before = self
            .sessions
            .session(self.ids[1])
            .map(|status| (status.state, status.last_packet));
        self.handle(Input::Packet {
            source: address(host),
            destination: address(1),
            interface: INTERFACE + u32::from(how & 1),
            ttl: if how & 2 == 0 { 255 } else { 201 },
            multihop: how & 4 != 0,
            payload,
        });
        let after = self
            .sessions
            .session(self.ids[1])
            .map(|status| (status.state, status.last_packet));
        assert_eq!(before, after, "no fuzzer knows the keys");
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(deadline) = self.sessions.poll_timeout().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.handle(Input::Timeout);
            let next = self.sessions.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a deadline that does not advance"
            );
        }
        self.now = until;
    }

    /// The discriminators are put in where the input wants to be known.
    fn known(&self, which: u8, packet: &[u8]) -> Vec<u8> {
        let mut packet = packet.to_vec();
        let id = self.ids[usize::from(which & 3)].0.to_be_bytes();
        if let Some(field) = packet.get_mut(8..12) {
            field.copy_from_slice(&id);
        }
        packet
    }
}

fn take<'a>(data: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(length.min(data.len()));
    *data = rest;
    taken
}

fn octet(data: &mut &[u8]) -> u8 {
    take(data, 1).first().copied().unwrap_or(0)
}

pub(crate) fn run(mut data: &[u8]) {
    let Some(mut node) = Node::new() else { return };
    while !data.is_empty() {
        let what = octet(&mut data);
        match what & 7 {
            0..=3 => {
                let (host, how, length) = (octet(&mut data), octet(&mut data), octet(&mut data));
                let payload = take(&mut data, usize::from(length % 60));
                if what & 1 == 0 {
                    node.packet(host, how, payload);
                } else {
                    let payload = node.known(what >> 3, payload);
                    node.packet(2 + (what >> 3 & 3), how, &payload);
                }
            }
            4 => node.pass(Duration::from_micros(u64::from(octet(&mut data)) * 400)),
            5 => {
                let payload = take(&mut data, 24);
                node.handle(Input::Echo {
                    interface: INTERFACE,
                    payload,
                });
            }
            6 => node.handle(Input::LinkDown { interface: INTERFACE }),
            _ => {
                let id = node.ids[usize::from(what >> 3 & 3)];
                let input = if what & 0x20 == 0 {
                    Input::AdminDown(id)
                } else {
                    Input::AdminUp(id)
                };
                node.handle(input);
            }
        }
    }
    node.pass(Duration::from_secs(30));
    let left = node
        .sessions
        .sessions()
        .filter(|status| status.unsolicited)
        .count();
    assert_eq!(left, 0, "strangers that fell silent are forgotten");
}

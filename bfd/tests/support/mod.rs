//! Two nodes on one virtual clock, joined by a wire that follows a schedule.
#![allow(dead_code, reason = "every test binary uses its part of the support")]
#![allow(
    clippy::expect_used,
    reason = "test support; the lint only exempts functions marked as tests"
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bfd::{
    Diagnostic, EchoPayload, HoldDown, Hops, Input, Output, Packet, Parameters, Path, Payload, Role,
    SessionConfig, SessionId, Sessions, State, Status, Timing,
};

pub(crate) const INTERFACE: u32 = 3;

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[allow(
    clippy::disallowed_methods,
    reason = "an Instant can only be had from the clock"
)]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

pub(crate) fn address(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, host))
}

pub(crate) fn config(local: u8, remote: u8, interval: Duration, detect_multiplier: u8) -> SessionConfig {
    timed(local, remote, Timing::symmetric(interval, detect_multiplier))
}

pub(crate) fn timed(local: u8, remote: u8, timing: Timing) -> SessionConfig {
    SessionConfig {
        path: Path {
            local: address(local),
            remote: address(remote),
            interface: Some(INTERFACE),
            hops: Hops::Single,
        },
        role: Role::Active,
        parameters: Parameters::new(timing),
    }
}

pub(crate) fn with(
    local: u8,
    remote: u8,
    interval: Duration,
    detect_multiplier: u8,
    change: impl Fn(&mut Parameters),
) -> SessionConfig {
    let mut config = config(local, remote, interval, detect_multiplier);
    change(&mut config.parameters);
    config
}

/// A hold-down that shows.
pub(crate) const HOLD_DOWN: HoldDown = HoldDown {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

pub(crate) fn drain(sessions: &mut Sessions) -> Vec<Output> {
    std::iter::from_fn(|| sessions.poll_output()).collect()
}

pub(crate) fn packets(outputs: &[Output]) -> Vec<Packet> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Transmit { payload, .. } => Packet::decode(payload.as_bytes()).ok(),
            Output::TransmitEcho { .. }
            | Output::StateChanged(_)
            | Output::Usable { .. }
            | Output::Forgotten(_) => None,
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    pub(crate) to: State,
    pub(crate) usable: bool,
    pub(crate) diagnostic: Diagnostic,
    pub(crate) last_packet: Option<Instant>,
}

pub(crate) struct Node {
    pub(crate) sessions: Sessions,
    pub(crate) id: SessionId,
    pub(crate) address: IpAddr,
    pub(crate) changes: Vec<Change>,
    /// When the session counted again after a hold-down.
    pub(crate) usable: Vec<Instant>,
    pub(crate) sent: Vec<(Instant, Packet)>,
    pub(crate) echoes: Vec<Instant>,
}

impl Node {
    pub(crate) fn status(&self) -> Status {
        self.sessions.session(self.id).expect("the session of the node")
    }

    pub(crate) fn is_up(&self) -> bool {
        self.status().state == State::Up
    }
}

/// What the wire does with a packet: the delay of each copy that arrives.
pub(crate) type Schedule<'a> = Box<dyn FnMut(Instant, usize) -> Vec<Duration> + 'a>;

pub(crate) struct Network<'a> {
    pub(crate) now: Instant,
    pub(crate) nodes: [Node; 2],
    pub(crate) schedule: Schedule<'a>,
    /// By arrival, then by the order of sending.
    flight: BTreeMap<(Instant, u64), (usize, Frame)>,
    sequence: u64,
    /// How long an Echo packet is away; `None`: it is lost.
    pub(crate) echo: Option<Duration>,
    /// Changes the bytes of what is sent.
    pub(crate) forge: Option<fn(&mut Vec<u8>)>,
    pub(crate) multihop: bool,
}

/// What is on its way.
#[derive(Clone, Debug)]
enum Frame {
    Control(Vec<u8>),
    Echo(EchoPayload),
}

/// A wire without faults.
pub(crate) fn perfect<'a>() -> Schedule<'a> {
    Box::new(|_, _| vec![Duration::from_micros(100)])
}

impl<'a> Network<'a> {
    pub(crate) fn new(seed: u64, configs: [SessionConfig; 2], schedule: Schedule<'a>) -> Self {
        let now = clock();
        let [first, second] = configs;
        let nodes = [(seed, first), (seed.wrapping_add(1), second)].map(|(seed, config)| {
            let mut sessions = Sessions::new(now, seed, 7);
            let address = config.path.local;
            let id = sessions.add(now, config).expect("a valid configuration");
            Node {
                sessions,
                id,
                address,
                changes: Vec::new(),
                usable: Vec::new(),
                sent: Vec::new(),
                echoes: Vec::new(),
            }
        });
        Self {
            now,
            nodes,
            schedule,
            flight: BTreeMap::new(),
            sequence: 0,
            echo: None,
            forge: None,
            multihop: false,
        }
    }

    pub(crate) fn pair(seed: u64, interval: Duration, multiplier: u8) -> Self {
        Self::new(
            seed,
            [
                config(1, 2, interval, multiplier),
                config(2, 1, interval, multiplier),
            ],
            perfect(),
        )
    }

    pub(crate) fn input(&mut self, node: usize, input: Input<'_>) {
        self.nodes[node].sessions.handle(self.now, input);
        self.collect(node);
    }

    pub(crate) fn replace(&mut self, node: usize, seed: u64, config: SessionConfig) {
        let mut sessions = Sessions::new(self.now, seed, 7);
        let address = config.path.local;
        let id = sessions.add(self.now, config).expect("a valid configuration");
        self.nodes[node] = Node {
            sessions,
            id,
            address,
            changes: Vec::new(),
            usable: Vec::new(),
            sent: Vec::new(),
            echoes: Vec::new(),
        };
    }

    fn collect(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].sessions.poll_output() {
            match output {
                Output::Transmit { payload, .. } => self.transmit(node, &payload),
                Output::TransmitEcho { payload, .. } => {
                    self.nodes[node].echoes.push(self.now);
                    if let Some(delay) = self.echo {
                        // It comes back to whoever sent it.
                        self.send(delay, node, Frame::Echo(payload));
                    }
                }
                Output::StateChanged(change) => {
                    self.nodes[node].changes.push(Change {
                        at: self.now,
                        to: change.to,
                        usable: change.usable,
                        diagnostic: change.diagnostic,
                        last_packet: change.last_packet,
                    });
                }
                Output::Usable { .. } => {
                    let now = self.now;
                    self.nodes[node].usable.push(now);
                }
                Output::Forgotten(_) => {}
            }
        }
    }

    fn send(&mut self, delay: Duration, to: usize, frame: Frame) {
        self.sequence += 1;
        self.flight.insert((self.now + delay, self.sequence), (to, frame));
    }

    fn transmit(&mut self, node: usize, payload: &Payload) {
        let packet = Packet::decode(payload.as_bytes()).expect("what is sent is valid");
        assert!(
            !(packet.poll && packet.final_answer),
            "Poll and Final in one packet"
        );
        if packet.state != State::Up {
            assert!(
                packet.desired_min_tx >= 1_000_000,
                "faster than 1 s while {}",
                packet.state
            );
        }
        self.nodes[node].sent.push((self.now, packet));
        let mut bytes = payload.as_bytes().to_vec();
        if let Some(forge) = self.forge {
            forge(&mut bytes);
        }
        for delay in (self.schedule)(self.now, node) {
            self.send(delay, 1 - node, Frame::Control(bytes.clone()));
        }
    }

    pub(crate) fn deliver(&mut self, to: usize, payload: &[u8]) {
        let source = self.nodes[1 - to].address;
        let destination = self.nodes[to].address;
        let input = Input::Packet {
            source,
            destination,
            interface: INTERFACE,
            ttl: 255,
            multihop: self.multihop,
            payload,
        };
        self.input(to, input);
    }

    /// The next packet or deadline; at the same moment packets come first, as in the driver.
    fn step(&mut self, until: Instant) -> bool {
        let arrival = self.flight.first_key_value().map(|((at, _), _)| *at);
        let timeout = self
            .nodes
            .iter()
            .filter_map(|node| node.sessions.poll_timeout())
            .min();
        let Some(next) = [arrival, timeout]
            .into_iter()
            .flatten()
            .min()
            .filter(|next| *next <= until)
        else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next)
            && let Some((_, (to, frame))) = self.flight.pop_first()
        {
            match frame {
                Frame::Control(payload) => self.deliver(to, &payload),
                Frame::Echo(payload) => {
                    let input = Input::Echo {
                        interface: INTERFACE,
                        payload: &payload,
                    };
                    self.input(to, input);
                }
            }
            return true;
        }
        for node in 0..2 {
            if self.nodes[node]
                .sessions
                .poll_timeout()
                .is_some_and(|deadline| deadline <= self.now)
            {
                self.input(node, Input::Timeout);
                let next = self.nodes[node].sessions.poll_timeout();
                assert!(
                    next.is_none_or(|deadline| deadline > self.now),
                    "a deadline that does not advance"
                );
            }
        }
        true
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }

    /// Runs until the condition holds; false if it never did.
    pub(crate) fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step(until) {
                return condition(self);
            }
        }
    }

    pub(crate) fn both_up(&self) -> bool {
        self.nodes.iter().all(Node::is_up)
    }

    /// Brings both sides up and lets the negotiation end.
    pub(crate) fn settle(&mut self) {
        assert!(
            self.run_until(ms(10_000), Self::both_up),
            "the sessions never came up"
        );
        let done = |network: &Self| network.nodes.iter().all(|node| !node.status().polling);
        assert!(self.run_until(ms(10_000), done), "the Poll Sequence never ended");
        for node in &mut self.nodes {
            node.changes.clear();
            node.usable.clear();
            node.sent.clear();
            node.echoes.clear();
        }
    }
}

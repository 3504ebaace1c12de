//! A network of speakers on one virtual clock: connections with a delay per direction, in order, loss-free.
//!
//! Deterministic: the delays are arguments and simultaneous arrivals keep the order of sending.
#![allow(dead_code, reason = "each test binary uses its part of the harness")]
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::{
    ConnectionId, Event, Input, Output, PeerConfig, PeerId, PeerState, PeerStatus, Policy, Speaker,
    SpeakerConfig,
};

pub(crate) const PEER: PeerId = PeerId(1);

#[allow(clippy::disallowed_methods, reason = "the virtual clock needs a first moment")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// An input on its way.
enum Arrival {
    Accepted {
        connection: ConnectionId,
        from: IpAddr,
    },
    Connected {
        connection: ConnectionId,
    },
    Refused {
        connection: ConnectionId,
    },
    Bytes {
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    Closed {
        connection: ConnectionId,
    },
}

impl Arrival {
    fn connection(&self) -> Option<ConnectionId> {
        match self {
            Arrival::Accepted { connection, .. }
            | Arrival::Connected { connection }
            | Arrival::Refused { connection }
            | Arrival::Bytes { connection, .. }
            | Arrival::Closed { connection } => Some(*connection),
        }
    }
}

pub(crate) struct Node {
    pub(crate) speaker: Speaker,
    pub(crate) address: IpAddr,
    pub(crate) listening: bool,
    /// One way, towards this node.
    pub(crate) delay: Duration,
    pub(crate) outputs: Vec<Output>,
    /// All bytes this node has sent.
    pub(crate) sent: Vec<u8>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    in_flight: BTreeMap<(Instant, u64), (usize, Arrival)>,
    sequence: u64,
    /// The other end of a connection.
    ends: BTreeMap<(usize, ConnectionId), (usize, ConnectionId)>,
    /// Packets vanish, both ways, and nobody is told.
    pub(crate) cut: bool,
    /// Connections whose bytes vanish.
    stalled: BTreeSet<(usize, ConnectionId)>,
    /// Connections the driver of a node has open, and those of them that have been accepted or opened.
    open: BTreeSet<(usize, ConnectionId)>,
    /// Whether the session of a node is up.
    up: [bool; 2],
    /// Seed and bound of additional delays; within a connection everything stays in order.
    pub(crate) shake: Option<(u64, Duration)>,
    last: BTreeMap<(usize, ConnectionId), Instant>,
}

pub(crate) fn address(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(node + 1).unwrap()))
}

pub(crate) fn speaker(node: usize, asn: u32) -> Speaker {
    let IpAddr::V4(router_id) = address(node) else {
        unreachable!("addresses are IPv4")
    };
    Speaker::new(SpeakerConfig {
        local_as: asn,
        router_id,
        seed: 42 + node as u64,
        ladders: bgp::Ladders::default(),
        multipath: 16,
        restarting: false,
    })
}

impl Net {
    /// Two speakers; nobody is anybody's neighbour yet.
    pub(crate) fn pair(asns: [u32; 2], delays: [Duration; 2]) -> Self {
        let node = |index: usize| Node {
            speaker: speaker(index, asns[index]),
            address: address(index),
            listening: true,
            delay: delays[index],
            outputs: Vec::new(),
            sent: Vec::new(),
        };
        Net {
            now: epoch(),
            nodes: vec![node(0), node(1)],
            in_flight: BTreeMap::new(),
            sequence: 0,
            ends: BTreeMap::new(),
            cut: false,
            stalled: BTreeSet::new(),
            open: BTreeSet::new(),
            up: [false; 2],
            shake: None,
            last: BTreeMap::new(),
        }
    }

    pub(crate) fn config(&self, node: usize) -> PeerConfig {
        let other = &self.nodes[1 - node];
        PeerConfig {
            export: Some(Arc::new(Policy::all())),
            ..PeerConfig::new(other.address, other.speaker.config().local_as)
        }
    }

    /// Makes the two neighbours of each other.
    pub(crate) fn introduce(&mut self) {
        for node in 0..2 {
            let config = self.config(node);
            self.input(node, Input::AddPeer(PEER, Box::new(config)));
        }
    }

    pub(crate) fn input(&mut self, node: usize, input: Input<'_>) {
        self.nodes[node].speaker.handle(self.now, input);
        let mut outputs = VecDeque::new();
        while let Some(output) = self.nodes[node].speaker.poll_output() {
            outputs.push_back(output);
        }
        for output in outputs {
            self.output(node, &output);
            self.nodes[node].outputs.push(output);
        }
    }

    fn output(&mut self, node: usize, output: &Output) {
        match output {
            Output::Connect {
                connection, remote, ..
            } => {
                assert!(self.open.insert((node, *connection)), "an id used twice");
                self.connect(node, *connection, *remote);
            }
            Output::Send { connection, bytes } => {
                assert!(self.open.contains(&(node, *connection)), "sent to {connection:?}");
                self.nodes[node].sent.extend(bytes);
                if self.stalled.contains(&(node, *connection)) {
                    return;
                }
                if let Some((to, end)) = self.ends.get(&(node, *connection)).copied() {
                    self.fly(
                        to,
                        Arrival::Bytes {
                            connection: end,
                            bytes: bytes.clone(),
                        },
                    );
                }
            }
            Output::Close { connection } => {
                assert!(self.open.remove(&(node, *connection)), "closed {connection:?}");
                if self.stalled.remove(&(node, *connection)) {
                    return;
                }
                if let Some((to, end)) = self.ends.remove(&(node, *connection)) {
                    self.fly(to, Arrival::Closed { connection: end });
                }
            }
            Output::PeerUp { .. } => {
                assert!(!std::mem::replace(&mut self.up[node], true), "up twice");
            }
            Output::PeerDown { .. } => {
                assert!(std::mem::replace(&mut self.up[node], false), "down twice");
            }
            Output::UpdateSent { .. }
            | Output::Routes(_)
            | Output::TrackNextHop { .. }
            | Output::UntrackNextHop { .. }
            | Output::DynamicPeer { .. }
            | Output::Monitor(_)
            | Output::Event { .. } => {}
        }
    }

    fn connect(&mut self, node: usize, connection: ConnectionId, remote: SocketAddr) {
        let Some(to) = self
            .nodes
            .iter()
            .position(|candidate| candidate.address == remote.ip())
        else {
            return;
        };
        if !self.nodes[to].listening {
            self.fly(node, Arrival::Refused { connection });
            return;
        }
        let end = self.nodes[to].speaker.allocate_connection();
        self.ends.insert((node, connection), (to, end));
        self.ends.insert((to, end), (node, connection));
        let from = self.nodes[node].address;
        self.fly(
            to,
            Arrival::Accepted {
                connection: end,
                from,
            },
        );
        self.fly(node, Arrival::Connected { connection });
    }

    fn fly(&mut self, to: usize, arrival: Arrival) {
        if self.cut {
            return;
        }
        self.sequence += 1;
        let mut at = self.now + self.nodes[to].delay + self.shaken();
        if let Some(connection) = arrival.connection() {
            let last = self.last.entry((to, connection)).or_insert(at);
            at = at.max(*last);
            *last = at;
        }
        self.in_flight.insert((at, self.sequence), (to, arrival));
    }

    fn shaken(&mut self) -> Duration {
        let Some((seed, bound)) = &mut self.shake else {
            return Duration::ZERO;
        };
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bound.mul_f64(f64::from(u32::try_from(*seed >> 33).unwrap()) / f64::from(1_u32 << 31))
    }

    /// Everything the node had open is gone, and the other side is told, if at all, by a reset.
    pub(crate) fn crash(&mut self, node: usize, told: bool) {
        let ends: Vec<_> = self
            .ends
            .keys()
            .filter(|(owner, _)| *owner == node)
            .copied()
            .collect();
        for end in ends {
            if let Some((to, other)) = self.ends.remove(&end) {
                if told {
                    self.fly(to, Arrival::Closed { connection: other });
                } else {
                    self.ends.remove(&(to, other));
                }
            }
        }
        self.in_flight.retain(|_, (to, _)| *to != node);
        self.open.retain(|(owner, _)| *owner != node);
        self.up[node] = false;
    }

    /// From now on nothing passes on the connections there are, until [`Net::reset`].
    pub(crate) fn stall(&mut self) {
        self.stalled.extend(self.ends.keys().copied());
        let stalled = &self.stalled;
        self.in_flight.retain(|_, (to, arrival)| {
            arrival
                .connection()
                .is_none_or(|connection| !stalled.contains(&(*to, connection)))
        });
    }

    /// The stalled connections die, on both sides.
    pub(crate) fn reset(&mut self) {
        for (node, connection) in std::mem::take(&mut self.stalled) {
            self.ends.remove(&(node, connection));
            if self.open.remove(&(node, connection)) {
                self.input(node, Input::Closed { connection });
            }
        }
    }

    /// A connection that the test itself makes.
    pub(crate) fn open(&mut self, node: usize) -> ConnectionId {
        let connection = self.nodes[node].speaker.allocate_connection();
        self.open.insert((node, connection));
        connection
    }

    pub(crate) fn quiet(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Cuts the cable: what is under way is lost too.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
        self.in_flight.clear();
    }

    pub(crate) fn status(&self, node: usize) -> PeerStatus {
        self.nodes[node].speaker.peers()[0].clone()
    }

    pub(crate) fn events(&self, node: usize) -> Vec<Event> {
        let event = |output: &Output| {
            if let Output::Event { event, .. } = output {
                Some(event.clone())
            } else {
                None
            }
        };
        self.nodes[node].outputs.iter().filter_map(event).collect()
    }

    fn arrive(&mut self, node: usize, arrival: Arrival) {
        let local = SocketAddr::new(self.nodes[node].address, 179);
        match arrival {
            Arrival::Accepted { connection, from } => {
                self.open.insert((node, connection));
                match self.nodes[node].speaker.peer_for(SocketAddr::new(from, 179)) {
                    Some(peer) => self.input(
                        node,
                        Input::Accepted {
                            connection,
                            peer,
                            local,
                        },
                    ),
                    None => self.output(node, &Output::Close { connection }),
                }
            }
            Arrival::Connected { connection } => self.input(node, Input::Connected { connection, local }),
            Arrival::Refused { connection } => {
                self.open.remove(&(node, connection));
                self.input(
                    node,
                    Input::ConnectFailed {
                        connection,
                        reason: "refused".to_owned(),
                    },
                );
            }
            Arrival::Bytes { connection, bytes } => {
                self.input(
                    node,
                    Input::Received {
                        connection,
                        bytes: &bytes,
                    },
                );
            }
            Arrival::Closed { connection } => {
                self.ends.remove(&(node, connection));
                self.open.remove(&(node, connection));
                self.input(node, Input::Closed { connection });
            }
        }
    }

    /// Runs what is due until `until`.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.now + span;
        self.run_to(until, |_| false);
        self.now = until;
    }

    /// Runs until `done`, at most for `limit`; says whether it was done.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Net) -> bool) -> bool {
        let until = self.now + limit;
        self.run_to(until, &done);
        done(self)
    }

    fn run_to(&mut self, until: Instant, done: impl Fn(&Net) -> bool) {
        for _ in 0..1_000_000 {
            if done(self) {
                return;
            }
            let flight = self.in_flight.keys().next().copied();
            let timer = (0..self.nodes.len())
                .filter_map(|node| self.nodes[node].speaker.poll_timeout().map(|at| (at, node)))
                .min();
            let (flight_at, timer_at) = (flight.map(|(at, _)| at), timer.map(|(at, _)| at));
            match (flight, timer) {
                // What has arrived goes before a timer that is due.
                (Some(key), _) if flight_at <= Some(until) && timer_at.is_none_or(|at| key.0 <= at) => {
                    self.now = self.now.max(key.0);
                    if let Some((node, arrival)) = self.in_flight.remove(&key) {
                        self.arrive(node, arrival);
                    }
                }
                (_, Some((at, node))) if at <= until => {
                    self.now = self.now.max(at);
                    self.input(node, Input::Timeout);
                    let next = self.nodes[node].speaker.poll_timeout();
                    assert!(
                        next.is_none_or(|next| next > self.now),
                        "a timer that was handled is still due"
                    );
                }
                _ => return,
            }
        }
        panic!("the network does not come to rest");
    }

    pub(crate) fn state(&self, node: usize) -> PeerState {
        self.nodes[node].speaker.peers()[0].state
    }

    pub(crate) fn established(&self) -> bool {
        (0..2).all(|node| self.state(node) == PeerState::Established)
    }

    pub(crate) fn count(&self, node: usize, matches: impl Fn(&Output) -> bool) -> usize {
        self.nodes[node]
            .outputs
            .iter()
            .filter(|output| matches(output))
            .count()
    }
}

//! A network of speakers on one virtual clock: connections with a delay per direction, in order, loss-free.
//!
//! Deterministic: the delays are arguments and simultaneous arrivals keep the order of sending.
#![allow(dead_code, reason = "each test binary uses its part of the harness")]
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::{ConnectionId, Input, Output, PeerConfig, PeerId, PeerState, Policy, Speaker, SpeakerConfig};

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
            } => self.connect(node, *connection, *remote),
            Output::Send { connection, bytes } => {
                self.nodes[node].sent.extend(bytes);
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
                if let Some((to, end)) = self.ends.remove(&(node, *connection)) {
                    self.fly(to, Arrival::Closed { connection: end });
                }
            }
            Output::PeerUp { .. }
            | Output::PeerDown { .. }
            | Output::UpdateSent { .. }
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
        self.in_flight
            .insert((self.now + self.nodes[to].delay, self.sequence), (to, arrival));
    }

    /// Cuts the cable: what is under way is lost too.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
        self.in_flight.clear();
    }

    fn arrive(&mut self, node: usize, arrival: Arrival) {
        let local = SocketAddr::new(self.nodes[node].address, 179);
        match arrival {
            Arrival::Accepted { connection, from } => {
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

//! The state machine of one peer, over all its connections.

use std::collections::VecDeque;
use std::time::Instant;

use crate::checksum::name_hash;
use crate::event::{Config, Counters, Input, Output};
use crate::frame::{Header, Kind, MAX_PAYLOAD};
use crate::link::{Link, Phase};
use crate::message::Hello;
use crate::outbound::{Cargo, Offered, Step};
use crate::record::Change;

pub(crate) const MIN_VERSION: u8 = 1;
pub(crate) const MAX_VERSION: u8 = 1;
/// Hellos are written alike by all versions.
const HELLO_VERSION: u8 = 1;
/// Longest payload of the election that is carried.
pub const MAX_HA_HELLO: usize = 8192;
#[derive(Debug)]
pub struct Peering {
    pub(crate) config: Config,
    node: u64,
    pub(crate) peer: u64,
    /// Grows with each snapshot that this node begins, over all connections.
    epoch: u32,
    walks: u64,
    /// Boot and epoch of the peer as far as they are known.
    pub(crate) known: Option<(u64, u32)>,
    pub(crate) past: Vec<u64>,
    pub(crate) ha_hello: Option<Vec<u8>>,
    pub(crate) link: Option<Link>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) counters: Counters,
}

/// Read-only view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub phase: Phase,
    pub peer_boot: Option<u64>,
    pub epoch: u32,
    /// Local changes that wait to be sent.
    pub pending: usize,
    /// Bytes of data that are sent and not acknowledged.
    pub unacknowledged: usize,
    /// A snapshot of the peer is arriving.
    pub receiving_snapshot: bool,
    /// The peer has acknowledged this node's whole snapshot.
    pub peer_current: bool,
    pub counters: Counters,
}

impl Peering {
    pub fn new(config: Config) -> Self {
        let (node, peer) = (
            name_hash(config.node.as_bytes()),
            name_hash(config.peer.as_bytes()),
        );
        Self {
            config,
            node,
            peer,
            epoch: 0,
            walks: 0,
            known: None,
            past: Vec::new(),
            ha_hello: None,
            link: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected => self.connected(now),
            Input::Disconnected => self.link = None,
            Input::Received(bytes) => self.received(now, bytes),
            Input::Local(changes) => self.local(now, changes),
            Input::Missed => self.missed(),
            Input::SnapshotChunk { walk, records, last } => {
                if let Some(link) = &mut self.link {
                    link.outbound.chunk(walk, records, last);
                }
            }
            Input::Hello(payload) => self.ha_hello(now, payload),
            Input::Timeout => {}
        }
        self.check_timers(now);
        self.acknowledge(now);
        self.pump(now);
        self.heartbeat(now);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = self.link.as_ref()?;
        let limits = &self.config.limits;
        match link.phase {
            Phase::Handshake => Some(link.since + limits.handshake),
            Phase::Established => {
                let silence = link.last_received + limits.idle;
                let stall = link.outbound.waiting_since().map(|at| at + limits.idle);
                let times = [
                    Some(silence),
                    Some(link.last_sent + limits.heartbeat),
                    stall,
                    link.outbound.due(),
                ];
                times.into_iter().flatten().min()
            }
            Phase::Disconnected | Phase::Closed => None,
        }
    }

    pub fn status(&self) -> Status {
        let link = self.link.as_ref();
        Status {
            phase: link.map_or(Phase::Disconnected, |l| l.phase),
            peer_boot: self.known.map(|(boot, _)| boot),
            epoch: self.epoch,
            pending: link.map_or(0, |l| l.outbound.pending()),
            unacknowledged: link.map_or(0, |l| l.outbound.bytes()),
            receiving_snapshot: link.is_some_and(|l| l.incoming.is_some()),
            peer_current: link.is_some_and(|l| l.peer_current),
            counters: self.counters,
        }
    }

    fn established(&mut self) -> Option<&mut Link> {
        self.link.as_mut().filter(|link| link.phase == Phase::Established)
    }

    fn connected(&mut self, now: Instant) {
        self.counters.connections += 1;
        self.link = Some(Link::new(now, self.config.limits));
        let name = self.config.node.clone();
        let hello = Hello {
            min_version: MIN_VERSION,
            max_version: MAX_VERSION,
            name,
        };
        self.send(now, Kind::Hello, &hello.encode());
    }

    fn local(&mut self, now: Instant, changes: &[Change]) {
        let count = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        let Some(link) = self.established() else {
            self.counters.changes_dropped += count;
            return;
        };
        match link.outbound.offer(now, changes) {
            Offered::Queued => {}
            Offered::Dropped => self.counters.changes_dropped += count,
            Offered::Overflow => {
                link.peer_current = false;
                self.counters.changes_dropped += count;
                self.counters.resyncs += 1;
            }
        }
    }

    fn missed(&mut self) {
        if let Some(link) = self.established() {
            link.outbound.restart();
            link.peer_current = false;
            self.counters.resyncs += 1;
        }
    }

    fn ha_hello(&mut self, now: Instant, payload: Vec<u8>) {
        if payload.len() > MAX_HA_HELLO {
            return;
        }
        if self.established().is_some() {
            self.send(now, Kind::HaHello, &payload);
        }
        self.ha_hello = Some(payload);
    }

    /// Puts one frame on the stream; returns its sequence and length.
    pub(crate) fn send(&mut self, now: Instant, kind: Kind, payload: &[u8]) -> (u64, usize) {
        let Some(link) = &mut self.link else { return (0, 0) };
        link.sent += 1;
        link.last_sent = now;
        let version = if kind == Kind::Hello {
            HELLO_VERSION
        } else {
            link.version
        };
        let header = Header {
            version,
            kind,
            epoch: self.epoch,
            cluster: self.config.cluster,
            node: self.node,
            boot: self.config.boot,
            sequence: link.sent,
        };
        let frame = header.encode(payload);
        let result = (link.sent, frame.len());
        self.counters.frames_sent += 1;
        self.counters.bytes_sent += u64::try_from(frame.len()).unwrap_or(0);
        self.outputs.push_back(Output::Send(frame));
        result
    }

    pub(crate) fn close(&mut self, reason: String) {
        if let Some(link) = &mut self.link {
            link.phase = Phase::Closed;
            link.buffer = Vec::new();
            link.incoming = None;
            link.acknowledge = None;
        }
        self.outputs.push_back(Output::Close { reason });
    }

    fn check_timers(&mut self, now: Instant) {
        let limits = self.config.limits;
        let Some(link) = &self.link else { return };
        let reason = match link.phase {
            Phase::Handshake if now >= link.since + limits.handshake => "no hello from the peer",
            Phase::Established if now >= link.last_received + limits.idle => "the peer is silent",
            Phase::Established
                if link
                    .outbound
                    .waiting_since()
                    .is_some_and(|at| now >= at + limits.idle) =>
            {
                "the peer does not acknowledge"
            }
            Phase::Handshake | Phase::Established | Phase::Disconnected | Phase::Closed => return,
        };
        self.counters.idle_closes += 1;
        self.close(reason.to_owned());
    }

    fn heartbeat(&mut self, now: Instant) {
        let interval = self.config.limits.heartbeat;
        if self
            .established()
            .is_some_and(|link| now >= link.last_sent + interval)
        {
            self.send(now, Kind::Heartbeat, &[]);
        }
    }

    fn acknowledge(&mut self, now: Instant) {
        if let Some(sequence) = self.established().and_then(|link| link.acknowledge.take()) {
            self.send(now, Kind::Ack, &sequence.to_be_bytes());
        }
    }

    /// Sends as much as the window allows.
    fn pump(&mut self, now: Instant) {
        while let Some(link) = self.established() {
            match link.outbound.next(now) {
                Step::Begin => {
                    link.peer_current = false;
                    self.walks += 1;
                    self.epoch = self.epoch.saturating_add(1);
                    let walk = self.walks;
                    self.data(now, Kind::SnapshotBegin, &[], Cargo::default());
                    if let Some(link) = &mut self.link {
                        link.outbound.begun(now, walk);
                    }
                    self.outputs
                        .push_back(Output::SnapshotWanted { walk, first: true });
                }
                Step::Batch(payload, cargo) => {
                    self.counters.changes_sent += u64::from(cargo.changes);
                    self.data(now, Kind::Batch, &payload, cargo);
                }
                Step::Chunk(payload) => self.data(now, Kind::SnapshotChunk, &payload, Cargo::default()),
                Step::End(named, cargo) => {
                    self.counters.snapshots_sent += 1;
                    self.data(now, Kind::SnapshotEnd, &named.to_be_bytes(), cargo);
                }
                Step::Want(walk) => self
                    .outputs
                    .push_back(Output::SnapshotWanted { walk, first: false }),
                Step::Idle => return,
            }
        }
    }

    /// Sends a frame that the peer has to acknowledge.
    fn data(&mut self, now: Instant, kind: Kind, payload: &[u8], cargo: Cargo) {
        let (sequence, bytes) = self.send(now, kind, payload);
        if let Some(link) = &mut self.link {
            link.outbound.sent(now, sequence, bytes, cargo);
        }
    }
}

const _: () = assert!(MAX_HA_HELLO <= MAX_PAYLOAD);

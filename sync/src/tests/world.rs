//! Two nodes with model flow tables and a pipe that chops, delays and breaks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::{
    Change, Config, Endpoint, FlowFlags, FlowIdentity, FlowRecord, FlowState, Input, Limits, Output, Peering,
};

pub(super) const NAMES: [&str; 2] = ["lb1", "lb2"];
pub(super) const CLUSTER: u64 = 77;

#[expect(
    clippy::disallowed_methods,
    reason = "a test's virtual clock needs some origin"
)]
pub(super) fn origin() -> Instant {
    Instant::now()
}

/// A small generator, so that a seed is the whole run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }

    pub(super) fn size(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }
}

/// Flow `number` of a node.
pub(super) fn record(node: usize, number: u16, state: FlowState) -> FlowRecord {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, u8::try_from(node).unwrap(), last));
    FlowRecord {
        identity: FlowIdentity {
            protocol: 6,
            client: Endpoint::new(address(1), number),
            vip: Endpoint::new(address(2), 80),
        },
        backend: Endpoint::new(address(3), 8080),
        snat: number
            .is_multiple_of(2)
            .then(|| Endpoint::new(address(2), number)),
        state,
        age: Duration::from_millis(u64::from(number)),
        flags: FlowFlags(number % 4),
    }
}

/// A flow and whether the peer owns it.
type Table = BTreeMap<FlowIdentity, (FlowRecord, bool)>;

pub(super) struct Node {
    pub(super) peering: Peering,
    pub(super) table: Table,
    /// Changes of the table that the peering has not been told yet.
    pub(super) events: VecDeque<Change>,
    /// Chunks that were read and not handed over yet.
    pub(super) chunks: VecDeque<(u64, Vec<FlowRecord>, bool)>,
    walk: u64,
    cursor: Option<FlowIdentity>,
    /// Bytes on their way to this node.
    pub(super) pipe: VecDeque<u8>,
    pub(super) caught_up: bool,
    pub(super) closed: Option<String>,
    pub(super) hellos: Vec<Vec<u8>>,
    pub(super) lags: Vec<Duration>,
    pub(super) outputs: Vec<&'static str>,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: [Node; 2],
    pub(super) chunk: usize,
    pub(super) limits: Limits,
    boots: u64,
    /// Counts activity; the age of a record tells how much came later.
    activity: u32,
    /// Flows that both nodes owned at one time.
    contested: BTreeSet<FlowIdentity>,
}

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let nodes = [0, 1].map(|index| Node {
            peering: Peering::new(config(index, index as u64 + 1, limits)),
            table: Table::new(),
            events: VecDeque::new(),
            chunks: VecDeque::new(),
            walk: 0,
            cursor: None,
            pipe: VecDeque::new(),
            caught_up: false,
            closed: None,
            hellos: Vec::new(),
            lags: Vec::new(),
            outputs: Vec::new(),
        });
        Self {
            now: origin(),
            nodes,
            chunk: 7,
            limits,
            boots: 10,
            activity: 0,
            contested: BTreeSet::new(),
        }
    }

    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        self.nodes[index].peering.handle(now, input);
        while let Some(output) = self.nodes[index].peering.poll_output() {
            self.execute(index, output);
        }
    }

    fn execute(&mut self, index: usize, output: Output) {
        let chunk = self.chunk;
        let node = &mut self.nodes[index];
        match output {
            Output::Send(bytes) => self.nodes[1 - index].pipe.extend(bytes),
            Output::Established => node.outputs.push("established"),
            Output::AdoptPeerFlows => {
                node.table.values_mut().for_each(|(_, remote)| *remote = false);
                node.outputs.push("adopt");
            }
            Output::SnapshotWanted { walk, first } => {
                if first {
                    (node.walk, node.cursor) = (walk, None);
                }
                let chunk = node.read(chunk);
                node.chunks.push_back(chunk);
            }
            Output::Apply(changes) => node.apply(changes),
            Output::PeerSnapshotBegin => node.caught_up = false,
            Output::PeerSnapshotEnd { named } => {
                if let Some(named) = named {
                    node.table
                        .retain(|identity, (_, remote)| !*remote || named.contains(identity));
                }
                node.caught_up = true;
            }
            Output::PeerCurrent => node.outputs.push("peer current"),
            Output::Acked { lag, .. } => node.lags.push(lag),
            Output::PeerHello(bytes) => node.hellos.push(bytes),
            Output::Close { reason } => node.closed = Some(reason),
        }
    }

    pub(super) fn connect(&mut self) {
        self.disconnect();
        self.input(0, Input::Connected);
        self.input(1, Input::Connected);
    }

    pub(super) fn disconnect(&mut self) {
        for index in 0..2 {
            self.nodes[index].pipe.clear();
            self.nodes[index].caught_up = false;
            self.nodes[index].closed = None;
            self.input(index, Input::Disconnected);
        }
    }

    /// A new incarnation with an empty table. Until it is up the other one has read all its events.
    pub(super) fn reboot(&mut self, index: usize) {
        self.disconnect();
        self.tell(1 - index, usize::MAX);
        self.boots += 1;
        let node = &mut self.nodes[index];
        node.peering = Peering::new(config(index, self.boots, self.limits));
        node.table.clear();
        node.events.clear();
        node.chunks.clear();
    }

    /// A packet of one of its own flows arrives at the node.
    pub(super) fn upsert(&mut self, index: usize, number: u16, state: FlowState) {
        self.packet(index, index, number, state);
    }

    /// A packet of flow `number` of the range arrives at the node, which owns it from here on.
    pub(super) fn packet(&mut self, index: usize, range: usize, number: u16, state: FlowState) {
        self.activity += 1;
        let age = Duration::from_millis((u32::MAX - self.activity).into());
        let record = FlowRecord {
            age,
            ..record(range, number, state)
        };
        if self.nodes[1 - index]
            .table
            .get(&record.identity)
            .is_some_and(|(_, remote)| !remote)
        {
            self.contested.insert(record.identity);
        }
        let node = &mut self.nodes[index];
        node.table.insert(record.identity, (record, false));
        node.events.push_back(Change::Upsert(record));
    }

    /// A node ends only what it owns.
    pub(super) fn delete(&mut self, index: usize, range: usize, number: u16) {
        let identity = record(range, number, FlowState::Established).identity;
        let node = &mut self.nodes[index];
        if node.table.get(&identity).is_some_and(|(_, remote)| !*remote) {
            node.table.remove(&identity);
            node.events.push_back(Change::Delete(identity));
        }
    }

    /// Hands at most so many events to the peering.
    pub(super) fn tell(&mut self, index: usize, most: usize) {
        let events = &mut self.nodes[index].events;
        let some: Vec<Change> = events.drain(..most.min(events.len())).collect();
        self.input(index, Input::Local(&some));
    }

    pub(super) fn hand_chunk(&mut self, index: usize) {
        if let Some((walk, records, last)) = self.nodes[index].chunks.pop_front() {
            self.input(index, Input::SnapshotChunk { walk, records, last });
        }
    }

    pub(super) fn deliver(&mut self, index: usize, most: usize) -> bool {
        let pipe = &mut self.nodes[index].pipe;
        let bytes: Vec<u8> = pipe.drain(..most.min(pipe.len())).collect();
        if !bytes.is_empty() {
            self.input(index, Input::Received(&bytes));
        }
        !bytes.is_empty()
    }

    /// Everything that is on its way arrives; time passes as far as the timers want.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            for _ in 0..10_000 {
                let mut busy = false;
                for index in 0..2 {
                    busy |= !self.nodes[index].events.is_empty() || !self.nodes[index].chunks.is_empty();
                    self.tell(index, usize::MAX);
                    self.hand_chunk(index);
                    busy |= self.deliver(index, 1000);
                }
                if !busy {
                    break;
                }
            }
            self.now += Duration::from_millis(100);
            self.input(0, Input::Timeout);
            self.input(1, Input::Timeout);
        }
    }

    pub(super) fn assert_equal(&self) {
        for node in &self.nodes {
            assert_eq!(node.closed, None);
            assert!(node.caught_up);
            assert!(node.peering.status().peer_current);
            assert_eq!(node.peering.status().pending, 0);
            assert_eq!(node.peering.status().unacknowledged, 0);
        }
        let [a, b] = &self.nodes;
        for (one, other) in [(a, b), (b, a)] {
            for (identity, (record, remote)) in &one.table {
                match other.table.get(identity) {
                    Some(theirs) => assert_eq!(*theirs, (*record, !remote), "the same, and one owner"),
                    // One owner ended it while an older record of the other was on its way; it ends by its age.
                    None => assert!(*remote && self.contested.contains(identity), "{identity:?}"),
                }
            }
        }
    }
}

impl Node {
    fn read(&mut self, most: usize) -> (u64, Vec<FlowRecord>, bool) {
        let after = self.cursor;
        let rest = self
            .table
            .iter()
            .filter(|(identity, _)| after.is_none_or(|after| **identity > after));
        let part: Vec<_> = rest
            .take(most)
            .map(|(_, (record, remote))| (*record, *remote))
            .collect();
        self.cursor = part.last().map(|(record, _)| record.identity).or(after);
        let last = part.len() < most;
        (
            self.walk,
            part.into_iter()
                .filter(|(_, remote)| !remote)
                .map(|(record, _)| record)
                .collect(),
            last,
        )
    }

    /// The rules that a flow table has to follow.
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            let known = self.table.get(change.identity()).copied();
            match (change, known) {
                // Both had packets: the later one owns the flow.
                (Change::Upsert(theirs), Some((ours, false))) if ours.age <= theirs.age => {}
                (Change::Upsert(theirs), _) => {
                    self.table.insert(theirs.identity, (theirs, true));
                }
                (Change::Delete(_), Some((ours, false))) => self.events.push_back(Change::Upsert(ours)),
                (Change::Delete(identity), _) => {
                    self.table.remove(&identity);
                }
            }
        }
    }
}

pub(super) fn config(index: usize, boot: u64, limits: Limits) -> Config {
    let (node, peer) = (NAMES[index].to_owned(), NAMES[1 - index].to_owned());
    Config {
        cluster: CLUSTER,
        node,
        boot,
        peer,
        limits,
    }
}

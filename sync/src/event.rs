//! What a peering is told and what it answers.

use std::collections::HashSet;
use std::time::Duration;

use crate::record::{Change, FlowIdentity, FlowRecord};

#[derive(Clone, Debug)]
pub struct Config {
    /// The same on all nodes of a cluster and different elsewhere.
    pub cluster: u64,
    /// This node's name.
    pub node: String,
    /// Random at each start.
    pub boot: u64,
    /// The name that the peer must have.
    pub peer: String,
    pub limits: Limits,
}

/// Bounds and timers; the defaults fit a LAN.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Local changes waiting for the peer; one more drops them all and marks a resynchronisation.
    pub pending_changes: usize,
    /// Bytes of data frames that may be unacknowledged, hence also a bound on what the shell has to buffer.
    pub window: usize,
    /// Flows named in one snapshot, in either direction.
    pub snapshot_flows: usize,
    pub heartbeat: Duration,
    /// Silence of the peer that ends the connection.
    pub idle: Duration,
    /// From `Connected` to the peer's hello.
    pub handshake: Duration,
    /// Between a resynchronisation and the next one on the same connection.
    pub resync_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_changes: 65_536,
            window: 512 * 1024,
            snapshot_flows: 1 << 20,
            heartbeat: Duration::from_millis(500),
            idle: Duration::from_secs(3),
            handshake: Duration::from_secs(3),
            resync_pause: Duration::from_millis(500),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A byte stream to the peer is open and authenticated.
    Connected,
    Disconnected,
    Received(&'a [u8]),
    /// Changes of this node's own flows, in order, as they happen. The lag is measured from here.
    Local(&'a [Change]),
    /// Some local changes were lost before they came here.
    Missed,
    /// Answer to [`Output::SnapshotWanted`], with its `walk`.
    SnapshotChunk {
        walk: u64,
        records: Vec<FlowRecord>,
        last: bool,
    },
    /// The node's latest hello of the election; sent now and again after each connect.
    Hello(Vec<u8>),
    /// The deadline of [`crate::Peering::poll_timeout`] has come.
    Timeout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes for the stream, in order.
    Send(Vec<u8>),
    /// The peer is who it should be; the stream works.
    Established,
    /// The peer is not the incarnation whose flows were learned before: flows it owned are this node's from now on.
    /// Comes before the snapshot is asked for.
    AdoptPeerFlows,
    /// Give the next chunk of the flows that this node owns. `first`: start a walk over the table, with this number; any
    /// older walk is abandoned.
    SnapshotWanted { walk: u64, first: bool },
    /// Put these into the flow table, in order; the acknowledgement is the next `Send`.
    Apply(Vec<Change>),
    /// The peer names all its flows from here on: not equal until the end.
    PeerSnapshotBegin,
    /// The peer's flows are all here. Flows that the peer owns and that are not in `named` have ended meanwhile; `None`:
    /// too many were named to remember, nothing can be said.
    PeerSnapshotEnd { named: Option<HashSet<FlowIdentity>> },
    /// The peer has everything that this node had when its snapshot began, and the stream since.
    PeerCurrent,
    /// The peer has applied `changes` local changes; the oldest of them waited for `lag`.
    Acked { changes: u32, lag: Duration },
    /// Opaque hello of the peer's election.
    PeerHello(Vec<u8>),
    /// End the connection. Nothing more is done until `Disconnected` and `Connected`.
    Close { reason: String },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub connections: u64,
    pub frames_sent: u64,
    pub frames_received: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub changes_sent: u64,
    pub changes_acknowledged: u64,
    pub changes_applied: u64,
    /// Local changes that were dropped because a snapshot will carry them.
    pub changes_dropped: u64,
    /// Records, kinds or messages of a newer version that were skipped.
    pub unknown: u64,
    pub snapshots_sent: u64,
    pub snapshots_received: u64,
    /// Times that changes were lost, here or in the data path, and a new snapshot took their place.
    pub resyncs: u64,
    /// Frames that ended the connection.
    pub bad_frames: u64,
    pub idle_closes: u64,
}

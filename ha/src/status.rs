//! Read-only view of the election for the API and the metrics.

use crate::event::InstanceId;
use crate::role::{Cause, Role, Standing};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub node: String,
    pub boot: u64,
    pub draining: bool,
    /// Draining, and a synchronised peer holds every instance now.
    pub drained: bool,
    pub uplink: bool,
    pub caught_up: bool,
    pub instances: Vec<InstanceStatus>,
    pub peers: Vec<PeerStatus>,
    pub counters: Counters,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    pub instance: InstanceId,
    pub name: String,
    pub priority: u32,
    pub preempt: bool,
    pub role: Role,
    pub holds: bool,
    pub standing: Standing,
    /// Of the last change of the role.
    pub cause: Cause,
}

/// How a peer is known to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Neither BFD nor a hello since this node started.
    Unseen,
    /// Hellos arrive; BFD has not been up yet.
    Hello,
    /// BFD is up.
    Up,
    /// BFD was up and went down.
    Down,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    pub node: String,
    pub liveness: Liveness,
    /// `None` before the first hello.
    pub boot: Option<u64>,
    pub draining: bool,
    pub uplink: bool,
    /// (instance name, role, holds), as the peer says.
    pub roles: Vec<(String, Role, bool)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub hellos_sent: u64,
    pub hellos_accepted: u64,
    /// Repeated, out of order, or of a past incarnation.
    pub hellos_old: u64,
    /// From a node that is not configured, or whose BFD session is down.
    pub hellos_ignored: u64,
    pub claims: u64,
    pub releases: u64,
    /// The thread was not run for so long that a peer may have taken over meanwhile.
    pub freezes: u64,
}

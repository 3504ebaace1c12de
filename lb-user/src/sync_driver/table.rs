//! The flow table as the synchronisation sees it.

use std::collections::HashSet;

use sync::{Change, FlowIdentity, FlowRecord};

use crate::datapath::{self, Applied};

/// A handle on the flow table; clones share it. Called from the tasks of the synchronisation, so nothing in it may wait.
///
/// A flow belongs to this node when its packets come by here, otherwise to the peer that named it.
pub trait FlowTable: Clone + Send + Sync + 'static {
    /// A position in a walk over the flows that belong to this node.
    type Walk: Send;

    fn walk(&self) -> Self::Walk;

    /// The next part, and whether it was the last. Flows that change meanwhile come as news.
    fn next_part(&self, walk: &mut Self::Walk) -> (Vec<FlowRecord>, bool);

    /// Installs and removes what the peer says, in order, unless this node knows better. Idempotent.
    fn apply(&self, changes: &[Change]) -> Applied;

    /// The peer that flows belonged to is gone: they belong to this node. Returns how many.
    fn adopt_peer_flows(&self) -> u64;

    /// Removes what belongs to the peer and was not named in its snapshot. Returns how many.
    fn retain_named(&self, named: &HashSet<FlowIdentity>) -> u64;

    /// While it is, what belongs to the peer does not expire here.
    fn set_peer_connected(&self, connected: bool);

    /// Records that did not fit the configuration or the table, since the start.
    fn refused(&self) -> u64;
}

impl FlowTable for datapath::FlowTable {
    type Walk = datapath::Walk;

    fn walk(&self) -> Self::Walk {
        self.walk()
    }

    fn next_part(&self, walk: &mut Self::Walk) -> (Vec<FlowRecord>, bool) {
        self.next_part(walk)
    }

    fn apply(&self, changes: &[Change]) -> Applied {
        self.apply(changes)
    }

    fn adopt_peer_flows(&self) -> u64 {
        self.adopt_peer_flows()
    }

    fn retain_named(&self, named: &HashSet<FlowIdentity>) -> u64 {
        self.retain_named(named)
    }

    fn set_peer_connected(&self, connected: bool) {
        self.set_peer_connected(connected);
    }

    fn refused(&self) -> u64 {
        self.refused()
    }
}

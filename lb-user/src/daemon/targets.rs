//! The drivers as the reconciler sees them, where one change concerns two of them.

use std::collections::BTreeMap;

use crate::api_server::Control;
use crate::apply::{ApplyError, Speaker};
use crate::bgp_driver::BgpHandle;
use crate::desired::{Found, Neighbor, NeighborKey, SessionKey, SpeakerSettings};
use crate::failover::{Command, FailoverHandle};
use crate::reconciler::{self, ReconcilerHandle};

/// A neighbour is a matter of BGP and of the verdict on the uplink.
pub(super) struct Neighbors {
    bgp: BgpHandle,
    failover: FailoverHandle,
    /// How the failover thread was told of each.
    sessions: BTreeMap<NeighborKey, SessionKey>,
}

impl Neighbors {
    pub(super) fn new(bgp: BgpHandle, failover: FailoverHandle) -> Self {
        Neighbors {
            bgp,
            failover,
            sessions: BTreeMap::new(),
        }
    }
}

/// Somebody whom only BGP has found: a matter of BFD, and as a router of the verdict on the uplink.
pub(super) fn found(
    reconciler: ReconcilerHandle,
    failover: FailoverHandle,
) -> impl FnMut(Found, bool) + Send + 'static {
    move |neighbour, present| {
        if let Found::Router { .. } = neighbour {
            let session = neighbour.session();
            failover.send(match present {
                true => Command::PutNeighbour {
                    neighbour: session,
                    bfd: true,
                },
                false => Command::RemoveNeighbour(session),
            });
        }
        reconciler.send(reconciler::Command::Found { neighbour, present });
    }
}

impl Speaker for Neighbors {
    fn put_neighbor(&mut self, neighbor: &Neighbor) -> Result<(), ApplyError> {
        if let Some(neighbour) = neighbor.session() {
            let bfd = neighbor.peer.bfd != bgp::BfdMode::Off;
            // It may have been reached by another interface before.
            let before = self.sessions.insert(neighbor.key.clone(), neighbour.clone());
            if let Some(before) = before.filter(|before| *before != neighbour) {
                self.failover.send(Command::RemoveNeighbour(before));
            }
            self.failover.send(Command::PutNeighbour { neighbour, bfd });
        }
        self.bgp.put_neighbor(neighbor)
    }

    fn put_settings(&mut self, settings: &SpeakerSettings) -> Result<(), ApplyError> {
        self.bgp.put_settings(settings)
    }

    fn remove_neighbor(&mut self, key: &NeighborKey) -> Result<(), ApplyError> {
        if let Some(neighbour) = self.sessions.remove(key) {
            self.failover.send(Command::RemoveNeighbour(neighbour));
        }
        self.bgp.remove_neighbor(key)
    }

    fn set_announcements(&mut self, announcements: &[bgp::Announcement]) -> Result<(), ApplyError> {
        self.bgp.set_announcements(announcements)
    }
}

impl Control for FailoverHandle {
    fn drain(&self) {
        self.send(Command::Drain);
    }

    fn undrain(&self) {
        self.send(Command::Undrain);
    }
}

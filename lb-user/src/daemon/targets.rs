//! The drivers as the reconciler sees them, where one change concerns two of them.

use crate::api_server::Control;
use crate::apply::{ApplyError, Speaker};
use crate::bgp_driver::BgpHandle;
use crate::desired::{Neighbor, NeighborKey, SpeakerSettings};
use crate::failover::{Command, FailoverHandle};

/// A neighbour is a matter of BGP and of the verdict on the uplink.
pub(super) struct Neighbors {
    pub(super) bgp: BgpHandle,
    pub(super) failover: FailoverHandle,
}

impl Speaker for Neighbors {
    fn put_neighbor(&mut self, neighbor: &Neighbor) -> Result<(), ApplyError> {
        if let Some(address) = neighbor.key.address() {
            let bfd = neighbor.peer.bfd != bgp::BfdMode::Off;
            self.failover.send(Command::PutNeighbour { address, bfd });
        }
        self.bgp.put_neighbor(neighbor)
    }

    fn put_settings(&mut self, settings: &SpeakerSettings) -> Result<(), ApplyError> {
        self.bgp.put_settings(settings)
    }

    fn remove_neighbor(&mut self, key: &NeighborKey) -> Result<(), ApplyError> {
        if let Some(address) = key.address() {
            self.failover.send(Command::RemoveNeighbour(address));
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

//! The drivers as the reconciler sees them, where one change concerns two of them.

use std::net::IpAddr;

use crate::api_server::Control;
use crate::apply::{ApplyError, Speaker};
use crate::bgp_driver::BgpHandle;
use crate::desired::Neighbor;
use crate::failover::{Command, FailoverHandle};

/// A neighbour is a matter of BGP and of the verdict on the uplink.
pub(super) struct Neighbors {
    pub(super) bgp: BgpHandle,
    pub(super) failover: FailoverHandle,
}

impl Speaker for Neighbors {
    fn put_neighbor(&mut self, neighbor: &Neighbor) -> Result<(), ApplyError> {
        let address = neighbor.peer.address;
        self.failover.send(Command::PutNeighbour {
            address,
            bfd: neighbor.bfd,
        });
        self.bgp.put_neighbor(neighbor)
    }

    fn remove_neighbor(&mut self, address: IpAddr) -> Result<(), ApplyError> {
        self.failover.send(Command::RemoveNeighbour(address));
        self.bgp.remove_neighbor(address)
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

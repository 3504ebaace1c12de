//! What the election is told and what it answers.

use crate::hello::Hello;
use crate::role::{Cause, Role};

/// Position of the instance in [`crate::Config::instances`]. Local: hellos carry the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub u32);

#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The BFD session to the peer came up.
    PeerUp {
        node: &'a str,
    },
    /// The BFD session to the peer went down; ignored if it was never up.
    PeerDown {
        node: &'a str,
    },
    /// Arrived over the synchronisation channel.
    PeerHello(Hello),
    /// `true`: the peer's flows are all here. `false`: the channel broke, or the peer starts a new snapshot.
    CaughtUp(bool),
    /// Whether this node has a live uplink; assumed `true` until told.
    Uplink(bool),
    /// Whether a router hears this node: a BGP session is established, or none is configured. Assumed `true` until told.
    Announces(bool),
    /// BFD and the synchronisation run: from now on a peer that lives can be seen. Before, silence says nothing.
    Listening,
    Drain,
    Undrain,
    /// The deadline of [`crate::Election::poll_timeout`] has come.
    Timeout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The floating addresses are this node's: configure them, send gratuitous ARP and neighbour advertisements.
    Claim {
        instance: InstanceId,
    },
    /// Announce the VIPs of the instance with the attributes of the role (`Fault`: withdraw).
    Announce {
        instance: InstanceId,
        role: Role,
    },
    /// Remove the floating addresses; another node has claimed them.
    Release {
        instance: InstanceId,
    },
    SendHello(Hello),
    RoleChanged {
        instance: InstanceId,
        from: Role,
        to: Role,
        cause: Cause,
    },
    /// The drain has ended. `complete`: a synchronised peer holds every instance. Otherwise nobody could take over
    /// within the limit.
    Drained {
        complete: bool,
    },
}

impl Output {
    /// Order of execution within one turn: what moves traffic comes first, what only informs comes last.
    pub(crate) fn phase(&self) -> u8 {
        match self {
            Self::Claim { .. } => 0,
            Self::Announce { .. } => 1,
            Self::Release { .. } => 2,
            Self::SendHello(_) => 3,
            Self::RoleChanged { .. } => 4,
            Self::Drained { .. } => 5,
        }
    }
}

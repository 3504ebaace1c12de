//! The words of the election: role, standing, cause.

use std::fmt;

/// What a node shows for an instance. The announcement follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Alive, but its flow table is not known to be equal to the MASTER's.
    Joining,
    Backup,
    Master,
    /// Asked to leave, with a peer that has the flows; still forwards, and holds the instance until that peer has claimed it.
    Draining,
    /// No uplink while a peer has one.
    Fault,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Backup => "backup",
            Self::Master => "master",
            Self::Draining => "draining",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a node's flow table is worth, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Never equal to anyone's since this start.
    Fresh,
    /// Was current once since this start.
    Stale,
    /// Equal to the holder's, or the holder's own.
    Current,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Current => "current",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Start,
    /// No peer is configured.
    LoneStart,
    /// The start hold passed and no peer was seen.
    PeerSilent,
    PeerLost,
    /// No node held the instance and this one ranks first.
    Elected,
    Preemption,
    PeerDraining,
    PeerFault,
    /// A better node claimed the instance.
    PeerClaimed,
    /// A peer lives and has not said for long what it is: the names decide.
    PeerMute,
    /// What a peer says about itself changed.
    PeerChanged,
    CaughtUp,
    SyncLost,
    Drain,
    Undrain,
    UplinkLost,
    UplinkRestored,
    /// The first BGP session is established.
    RouterFound,
    /// No BGP session is established any more.
    RoutersLost,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::LoneStart => "lone start",
            Self::PeerSilent => "no peer seen",
            Self::PeerLost => "peer lost",
            Self::Elected => "elected",
            Self::Preemption => "pre-emption",
            Self::PeerDraining => "peer is draining",
            Self::PeerFault => "peer has no uplink",
            Self::PeerClaimed => "peer claimed",
            Self::PeerMute => "peer does not speak",
            Self::PeerChanged => "peer changed",
            Self::CaughtUp => "caught up",
            Self::SyncLost => "synchronisation lost",
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::UplinkLost => "uplink lost",
            Self::UplinkRestored => "uplink restored",
            Self::RouterFound => "router found",
            Self::RoutersLost => "routers lost",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

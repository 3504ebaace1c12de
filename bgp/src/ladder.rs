//! What is announced, and the ladder: the attributes that a VIP gets from the role of its instance.
//!
//! The ladder never ties: at equal path
//! length MED separates master, backup, joining and draining; the AS path separates the master from the rest;
//! inside an AS, LOCAL_PREF does. Every healthy VIP is announced by every node, so a neighbour that loses the
//! master already holds the way to the backup.
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::attributes::Community;
use crate::wire::Origin;

/// How much a node wants the traffic of an instance, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preference {
    Master,
    Backup,
    Joining,
    Draining,
    /// Not announced at all. Also the preference of an instance whose role has not been set.
    Withdrawn,
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preference::Master => "master",
            Preference::Backup => "backup",
            Preference::Joining => "joining",
            Preference::Draining => "draining",
            Preference::Withdrawn => "withdrawn",
        })
    }
}

/// Attributes of one preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    pub med: u32,
    /// How often the own AS is prepended beyond its obligatory once; eBGP only.
    pub prepend: u8,
    /// iBGP only.
    pub local_pref: u32,
    /// Attach GRACEFUL_SHUTDOWN (RFC 8326).
    pub graceful_shutdown: bool,
    /// Attached.
    pub communities: Vec<Community>,
}

/// Attributes by preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    pub master: Rung,
    pub backup: Rung,
    pub joining: Rung,
    pub draining: Rung,
}

impl Default for Ladder {
    fn default() -> Self {
        let rung = |med, prepend, local_pref| Rung {
            med,
            prepend,
            local_pref,
            graceful_shutdown: false,
            communities: Vec::new(),
        };
        Ladder {
            master: rung(10, 0, 5000),
            backup: rung(20, 1, 100),
            joining: rung(200, 1, 50),
            draining: Rung {
                graceful_shutdown: true,
                ..rung(1000, 1, 10)
            },
        }
    }
}

impl Ladder {
    /// `None`: not to be announced.
    pub fn rung(&self, preference: Preference) -> Option<&Rung> {
        match preference {
            Preference::Master => Some(&self.master),
            Preference::Backup => Some(&self.backup),
            Preference::Joining => Some(&self.joining),
            Preference::Draining => Some(&self.draining),
            Preference::Withdrawn => None,
        }
    }
}

/// Values that replace those of the ladder for one announcement.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Overrides {
    pub med: Option<u32>,
    pub prepend: Option<u8>,
    pub local_pref: Option<u32>,
    pub origin: Option<Origin>,
    /// Added to those of the rung.
    pub communities: Vec<u32>,
    pub extended_communities: Vec<[u8; 8]>,
    pub large_communities: Vec<[u32; 3]>,
    /// Instead of that of the neighbour.
    pub next_hop: Option<IpAddr>,
}

/// A prefix that this node can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub prefix: IpNet,
    pub instance: u32,
    /// Without a healthy endpoint the prefix is withdrawn.
    pub healthy: bool,
    pub overrides: Option<Overrides>,
}

/// 65535:0 (RFC 8326).
pub const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;

/// Roles by instance.
pub(crate) type Roles = BTreeMap<u32, Preference>;

//! Announcement policy: which attributes a VIP gets from the role of its instance.
//!
//! Pure functions of (announcements, roles, ladder, kind of neighbour). The ladder never ties: at equal path
//! length MED separates master, backup, joining and draining; the AS path separates the master from the rest;
//! inside an AS, LOCAL_PREF does. Every healthy VIP is announced by every node, so a neighbour that loses the
//! master already holds the way to the backup.
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::attributes::{AsPath, Community, PathAttributes};
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

/// More would not fit a message beside a prefix.
const MAX_COMMUNITIES: usize = 255;

/// Roles by instance.
pub(crate) type Roles = BTreeMap<u32, Preference>;

/// The kind of neighbour, which decides what it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audience<'a> {
    pub(crate) local_as: u32,
    /// In the same AS.
    pub(crate) internal: bool,
    pub(crate) ladder: &'a Ladder,
}

/// Attributes by prefix. A prefix that several instances announce goes with the best of their preferences.
pub(crate) fn attributes(
    announcements: &[Announcement],
    roles: &Roles,
    audience: Audience<'_>,
) -> BTreeMap<IpNet, PathAttributes> {
    let mut best: BTreeMap<IpNet, (Preference, u32, &Announcement)> = BTreeMap::new();
    for announcement in announcements.iter().filter(|announcement| announcement.healthy) {
        let preference = roles
            .get(&announcement.instance)
            .copied()
            .unwrap_or(Preference::Withdrawn);
        let candidate = (preference, announcement.instance, announcement);
        let current = best.entry(announcement.prefix.trunc()).or_insert(candidate);
        if (candidate.0, candidate.1) < (current.0, current.1) {
            *current = candidate;
        }
    }
    best.into_iter()
        .filter_map(|(prefix, (preference, _, announcement))| {
            let rung = audience.ladder.rung(preference)?;
            Some((
                prefix,
                path_attributes(rung, announcement.overrides.as_ref(), audience),
            ))
        })
        .collect()
}

/// RFC 4271 section 5.1.2 and 5.1.5: the own AS is prepended, and LOCAL_PREF is not sent, outside the AS only;
/// inside, an own AS in the path would look like a loop.
fn path_attributes(rung: &Rung, overrides: Option<&Overrides>, audience: Audience<'_>) -> PathAttributes {
    let prepend = overrides
        .and_then(|overrides| overrides.prepend)
        .unwrap_or(rung.prepend);
    let local_pref = overrides
        .and_then(|overrides| overrides.local_pref)
        .unwrap_or(rung.local_pref);
    let mut communities = overrides
        .map(|overrides| overrides.communities.clone())
        .unwrap_or_default();
    if rung.graceful_shutdown {
        communities.push(GRACEFUL_SHUTDOWN);
    }
    communities.sort_unstable();
    communities.dedup();
    // The well-known ones are the greatest and must not be the ones to go.
    communities.drain(..communities.len().saturating_sub(MAX_COMMUNITIES));
    PathAttributes {
        as_path: if audience.internal {
            AsPath::default()
        } else {
            AsPath::sequence(&vec![audience.local_as; usize::from(prepend) + 1])
        },
        med: Some(overrides.and_then(|overrides| overrides.med).unwrap_or(rung.med)),
        local_pref: audience.internal.then_some(local_pref),
        communities,
        ..PathAttributes::default()
    }
}

#[cfg(test)]
mod tests;

//! Policies as data: ordered rules that match a route, change it, and accept or reject it.
//!
//! One language for import and export. The first rule that matches and says accept or reject decides; a rule
//! that says next changes the route and lets the rules after it go on; a route that no rule decides is rejected.
//! Pure functions of (policy, route); checked when the configuration is loaded, so nothing here can fail.
use std::net::IpAddr;

use ipnet::IpNet;

use crate::attributes::Community;
use crate::config::Family;
use crate::ladder::Preference;
use crate::wire::Origin;

mod evaluate;

pub use evaluate::{Candidate, Outcome};

/// Rules in order, under a name. Without a rule it rejects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Name of the policy that is always there and accepts everything.
    pub const ALL: &'static str = "all";
    /// Name of the policy that is always there and accepts nothing.
    pub const NONE: &'static str = "none";

    pub fn all() -> Self {
        Policy {
            name: Self::ALL.to_owned(),
            rules: vec![Rule::default()],
        }
    }

    pub fn none() -> Self {
        Policy {
            name: Self::NONE.to_owned(),
            rules: Vec::new(),
        }
    }
}

/// All of `matches` have to hold; then `sets` is done and `action` decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub matches: Matches,
    pub sets: Sets,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    #[default]
    Accept,
    Reject,
    /// The next rule decides.
    Next,
}

/// What is empty or absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    pub family: Option<Family>,
    /// One of them.
    pub prefixes: Vec<PrefixMatch>,
    /// All of them.
    pub as_path: Vec<AsPathMatch>,
    /// One of them is attached.
    pub communities: Vec<Community>,
    /// The next hop is in one of them.
    pub next_hops: Vec<IpNet>,
    pub origin: Option<Origin>,
    /// Export: the route is announced for this instance.
    pub instance: Option<u32>,
    /// Export: the preference of this node for the instance.
    pub preference: Option<Preference>,
}

/// The routes inside `prefix` whose length is in `ge..=le`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixMatch {
    pub prefix: IpNet,
    pub ge: u8,
    pub le: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsPathMatch {
    /// The route was originated inside this AS.
    Empty,
    Contains(u32),
    /// The neighbour's AS.
    First(u32),
    /// The AS that originated the route.
    Origin(u32),
    /// In the sense of [`crate::AsPath::length`].
    Length {
        min: usize,
        max: usize,
    },
}

/// What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    pub origin: Option<Origin>,
    pub med: Option<u32>,
    pub local_pref: Option<u32>,
    /// How often the own AS is put in front, beyond the once that eBGP asks for. Rules that say next add up.
    pub prepend: u8,
    pub next_hop: Option<NextHopSet>,
    /// Remove every community, of all kinds, before `add`.
    pub clear_communities: bool,
    pub remove: Vec<Community>,
    pub add: Vec<Community>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopSet {
    /// The local address of the session.
    Own,
    Address(IpAddr),
}

//! What a policy says about one route: whether it is accepted, and what it becomes.
//!
//! The route is copied only when a rule changes it. The work is that of the rules that are looked at; nothing is
//! kept from one route to the next.
use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Action, AsPathMatch, Matches, NextHopSet, Policy, PrefixMatch, Rule, Sets};
use crate::attributes::{Community, PathAttributes};
use crate::config::Family;
use crate::ladder::Preference;

/// More is not put in front of a path, whatever a chain of rules says.
const MAX_PREPEND: usize = 255;

/// A route before the policy.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub prefix: IpNet,
    pub attributes: &'a PathAttributes,
    /// `None` when it is not known yet; no match on next hops holds then.
    pub next_hop: Option<IpAddr>,
    /// Export only.
    pub instance: Option<u32>,
    pub preference: Option<Preference>,
    /// What `Sets::prepend` puts in front; `None`: nothing, because the neighbour would take it for a loop.
    pub local_as: Option<u32>,
}

/// A route that the policy lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    pub attributes: Cow<'a, PathAttributes>,
    /// What the rules said last, if anything.
    pub next_hop: Option<NextHopSet>,
    /// One of the rules that let it through names prefixes.
    pub by_prefix: bool,
}

impl Policy {
    /// `None`: rejected.
    pub fn evaluate<'a>(&self, candidate: Candidate<'a>) -> Option<Outcome<'a>> {
        let mut next_hop = candidate.next_hop;
        let mut prepended = 0;
        let mut outcome = Outcome {
            attributes: Cow::Borrowed(candidate.attributes),
            next_hop: None,
            by_prefix: false,
        };
        for rule in &self.rules {
            if !rule.matches.hold(&candidate, &outcome.attributes, next_hop) {
                continue;
            }
            if rule.action == Action::Reject {
                return None;
            }
            outcome.by_prefix |= !rule.matches.prefixes.is_empty();
            if let Some(set) = rule.sets.next_hop {
                outcome.next_hop = Some(set);
                next_hop = match set {
                    NextHopSet::Own => None,
                    NextHopSet::Address(address) => Some(address),
                };
            }
            if rule.sets.changes_attributes(&candidate) {
                let room = MAX_PREPEND - prepended;
                prepended += rule.apply(&candidate, outcome.attributes.to_mut(), room);
            }
            if rule.action == Action::Accept {
                return Some(outcome);
            }
        }
        None
    }
}

impl Rule {
    /// Returns how often the own AS was put in front.
    fn apply(&self, candidate: &Candidate<'_>, attributes: &mut PathAttributes, room: usize) -> usize {
        let sets = &self.sets;
        if let Some(origin) = sets.origin {
            attributes.origin = origin;
        }
        if let Some(med) = sets.med {
            attributes.med = Some(med);
        }
        if let Some(local_pref) = sets.local_pref {
            attributes.local_pref = Some(local_pref);
        }
        if sets.clear_communities {
            attributes.communities.clear();
            attributes.extended_communities.clear();
            attributes.large_communities.clear();
        }
        for community in &sets.remove {
            attributes.remove(*community);
        }
        for community in &sets.add {
            attributes.add(*community);
        }
        let prepend = usize::from(sets.prepend).min(room);
        match candidate.local_as {
            Some(asn) if prepend > 0 => {
                attributes.as_path.prepend(asn, prepend);
                prepend
            }
            Some(_) | None => 0,
        }
    }
}

impl Sets {
    fn changes_attributes(&self, candidate: &Candidate<'_>) -> bool {
        self.origin.is_some()
            || self.med.is_some()
            || self.local_pref.is_some()
            || self.clear_communities
            || !self.remove.is_empty()
            || !self.add.is_empty()
            || (self.prepend > 0 && candidate.local_as.is_some())
    }
}

impl Matches {
    /// The prefix, the instance and the preference never change; attributes and next hop are those that the rules
    /// before have made.
    fn hold(&self, candidate: &Candidate<'_>, attributes: &PathAttributes, next_hop: Option<IpAddr>) -> bool {
        let family = Family::of(&candidate.prefix);
        let one_of = |empty: bool, any: bool| empty || any;
        self.family.is_none_or(|wanted| wanted == family)
            && self.origin.is_none_or(|wanted| wanted == attributes.origin)
            && (self.instance.is_none() || self.instance == candidate.instance)
            && (self.preference.is_none() || self.preference == candidate.preference)
            && one_of(
                self.prefixes.is_empty(),
                self.prefixes.iter().any(|entry| entry.holds(&candidate.prefix)),
            )
            && self.as_path.iter().all(|entry| entry.holds(attributes))
            && one_of(
                self.communities.is_empty(),
                self.communities
                    .iter()
                    .any(|community| attributes.has(*community)),
            )
            && one_of(
                self.next_hops.is_empty(),
                next_hop.is_some_and(|address| self.next_hops.iter().any(|net| net.contains(&address))),
            )
    }
}

impl PrefixMatch {
    pub fn holds(&self, prefix: &IpNet) -> bool {
        (self.ge..=self.le).contains(&prefix.prefix_len()) && self.prefix.contains(prefix)
    }
}

impl AsPathMatch {
    fn holds(&self, attributes: &PathAttributes) -> bool {
        let path = &attributes.as_path;
        match self {
            AsPathMatch::Empty => path.is_empty(),
            AsPathMatch::Contains(asn) => path.contains(*asn),
            AsPathMatch::First(asn) => path.first() == Some(*asn),
            AsPathMatch::Origin(asn) => path.origin() == Some(*asn),
            AsPathMatch::Length { min, max } => (*min..=*max).contains(&path.length()),
        }
    }
}

impl PathAttributes {
    fn remove(&mut self, community: Community) {
        match community {
            Community::Standard(value) => self.communities.retain(|other| *other != value),
            Community::Extended(value) => self.extended_communities.retain(|other| *other != value),
            Community::Large(value) => self.large_communities.retain(|other| *other != value),
        }
    }

    /// Sorted, so that equal sets are equal attributes.
    pub(crate) fn add(&mut self, community: Community) {
        match community {
            Community::Standard(value) => insert(&mut self.communities, value),
            Community::Extended(value) => insert(&mut self.extended_communities, value),
            Community::Large(value) => insert(&mut self.large_communities, value),
        }
    }
}

fn insert<T: Ord>(values: &mut Vec<T>, value: T) {
    values.push(value);
    values.sort_unstable();
    values.dedup();
}

#[cfg(test)]
mod tests;

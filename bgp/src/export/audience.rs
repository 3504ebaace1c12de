//! What decides how a neighbour is told a route, and the route that it is told.
//!
//! In this order: the rung of the ladder (of the neighbour, of the instance, of all), the overrides of the
//! announcement, the export policy, and last what no policy may change: the rules of the RFCs. Neighbours that
//! compare equal here are told the same. Pure functions.
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::classes::Claim;
use crate::attributes::{AsPath, Community, PathAttributes};
use crate::config::{Families, Family, Ladders};
use crate::ladder::{GRACEFUL_SHUTDOWN, Ladder, Overrides, Preference, Rung};
use crate::policy::{Candidate, NextHopSet, Policy};
use crate::wire::Origin;

/// Bounds of what a route carries: with all of them at once a message still has room for a prefix, also where
/// the path travels twice (RFC 6793 section 4.2.2).
const MAX_PATH: usize = 256;
const MAX_COMMUNITIES: usize = 255;
const MAX_EXTENDED_COMMUNITIES: usize = 64;
const MAX_LARGE_COMMUNITIES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NextHop {
    pub(crate) address: IpAddr,
    pub(crate) link_local: Option<Ipv6Addr>,
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        NextHop {
            address,
            link_local: None,
        }
    }
}

/// All that a prefix is announced with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) next_hop: NextHop,
    pub(crate) attributes: Arc<PathAttributes>,
}

/// Next hops that a session offers for a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Unless somebody says otherwise.
    pub(crate) usual: Option<NextHop>,
    /// The local address of the session.
    pub(crate) own: Option<NextHop>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) local_as: u32,
    /// In the same AS.
    pub(crate) internal: bool,
    /// Of the neighbour alone.
    pub(crate) ladder: Option<Ladder>,
    pub(crate) export: Option<Arc<Policy>>,
    pub(crate) families: Families,
    pub(crate) ipv4: Offer,
    pub(crate) ipv6: Offer,
    /// It takes IPv6 next hops for IPv4 prefixes (RFC 8950).
    pub(crate) extended_next_hop: bool,
    pub(crate) graceful_shutdown: bool,
    /// It must not pass our routes on but to its customers (RFC 9234).
    pub(crate) only_to_customer: bool,
}

impl Audience {
    /// RFC 8212 section 2: without a policy nothing is announced outside the AS.
    pub(crate) fn hears_nothing(&self) -> bool {
        self.export.is_none() && !self.internal
    }

    pub(crate) fn offer(&self, family: Family) -> Offer {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    /// `None`: `prefix` is not announced. `prefix` stands for its whole cell.
    pub(crate) fn route(
        &self,
        ladders: &Ladders,
        preference: Preference,
        claim: &Claim,
        prefix: IpNet,
    ) -> Option<Route> {
        let family = Family::of(&prefix);
        if !self.families.contains(family) || self.hears_nothing() {
            return None;
        }
        let of_instance = ladders.by_instance.get(&claim.instance);
        let ladder = self.ladder.as_ref().or(of_instance).unwrap_or(&ladders.all);
        let overrides = claim.overrides.as_deref();
        let attributes = self.attributes(ladder.rung(preference)?, overrides);
        let offer = self.offer(family);
        let given = overrides.and_then(|overrides| overrides.next_hop);
        let next_hop = given.map(NextHop::from).or(offer.usual);
        let (attributes, next_hop) = match &self.export {
            None => (attributes, next_hop),
            Some(policy) => {
                let outcome = policy.evaluate(Candidate {
                    prefix,
                    attributes: &attributes,
                    next_hop: next_hop.map(|next_hop| next_hop.address),
                    instance: Some(claim.instance),
                    preference: Some(preference),
                    local_as: (!self.internal).then_some(self.local_as),
                })?;
                let next_hop = match outcome.next_hop {
                    None => next_hop,
                    Some(NextHopSet::Own) => offer.own,
                    Some(NextHopSet::Address(address)) => Some(address.into()),
                };
                (outcome.attributes.into_owned(), next_hop)
            }
        };
        Some(Route {
            next_hop: next_hop.filter(|next_hop| self.can_use(family, next_hop.address))?,
            attributes: Arc::new(self.obliged(attributes)),
        })
    }

    /// RFC 8950 section 3: IPv4 behind IPv6 for those who have said that they understand it, never the reverse.
    fn can_use(&self, family: Family, next_hop: IpAddr) -> bool {
        match (family, next_hop) {
            (Family::Ipv4, IpAddr::V4(_)) | (Family::Ipv6, IpAddr::V6(_)) => true,
            (Family::Ipv4, IpAddr::V6(_)) => self.extended_next_hop,
            (Family::Ipv6, IpAddr::V4(_)) => false,
        }
    }

    /// What the ladder and the announcement say. RFC 4271 section 5.1.2: the own AS is prepended outside the AS
    /// only; inside, it would look like a loop.
    fn attributes(&self, rung: &Rung, overrides: Option<&Overrides>) -> PathAttributes {
        let own = Overrides::default();
        let overrides = overrides.unwrap_or(&own);
        let prepend = usize::from(overrides.prepend.unwrap_or(rung.prepend));
        let mut attributes = PathAttributes {
            origin: overrides.origin.unwrap_or(Origin::Igp),
            as_path: if self.internal {
                AsPath::default()
            } else {
                AsPath::sequence(&vec![self.local_as; prepend + 1])
            },
            med: Some(overrides.med.unwrap_or(rung.med)),
            local_pref: Some(overrides.local_pref.unwrap_or(rung.local_pref)),
            communities: overrides.communities.clone(),
            extended_communities: overrides.extended_communities.clone(),
            large_communities: overrides.large_communities.clone(),
            ..PathAttributes::default()
        };
        rung.communities
            .iter()
            .for_each(|community| attributes.add(*community));
        if rung.graceful_shutdown {
            attributes.add(Community::Standard(GRACEFUL_SHUTDOWN));
        }
        attributes
    }

    /// What has to be, whatever the policy says.
    fn obliged(&self, mut attributes: PathAttributes) -> PathAttributes {
        // RFC 8326 section 4.2.
        if self.graceful_shutdown {
            attributes.add(Community::Standard(GRACEFUL_SHUTDOWN));
            attributes.local_pref = Some(0);
        }
        // RFC 4271 section 5.1.5: inside the AS only, and there always.
        if !self.internal {
            attributes.local_pref = None;
        }
        if self.only_to_customer {
            attributes.only_to_customer = Some(self.local_as);
        }
        bound(&mut attributes);
        attributes
    }
}

fn bound(attributes: &mut PathAttributes) {
    // Nothing but the own AS is in it.
    if attributes.as_path.asns().nth(MAX_PATH).is_some() {
        let asns: Vec<u32> = attributes.as_path.asns().take(MAX_PATH).collect();
        attributes.as_path = AsPath::sequence(&asns);
    }
    keep_last(&mut attributes.communities, MAX_COMMUNITIES);
    keep_last(&mut attributes.extended_communities, MAX_EXTENDED_COMMUNITIES);
    keep_last(&mut attributes.large_communities, MAX_LARGE_COMMUNITIES);
}

/// In order and once each, so that equal sets are equal attributes. The well-known communities are the greatest
/// and must not be the ones to go.
fn keep_last<T: Ord>(values: &mut Vec<T>, limit: usize) {
    values.sort_unstable();
    values.dedup();
    values.drain(..values.len().saturating_sub(limit));
}

#[cfg(test)]
mod tests;

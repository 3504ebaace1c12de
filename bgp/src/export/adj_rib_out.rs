//! Adj-RIB-Out of one neighbour: what it has been told, and the difference to what it should be told.
//!
//! The difference runs over the union of both sides, so that nothing stays announced by oversight, and comes
//! grouped by equal attributes, so that a role swap is one set of attributes.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::attributes::PathAttributes;
use crate::config::Family;

pub(crate) fn family_of(prefix: &IpNet) -> Family {
    match prefix {
        IpNet::V4(_) => Family::Ipv4,
        IpNet::V6(_) => Family::Ipv6,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NextHop {
    pub(crate) address: IpAddr,
    pub(crate) link_local: Option<Ipv6Addr>,
}

/// All that a prefix is announced with; the next hop has the family of the prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) next_hop: NextHop,
    pub(crate) attributes: Arc<PathAttributes>,
}

pub(crate) type Routes = BTreeMap<IpNet, Route>;

/// What to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) announce: BTreeMap<Route, Vec<IpNet>>,
    pub(crate) withdraw: Vec<IpNet>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.announce.is_empty() && self.withdraw.is_empty()
    }

    pub(crate) fn announced(&self) -> usize {
        self.announce.values().map(Vec::len).sum()
    }

    fn add(&mut self, prefix: IpNet, route: &Route) {
        match self.announce.get_mut(route) {
            Some(prefixes) => prefixes.push(prefix),
            None => {
                self.announce.insert(route.clone(), vec![prefix]);
            }
        }
    }

    /// For people: each set of attributes with its first prefix and their number.
    pub(crate) fn summary(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let named = |prefixes: &[IpNet]| match prefixes {
            [] => String::new(),
            [only] => only.to_string(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        for (route, prefixes) in &self.announce {
            parts.push(format!("{}: {}", named(prefixes), route.attributes));
        }
        if !self.withdraw.is_empty() {
            parts.push(format!("withdraw {}", named(&self.withdraw)));
        }
        parts.join("; ")
    }
}

#[derive(Debug, Default)]
pub(crate) struct AdjRibOut {
    routes: Routes,
}

impl AdjRibOut {
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&IpNet, &Route)> {
        self.routes.iter()
    }

    pub(crate) fn clear(&mut self) {
        self.routes.clear();
    }

    /// Makes `desired` what has been told and returns what that takes.
    pub(crate) fn replace(&mut self, desired: Routes) -> Changes {
        let mut changes = Changes::default();
        for (prefix, route) in &desired {
            if self.routes.get(prefix) != Some(route) {
                changes.add(*prefix, route);
            }
        }
        changes.withdraw = self
            .routes
            .keys()
            .filter(|prefix| !desired.contains_key(*prefix))
            .copied()
            .collect();
        self.routes = desired;
        changes
    }

    /// Everything of a family again (RFC 2918 section 4).
    pub(crate) fn refresh(&self, family: Family) -> Changes {
        let mut changes = Changes::default();
        for (prefix, route) in self
            .routes
            .iter()
            .filter(|(prefix, _)| family_of(prefix) == family)
        {
            changes.add(*prefix, route);
        }
        changes
    }
}

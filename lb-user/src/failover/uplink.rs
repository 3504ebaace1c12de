//! Whether this node can serve: a neighbour towards the clients is alive, and the links it needs carry.
//!
//! Neighbours count only when BFD watches them. A session that has not come up yet is given a moment after
//! the start before it counts as dead, so that a starting node does not call itself faulty.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a session may take to come up for the first time.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Liveness {
    /// Not heard of yet; counts as alive until then.
    Waiting(Instant),
    Up,
    Down,
}

/// Knows the neighbours and the links; decides nothing else.
#[derive(Default)]
pub struct Uplinks {
    neighbours: BTreeMap<IpAddr, Liveness>,
    /// Names of links that are known to be without carrier.
    dark: BTreeSet<String>,
}

impl Uplinks {
    pub fn put_neighbour(&mut self, address: IpAddr, now: Instant) {
        self.neighbours
            .entry(address)
            .or_insert(Liveness::Waiting(now + PATIENCE));
    }

    pub fn remove_neighbour(&mut self, address: IpAddr) {
        self.neighbours.remove(&address);
    }

    /// The neighbour's BFD session changed. Others than known neighbours are of no interest.
    pub fn set_neighbour(&mut self, address: IpAddr, up: bool) {
        if let Some(liveness) = self.neighbours.get_mut(&address) {
            *liveness = if up { Liveness::Up } else { Liveness::Down };
        }
    }

    pub fn set_carrier(&mut self, link: &str, up: bool) {
        if up {
            self.dark.remove(link);
        } else {
            self.dark.insert(link.to_owned());
        }
    }

    /// The verdict, given the links without which this node serves nobody.
    pub fn alive<'a>(&self, mut needed: impl Iterator<Item = &'a str>, now: Instant) -> bool {
        let neighbour = self.neighbours.is_empty()
            || self.neighbours.values().any(|liveness| match liveness {
                Liveness::Waiting(until) => *until > now,
                Liveness::Up => true,
                Liveness::Down => false,
            });
        neighbour && !needed.any(|link| self.dark.contains(link))
    }

    /// When the patience with a session ends.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.neighbours
            .values()
            .filter_map(|liveness| match liveness {
                Liveness::Waiting(until) if *until > now => Some(*until),
                Liveness::Waiting(_) | Liveness::Up | Liveness::Down => None,
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 11, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 12, 1));

    fn none() -> std::iter::Empty<&'static str> {
        std::iter::empty()
    }

    #[test]
    fn without_neighbours_only_the_links_count() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        assert!(uplinks.alive(["eth1"].into_iter(), now));
        uplinks.set_carrier("eth1", false);
        assert!(!uplinks.alive(["eth1"].into_iter(), now));
        assert!(
            uplinks.alive(["eth2"].into_iter(), now),
            "another link does not matter"
        );
        uplinks.set_carrier("eth1", true);
        assert!(uplinks.alive(["eth1"].into_iter(), now));
    }

    #[test]
    fn a_starting_session_is_given_a_moment() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        uplinks.put_neighbour(ROUTER, now);
        assert!(uplinks.alive(none(), now));
        assert_eq!(uplinks.poll_timeout(now), Some(now + PATIENCE));
        assert!(!uplinks.alive(none(), now + PATIENCE));
        assert_eq!(uplinks.poll_timeout(now + PATIENCE), None);
    }

    #[test]
    fn one_live_neighbour_is_enough() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        uplinks.put_neighbour(ROUTER, now);
        uplinks.put_neighbour(OTHER, now);
        uplinks.set_neighbour(ROUTER, false);
        uplinks.set_neighbour(OTHER, true);
        assert!(uplinks.alive(none(), now + PATIENCE));
        uplinks.set_neighbour(OTHER, false);
        assert!(!uplinks.alive(none(), now));
        uplinks.remove_neighbour(ROUTER);
        uplinks.remove_neighbour(OTHER);
        assert!(uplinks.alive(none(), now), "no neighbour is watched any more");
    }
}

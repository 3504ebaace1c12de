//! Whether this node can serve: a neighbour towards the clients is alive, and the links it needs carry. And whether
//! it is heard: a BGP session is established.
//!
//! For the first, neighbours count only when BFD watches them. A session that has not come up yet is given a moment after
//! the start before it counts as dead, so that a starting node does not call itself faulty. One that the neighbour has
//! taken down on purpose says nothing about the path (RFC 5882 section 4.2): BGP alone tells then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::desired::SessionKey;

/// How long a session may take to come up for the first time.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Liveness {
    /// Not heard of yet; counts as alive until then.
    Waiting(Instant),
    Up,
    Down,
    /// By the neighbour's administrator.
    TakenDown,
}

#[derive(Default)]
struct Neighbour {
    /// `None`: BFD does not watch it.
    bfd: Option<Liveness>,
    established: bool,
}

impl Neighbour {
    fn alive(&self, now: Instant) -> Option<bool> {
        self.bfd.map(|liveness| match liveness {
            Liveness::Waiting(until) => until > now,
            Liveness::Up => true,
            Liveness::Down => false,
            Liveness::TakenDown => self.established,
        })
    }
}

/// What BFD has found about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Up,
    Down,
    /// The neighbour has ended the session on purpose.
    TakenDown,
}

/// Knows the neighbours and the links; decides nothing else.
#[derive(Default)]
pub struct Uplinks {
    /// Named as their BFD sessions would be.
    neighbours: BTreeMap<SessionKey, Neighbour>,
    /// Names of links that are known to be without carrier.
    dark: BTreeSet<String>,
    /// The links of the data path, and whether each has ever had carrier: one that never had is not connected yet.
    links: BTreeMap<String, bool>,
}

impl Uplinks {
    /// A neighbour, and whether BFD watches it. What is known of it stays.
    pub fn put_neighbour(&mut self, neighbour: SessionKey, bfd: bool, now: Instant) {
        let neighbour = self.neighbours.entry(neighbour).or_default();
        neighbour.bfd = bfd.then(|| neighbour.bfd.unwrap_or(Liveness::Waiting(now + PATIENCE)));
    }

    pub fn remove_neighbour(&mut self, neighbour: &SessionKey) {
        self.neighbours.remove(neighbour);
    }

    /// A BFD session changed. One that watches no neighbour is of no interest.
    pub fn set_neighbour(&mut self, session: &SessionKey, verdict: Verdict) {
        let watched = self
            .neighbours
            .iter_mut()
            .filter(|(known, _)| known.serves(session));
        for liveness in watched.filter_map(|(_, known)| known.bfd.as_mut()) {
            *liveness = match verdict {
                Verdict::Up => Liveness::Up,
                Verdict::Down => Liveness::Down,
                Verdict::TakenDown => Liveness::TakenDown,
            };
        }
    }

    /// The neighbour's BGP session is established, or no longer.
    pub fn set_established(&mut self, neighbour: &SessionKey, established: bool) {
        if let Some(neighbour) = self.neighbours.get_mut(neighbour) {
            neighbour.established = established;
        }
    }

    /// A link of the data path: once it has had carrier, this node does not serve without it.
    pub fn put_link(&mut self, link: String) {
        self.links.entry(link).or_default();
    }

    pub fn set_carrier(&mut self, link: &str, up: bool) {
        if let Some(lit) = self.links.get_mut(link) {
            *lit |= up;
        }
        if up {
            self.dark.remove(link);
        } else {
            self.dark.insert(link.to_owned());
        }
    }

    pub fn is_dark(&self, link: &str) -> bool {
        self.dark.contains(link)
    }

    /// The verdict, given the links without which this node serves nobody.
    pub fn alive<'a>(&'a self, needed: impl Iterator<Item = &'a str>, now: Instant) -> bool {
        let mut watched = self.neighbours.values().filter_map(|n| n.alive(now)).peekable();
        let neighbour = watched.peek().is_none() || watched.any(|alive| alive);
        let lit = self.links.iter().filter(|(_, lit)| **lit);
        let mut needed = needed.chain(lit.map(|(link, _)| link.as_str()));
        neighbour && !needed.any(|link| self.dark.contains(link))
    }

    /// Whether a router hears this node, if it is meant to be heard at all.
    pub fn heard(&self) -> bool {
        self.neighbours.is_empty() || self.neighbours.values().any(|n| n.established)
    }

    /// When the patience with a session ends.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let waiting =
            self.neighbours
                .values()
                .filter_map(|neighbour| match neighbour.bfd {
                    Some(Liveness::Waiting(until)) if until > now => Some(until),
                    Some(Liveness::Waiting(_) | Liveness::Up | Liveness::Down | Liveness::TakenDown)
                    | None => None,
                });
        waiting.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> SessionKey {
        "10.0.11.1".parse().unwrap()
    }

    fn other() -> SessionKey {
        "10.0.12.1".parse().unwrap()
    }

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
        uplinks.put_neighbour(router(), true, now);
        assert!(uplinks.alive(none(), now));
        assert_eq!(uplinks.poll_timeout(now), Some(now + PATIENCE));
        assert!(!uplinks.alive(none(), now + PATIENCE));
        assert_eq!(uplinks.poll_timeout(now + PATIENCE), None);
    }

    #[test]
    fn one_live_neighbour_is_enough() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        uplinks.put_neighbour(router(), true, now);
        uplinks.put_neighbour(other(), true, now);
        uplinks.set_neighbour(&router(), Verdict::Down);
        uplinks.set_neighbour(&other(), Verdict::Up);
        assert!(uplinks.alive(none(), now + PATIENCE));
        uplinks.set_neighbour(&other(), Verdict::Down);
        assert!(!uplinks.alive(none(), now));
        uplinks.remove_neighbour(&router());
        uplinks.remove_neighbour(&other());
        assert!(uplinks.alive(none(), now), "no neighbour is watched any more");
    }

    #[test]
    fn a_session_that_the_neighbour_has_taken_down_leaves_it_to_bgp() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        uplinks.put_neighbour(router(), true, now);
        uplinks.set_established(&router(), true);
        uplinks.set_neighbour(&router(), Verdict::Up);
        uplinks.set_neighbour(&router(), Verdict::TakenDown);
        assert!(uplinks.alive(none(), now), "BGP is up");
        uplinks.set_established(&router(), false);
        assert!(!uplinks.alive(none(), now));
        uplinks.set_established(&router(), true);
        uplinks.set_neighbour(&router(), Verdict::Up);
        uplinks.set_neighbour(&router(), Verdict::Down);
        assert!(!uplinks.alive(none(), now), "BGP notices later than BFD");
    }

    #[test]
    fn a_link_of_the_data_path_counts_once_it_has_had_carrier() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        uplinks.put_link("eth1".to_owned());
        uplinks.set_carrier("eth1", false);
        assert!(uplinks.alive(none(), now), "not connected yet");
        uplinks.set_carrier("eth1", true);
        assert!(uplinks.alive(none(), now));
        uplinks.set_carrier("eth1", false);
        assert!(!uplinks.alive(none(), now));
        uplinks.set_carrier("eth1", true);
        assert!(uplinks.alive(none(), now));
    }

    #[test]
    fn one_established_session_is_enough_to_be_heard() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        assert!(uplinks.heard(), "no neighbour is configured");
        uplinks.put_neighbour(router(), false, now);
        uplinks.put_neighbour(other(), true, now);
        assert!(!uplinks.heard());
        uplinks.set_established(&other(), true);
        assert!(uplinks.heard());
        uplinks.set_established(&other(), false);
        assert!(!uplinks.heard());
    }

    #[test]
    fn a_neighbour_without_bfd_is_no_evidence() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        uplinks.put_neighbour(router(), false, now);
        assert!(uplinks.alive(none(), now));
        assert_eq!(uplinks.poll_timeout(now), None);
        uplinks.put_neighbour(other(), true, now);
        uplinks.set_neighbour(&other(), Verdict::Down);
        assert!(!uplinks.alive(none(), now));
        uplinks.put_neighbour(other(), false, now);
        assert!(uplinks.alive(none(), now));
    }

    #[test]
    fn a_session_is_that_of_the_neighbour_on_its_link() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        let key = |name: &str| name.parse::<SessionKey>().unwrap();
        uplinks.put_neighbour(key("fe80::1%eth1"), true, now);
        uplinks.set_neighbour(&key("fe80::1%eth2"), Verdict::Down);
        assert!(
            uplinks.alive(none(), now),
            "somebody else has the same address elsewhere"
        );
        uplinks.set_neighbour(&key("fe80::1%eth1"), Verdict::Down);
        assert!(!uplinks.alive(none(), now));
        uplinks.put_neighbour(router(), true, now);
        uplinks.set_neighbour(&key("10.0.11.1%eth1"), Verdict::Up);
        assert!(uplinks.alive(none(), now), "who names no interface takes any");
    }
}

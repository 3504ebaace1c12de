//! Whether this node can serve: a neighbour towards the clients is alive, and the links it needs carry. And whether
//! it is heard: a BGP session is established.
//!
//! For the first, neighbours count only when BFD watches them. A session that has not come up yet is given a moment after
//! the start before it counts as dead, so that a starting node does not call itself faulty. One that the neighbour has
//! taken down on purpose says nothing about the path (RFC 5882 section 4.2): BGP alone tells then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::bfd_thread::Verdict;
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

/// `None`: a verdict that changes nothing here. A session that is held back stays what it was.
fn liveness(verdict: Verdict, now: Instant) -> Option<Liveness> {
    match verdict {
        Verdict::Up => Some(Liveness::Up),
        Verdict::Held => None,
        Verdict::Down => Some(Liveness::Down),
        Verdict::TakenDown | Verdict::Disabled => Some(Liveness::TakenDown),
        Verdict::Gone => Some(Liveness::Waiting(now + PATIENCE)),
    }
}

/// Knows the neighbours and the links; decides nothing else.
#[derive(Default)]
pub struct Uplinks {
    /// Named as their BFD sessions would be. `None`: BFD does not watch it.
    neighbours: BTreeMap<SessionKey, Option<Liveness>>,
    /// Those with an established BGP session, whether they are known here (yet) or not.
    established: BTreeSet<SessionKey>,
    /// What is known of each session, whoever it watches.
    sessions: BTreeMap<SessionKey, Liveness>,
    /// Names of links that are known to be without carrier.
    dark: BTreeSet<String>,
    /// The links of the data path, and whether each has ever had carrier: one that never had is not connected yet.
    links: BTreeMap<String, bool>,
}

impl Uplinks {
    /// A neighbour, and whether BFD watches it. What is known of it stays.
    pub fn put_neighbour(&mut self, neighbour: SessionKey, bfd: bool, now: Instant) {
        let known = self.neighbours.get(&neighbour).copied().flatten();
        // It may have been watched before, as somebody else's.
        let told = || {
            self.sessions
                .iter()
                .find(|(session, _)| session.serves(&neighbour))
        };
        let known = known.or_else(|| told().map(|(_, liveness)| *liveness));
        let liveness = bfd.then(|| known.unwrap_or(Liveness::Waiting(now + PATIENCE)));
        self.neighbours.insert(neighbour, liveness);
    }

    pub fn remove_neighbour(&mut self, neighbour: &SessionKey) {
        self.neighbours.remove(neighbour);
    }

    /// A BFD session changed.
    pub fn set_neighbour(&mut self, session: &SessionKey, verdict: Verdict, now: Instant) {
        let Some(liveness) = liveness(verdict, now) else {
            return;
        };
        if verdict == Verdict::Gone {
            self.sessions.remove(session);
        } else {
            self.sessions.insert(session.clone(), liveness);
        }
        let watched = self
            .neighbours
            .iter_mut()
            .filter(|(known, _)| known.serves(session));
        for known in watched.filter_map(|(_, known)| known.as_mut()) {
            *known = liveness;
        }
    }

    /// The neighbour's BGP session is established, or no longer.
    pub fn set_established(&mut self, neighbour: &SessionKey, established: bool) {
        if established {
            self.established.insert(neighbour.clone());
        } else {
            self.established.remove(neighbour);
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
        let watched = self.neighbours.iter().filter_map(|(neighbour, liveness)| {
            Some(match (*liveness)? {
                Liveness::Waiting(until) => until > now,
                Liveness::Up => true,
                Liveness::Down => false,
                Liveness::TakenDown => self.established.contains(neighbour),
            })
        });
        let mut watched = watched.peekable();
        let neighbour = watched.peek().is_none() || watched.any(|alive| alive);
        let lit = self.links.iter().filter(|(_, lit)| **lit);
        let mut needed = needed.chain(lit.map(|(link, _)| link.as_str()));
        neighbour && !needed.any(|link| self.dark.contains(link))
    }

    /// Whether a router hears this node, if it is meant to be heard at all.
    pub fn heard(&self) -> bool {
        let heard = |neighbour| self.established.contains(neighbour);
        self.neighbours.is_empty() || self.neighbours.keys().any(heard)
    }

    /// When the patience with a session ends.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let waiting = self.neighbours.values().filter_map(|liveness| match liveness {
            Some(Liveness::Waiting(until)) if *until > now => Some(*until),
            Some(Liveness::Waiting(_) | Liveness::Up | Liveness::Down | Liveness::TakenDown) | None => None,
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
        uplinks.set_neighbour(&router(), Verdict::Down, now);
        uplinks.set_neighbour(&other(), Verdict::Up, now);
        assert!(uplinks.alive(none(), now + PATIENCE));
        uplinks.set_neighbour(&other(), Verdict::Down, now);
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
        uplinks.set_neighbour(&router(), Verdict::Up, now);
        uplinks.set_neighbour(&router(), Verdict::TakenDown, now);
        assert!(uplinks.alive(none(), now), "BGP is up");
        uplinks.set_established(&router(), false);
        assert!(!uplinks.alive(none(), now));
        uplinks.set_established(&router(), true);
        uplinks.set_neighbour(&router(), Verdict::Up, now);
        uplinks.set_neighbour(&router(), Verdict::Down, now);
        assert!(!uplinks.alive(none(), now), "BGP notices later than BFD");
    }

    /// Its session may have been somebody else's before, and BGP may be older than that.
    #[test]
    fn a_neighbour_that_is_watched_later_is_known() {
        let now = Instant::now();
        let mut uplinks = Uplinks::default();
        uplinks.set_established(&router(), true);
        uplinks.set_neighbour(&router(), Verdict::Up, now);
        uplinks.put_neighbour(router(), true, now);
        assert!(
            uplinks.alive(none(), now + PATIENCE),
            "nobody has to say it again"
        );
        assert!(uplinks.heard());
        uplinks.set_neighbour(&router(), Verdict::Down, now);
        uplinks.set_neighbour(&router(), Verdict::Held, now);
        assert!(!uplinks.alive(none(), now), "held back");
        uplinks.set_neighbour(&router(), Verdict::Disabled, now);
        assert!(uplinks.alive(none(), now), "BGP alone counts");
        uplinks.set_neighbour(&router(), Verdict::Gone, now);
        assert!(uplinks.alive(none(), now) && !uplinks.alive(none(), now + PATIENCE));
        uplinks.put_neighbour(router(), false, now);
        uplinks.put_neighbour(router(), true, now);
        assert_eq!(
            uplinks.poll_timeout(now),
            Some(now + PATIENCE),
            "nothing is known of a session that is gone"
        );
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
        uplinks.set_neighbour(&other(), Verdict::Down, now);
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
        uplinks.set_neighbour(&key("fe80::1%eth2"), Verdict::Down, now);
        assert!(
            uplinks.alive(none(), now),
            "somebody else has the same address elsewhere"
        );
        uplinks.set_neighbour(&key("fe80::1%eth1"), Verdict::Down, now);
        assert!(!uplinks.alive(none(), now));
        uplinks.put_neighbour(router(), true, now);
        uplinks.set_neighbour(&key("10.0.11.1%eth1"), Verdict::Up, now);
        assert!(uplinks.alive(none(), now), "who names no interface takes any");
    }
}

//! Neighbours that are known by their interface: who is at the other end, and a watch for each.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::connection::SocketEvent;
use crate::router_advertisement::{self, Router};

/// A router that was not heard for so long is gone: it advertises every ten seconds.
const SILENT: Duration = Duration::from_secs(12);
/// Routers on one link that are remembered.
const REMEMBERED: usize = 8;

/// The routers on one link. A neighbour is alone there: a second one is refused, because nobody has said which
/// of the two is meant. The first keeps its place while it is heard or its session lives.
#[derive(Debug, Default)]
pub(super) struct Link {
    heard: BTreeMap<Ipv6Addr, Instant>,
    chosen: Option<Router>,
}

/// What follows from an advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The one that is known.
    Known,
    /// Another one is the neighbour now.
    Chosen,
    /// It is not the only one.
    Refused(String),
}

impl Link {
    pub(super) fn chosen(&self) -> Option<&Router> {
        self.chosen.as_ref()
    }

    pub(super) fn hear(&mut self, now: Instant, router: Router, established: bool) -> Heard {
        if self
            .chosen
            .as_ref()
            .is_some_and(|chosen| chosen.scope != router.scope)
        {
            // The interface was made anew: nothing that was known of the old one holds.
            *self = Self::default();
        }
        self.heard
            .retain(|_, at| now.saturating_duration_since(*at) < SILENT);
        let remembered = self.heard.len();
        let is_chosen = self
            .chosen
            .as_ref()
            .is_some_and(|chosen| chosen.address == router.address);
        match self.heard.get_mut(&router.address) {
            Some(at) => *at = now,
            // However many strangers there are, the chosen one is not forgotten for them.
            None if is_chosen || remembered < REMEMBERED => {
                self.heard.insert(router.address, now);
            }
            None => {}
        }
        match &self.chosen {
            Some(chosen) if *chosen == router => Heard::Known,
            Some(chosen) if established || self.heard.contains_key(&chosen.address) => {
                Heard::Refused(format!(
                    "several routers are on the link, {} and {}: the neighbour of an interface has to be alone",
                    chosen.address, router.address
                ))
            }
            Some(_) | None => self.choose(router),
        }
    }

    fn choose(&mut self, router: Router) -> Heard {
        self.chosen = Some(router);
        Heard::Chosen
    }
}

/// The tasks that advertise and listen, by interface.
#[derive(Debug, Default)]
pub(super) struct Watches(BTreeMap<String, AbortHandle>);

impl Watches {
    /// Exactly these interfaces are watched.
    pub(super) fn set<'a>(
        &mut self,
        interfaces: impl Iterator<Item = &'a str>,
        events: &mpsc::Sender<SocketEvent>,
    ) {
        let mut old = std::mem::take(&mut self.0);
        for interface in interfaces {
            let watch = old
                .remove(interface)
                .unwrap_or_else(|| watch(interface, events.clone()));
            self.0.insert(interface.to_owned(), watch);
        }
        for watch in old.into_values() {
            watch.abort();
        }
    }
}

fn watch(interface: &str, events: mpsc::Sender<SocketEvent>) -> AbortHandle {
    let interface = interface.to_owned();
    let tell = {
        let interface = interface.clone();
        move |router| {
            let interface = interface.clone();
            // A queue that is full: the next advertisement comes soon.
            let _ = events.try_send(SocketEvent::Router { interface, router });
        }
    };
    tokio::task::spawn_local(router_advertisement::run(interface, tell)).abort_handle()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(last: u16, scope: u32) -> Router {
        Router {
            address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last),
            scope,
        }
    }

    #[test]
    fn the_first_one_stays_and_a_second_one_is_refused() {
        let mut link = Link::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(link.hear(at(0), router(1, 5), false), Heard::Chosen);
        assert_eq!(link.hear(at(1), router(1, 5), false), Heard::Known);
        assert!(
            matches!(link.hear(at(2), router(2, 5), false), Heard::Refused(reason) if reason.contains("fe80::2"))
        );
        // The first has fallen silent, but its session lives.
        assert!(matches!(link.hear(at(30), router(2, 5), true), Heard::Refused(_)));
        assert_eq!(link.hear(at(31), router(2, 5), false), Heard::Chosen);
        assert_eq!(link.chosen(), Some(&router(2, 5)));
        // The interface was made anew, and with it the other end.
        assert_eq!(link.hear(at(32), router(3, 6), true), Heard::Chosen);
        assert_eq!(link.chosen(), Some(&router(3, 6)));
    }

    #[test]
    fn strangers_do_not_push_the_chosen_one_out() {
        let mut link = Link::default();
        let start = Instant::now();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            if second % 10 == 0 {
                link.hear(now, router(1, 5), false);
            }
            for stranger in 2..20 {
                let heard = link.hear(now, router(stranger, 5), false);
                assert!(matches!(heard, Heard::Refused(_)), "{second}: {heard:?}");
            }
        }
        assert_eq!(link.chosen(), Some(&router(1, 5)));
    }

    #[test]
    fn a_flood_of_routers_costs_nothing() {
        let mut link = Link::default();
        let now = Instant::now();
        for last in 1..10_000 {
            link.hear(now, router(last, 5), false);
        }
        assert!(link.heard.len() <= REMEMBERED + 1);
        assert_eq!(link.chosen(), Some(&router(1, 5)));
    }
}

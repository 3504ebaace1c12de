//! What is known about one peer: is it alive, and what did it say last.

use std::time::{Duration, Instant};

use crate::elect::Candidate;
use crate::hello::Hello;
use crate::status::{Liveness, PeerStatus};

/// Past incarnations that are remembered so that their late hellos are refused.
const PAST_BOOTS: usize = 8;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    liveness: Liveness,
    /// While liveness is `Hello`: silence until then counts as death.
    expires: Option<Instant>,
    hello: Option<Hello>,
    /// The last accepted hello; outlives `hello`.
    last: Option<Last>,
    past: Vec<u64>,
    /// Since when the peer lives without having said what it is.
    mute_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    boot: u64,
    sequence: u64,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Accepted {
        new_boot: bool,
    },
    Old,
    /// BFD says that the peer is dead: what still trickles in was sent before it died.
    Dead,
}

impl Peer {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            liveness: Liveness::Unseen,
            expires: None,
            hello: None,
            last: None,
            past: Vec::new(),
            mute_since: None,
        }
    }

    pub(crate) fn alive(&self) -> bool {
        matches!(self.liveness, Liveness::Hello | Liveness::Up)
    }

    pub(crate) fn unseen(&self) -> bool {
        self.liveness == Liveness::Unseen
    }

    /// Alive, but did not say yet what it is.
    pub(crate) fn mute(&self) -> bool {
        self.alive() && self.hello.is_none()
    }

    /// To be called once a turn.
    pub(crate) fn watch_silence(&mut self, now: Instant) {
        self.mute_since = self.mute().then(|| self.mute_since.unwrap_or(now));
    }

    pub(crate) fn mute_for(&self, now: Instant, time: Duration) -> bool {
        self.mute_since.is_some_and(|since| now >= since + time)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.expires
    }

    pub(crate) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    pub(crate) fn up(&mut self) {
        self.liveness = Liveness::Up;
        self.expires = None;
    }

    /// Returns whether that was news.
    pub(crate) fn down(&mut self) -> bool {
        let was_up = self.liveness == Liveness::Up;
        if was_up {
            self.liveness = Liveness::Down;
            self.hello = None;
        }
        was_up
    }

    /// Forgets what was said, not that it was said: only a newer hello counts from here.
    pub(crate) fn forget(&mut self) {
        self.hello = None;
        self.mute_since = None;
    }

    pub(crate) fn heard(&mut self, now: Instant, hello: Hello, dead_after: Duration) -> Heard {
        if self.liveness == Liveness::Down {
            return Heard::Dead;
        }
        let (boot, sequence) = (hello.boot, hello.sequence);
        let last = self.last.replace(Last {
            boot,
            sequence,
            at: now,
        });
        let new_boot = last.is_none_or(|last| last.boot != boot);
        if let Some(last) = last {
            // Boots have no order: should a late hello have been taken for a new incarnation, its silence tells.
            let speaking = now < last.at + dead_after;
            if (!new_boot && sequence <= last.sequence) || (new_boot && speaking && self.past.contains(&boot))
            {
                self.last = Some(last);
                return Heard::Old;
            }
            if new_boot {
                self.past.retain(|&past| past != boot);
                if self.past.len() >= PAST_BOOTS {
                    self.past.remove(0);
                }
                self.past.push(last.boot);
            }
        }
        self.hello = Some(hello);
        if self.liveness != Liveness::Up {
            self.liveness = Liveness::Hello;
            self.expires = Some(now + dead_after);
        }
        Heard::Accepted { new_boot }
    }

    /// Returns whether the peer just died of silence.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let expired = self.expires.is_some_and(|at| now >= at);
        if expired {
            self.expires = None;
            self.hello = None;
            self.liveness = Liveness::Unseen;
        }
        expired
    }

    /// `None`: not alive, has not spoken, or takes no part in the instance.
    pub(crate) fn candidate(&self, instance: &str) -> Option<Candidate<'_>> {
        let hello = self.hello.as_ref().filter(|_| self.alive())?;
        let said = hello.instance(instance)?;
        Some(Candidate {
            name: &self.name,
            priority: said.priority,
            uplink: hello.uplink,
            announces: hello.announces,
            draining: hello.draining,
            standing: said.standing,
            holds: said.holds,
        })
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let roles = self.hello.iter().flat_map(|h| &h.instances);
        PeerStatus {
            node: self.name.clone(),
            liveness: self.liveness,
            boot: self.last.map(|last| last.boot),
            draining: self.hello.as_ref().is_some_and(|h| h.draining),
            uplink: self.hello.as_ref().is_some_and(|h| h.uplink),
            roles: roles.map(|i| (i.name.clone(), i.role, i.holds)).collect(),
        }
    }
}

//! What BFD says about the neighbours, and the sessions that only this driver can ask for.
//!
//! A verdict names a session by its address and, where it is known, its interface: a link-local address is another
//! neighbour's on each link. It may come before the neighbour does. A neighbour that has no address in the
//! configuration, because it is found by its interface or has come from a range, has its session from here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp::{Input, PeerId};

use super::FoundSink;
use super::driver::Driver;
use crate::bfd_thread::Verdict;
use crate::desired::{Found, SessionKey};

pub(super) struct Bfd {
    /// The last word about each session.
    verdicts: BTreeMap<SessionKey, Verdict>,
    /// Neighbours that have their session from here.
    found: BTreeMap<PeerId, Found>,
    tell: FoundSink,
    /// Verdicts that the speaker has to hear.
    pub(super) due: Vec<(PeerId, Verdict)>,
}

impl Bfd {
    pub(super) fn new(tell: FoundSink) -> Self {
        Bfd {
            verdicts: BTreeMap::new(),
            found: BTreeMap::new(),
            tell,
            due: Vec::new(),
        }
    }

    fn about(&self, session: &SessionKey) -> Option<Verdict> {
        let exact = self.verdicts.get(session);
        let served = || self.verdicts.iter().find(|(known, _)| known.serves(session));
        exact.or_else(|| served().map(|(_, verdict)| verdict)).copied()
    }

    /// The session is gone, and with it what was said.
    fn forget(&mut self, session: &SessionKey) {
        self.verdicts.retain(|known, _| !known.serves(session));
    }
}

/// What the speaker is told. A session that an operator has switched off, or that is gone, is as if it had never been.
pub(super) fn input<'a>(peer: PeerId, verdict: Verdict) -> Input<'a> {
    match verdict {
        Verdict::Up => Input::BfdUp(peer),
        Verdict::Held => Input::BfdHeld(peer),
        Verdict::Down | Verdict::TakenDown => Input::BfdDown(peer),
        Verdict::Disabled | Verdict::Gone => Input::BfdForgotten(peer),
    }
}

impl Driver {
    /// A verdict, for everybody whose session it is. It is kept as long as there is the session: who watches it later has to
    /// know.
    pub(super) fn judge(&mut self, session: SessionKey, verdict: Verdict) {
        let is_its = |id: &PeerId| {
            self.neighbors
                .session(*id)
                .is_some_and(|own| own.serves(&session))
        };
        let judged: Vec<PeerId> = self.neighbors.watched().filter(is_its).collect();
        match verdict {
            Verdict::Gone => drop(self.bfd.verdicts.remove(&session)),
            Verdict::Up | Verdict::Held | Verdict::Down | Verdict::TakenDown | Verdict::Disabled => {
                self.bfd.verdicts.insert(session, verdict);
            }
        }
        for id in judged {
            self.handle(input(id, verdict));
        }
    }

    pub(super) fn verdict(&self, id: PeerId) -> Option<Verdict> {
        self.bfd.about(&self.neighbors.session(id)?)
    }

    /// A neighbour has come from a range, or is gone.
    pub(super) fn guest(&mut self, id: PeerId, address: IpAddr, present: bool) {
        if present {
            self.neighbors.dynamic(id, address, true);
            let watched = self.neighbors.watched().any(|watched| watched == id);
            let known = self.verdict(id).filter(|_| watched);
            self.bfd.due.extend(known.map(|verdict| (id, verdict)));
        } else {
            self.neighbors.dynamic(id, address, false);
        }
        self.look_for_session(id);
    }

    /// Asks for the session of a neighbour that the configuration cannot name, once, and takes it back when it is not
    /// wanted any more.
    pub(super) fn look_for_session(&mut self, id: PeerId) {
        let wanted = self.neighbors.found(id);
        let bfd = &mut self.bfd;
        if bfd.found.get(&id) == wanted.as_ref() {
            return;
        }
        if let Some(gone) = bfd.found.remove(&id) {
            bfd.forget(&gone.session());
            (bfd.tell)(gone, false);
        }
        if let Some(wanted) = wanted {
            bfd.found.insert(id, wanted.clone());
            (bfd.tell)(wanted, true);
        }
    }
}

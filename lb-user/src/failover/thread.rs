//! The loop around the election: one input at a time, its outputs executed before the next.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ha::{Cause, Election, Hello, Input, InstanceConfig, InstanceId, Liveness, Output, Role, Timing};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::announcer::Announcer;
use super::holder::{Holder, Placed};
use super::inbox::Queues;
use super::interfaces;
use super::status::{self, Observed};
use super::uplink::Uplinks;
use super::{Command, Drained, HelloSink, Setup, StartError, news, placed_vips};
use crate::bfd_thread::{Change, News, Verdict};
use crate::bgp_driver::{self, BgpHandle};
use crate::desired::{HaPeer, Instance, SessionKey};
use crate::status::StatusBoard;
use crate::timeline::{Timeline, moment_of};

/// The status is published at least this often.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a link to a peer that is dark holds the start back, and how often it is looked at.
const LINK_PATIENCE: Duration = Duration::from_secs(10);
/// How long the session of a peer may take to come up that replaces another one.
const SUCCESSION: Duration = Duration::from_secs(5);
const LINK_LOOK: Duration = Duration::from_millis(100);

pub(super) struct Failover {
    election: Election,
    holder: Holder,
    uplinks: Uplinks,
    /// The last verdict that the election was told; it assumes `true`.
    uplink: bool,
    /// Whether a router hears this node, likewise.
    heard: bool,
    /// In the order of the election's ids.
    instances: Vec<Instance>,
    /// BFD sessions that are up and do not count yet, since when.
    held: BTreeMap<SessionKey, Instant>,
    /// Peers whose session was removed, and until when another one may come up.
    vanished: BTreeMap<String, Instant>,
    /// By the address of the BFD session.
    peers: BTreeMap<IpAddr, HaPeer>,
    announcer: Announcer,
    observed: Observed,
    bgp: BgpHandle,
    hello: HelloSink,
    /// Who waits for the end of the drain.
    waiting: Vec<oneshot::Sender<Drained>>,
    /// Listening, but the link to a peer may be dark until then.
    waits_for_link: Option<Instant>,
    stopped: bool,
    timeline: Timeline,
    board: StatusBoard,
    publish_at: Instant,
}

impl Failover {
    pub(super) fn new(setup: Setup, holder: Holder) -> Result<Self, StartError> {
        let now = Instant::now();
        let instances = setup.instances.iter().map(|instance| InstanceConfig {
            name: instance.name.clone(),
            priority: instance.priority,
            preempt: instance.preempt,
        });
        let config = ha::Config {
            node: setup.node,
            boot: setup.boot,
            peers: setup.peers.iter().map(|peer| peer.name.clone()).collect(),
            instances: instances.collect(),
            timing: Timing::default(),
        };
        let mut uplinks = Uplinks::default();
        for (neighbour, bfd) in setup.neighbours {
            uplinks.put_neighbour(neighbour, bfd, now);
        }
        for link in setup.links {
            uplinks.put_link(link);
        }
        Ok(Self {
            election: Election::new(now, config)?,
            holder,
            uplinks,
            uplink: true,
            heard: true,
            announcer: Announcer::new(),
            observed: Observed::new(now, &setup.instances),
            instances: setup.instances,
            peers: setup.peers.into_iter().map(|peer| (peer.address, peer)).collect(),
            held: BTreeMap::new(),
            vanished: BTreeMap::new(),
            bgp: setup.bgp,
            hello: setup.hello,
            waiting: Vec::new(),
            waits_for_link: None,
            stopped: false,
            timeline: setup.timeline,
            board: setup.board,
            publish_at: now,
        })
    }

    pub(super) fn run(mut self, mut queues: Queues) {
        self.execute();
        while !self.stopped && !queues.abandoned() {
            let command = queues.next(self.deadline());
            let news = command.is_some();
            if let Some(command) = command {
                self.command(command);
            }
            let now = Instant::now();
            self.judge_vanished(now);
            self.judge_uplink(now);
            self.judge_heard();
            self.listen(now);
            if self.election.poll_timeout().is_some_and(|due| due <= now) {
                self.handle(Input::Timeout);
            }
            self.announce();
            self.holder.repeat(now);
            if news || self.publish_at <= now {
                self.publish(now);
            }
        }
    }

    fn deadline(&self) -> Instant {
        let uplinks = self.uplinks.poll_timeout(Instant::now());
        [
            self.election.poll_timeout(),
            self.holder.poll_timeout(),
            self.announcer.poll_timeout(),
            uplinks,
            self.vanished.values().min().copied(),
            self.waits_for_link
                .map(|until| until.min(Instant::now() + LINK_LOOK)),
        ]
        .into_iter()
        .flatten()
        .fold(self.publish_at, Instant::min)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Bfd(change) => self.bfd(&change),
            Command::PeerHello(bytes) => match Hello::decode(&bytes) {
                Ok(hello) => {
                    self.observed.heard(&hello.node, Instant::now());
                    self.handle(Input::PeerHello(hello));
                    self.word_of_the_peer();
                }
                Err(error) => warn!(%error, "malformed hello"),
            },
            Command::CaughtUp(caught_up) => {
                self.timeline
                    .record("caught-up", [("caught_up", caught_up.into())]);
                self.handle(Input::CaughtUp(caught_up));
                self.word_of_the_peer();
            }
            Command::Carrier { name, up } => {
                self.uplinks.set_carrier(&name, up);
                // The loss first; what is held is put right afterwards.
                self.judge_uplink(Instant::now());
                self.holder.link_changed(&name, up, Instant::now());
            }
            Command::PutAddresses { instance, placed } => self.put_addresses(&instance, placed),
            Command::RemoveVips(vips) => self.remove_vips(&vips),
            Command::PutNeighbour { neighbour, bfd } => {
                self.uplinks.put_neighbour(neighbour, bfd, Instant::now());
            }
            Command::RemoveNeighbour(neighbour) => self.uplinks.remove_neighbour(&neighbour),
            Command::Established {
                neighbour,
                established,
            } => self.uplinks.set_established(&neighbour, established),
            Command::Listening => {
                self.waits_for_link = Some(Instant::now() + LINK_PATIENCE);
            }
            Command::Stop(end) => self.stop(end),
            Command::Drain => self.drain(),
            Command::DrainAndTell(end) => {
                self.waiting.push(end);
                self.drain();
            }
            Command::Undrain => {
                self.timeline.record("undrain", []);
                self.handle(Input::Undrain);
            }
        }
    }

    /// The peers have been told that this node goes, and claim: an address that stayed would answer beside theirs.
    /// A lone node keeps them for its successor, so that a restart costs nothing.
    fn stop(&mut self, end: oneshot::Sender<()>) {
        for (index, instance) in self
            .instances
            .iter()
            .enumerate()
            .filter(|_| !self.peers.is_empty())
        {
            let released = self.holder.release(u32::try_from(index).unwrap_or(u32::MAX));
            self.record_addresses("address-released", &instance.name, &released);
        }
        self.stopped = true;
        let _ = end.send(());
    }

    /// The start hold begins when peers can be heard: not while the link to them is still coming up, within reason.
    fn listen(&mut self, now: Instant) {
        let Some(until) = self.waits_for_link else { return };
        let dark = |peer: &HaPeer| {
            let link = interfaces::holding(peer.local);
            link.is_none_or(|link| self.uplinks.is_dark(&link))
        };
        if now >= until || !self.peers.values().any(dark) {
            self.waits_for_link = None;
            self.handle(Input::Listening);
        }
    }

    fn drain(&mut self) {
        self.timeline.record("drain", []);
        self.handle(Input::Drain);
    }

    fn bfd(&mut self, change: &Change) {
        let session = &*change.key;
        // What strangers start is nobody's: an address alone, on whichever link, is no proof of anything.
        if let Some(verdict) = change.news.verdict().filter(|_| !change.unsolicited) {
            self.bfd_verdict(session, verdict);
        }
        let at = moment_of(change.at);
        let state = match &change.news {
            News::State(state) => state,
            News::Usable => {
                let since = self.held.remove(session).unwrap_or(change.at);
                let held = change.at.saturating_duration_since(since);
                let mut fields = news::session_fields(session);
                fields.push((
                    "held_ms",
                    u64::try_from(held.as_millis()).unwrap_or(u64::MAX).into(),
                ));
                self.timeline.record_at(at, "bfd-usable", fields);
                info!(%session, ?held, "BFD: usable again");
                return;
            }
            News::Gone => {
                self.held.remove(session);
                self.timeline
                    .record_at(at, "bfd-removed", news::session_fields(session));
                return;
            }
        };
        self.timeline
            .record_at(at, "bfd-state", news::state_fields(session, state));
        if news::is_held(state) {
            self.held.insert(session.clone(), change.at);
            self.timeline
                .record_at(at, "bfd-flap", news::session_fields(session));
        } else {
            self.held.remove(session);
        }
        info!(
            %session,
            from = news::word(state.from),
            to = news::word(state.to),
            usable = state.usable,
            diagnostic = %state.diagnostic,
            "BFD"
        );
    }

    fn bfd_verdict(&mut self, session: &SessionKey, verdict: Verdict) {
        // A peer has one address, on whichever link.
        if let Some(node) = self.peers.get(&session.remote).map(|peer| peer.name.clone()) {
            self.peer_verdict(node, verdict);
        }
        if verdict != Verdict::TakenDown {
            let session = session.clone();
            self.bgp.send(bgp_driver::Command::Bfd { session, verdict });
        }
        self.uplinks.set_neighbour(session, verdict, Instant::now());
    }

    /// A peer lives as soon as its session is Up: to hold it back would only prolong a split brain. A session that is
    /// replaced says nothing until its successor has had time to come up.
    fn peer_verdict(&mut self, node: String, verdict: Verdict) {
        self.vanished.remove(&node);
        match verdict {
            Verdict::Up | Verdict::Held => self.handle(Input::PeerUp { node: &node }),
            Verdict::Down | Verdict::TakenDown | Verdict::Disabled => {
                self.handle(Input::PeerDown { node: &node });
            }
            Verdict::Gone => drop(self.vanished.insert(node, Instant::now() + SUCCESSION)),
        }
    }

    /// Peers whose session is gone, and has no successor that came up.
    fn judge_vanished(&mut self, now: Instant) {
        while let Some(node) = self
            .vanished
            .iter()
            .find(|(_, until)| **until <= now)
            .map(|(node, _)| node.clone())
        {
            self.vanished.remove(&node);
            self.handle(Input::PeerDown { node: &node });
        }
    }

    fn judge_uplink(&mut self, now: Instant) {
        let alive = self.uplinks.alive(self.holder.interfaces_needed(), now);
        if alive != self.uplink {
            self.uplink = alive;
            self.timeline.record("uplink", [("alive", alive.into())]);
            let unseen = self
                .election
                .status()
                .peers
                .iter()
                .any(|peer| peer.liveness != Liveness::Up);
            self.announcer.set_able(alive, unseen, now);
            self.handle(Input::Uplink(alive));
        }
    }

    fn judge_heard(&mut self) {
        let heard = self.uplinks.heard();
        if heard != self.heard {
            self.heard = heard;
            self.timeline.record("heard", [("by_a_router", heard.into())]);
            self.handle(Input::Announces(heard));
        }
    }

    /// Hellos come in order with the flows: whoever is caught up and hears one knows what the peer did before.
    fn word_of_the_peer(&mut self) {
        if self.election.status().caught_up {
            self.announcer.caught_up();
        }
    }

    fn put_addresses(&mut self, instance: &str, placed: Vec<Placed>) {
        let Some(index) = self.instances.iter().position(|known| known.name == instance) else {
            return;
        };
        let id = u32::try_from(index).unwrap_or(u32::MAX);
        self.holder.put(id, placed, Instant::now());
        // A lone node claims them in a moment anyway.
        if !self.holder.holds(id) && !self.peers.is_empty() {
            // What an earlier run left behind would answer for an address that a peer holds.
            let left = self.holder.release(id);
            self.record_addresses("address-released", instance, &left);
        }
    }

    fn remove_vips(&mut self, vips: &[IpAddr]) {
        for instance in &self.instances {
            let removed = self.holder.give_up(&placed_vips(instance, vips));
            self.record_addresses("address-released", &instance.name, &removed);
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.election.handle(Instant::now(), input);
        self.execute();
    }

    /// Drains the election. The order is the election's: what moves traffic comes first.
    fn execute(&mut self) {
        while let Some(output) = self.election.poll_output() {
            match output {
                Output::Claim { instance } => {
                    let claimed = self.holder.claim(instance.0, Instant::now());
                    let name = self.name_of(instance);
                    self.record_addresses("address-claimed", &name, &claimed);
                }
                Output::Announce { instance, role } => {
                    self.announcer.set_role(instance, role);
                    self.announce();
                }
                Output::Release { instance } => {
                    let released = self.holder.release(instance.0);
                    let name = self.name_of(instance);
                    self.record_addresses("address-released", &name, &released);
                }
                Output::SendHello(hello) => (self.hello)(hello.encode()),
                Output::RoleChanged {
                    instance,
                    from,
                    to,
                    cause,
                } => {
                    self.role_changed(instance, from, to, cause);
                }
                Output::Drained { complete } => {
                    self.timeline.record("drained", [("complete", complete.into())]);
                    let state = if complete {
                        Drained::Complete
                    } else {
                        Drained::Alone
                    };
                    for waiting in self.waiting.drain(..) {
                        // Whoever does not wait any longer does not matter.
                        let _ = waiting.send(state);
                    }
                }
            }
        }
    }

    /// Tells the speaker what has changed of what this node asks for.
    fn announce(&mut self) {
        for (instance, preference) in self.announcer.changes(Instant::now()) {
            if let Some(instance) = self.instance(instance).map(|instance| instance.id) {
                self.bgp
                    .send(bgp_driver::Command::SetRole { instance, preference });
            }
        }
    }

    fn role_changed(&mut self, instance: InstanceId, from: Role, to: Role, cause: Cause) {
        let name = self.name_of(instance);
        self.observed.role_changed(instance, Instant::now());
        self.timeline.record(
            "role-changed",
            [
                ("instance", name.clone().into()),
                ("from", from.name().into()),
                ("to", to.name().into()),
                ("cause", cause.name().into()),
            ],
        );
        info!(instance = name, %from, %to, %cause, "role changed");
    }

    fn record_addresses(&self, kind: &str, instance: &str, addresses: &[Placed]) {
        for placed in addresses {
            self.timeline.record(
                kind,
                [
                    ("instance", instance.into()),
                    ("address", placed.to_string().into()),
                ],
            );
        }
    }

    fn publish(&mut self, now: Instant) {
        self.publish_at = now + STATUS_INTERVAL;
        let status = status::ha(
            &self.election.status(),
            &self.observed,
            &self.peers,
            &self.holder,
            now,
        );
        self.board.ha.publish(status);
    }

    fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(usize::try_from(id.0).ok()?)
    }

    fn name_of(&self, id: InstanceId) -> String {
        self.instance(id)
            .map(|instance| instance.name.clone())
            .unwrap_or_default()
    }
}

//! The election of one node over all its instances: state, timers and the order of what is to be done.

use std::collections::VecDeque;
use std::time::Instant;

use crate::config::{Config, ConfigError, InstanceConfig, Timing, check};
use crate::drain::Drain;
use crate::elect::{self, Candidate, Gate, Hold};
use crate::event::{Input, InstanceId, Output};
use crate::hello::{Hello, InstanceHello};
use crate::peer::{Heard, Peer};
use crate::role::{Cause, Role, Standing};
use crate::status::{Counters, InstanceStatus, Status};

#[derive(Debug)]
struct Instance {
    config: InstanceConfig,
    role: Role,
    holds: bool,
    standing: Standing,
    cause: Cause,
}

/// Whether a peer that has not been seen may still turn up.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// It could not be seen yet.
    Deaf,
    Hold(Instant),
    Over,
}

#[derive(Debug)]
pub struct Election {
    node: String,
    boot: u64,
    timing: Timing,
    instances: Vec<Instance>,
    peers: Vec<Peer>,
    caught_up: bool,
    uplink: bool,
    announces: bool,
    drain: Option<Drain>,
    start: Start,
    /// After a freeze, until then `caught_up` may be older than the freeze.
    doubt: Option<Instant>,
    next_hello: Instant,
    sequence: u64,
    /// The last one sent, to tell whether there is news.
    told: Option<Hello>,
    turn: Vec<Output>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Election {
    /// All instances start as `Joining`; the first outputs announce that.
    pub fn new(now: Instant, config: Config) -> Result<Self, ConfigError> {
        check(&config)?;
        let Config {
            node,
            boot,
            peers,
            instances,
            timing,
        } = config;
        let start = if peers.is_empty() {
            Start::Hold(now + timing.lone_hold)
        } else {
            Start::Deaf
        };
        let instances = instances.into_iter().map(|config| Instance {
            config,
            role: Role::Joining,
            holds: false,
            standing: Standing::Fresh,
            cause: Cause::Start,
        });
        let mut election = Self {
            node,
            boot,
            timing,
            instances: instances.collect(),
            peers: peers.into_iter().map(Peer::new).collect(),
            caught_up: false,
            uplink: true,
            announces: true,
            drain: None,
            start,
            doubt: None,
            next_hello: now,
            sequence: 0,
            told: None,
            turn: Vec::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
        };
        for index in 0..election.instances.len() {
            election.turn.push(Output::Announce {
                instance: id(index),
                role: Role::Joining,
            });
        }
        election.tell(now, true);
        election.flush();
        Ok(election)
    }

    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.notice_freeze(now);
        self.pass_hold(now);
        let (trigger, answer) = self.absorb(now, input);
        let expired = self
            .peers
            .iter_mut()
            .fold(false, |any, peer| peer.expire(now) | any);
        let trigger = if expired { Cause::PeerLost } else { trigger };
        self.peers.iter_mut().for_each(|peer| peer.watch_silence(now));
        for index in 0..self.instances.len() {
            self.settle(now, index, trigger);
        }
        self.watch_drain(now);
        self.tell(now, answer);
        self.flush();
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let drain = self.drain.as_ref().and_then(|d| d.deadline(self.next_hello));
        let peers = self.peers.iter().filter_map(Peer::deadline);
        let hello = (!self.peers.is_empty()).then_some(self.next_hello);
        let hold = match self.start {
            Start::Hold(until) => Some(until),
            Start::Deaf | Start::Over => None,
        };
        [hold, self.doubt, drain, hello]
            .into_iter()
            .flatten()
            .chain(peers)
            .min()
    }

    pub fn instance_name(&self, instance: InstanceId) -> Option<&str> {
        let index = usize::try_from(instance.0).ok()?;
        self.instances.get(index).map(|i| i.config.name.as_str())
    }

    pub fn status(&self) -> Status {
        let instances = self
            .instances
            .iter()
            .enumerate()
            .map(|(index, i)| InstanceStatus {
                instance: id(index),
                name: i.config.name.clone(),
                priority: i.config.priority,
                preempt: i.config.preempt,
                role: i.role,
                holds: i.holds,
                standing: i.standing,
                cause: i.cause,
            });
        Status {
            node: self.node.clone(),
            boot: self.boot,
            draining: self.drain.is_some(),
            drained: self.drain.is_some() && self.taken_over(),
            uplink: self.uplink,
            caught_up: self.caught_up,
            instances: instances.collect(),
            peers: self.peers.iter().map(Peer::status).collect(),
            counters: self.counters,
        }
    }

    /// A node that slept past its own deadlines must not insist on the role it had (a peer has seen it dead).
    fn notice_freeze(&mut self, now: Instant) {
        let due = (!self.peers.is_empty()).then_some(self.next_hello + self.timing.freeze);
        if due.is_some_and(|due| now > due) {
            self.counters.freezes += 1;
            self.doubt = Some(now + self.timing.hello_dead);
            for instance in &mut self.instances {
                instance.standing = instance.standing.min(Standing::Stale);
            }
            self.peers.iter_mut().for_each(Peer::forget);
        }
        if self.doubt.is_some_and(|until| now >= until) {
            self.doubt = None;
        }
    }

    fn pass_hold(&mut self, now: Instant) {
        if matches!(self.start, Start::Hold(until) if now >= until) {
            self.start = Start::Over;
        }
    }

    /// Takes the input in; returns the cause of what may follow, and whether the peers should hear a hello at once.
    fn absorb(&mut self, now: Instant, input: Input<'_>) -> (Cause, bool) {
        match input {
            Input::PeerUp { node } => {
                let peer = self.peers.iter_mut().find(|p| p.name == node);
                (Cause::PeerChanged, peer.map(Peer::up).is_some())
            }
            Input::PeerDown { node } => {
                let peer = self.peers.iter_mut().find(|p| p.name == node);
                let lost = peer.is_some_and(Peer::down);
                (if lost { Cause::PeerLost } else { Cause::PeerChanged }, false)
            }
            Input::PeerHello(hello) => (Cause::PeerChanged, self.hear(now, hello)),
            Input::CaughtUp(caught_up) => {
                self.caught_up = caught_up;
                (
                    if caught_up {
                        Cause::CaughtUp
                    } else {
                        Cause::SyncLost
                    },
                    false,
                )
            }
            Input::Uplink(uplink) => {
                self.uplink = uplink;
                (
                    if uplink {
                        Cause::UplinkRestored
                    } else {
                        Cause::UplinkLost
                    },
                    false,
                )
            }
            Input::Announces(announces) => {
                self.announces = announces;
                let cause = if announces {
                    Cause::RouterFound
                } else {
                    Cause::RoutersLost
                };
                (cause, false)
            }
            Input::Listening => {
                if matches!(self.start, Start::Deaf) {
                    self.start = Start::Hold(now + self.timing.start_hold);
                }
                (Cause::PeerSilent, false)
            }
            Input::Drain => {
                let timing = &self.timing;
                self.drain
                    .get_or_insert_with(|| Drain::new(now, timing))
                    .ask_again(now, timing);
                (Cause::Drain, false)
            }
            Input::Undrain => {
                self.drain = None;
                (Cause::Undrain, false)
            }
            Input::Timeout => (Cause::PeerSilent, false),
        }
    }

    fn hear(&mut self, now: Instant, hello: Hello) -> bool {
        let Some(peer) = self.peers.iter_mut().find(|p| p.name == hello.node) else {
            self.counters.hellos_ignored += 1;
            return false;
        };
        match peer.heard(now, hello, self.timing.hello_dead) {
            Heard::Accepted { new_boot } => {
                self.counters.hellos_accepted += 1;
                new_boot
            }
            Heard::Old => {
                self.counters.hellos_old += 1;
                false
            }
            Heard::Dead => {
                self.counters.hellos_ignored += 1;
                false
            }
        }
    }

    /// Whether the instances are left to a peer that has been mute for long. A little later than that peer, which waits as
    /// long for this node, has claimed them.
    fn yields(&self, now: Instant) -> bool {
        let limit = self.timing.mute_limit + self.timing.hello_dead;
        let mut mute = self.peers.iter().filter(|p| p.mute_for(now, limit));
        mute.any(|p| p.name < self.node)
    }

    fn gate(&self, now: Instant) -> Gate {
        let waiting = !matches!(self.start, Start::Over)
            && (self.peers.is_empty() || self.peers.iter().any(Peer::unseen));
        let limit = self.timing.mute_limit;
        let may_hold = |peer: &Peer| peer.mute() && !(peer.mute_for(now, limit) && self.node < peer.name);
        if waiting || self.peers.iter().any(may_hold) {
            Gate::Closed
        } else {
            Gate::Open
        }
    }

    /// Brings one instance to what the decision says.
    fn settle(&mut self, now: Instant, index: usize, trigger: Cause) {
        let (gate, yields) = (self.gate(now), self.yields(now));
        let Some(instance) = self.instances.get_mut(index) else {
            return;
        };
        let name = &instance.config.name;
        let others: Vec<Candidate<'_>> = self.peers.iter().filter_map(|p| p.candidate(name)).collect();
        let caught_up = self.caught_up && self.doubt.is_none();
        let mut me = Candidate {
            name: &self.node,
            priority: instance.config.priority,
            uplink: self.uplink,
            announces: self.announces,
            draining: self.drain.is_some(),
            standing: instance.standing,
            holds: instance.holds,
        };
        me.standing = elect::standing(&me, &others, caught_up);
        let decision = match elect::hold(&me, instance.config.preempt, &others, gate) {
            Hold::Keep if me.holds && yields => Hold::Release(Cause::PeerMute),
            decision @ (Hold::Keep | Hold::Claim(_) | Hold::Release(_)) => decision,
        };
        let mut cause = trigger;
        match decision {
            Hold::Keep => {}
            Hold::Claim(reason) => {
                me.holds = true;
                self.counters.claims += 1;
                cause = if reason != Cause::Elected || !others.is_empty() {
                    reason
                } else if self.peers.is_empty() {
                    Cause::LoneStart
                } else if self.peers.iter().any(Peer::mute) {
                    Cause::PeerMute
                } else {
                    trigger
                };
                self.turn.push(Output::Claim { instance: id(index) });
            }
            Hold::Release(reason) => {
                me.holds = false;
                me.standing = elect::standing(&me, &others, caught_up);
                self.counters.releases += 1;
                cause = reason;
                self.turn.push(Output::Release { instance: id(index) });
            }
        }
        let role = elect::role(&me, &others);
        (instance.holds, instance.standing) = (me.holds, me.standing);
        if role != instance.role {
            let from = std::mem::replace(&mut instance.role, role);
            instance.cause = cause;
            self.turn.push(Output::Announce {
                instance: id(index),
                role,
            });
            self.turn.push(Output::RoleChanged {
                instance: id(index),
                from,
                to: role,
                cause,
            });
        }
    }

    /// Whether a synchronised peer that stays holds every instance.
    fn taken_over(&self) -> bool {
        let taken = |name: &str| {
            let mut heirs = self.peers.iter().filter_map(|p| p.candidate(name));
            heirs.any(|o| o.holds && elect::heir(self.announces, &o))
        };
        self.instances.iter().all(|i| !i.holds && taken(&i.config.name))
    }

    /// Ends the drain when a synchronised peer holds everything, or when waiting longer would be in vain.
    fn watch_drain(&mut self, now: Instant) {
        let complete = self.taken_over();
        let heir = self
            .peers
            .iter()
            .any(|p| p.alive() && p.hello().is_none_or(|h| h.uplink && !h.draining));
        if let Some(complete) = self.drain.as_mut().and_then(|d| d.watch(now, complete, heir)) {
            self.turn.push(Output::Drained { complete });
        }
    }

    /// Sends a hello when there is news, when one is due, or when `at_once`.
    fn tell(&mut self, now: Instant, at_once: bool) {
        if self.peers.is_empty() {
            return;
        }
        let instances = self.instances.iter().map(|i| InstanceHello {
            name: i.config.name.clone(),
            role: i.role,
            holds: i.holds,
            standing: i.standing,
            priority: i.config.priority,
        });
        let mut hello = Hello {
            node: self.node.clone(),
            boot: self.boot,
            sequence: self.sequence,
            draining: self.drain.is_some(),
            uplink: self.uplink,
            announces: self.announces,
            instances: instances.collect(),
        };
        if at_once || now >= self.next_hello || self.told.as_ref() != Some(&hello) {
            self.sequence += 1;
            hello.sequence = self.sequence;
            self.next_hello = now + self.timing.hello_interval;
            self.counters.hellos_sent += 1;
            self.told = Some(hello.clone());
            self.turn.push(Output::SendHello(hello));
        }
    }

    fn flush(&mut self) {
        self.turn.sort_by_key(Output::phase);
        self.outputs.extend(self.turn.drain(..));
    }
}

fn id(index: usize) -> InstanceId {
    InstanceId(u32::try_from(index).unwrap_or(u32::MAX))
}

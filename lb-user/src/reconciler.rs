//! The one owner of desired and actual: runs `plan` and applies it.
//!
//! A thread of its own, of ordinary priority. It takes [`Command`]s, tries again what failed once a second, and
//! publishes its state. A configuration is accepted whole or refused whole: a refused one leaves everything
//! as it was and is reported until the next one is accepted.
//!
//! It must never be waited for by the failover path, and never apply half of a configuration that does not
//! validate.

mod links;
mod order;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use api::{AppliedError, Endpoint, NodeStatus};
use tracing::{error, info, warn};

use self::links::Links;
pub use self::order::{Command, OrderError, ReconcilerHandle, SessionOrder, commands};
use crate::apply::{ApplyError, Targets};
use crate::config::Source;
use crate::desired::{Desired, Instance, Service, SessionKey};
use crate::plan::{Actual, Operation, plan};
use crate::status::StatusBoard;
use crate::timeline::Timeline;

/// Between two attempts at what failed.
const RETRY: Duration = Duration::from_secs(1);

/// What could not be applied.
struct Failed {
    operation: Operation,
    reason: ApplyError,
}

impl Failed {
    fn shown(&self) -> AppliedError {
        AppliedError {
            operation: self.operation.to_string(),
            reason: self.reason.to_string(),
        }
    }
}

pub struct Reconciler {
    targets: Targets,
    board: StatusBoard,
    timeline: Timeline,
    desired: Desired,
    actual: Actual,
    applied_generation: u64,
    failed: Vec<Failed>,
    refused: Option<String>,
    /// Of the BFD sessions.
    links: Links,
    /// Something has changed since the last reconciliation.
    stale: bool,
}

impl Reconciler {
    /// Takes over what an earlier daemon has left in the maps. Nothing is applied before [`Self::reconcile`].
    pub fn new(
        mut desired: Desired,
        mut targets: Targets,
        board: StatusBoard,
        timeline: Timeline,
    ) -> Result<Self, ApplyError> {
        let (services, vips) = targets.datapath.existing()?;
        let echo_peers = targets.echo.existing()?;
        desired.generation = 1;
        let actual = Actual {
            vips: vips.into_iter().collect(),
            services: services.into_iter().map(|key| (key, None)).collect(),
            echo_peers: echo_peers.into_iter().collect(),
            // The BFD thread is as new as this one.
            unsolicited: Some(Vec::new()),
            ..Actual::default()
        };
        Ok(Reconciler {
            targets,
            board,
            timeline,
            desired,
            actual,
            applied_generation: 0,
            failed: Vec::new(),
            refused: None,
            links: Links::of_the_kernel(),
            stale: false,
        })
    }

    /// Reconciles until told to stop. `source` is read on every reload.
    pub fn run(mut self, source: &Source, commands: &Receiver<Command>) {
        self.reconcile();
        let mut look_at = Instant::now() + RETRY;
        loop {
            // A burst of news is one reconciliation.
            let patience = match self.stale {
                true => Duration::ZERO,
                false => look_at.saturating_duration_since(Instant::now()),
            };
            match commands.recv_timeout(patience) {
                Ok(Command::Reload) => drop(self.reload(source)),
                Ok(Command::Session { key, order, done }) => {
                    // Whoever asked may be gone.
                    let _ = done.send(self.order(&key, order));
                }
                Ok(Command::Found { neighbour, present }) => self.found(neighbour, present),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if self.stale => self.reconcile(),
                Err(RecvTimeoutError::Timeout) => {
                    look_at = Instant::now() + RETRY;
                    self.look();
                }
            }
        }
    }

    /// Once in a while: what failed is tried again, and interfaces may have been made anew.
    pub fn look(&mut self) {
        self.renew_links();
        if self.stale || !self.failed.is_empty() {
            self.reconcile();
        }
    }

    /// Accepts the file and applies it, or refuses it and says why. Returns the generation.
    pub fn reload(&mut self, source: &Source) -> Result<u64, String> {
        let loaded = source.load().map_err(|error| error.to_string());
        self.accept(loaded.and_then(|desired| self.changeable(desired)))
    }

    fn changeable(&self, desired: Desired) -> Result<Desired, String> {
        match differences(&self.desired, &desired).as_slice() {
            [] => Ok(desired),
            sections => Err(format!(
                "a running daemon cannot change {}: restart it (established flows survive that)",
                sections.join(", ")
            )),
        }
    }

    fn accept(&mut self, desired: Result<Desired, String>) -> Result<u64, String> {
        match desired {
            Ok(desired) => {
                let generation = self.desired.generation + 1;
                let live = std::mem::take(&mut self.desired.live);
                self.desired = Desired {
                    generation,
                    live,
                    ..desired
                };
                let sessions = self.desired.bfd_sessions();
                self.desired.live.retain(&sessions);
                self.refused = None;
                info!(generation, "configuration accepted");
                for warning in &self.desired.warnings {
                    warn!("{warning}");
                }
                self.timeline
                    .record("config-accepted", [("generation", generation.into())]);
                self.reconcile();
                Ok(generation)
            }
            Err(reason) => {
                error!(
                    "configuration refused, generation {} keeps running: {reason}",
                    self.desired.generation
                );
                let first = reason.lines().next().unwrap_or_default();
                self.timeline.record("config-refused", [("reason", first.into())]);
                self.refused = Some(reason.clone());
                self.publish();
                Err(reason)
            }
        }
    }

    /// Applies what is missing. What fails is kept as an error; the rest is applied all the same.
    pub fn reconcile(&mut self) {
        self.failed.clear();
        self.stale = false;
        let mut unserved = BTreeSet::new();
        let mut unreflected = BTreeSet::new();
        for operation in plan(&self.desired, &self.actual) {
            let operation = without_echo(self.without(operation, &unserved), &unreflected);
            match apply(&mut self.targets, &operation) {
                Ok(()) => self.actual.record(operation),
                Err(reason) => {
                    warn!("{operation}: {reason}");
                    self.actual.doubt(&operation);
                    unserved.extend(operation.needed_by());
                    if let Operation::PutEchoPeer(key) = &operation {
                        unreflected.insert(key.clone());
                    }
                    self.failed.push(Failed { operation, reason });
                }
            }
        }
        if self.failed.is_empty() && self.applied_generation != self.desired.generation {
            self.applied_generation = self.desired.generation;
            self.timeline
                .record("config-applied", [("generation", self.applied_generation.into())]);
        }
        self.publish();
    }

    /// A VIP whose service could not be applied is not announced, nor is an aggregate of nothing else, unless it
    /// already is.
    fn without(&self, operation: Operation, unserved: &BTreeSet<IpAddr>) -> Operation {
        let Operation::Announce(mut announcements) = operation else {
            return operation;
        };
        announcements.retain(|new| {
            let mut vips = self.desired.behind(new);
            vips.any(|vip| !unserved.contains(&vip))
                || self
                    .actual
                    .announcements
                    .iter()
                    .any(|old| old.prefix == new.prefix)
        });
        Operation::Announce(announcements)
    }

    fn publish(&self) {
        self.board.bfd_configured.publish(self.configured_sessions());
        self.board
            .services
            .publish(self.desired.services.values().map(shown).collect());
        self.board.node.publish(NodeStatus {
            node: self.desired.fixed.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.desired.generation,
            applied_generation: self.applied_generation,
            errors: self.failed.iter().map(Failed::shown).collect(),
            refused: self.refused.clone(),
            ..NodeStatus::default()
        });
    }
}

/// A peer whose Echo packets would not return must not be told to send them: it would take their loss for ours.
fn without_echo(operation: Operation, unreflected: &BTreeSet<SessionKey>) -> Operation {
    if let Operation::PutSession(session) = &operation
        && unreflected.contains(&session.key)
    {
        return Operation::PutSession(Box::new(session.as_ref().clone().without_echo()));
    }
    operation
}

fn apply(targets: &mut Targets, operation: &Operation) -> Result<(), ApplyError> {
    match operation {
        Operation::Announce(announcements) => targets.speaker.set_announcements(announcements),
        Operation::PutSpeaker(settings) => targets.speaker.put_settings(settings),
        Operation::RemoveNeighbor(key) => targets.speaker.remove_neighbor(key),
        Operation::RemoveSession(key) => targets.bfd.remove_session(key),
        Operation::RemoveEchoPeer(key) => targets.echo.remove_echo_peer(key),
        Operation::RemoveInstance(name) => targets.election.remove_instance(name),
        Operation::RemoveService(key) => targets.datapath.remove_service(key),
        Operation::RemoveVip(vip) => targets.datapath.remove_vip(*vip),
        Operation::PutVip(vip) => targets.datapath.put_vip(*vip),
        Operation::PutService(service) => targets.datapath.put_service(service),
        Operation::PutInstance(placed) => targets.election.put_instance(&placed.instance, &placed.vips),
        Operation::PutSession(session) => targets.bfd.put_session(session),
        Operation::DisableSession(key) => targets.bfd.disable_session(key),
        Operation::EnableSession(key) => targets.bfd.enable_session(key),
        Operation::PutEchoPeer(key) => targets.echo.put_echo_peer(key),
        Operation::PutUnsolicited(unsolicited) => targets.bfd.set_unsolicited(unsolicited),
        Operation::PutNeighbor(neighbor) => targets.speaker.put_neighbor(neighbor),
    }
}

/// Sections that differ although they cannot change, by their name in the file.
fn differences(running: &Desired, wanted: &Desired) -> Vec<&'static str> {
    let (old, new) = (&running.fixed, &wanted.fixed);
    // What takes part in the election; addresses may change.
    let ranks = |desired: &Desired| -> Vec<(String, u32, bool)> {
        let rank = |instance: &Instance| (instance.name.clone(), instance.priority, instance.preempt);
        desired.instances.values().map(rank).collect()
    };
    [
        ("[node]", old.node != new.node),
        ("[datapath]", old.datapath != new.datapath),
        ("[bgp] (as, listen, listen-port, multipath)", old.bgp != new.bgp),
        ("[[ha.peer]]", old.peers != new.peers),
        (
            "[[ha.instance]] (name, priority, preempt)",
            ranks(running) != ranks(wanted),
        ),
        ("[sync]", old.sync != new.sync),
        ("[api]", old.api != new.api),
        ("[metrics]", old.metrics != new.metrics),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

fn shown(service: &Service) -> api::Service {
    api::Service {
        name: service.name.clone(),
        vip: service.key.vip.to_string(),
        port: service.key.port,
        protocol: service.key.protocol.to_string(),
        mode: service.mode.to_string(),
        select: service.select.to_string(),
        instance: service.instance.clone(),
        endpoints: service
            .endpoints
            .iter()
            .map(|endpoint| Endpoint {
                address: endpoint.address.to_string(),
                port: endpoint.port,
                weight: endpoint.weight.into(),
            })
            .collect(),
        healthy: service.healthy(),
        ..api::Service::default()
    }
}

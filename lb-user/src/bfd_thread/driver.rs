//! The loop of the thread: packets, commands, deadlines, reports.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bfd::{EchoPayload, Input, Output, Path, SessionConfig, SessionId, Sessions, Unsolicited};

use super::background::Background;
use super::handle::{Command, Handle};
use super::registry::Registry;
use super::report::{Scheduling, SessionReport, ThreadReport};
use super::sockets::{Sockets, Wanted};
use super::{Change, News, Options};
use crate::desired::SessionKey;

/// Reports are at least this far apart, unless a session changed its state.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// From here on a wake-up counts as late.
const LATE: Duration = Duration::from_millis(1);
/// More than a receive buffer holds: one turn takes everything that was there when it began, and a flood
/// cannot keep the thread from its deadlines.
const DATAGRAMS_A_TURN: usize = 16_384;
/// Urgent reports are at least this far apart.
const URGENT_INTERVAL: Duration = Duration::from_millis(5);
/// How often the link-layer address of a peer is asked for while it is not known.
const RESOLVE_INTERVAL: Duration = Duration::from_millis(100);
/// How long the end waits for peers to confirm that they know.
const LEAVE_TAKING: Duration = Duration::from_millis(150);

type OnChange = Box<dyn FnMut(Change) + Send>;

pub(super) struct Driver {
    sessions: Sessions,
    registry: Registry,
    strangers: bool,
    sockets: Sockets,
    handle: Handle,
    background: Background,
    on_change: OnChange,
    /// Administratively down, whatever else becomes of the session of that name.
    disabled: BTreeSet<SessionKey>,
    thread: ThreadReport,
    /// Something happened that the last report does not show.
    unreported: bool,
    urgent: bool,
    next_report: Instant,
    /// The end, once it has been asked for.
    ends: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        options: &Options,
        handle: Handle,
        background: Background,
        on_change: OnChange,
    ) -> Self {
        Self {
            sessions: Sessions::new(Instant::now(), options.seed, options.secret),
            registry: Registry::default(),
            strangers: false,
            sockets: Sockets::new(options),
            handle,
            background,
            on_change,
            disabled: BTreeSet::new(),
            thread: ThreadReport::default(),
            unreported: true,
            urgent: true,
            next_report: Instant::now(),
            ends: None,
        }
    }

    pub(super) fn run(mut self, scheduling: Scheduling, memory_locked: bool) {
        self.thread.scheduling = scheduling;
        self.thread.memory_locked = memory_locked;
        let mut woken = true;
        loop {
            if woken {
                self.commands();
            }
            // Taken before the sockets are emptied: whatever arrived up to now is known when the deadlines
            // up to now are judged.
            let now = Instant::now();
            self.note_lateness(now);
            self.packets();
            self.timeout(now);
            if self.sockets.due().is_some_and(|at| at <= now) {
                self.listen(now);
            }
            self.sockets.flush(&mut self.thread);
            self.report(now);
            if self
                .ends
                .is_some_and(|end| end <= now || !self.sessions.is_leaving())
            {
                return;
            }
            woken = self.wait();
        }
    }

    /// Sleeps until a packet, a command, a deadline or a report is due. True if there may be commands.
    fn wait(&mut self) -> bool {
        let urgent = self.next_report.checked_sub(REPORT_INTERVAL - URGENT_INTERVAL);
        let report = self
            .unreported
            .then_some(urgent.filter(|_| self.urgent).unwrap_or(self.next_report));
        let deadlines = [
            self.sessions.poll_timeout(),
            self.sockets.due(),
            report,
            self.ends,
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.thread.wakeups += 1;
        self.sockets.wait(self.handle.wake_descriptor(), timeout)
    }

    fn commands(&mut self) {
        self.handle.clear_wake();
        while let Some(command) = self.handle.next_command() {
            self.unreported = true;
            self.urgent |= !matches!(command, Command::NeighborsChanged | Command::Resolved(..));
            self.command(Instant::now(), command);
        }
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Put(key, config) => {
                self.put(now, key, config);
                self.settle(now);
            }
            Command::Remove(key) => {
                self.disabled.remove(&key);
                self.remove(now, &key);
                self.settle(now);
            }
            Command::Unsolicited(unsolicited) => self.set_unsolicited(now, unsolicited),
            Command::AdminDown(key) => {
                self.with(now, &key, Input::AdminDown);
                self.disabled.insert(key);
            }
            Command::AdminUp(key) => {
                self.disabled.remove(&key);
                self.with(now, &key, Input::AdminUp);
            }
            Command::LinkDown { interface } => self.handle_input(now, Input::LinkDown { interface }),
            Command::LinkUp { interface, name } => self.link_up(now, interface, &name),
            Command::NeighborsChanged => self.registry.doubt_neighbors(now),
            Command::Resolved(session, peer) => {
                if let Some(entry) = self.registry.get_mut(session) {
                    (entry.peer, entry.resolve) = (Some(peer), None);
                }
            }
            Command::Stop { announce } => {
                let patience = if announce { LEAVE_TAKING } else { Duration::ZERO };
                self.ends = Some(now + patience);
                if announce {
                    self.take_leave(now);
                }
            }
        }
    }

    /// The sockets follow the sessions.
    fn settle(&mut self, now: Instant) {
        let registry = &self.registry;
        let unneeded = self.sockets.unneeded(|interface, local| {
            registry.configured().any(|(_, config)| {
                let on_it = config.path.interface.is_none_or(|own| own == interface);
                config.parameters.echo.transmit.is_some() && config.path.local == local && on_it
            })
        });
        self.background.close(unneeded);
        self.listen(now);
    }

    /// Listens where there is a session of that family and kind, and nowhere else.
    fn listen(&mut self, now: Instant) {
        let mut wanted = Wanted::default();
        for (_, config) in self.registry.configured() {
            wanted.add(&config.path);
        }
        if self.strangers {
            wanted.add_strangers();
        }
        self.sockets.listen(now, wanted, &mut self.thread);
    }

    fn take_leave(&mut self, now: Instant) {
        self.set_unsolicited(now, Vec::new());
        let keys: Vec<SessionKey> = self.registry.keys().cloned().collect();
        for key in keys {
            self.remove(now, &key);
        }
    }

    fn put(&mut self, now: Instant, key: SessionKey, config: SessionConfig) {
        let known = self.registry.id(&key);
        let before = known
            .and_then(|id| self.registry.get(id))
            .and_then(|entry| entry.config.as_ref());
        if let (Some(id), Some(before)) = (known, before) {
            if (before.path, before.role) == (config.path, config.role) {
                self.handle_input(now, Input::Update(id, config.parameters.clone()));
                self.registry.put(key, id, config);
                return;
            }
            self.remove(now, &key);
        }
        let disabled = self.disabled.contains(&key);
        match self.sessions.add(now, config.clone()) {
            Ok(id) => {
                self.registry.put(key, id, config);
                self.outputs();
                if disabled {
                    self.handle_input(now, Input::AdminDown(id));
                }
                self.tell_if_adopted(id);
            }
            // The handle has judged the configuration and counted the sessions: nothing is left that could be refused.
            Err(_) => self.thread.refused_sessions += 1,
        }
    }

    /// What the peer had started is Up already: who depends on it now has not heard of that.
    fn tell_if_adopted(&mut self, id: SessionId) {
        if let Some(status) = self.sessions.session(id).filter(|status| status.usable) {
            self.tell(id, &status.config.path, News::Usable);
        }
    }

    fn remove(&mut self, now: Instant, key: &SessionKey) {
        if let Some(id) = self.registry.id(key) {
            if let Some(path) = self.sessions.session(id).map(|status| status.config.path) {
                self.tell(id, &path, News::Gone);
            }
            self.registry.release(key);
            self.handle_input(now, Input::Remove(id));
        }
    }

    fn set_unsolicited(&mut self, now: Instant, unsolicited: Vec<Unsolicited>) {
        self.strangers = !unsolicited.is_empty();
        self.handle_input(now, Input::Unsolicited(unsolicited));
        self.listen(now);
    }

    /// An interface that was made anew has another index: what is bound to its name moves there.
    fn link_up(&mut self, now: Instant, interface: u32, name: &str) {
        let moved: Vec<(SessionKey, SessionConfig)> = self
            .registry
            .configured()
            .filter(|(key, config)| {
                key.interface.as_deref() == Some(name) && config.path.interface != Some(interface)
            })
            .map(|(key, config)| (key.clone(), config.clone()))
            .collect();
        for (key, mut config) in moved {
            config.path.interface = Some(interface);
            self.put(now, key, config);
        }
        self.registry.doubt_neighbors(now);
    }

    fn with(&mut self, now: Instant, key: &SessionKey, input: fn(SessionId) -> Input<'static>) {
        if let Some(id) = self.registry.id(key) {
            self.handle_input(now, input(id));
        }
    }

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.sessions.handle(now, input);
        self.outputs();
    }

    /// Empties the sockets.
    fn packets(&mut self) {
        let mut receivers = std::mem::take(&mut self.sockets.receivers);
        for receiver in &mut receivers {
            let multihop = receiver.is_multihop();
            for _ in 0..DATAGRAMS_A_TURN {
                match receiver.receive() {
                    Ok(Some(datagram)) => {
                        self.thread.received += 1;
                        self.unreported = true;
                        let input = Input::Packet {
                            source: datagram.source,
                            destination: datagram.destination,
                            interface: datagram.interface,
                            ttl: datagram.ttl,
                            multihop,
                            payload: datagram.payload,
                        };
                        self.sessions.handle(datagram.received, input);
                        self.outputs();
                    }
                    Ok(None) => break,
                    Err(_) => {
                        self.thread.receive_errors += 1;
                        break;
                    }
                }
            }
        }
        self.sockets.receivers = receivers;
        self.echoes();
    }

    fn echoes(&mut self) {
        let mut sockets = std::mem::take(&mut self.sockets.echo);
        for socket in &mut sockets {
            let interface = socket.interface();
            for _ in 0..DATAGRAMS_A_TURN {
                match socket.receive() {
                    Ok(Some(returned)) => {
                        self.unreported = true;
                        let payload = returned.payload;
                        let input = Input::Echo { interface, payload };
                        self.sessions.handle(returned.received, input);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        self.thread.receive_errors += 1;
                        break;
                    }
                }
            }
        }
        self.sockets.echo = sockets;
        self.outputs();
    }

    /// How late the thread is, whatever the packets that have waited for it say: they may move the deadline.
    fn note_lateness(&mut self, now: Instant) {
        let Some(deadline) = self.sessions.poll_timeout().filter(|deadline| *deadline <= now) else {
            return;
        };
        let lateness = now.saturating_duration_since(deadline);
        if lateness > LATE {
            self.thread.late_wakeups += 1;
        }
        self.thread.lateness.count(lateness);
    }

    fn timeout(&mut self, now: Instant) {
        if self
            .sessions
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            self.unreported = true;
            self.handle_input(now, Input::Timeout);
        }
    }

    /// Changes of state come first out of the core, and are handed on before the peer is told.
    fn outputs(&mut self) {
        while let Some(output) = self.sessions.poll_output() {
            match output {
                Output::StateChanged(change) => {
                    self.tell(change.session, &change.path, News::State(change));
                }
                Output::Usable { session, path } => self.tell(session, &path, News::Usable),
                Output::Transmit {
                    session,
                    path,
                    payload,
                } => {
                    self.registry.know(session, &path);
                    let port = self.registry.get(session).map_or(0, |entry| entry.source_port);
                    self.sockets.push(&path, port, &payload, &mut self.thread);
                }
                Output::TransmitEcho {
                    session,
                    path,
                    payload,
                } => {
                    self.send_echo(session, &path, &payload);
                }
                Output::Forgotten(session) => {
                    self.registry.forget(session);
                    self.unreported = true;
                }
            }
        }
    }

    fn send_echo(&mut self, session: SessionId, path: &Path, payload: &EchoPayload) {
        let Some(entry) = self.registry.get_mut(session) else {
            return;
        };
        let now = Instant::now();
        let asks = match (entry.resolve, entry.peer) {
            (Some(at), _) => at <= now,
            (None, known) => known.is_none(),
        };
        if let Some(interface) = path.interface.filter(|_| asks) {
            entry.resolve = Some(now + RESOLVE_INTERVAL);
            self.background.resolve(session, interface, path.remote);
        }
        if entry.peer.is_some()
            && let Err(error) = self.sockets.send_echo(path, entry, payload)
        {
            self.thread.transmit_errors += 1;
            self.thread.last_transmit_error = error.raw_os_error();
        }
    }

    fn tell(&mut self, session: SessionId, path: &Path, news: News) {
        self.registry.know(session, path);
        if let Some(entry) = self.registry.get(session) {
            (self.on_change)(Change {
                at: Instant::now(),
                key: Arc::clone(&entry.key),
                unsolicited: entry.config.is_none(),
                news,
            });
        }
        self.unreported = true;
        self.urgent = true;
    }

    /// Overwrites the report unless somebody reads it just now; then the next turn does.
    fn report(&mut self, now: Instant) {
        let last = self.next_report.checked_sub(REPORT_INTERVAL);
        let due = match (self.urgent, self.unreported) {
            (true, _) => last.is_none_or(|last| now >= last + URGENT_INTERVAL),
            (false, unreported) => unreported && now >= self.next_report,
        };
        if !due {
            return;
        }
        self.next_report = now + REPORT_INTERVAL;
        if let Some(mut report) = self.handle.try_report() {
            let registry = &self.registry;
            report.sessions.clear();
            report
                .sessions
                .extend(self.sessions.sessions().filter_map(|status| {
                    Some(SessionReport {
                        key: Arc::clone(&registry.get(status.session)?.key),
                        status,
                    })
                }));
            report.discards = *self.sessions.discards();
            report.thread = self.thread;
            (self.unreported, self.urgent) = (false, false);
        }
    }
}

//! The loop of the thread: packets, commands, deadlines, reports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bfd::{Input, Output, Packet, SessionConfig, SessionId, Sessions};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::handle::{Command, Handle};
use super::report::{Scheduling, ThreadReport};
use super::socket::{MAXIMUM_RECEIVERS, Receiver, Transmitter};
use super::{Change, Options};

/// Reports are at least this far apart, unless a session changed its state.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// From here on a wake-up counts as late.
const LATE: Duration = Duration::from_millis(1);
/// A socket that cannot be opened is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// More than a receive buffer holds: one turn takes everything that was there when it began, and a flood
/// cannot keep the thread from its deadlines.
const DATAGRAMS_A_TURN: usize = 4096;

type OnChange = Box<dyn FnMut(Change) + Send>;

/// Where the packets of a session go, opened when there is something to send.
struct Way {
    config: SessionConfig,
    transmitter: Option<Transmitter>,
}

pub(super) struct Driver {
    sessions: Sessions,
    by_remote: BTreeMap<IpAddr, SessionId>,
    ways: BTreeMap<SessionId, Way>,
    /// Where to listen when there is a session of that family.
    listen: Vec<IpAddr>,
    receivers: Vec<Receiver>,
    /// When to try again what could not be opened.
    listen_again: Option<Instant>,
    handle: Handle,
    on_change: OnChange,
    port: u16,
    thread: ThreadReport,
    /// Something happened that the last report does not show.
    unreported: bool,
    urgent: bool,
    next_report: Instant,
}

impl Driver {
    pub(super) fn new(options: &Options, handle: Handle, on_change: OnChange) -> Self {
        Self {
            sessions: Sessions::new(options.seed),
            by_remote: BTreeMap::new(),
            ways: BTreeMap::new(),
            listen: options.listen.iter().take(MAXIMUM_RECEIVERS).copied().collect(),
            receivers: Vec::with_capacity(MAXIMUM_RECEIVERS),
            listen_again: None,
            handle,
            on_change,
            port: options.port,
            thread: ThreadReport::default(),
            unreported: true,
            urgent: true,
            next_report: Instant::now(),
        }
    }

    pub(super) fn run(mut self, scheduling: Scheduling, memory_locked: bool) {
        self.thread.scheduling = scheduling;
        self.thread.memory_locked = memory_locked;
        loop {
            if !self.commands() {
                self.report(Instant::now());
                return;
            }
            // Taken before the sockets are emptied: whatever arrived up to now is known when the deadlines
            // up to now are judged.
            let now = Instant::now();
            self.packets();
            self.timeout(now);
            if self.listen_again.is_some_and(|at| at <= now) {
                self.listen(now);
            }
            self.report(now);
            self.wait();
        }
    }

    /// Sleeps until a packet, a command, a deadline or a report is due.
    fn wait(&mut self) {
        let report = self.unreported.then_some(self.next_report);
        let deadline = [self.sessions.poll_timeout(), self.listen_again, report]
            .into_iter()
            .flatten()
            .min();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // Slots without a receiver wait for commands as well.
        let mut polled: [PollFd<'_>; 1 + MAXIMUM_RECEIVERS] = std::array::from_fn(|slot| {
            let receiver = slot.checked_sub(1).and_then(|index| self.receivers.get(index));
            let descriptor = receiver.map_or(self.handle.wake_descriptor(), Receiver::descriptor);
            PollFd::new(descriptor, PollFlags::POLLIN)
        });
        // The only error is a signal: the loop comes back to it.
        let _ = ppoll(&mut polled, timeout.map(TimeSpec::from), None);
        self.thread.wakeups += 1;
    }

    /// False once the thread has to end.
    fn commands(&mut self) -> bool {
        self.handle.clear_wake();
        while let Some(command) = self.handle.next_command() {
            let now = Instant::now();
            self.unreported = true;
            self.urgent = true;
            match command {
                Command::Put(config) => {
                    self.put(now, config);
                    self.listen(now);
                }
                Command::Remove(remote) => {
                    self.remove(now, remote);
                    self.listen(now);
                }
                Command::AdminDown(remote) => self.with(now, remote, Input::AdminDown),
                Command::AdminUp(remote) => self.with(now, remote, Input::AdminUp),
                Command::LinkDown { interface } => self.handle_input(now, Input::LinkDown { interface }),
                Command::Stop { announce } => {
                    if announce {
                        self.stop(now);
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Listens where there is a session of that family, and nowhere else.
    fn listen(&mut self, now: Instant) {
        let remotes = &self.by_remote;
        let wanted = |address: IpAddr| remotes.keys().any(|remote| remote.is_ipv4() == address.is_ipv4());
        self.receivers.retain(|receiver| wanted(receiver.address()));
        self.listen_again = None;
        for &address in self.listen.iter().filter(|address| wanted(**address)) {
            if self
                .receivers
                .iter()
                .any(|receiver| receiver.address() == address)
            {
                continue;
            }
            match Receiver::open(address, self.port) {
                Ok(receiver) => self.receivers.push(receiver),
                Err(_) => {
                    self.thread.receive_errors += 1;
                    self.listen_again = Some(now + LISTEN_AGAIN);
                }
            }
        }
    }

    fn stop(&mut self, now: Instant) {
        while let Some(remote) = self.by_remote.first_key_value().map(|(remote, _)| *remote) {
            self.remove(now, remote);
        }
    }

    fn put(&mut self, now: Instant, config: SessionConfig) {
        if let Some(id) = self.by_remote.get(&config.remote).copied() {
            let same = self.ways.get(&id).is_some_and(|way| {
                let before = way.config;
                before.local == config.local
                    && before.interface == config.interface
                    && before.role == config.role
            });
            if same {
                self.handle_input(now, Input::Update(id, config.timing()));
                return;
            }
            self.remove(now, config.remote);
        }
        match self.sessions.add(now, config) {
            Ok(id) => {
                self.by_remote.insert(config.remote, id);
                self.ways.insert(
                    id,
                    Way {
                        config,
                        transmitter: None,
                    },
                );
            }
            // The handle has validated the rest; what remains is the limit.
            Err(_) => self.thread.refused_sessions += 1,
        }
    }

    fn remove(&mut self, now: Instant, remote: IpAddr) {
        if let Some(id) = self.by_remote.remove(&remote) {
            self.handle_input(now, Input::Remove(id));
            self.ways.remove(&id);
        }
    }

    fn with(&mut self, now: Instant, remote: IpAddr, input: fn(SessionId) -> Input<'static>) {
        if let Some(id) = self.by_remote.get(&remote).copied() {
            self.handle_input(now, input(id));
        }
    }

    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.sessions.handle(now, input);
        self.outputs();
    }

    /// Empties the sockets.
    fn packets(&mut self) {
        let mut receivers = std::mem::take(&mut self.receivers);
        for receiver in &mut receivers {
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
        self.receivers = receivers;
    }

    fn timeout(&mut self, now: Instant) {
        let Some(deadline) = self.sessions.poll_timeout().filter(|deadline| *deadline <= now) else {
            return;
        };
        let lateness = now.saturating_duration_since(deadline);
        if lateness > LATE {
            self.thread.late_wakeups += 1;
        }
        self.thread.max_lateness = self.thread.max_lateness.max(lateness);
        self.unreported = true;
        self.handle_input(now, Input::Timeout);
    }

    /// Changes of state come first out of the core, and are handed on before the peer is told.
    fn outputs(&mut self) {
        while let Some(output) = self.sessions.poll_output() {
            match output {
                Output::StateChanged {
                    session,
                    local,
                    remote,
                    from,
                    to,
                    diagnostic,
                    remote_diagnostic,
                    last_packet,
                } => {
                    let at = Instant::now();
                    (self.on_change)(Change {
                        at,
                        session,
                        local,
                        remote,
                        from,
                        to,
                        diagnostic,
                        remote_diagnostic,
                        last_packet,
                    });
                    self.unreported = true;
                    self.urgent = true;
                }
                Output::Transmit { session, packet, .. } => self.transmit(session, packet),
            }
        }
    }

    /// A socket that fails is opened anew for the next packet: the address or the interface may be back.
    fn transmit(&mut self, session: SessionId, packet: Packet) {
        let Some(way) = self.ways.get_mut(&session) else {
            return;
        };
        let SessionConfig {
            local,
            remote,
            interface,
            ..
        } = way.config;
        let opened = match way.transmitter.take() {
            Some(transmitter) => Ok(transmitter),
            None => Transmitter::open(local, remote, interface, self.port),
        };
        let result = opened.and_then(|transmitter| {
            transmitter.send(&packet.encode())?;
            Ok(transmitter)
        });
        match result {
            Ok(transmitter) => {
                way.transmitter = Some(transmitter);
                self.thread.transmitted += 1;
            }
            Err(error) => {
                self.thread.transmit_errors += 1;
                self.thread.last_transmit_error = error.raw_os_error();
            }
        }
    }

    /// Overwrites the report unless somebody reads it just now; then the next turn does.
    fn report(&mut self, now: Instant) {
        if !self.urgent && (!self.unreported || now < self.next_report) {
            return;
        }
        self.next_report = now + REPORT_INTERVAL;
        if let Some(mut report) = self.handle.try_report() {
            report.sessions.clear();
            report.sessions.extend(self.sessions.sessions());
            report.discards = *self.sessions.discards();
            report.thread = self.thread;
            (self.unreported, self.urgent) = (false, false);
        }
    }
}

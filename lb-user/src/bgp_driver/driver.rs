//! The loop around the speaker: inputs in, outputs executed at once and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp::{BfdMode, ConnectionId, Input, Output, PeerId, RouteQuery, RouteStatus, Speaker};
use tokio::sync::{mpsc, oneshot};

use super::authentication::Dropped;
use super::bfd::{self, Bfd};
use super::command::{Answer, CommandError, NamedRoute};
use super::connection::{Connection, Ends, READ, SocketEvent};
use super::imported::{self, Imported, NextHop};
use super::listener::{Listeners, Refused};
use super::monitors::Monitors;
use super::neighbors::{Neighbors, Told};
use super::report::{Report, Update};
use super::unnumbered::Watches;
use super::{Command, EstablishedSink, Setup, status};
use crate::desired::{Neighbor, NeighborKey};
use crate::status::StatusBoard;

/// Events of sockets that may wait for the driver; then the tasks wait, and TCP with them.
const EVENTS: usize = 256;
/// The status is published at least this often.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    pub(super) speaker: Speaker,
    listen: Vec<SocketAddr>,
    pub(super) listeners: Listeners,
    pub(super) neighbors: Neighbors,
    watches: Watches,
    pub(super) bfd: Bfd,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    /// Ended while something was sent over them; the speaker has to hear of it.
    pub(super) lost: Vec<ConnectionId>,
    /// What waits in them has changed; the speaker has to hear of it.
    pub(super) backlogged: BTreeSet<ConnectionId>,
    pub(super) ends: Ends,
    /// Ends when no connection lives any more.
    all_closed: Option<mpsc::Receiver<()>>,
    incoming: Option<mpsc::Receiver<SocketEvent>>,
    established: EstablishedSink,
    monitors: Monitors,
    pub(super) report: Report,
    routes: Option<Imported>,
    pub(super) board: StatusBoard,
    /// For reading.
    pub(super) buffer: Vec<u8>,
    /// As told last.
    pub(super) refused: Refused,
    pub(super) dropped: Dropped,
    /// Something happened that the status should show.
    changed: bool,
    /// The listeners have to hear of the neighbours again.
    guests_changed: bool,
}

impl Driver {
    /// `routes` is where imported routes go, and whence answers about next hops come; `None`: nowhere.
    pub(super) fn new(setup: Setup, routes: Option<Imported>) -> Self {
        let (events, incoming) = mpsc::channel(EVENTS);
        let (alive, all_closed) = mpsc::channel(1);
        Self {
            speaker: Speaker::new(setup.speaker),
            listen: setup.listen,
            listeners: Listeners::none(),
            neighbors: Neighbors::default(),
            watches: Watches::default(),
            bfd: Bfd::new(setup.found),
            connections: BTreeMap::new(),
            lost: Vec::new(),
            backlogged: BTreeSet::new(),
            ends: Ends { events, alive },
            all_closed: Some(all_closed),
            incoming: Some(incoming),
            established: setup.established,
            monitors: Monitors::none(),
            report: Report::new(setup.timeline),
            routes,
            board: setup.board,
            buffer: vec![0; READ],
            refused: Refused::default(),
            dropped: Dropped::now(),
            changed: true,
            guests_changed: true,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let Some(mut incoming) = self.incoming.take() else {
            return;
        };
        self.listeners = Listeners::spawn(&self.listen, &self.ends.events);
        let mut publish = tokio::time::interval(STATUS_INTERVAL);
        publish.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.publish();
            let deadline = self.speaker.poll_timeout();
            // News of sockets comes last, because under load there always is some. Each brings one bounded read.
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                () = until(deadline) => {
                    // Also what lies in the sockets and is not known yet: a late thread must not take its own
                    // lateness for a silent neighbour.
                    self.sweep();
                    self.handle(Input::Timeout);
                }
                _ = publish.tick() => self.tick(),
                Some(NextHop { address, scope, metric }) = imported::next(&mut self.routes) => {
                    self.handle(Input::NextHop { address, scope, metric });
                }
                Some(request) = self.monitors.next() => self.monitors.answer(request, &self.speaker),
                Some(event) = incoming.recv() => self.event(event),
            }
        }
    }

    /// What others see of what has changed.
    fn publish(&mut self) {
        if std::mem::take(&mut self.guests_changed) {
            self.listeners.expect(self.neighbors.guests());
            self.watches.set(self.neighbors.unnumbered(), &self.ends.events);
        }
        if std::mem::take(&mut self.changed) {
            let neighbors = status::neighbors(&self.speaker, &self.neighbors, Instant::now());
            self.board.neighbors.publish(neighbors);
        }
    }

    /// One input, then everything that follows from it.
    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.speaker.handle(Instant::now(), input);
        loop {
            while let Some(output) = self.speaker.poll_output() {
                self.execute(output);
            }
            if let Some(connection) = self.lost.pop() {
                self.speaker.handle(Instant::now(), Input::Closed { connection });
            } else if let Some((peer, verdict)) = self.bfd.due.pop() {
                self.speaker.handle(Instant::now(), bfd::input(peer, verdict));
            } else if let Some((connection, waiting)) = self.next_backlog() {
                let backlog = Input::Backlog { connection, waiting };
                self.speaker.handle(Instant::now(), backlog);
            } else {
                return;
            }
        }
    }

    /// Once a second: interfaces may have come, or been made anew.
    fn tick(&mut self) {
        for told in self.neighbors.settle_all() {
            self.tell_speaker(told);
        }
        self.look_at_entrance();
        self.changed = true;
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::PutNeighbor(neighbor) => self.put_neighbor(*neighbor),
            Command::PutSettings(settings) => {
                self.neighbors.set_templates(&settings.dynamic);
                self.guests_changed = true;
                let guests: Vec<PeerId> = self.neighbors.guests_present().collect();
                guests.into_iter().for_each(|id| self.look_for_session(id));
                self.handle(Input::SetLadders(settings.ladders));
                self.handle(Input::SetDynamic(settings.dynamic));
                if let Some(wanted) = self.monitors.set(&settings.monitors) {
                    self.handle(Input::SetMonitoring(wanted));
                }
            }
            Command::RemoveNeighbor(key) => self.remove_neighbor(&key),
            Command::SetAnnouncements(announcements) => self.handle(Input::SetAnnouncements(announcements)),
            Command::SetRole { instance, preference } => self.handle(Input::SetRole { instance, preference }),
            Command::Bfd { session, verdict } => self.judge(session, verdict),
            Command::Enable { neighbor, done } => self.for_neighbor(&neighbor, done, Self::enable),
            Command::Disable {
                neighbor,
                communication,
                done,
            } => self.for_neighbor(&neighbor, done, |driver, id| driver.disable(id, communication)),
            Command::Refresh {
                neighbor,
                direction,
                families,
                done,
            } => self.for_neighbor(&neighbor, done, |driver, peer| {
                driver.handle(Input::Refresh {
                    peer,
                    direction,
                    families,
                });
            }),
            Command::Routes {
                neighbor,
                query,
                answer,
            } => {
                // Whoever asked may be gone.
                let _ = answer.send(self.routes(neighbor.as_ref(), query));
            }
            Command::Shutdown(done) => self.shutdown(done),
        }
        self.changed = true;
    }

    fn for_neighbor(&mut self, key: &NeighborKey, done: Answer<()>, act: impl FnOnce(&mut Self, PeerId)) {
        let found = self.neighbors.find(key);
        if let Some(id) = found {
            act(self, id);
        }
        let answer = found
            .map(|_| ())
            .ok_or_else(|| CommandError::NoNeighbor(key.to_string()));
        // Whoever asked may be gone.
        let _ = done.send(answer);
    }

    fn put_neighbor(&mut self, neighbor: Neighbor) {
        let (id, lost_bfd) = self.neighbors.put(neighbor);
        self.settle(id);
        self.look_for_session(id);
        if lost_bfd {
            self.handle(Input::BfdForgotten(id));
        }
    }

    /// Tells the speaker what it does not know yet of a neighbour.
    pub(super) fn settle(&mut self, id: PeerId) {
        // Also when there is nothing to tell: an interface may have to be watched.
        self.guests_changed = true;
        if let Some(told) = self.neighbors.settle(id) {
            self.tell_speaker(told);
        }
    }

    fn tell_speaker(&mut self, told: Told) {
        self.guests_changed = true;
        let id = told.id;
        let bfd = told.config.bfd != BfdMode::Off;
        let verdict = self.verdict(id).filter(|_| bfd);
        self.look_for_session(id);
        self.handle(Input::AddPeer(id, Box::new(told.config)));
        if let Some(communication) = told.disabled {
            self.handle(Input::Disable {
                peer: id,
                communication,
            });
        }
        if let Some(verdict) = verdict {
            self.handle(bfd::input(id, verdict));
        }
    }

    fn remove_neighbor(&mut self, key: &NeighborKey) {
        if let Some(peer) = self.neighbors.remove(key) {
            self.guests_changed = true;
            self.look_for_session(peer.id);
            self.handle(Input::RemovePeer(peer.id));
        }
    }

    fn enable(&mut self, id: PeerId) {
        if let Some(peer) = self.neighbors.peer_mut(id) {
            peer.disabled = None;
        }
        self.handle(Input::Enable(id));
        self.report.enabled(&self.neighbors.name(id));
    }

    fn disable(&mut self, id: PeerId, communication: String) {
        if let Some(peer) = self.neighbors.peer_mut(id) {
            peer.disabled = Some(communication.clone());
        }
        self.report.disabled(&self.neighbors.name(id), &communication);
        self.handle(Input::Disable {
            peer: id,
            communication,
        });
    }

    fn routes(
        &self,
        neighbor: Option<&NeighborKey>,
        mut query: RouteQuery,
    ) -> Result<Vec<NamedRoute>, CommandError> {
        if let Some(key) = neighbor {
            let found = self.neighbors.find(key);
            query.peer = Some(found.ok_or_else(|| CommandError::NoNeighbor(key.to_string()))?);
        }
        let routes = self.speaker.routes(&query);
        let named = |route: RouteStatus| NamedRoute {
            neighbor: self.neighbors.name(route.peer),
            route,
        };
        Ok(routes.into_iter().map(named).collect())
    }

    /// Says Cease to everybody; `done` is told when the last connection has delivered it, and what was imported
    /// is no longer in the kernel.
    fn shutdown(&mut self, done: oneshot::Sender<()>) {
        self.handle(Input::Shutdown {
            communication: String::new(),
        });
        // The driver's own sender goes; those of the closing connections are left.
        self.ends.alive = mpsc::channel(1).0;
        let Some(mut all_closed) = self.all_closed.take() else {
            return;
        };
        let kernel = self.routes.as_ref().map(|routes| routes.kernel.clone());
        let stations = self.monitors.stations();
        tokio::task::spawn_local(async move {
            if let Some(kernel) = kernel {
                kernel.finish().await;
            }
            let _ = all_closed.recv().await;
            if let Some(stations) = stations {
                stations.finish().await;
            }
            let _ = done.send(());
        });
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Connect {
                peer,
                connection,
                transport,
                remote,
            } => self.connect(peer, connection, transport, remote),
            Output::Send { connection, bytes } => self.send(connection, &bytes),
            Output::Close { connection } => self.close(connection),
            Output::PeerUp {
                peer,
                router_id,
                hold_time,
                ..
            } => {
                self.session_changed(peer, true);
                self.report.up(&self.neighbors.name(peer), router_id, hold_time);
            }
            Output::PeerDown { peer, reason } => {
                self.session_changed(peer, false);
                self.report.down(&self.neighbors.name(peer), &reason);
            }
            Output::UpdateSent {
                peer,
                announced,
                withdrawn,
                messages,
                cause,
                summary,
            } => self.report.update(
                &self.neighbors.name(peer),
                Update {
                    announced,
                    withdrawn,
                    messages,
                    cause,
                    summary,
                },
            ),
            Output::DynamicPeer {
                peer,
                address,
                present,
            } => self.guest(peer, address, present),
            Output::Routes(changes) => {
                if let Some(routes) = &self.routes {
                    routes.kernel.apply(changes);
                }
            }
            Output::TrackNextHop { address, scope } => {
                if let Some(routes) = &self.routes {
                    routes.kernel.track(address, scope);
                }
            }
            Output::UntrackNextHop { address, scope } => {
                if let Some(routes) = &self.routes {
                    routes.kernel.untrack(address, scope);
                }
            }
            Output::Monitor(event) => self.monitors.tell(&event),
            Output::Event { peer, event } => self.report.event(&self.neighbors.name(peer), &event),
        }
    }

    /// A neighbour that was removed is of no interest any more.
    fn session_changed(&mut self, id: PeerId, established: bool) {
        self.changed = true;
        self.neighbors.set_note(id, None);
        // Guests come and go: they say nothing about the way to the clients.
        if self.neighbors.key(id).is_some()
            && let Some(session) = self.neighbors.session(id)
        {
            (self.established)(session, established);
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use bgp::{BfdState, PeerConfig, SpeakerConfig};
    use std::io;
    use std::net::IpAddr;
    use tokio::net::TcpStream;

    use crate::desired::Found;
    use crate::timeline::Timeline;

    use super::*;
    use crate::bfd_thread::Verdict;

    fn driver() -> Driver {
        let setup = Setup {
            speaker: SpeakerConfig::new(65001, std::net::Ipv4Addr::new(10, 0, 0, 1), 1),
            listen: Vec::new(),
            established: Box::new(|_, _| ()),
            found: Box::new(|_, _| ()),
            timeline: Timeline::new(),
            board: StatusBoard::new(),
        };
        Driver::new(setup, None)
    }

    fn passive(remote: IpAddr) -> PeerConfig {
        PeerConfig {
            passive: true,
            ..PeerConfig::new(remote, 65000)
        }
    }

    /// BFD may be up before the reconciler has told the driver of the neighbour. Were that lost, the session
    /// would outlive BFD: a neighbour whose BFD was never up is not judged by it.
    #[test]
    fn a_verdict_of_bfd_that_comes_before_the_neighbour_counts() {
        let mut driver = driver();
        let remote = IpAddr::from([192, 0, 2, 2]);
        let peer = passive(remote);
        let put = |bfd| {
            Command::PutNeighbor(Box::new(Neighbor {
                key: remote.into(),
                peer: PeerConfig {
                    bfd: if bfd { BfdMode::On } else { BfdMode::Off },
                    ..peer.clone()
                },
            }))
        };
        let state = |driver: &Driver| driver.speaker.peers()[0].bfd;
        let verdict = |verdict| Command::Bfd {
            session: remote.into(),
            verdict,
        };
        driver.command(verdict(Verdict::Up));
        driver.command(put(true));
        assert_eq!(state(&driver), BfdState::Up);
        driver.command(verdict(Verdict::Down));
        assert_eq!(state(&driver), BfdState::Down);
        driver.command(verdict(Verdict::Held));
        assert_eq!(state(&driver), BfdState::Held);
        driver.command(verdict(Verdict::Up));
        // One that was without BFD for a while, while the session was somebody else's, hears what is known of it.
        driver.command(put(false));
        assert_eq!(state(&driver), BfdState::Unknown);
        driver.command(put(true));
        assert_eq!(state(&driver), BfdState::Up);
        // What was said ends with the session, and when an operator switches it off.
        for end in [Verdict::Gone, Verdict::Disabled] {
            driver.command(verdict(end));
            assert_eq!(state(&driver), BfdState::Unknown);
            driver.command(Command::RemoveNeighbor(remote.into()));
            driver.command(put(true));
            assert_eq!(state(&driver), BfdState::Unknown);
            driver.command(verdict(Verdict::Up));
        }
    }

    /// The listener has judged the connection, and before it was its turn the neighbour was given a key.
    #[test]
    fn a_connection_judged_under_the_old_configuration_is_closed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let remote = IpAddr::from([127, 0, 0, 1]);
            let listener = tokio::net::TcpListener::bind((remote, 0)).await.unwrap();
            let mut driver = driver();
            let old = passive(remote);
            let mut new = old.clone();
            new.transport.authentication = Some(bgp::Authentication::Md5(bgp::Secret("secret".to_owned())));
            driver.command(Command::PutNeighbor(Box::new(Neighbor {
                key: remote.into(),
                peer: new.clone(),
            })));
            let _neighbour = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, from) = listener.accept().await.unwrap();
            driver.accepted(stream, from, &old.transport);
            assert!(driver.connections.is_empty());

            let _neighbour = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, from) = listener.accept().await.unwrap();
            driver.accepted(stream, from, &new.transport);
            assert_eq!(driver.connections.len(), 1);
        });
    }

    fn watched(address: IpAddr) -> PeerConfig {
        PeerConfig {
            bfd: BfdMode::On,
            ..passive(address)
        }
    }

    /// A link-local address is another neighbour's on each link.
    #[test]
    fn a_verdict_is_for_the_neighbour_on_its_link() {
        let mut driver = driver();
        let address: IpAddr = "fe80::1".parse().unwrap();
        driver.command(Command::PutNeighbor(Box::new(Neighbor {
            key: NeighborKey::named("fe80::1%lo"),
            peer: watched(address),
        })));
        let verdict = |session: &str, verdict| Command::Bfd {
            session: session.parse().unwrap(),
            verdict,
        };
        let state = |driver: &Driver| driver.speaker.peers()[0].bfd;
        driver.command(verdict("fe80::1%lo", Verdict::Up));
        assert_eq!(state(&driver), BfdState::Up);
        driver.command(verdict("fe80::1%eth9", Verdict::Down));
        assert_eq!(state(&driver), BfdState::Up, "somebody else");
        driver.command(verdict("fe80::1%lo", Verdict::Down));
        assert_eq!(state(&driver), BfdState::Down);
    }

    /// Their sessions cannot be in the configuration.
    #[test]
    fn who_is_found_gets_a_session_while_it_is_there() {
        let mut driver = driver();
        let (sender, found) = std::sync::mpsc::channel();
        driver.bfd = Bfd::new(Box::new(move |who: Found, present| {
            sender.send((who, present)).unwrap()
        }));
        let news = || -> Vec<(String, bool)> {
            let told = found.try_iter();
            told.map(|(who, present)| (who.session().to_string(), present))
                .collect()
        };
        let unnumbered = NeighborKey::Interface("lo".to_owned());
        let any = "::".parse().unwrap();
        driver.command(Command::PutNeighbor(Box::new(Neighbor {
            key: unnumbered.clone(),
            peer: watched(any),
        })));
        assert_eq!(news(), []);
        let hear = |driver: &mut Driver, address: &str| {
            let router = crate::router_advertisement::Router {
                address: address.parse().unwrap(),
                scope: 1,
            };
            let now = Instant::now();
            let (id, _) = driver.neighbors.hear(now, "lo", router, |_| false).unwrap();
            driver.settle(id);
        };
        hear(&mut driver, "fe80::7");
        assert_eq!(news(), [("fe80::7%lo".to_owned(), true)]);
        driver.command(Command::Bfd {
            session: "fe80::7%lo".parse().unwrap(),
            verdict: Verdict::Up,
        });
        assert_eq!(driver.speaker.peers()[0].bfd, BfdState::Up);
        driver.command(Command::PutNeighbor(Box::new(Neighbor {
            key: unnumbered.clone(),
            peer: passive(any),
        })));
        assert_eq!(news(), [("fe80::7%lo".to_owned(), false)], "without BFD");
        driver.command(Command::PutNeighbor(Box::new(Neighbor {
            key: unnumbered.clone(),
            peer: watched(any),
        })));
        driver.command(Command::RemoveNeighbor(unnumbered));
        assert_eq!(
            news(),
            [("fe80::7%lo".to_owned(), true), ("fe80::7%lo".to_owned(), false)]
        );

        let guest: IpAddr = "10.1.0.7".parse().unwrap();
        let settings = |bfd| {
            let prefix = "10.1.0.0/16".parse().unwrap();
            let template = if bfd { watched(guest) } else { passive(guest) };
            Command::PutSettings(Box::new(crate::desired::SpeakerSettings {
                dynamic: vec![bgp::DynamicPeers {
                    prefix,
                    limit: 10,
                    template,
                }],
                ..crate::desired::SpeakerSettings::default()
            }))
        };
        driver.command(settings(false));
        driver.guest(PeerId(900), guest, true);
        assert_eq!(news(), []);
        driver.command(settings(true));
        assert_eq!(news(), [("10.1.0.7".to_owned(), true)]);
        driver.guest(PeerId(900), guest, false);
        assert_eq!(news(), [("10.1.0.7".to_owned(), false)]);
    }

    /// A neighbour that does not read costs the bound of the queue, then its connection: not the map entry alone.
    #[test]
    fn a_neighbour_that_does_not_read_loses_its_connection() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let remote = IpAddr::from([127, 0, 0, 1]);
            let listener = tokio::net::TcpListener::bind((remote, 0)).await.unwrap();
            let neighbour = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, from) = listener.accept().await.unwrap();
            let mut driver = driver();
            driver.command(Command::PutNeighbor(Box::new(Neighbor {
                key: remote.into(),
                peer: passive(remote),
            })));
            driver.accepted(stream, from, &passive(remote).transport);
            let connection = *driver.connections.first_key_value().unwrap().0;
            let message = vec![0; 1 << 20];
            for _ in 0..64 {
                driver.send(connection, &message);
            }
            assert!(driver.connections.is_empty());
            driver.handle(Input::Timeout);
            let ended = async {
                let mut buffer = vec![0; 1 << 16];
                loop {
                    neighbour.readable().await.unwrap();
                    match neighbour.try_read(&mut buffer) {
                        Ok(0) => return,
                        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                        _ => {}
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), ended)
                .await
                .unwrap();
            assert!(driver.lost.is_empty());
        });
    }

    /// RFC 9687 needs to know when the first byte waits, when some have left, and when none is left.
    #[test]
    fn what_waits_for_a_neighbour_is_told_until_it_has_left() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let remote = IpAddr::from([127, 0, 0, 1]);
            let listener = tokio::net::TcpListener::bind((remote, 0)).await.unwrap();
            let neighbour = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, from) = listener.accept().await.unwrap();
            let mut driver = driver();
            driver.command(Command::PutNeighbor(Box::new(Neighbor {
                key: remote.into(),
                peer: passive(remote),
            })));
            driver.accepted(stream, from, &passive(remote).transport);
            let connection = *driver.connections.first_key_value().unwrap().0;
            let message = vec![0; 1 << 20];
            let mut waited = None;
            while waited.is_none() {
                driver.send(connection, &message);
                waited = driver.next_backlog();
            }
            let (told, mut waiting) = waited.unwrap();
            assert!(told == connection && waiting > 0);
            driver.send(connection, &message);
            assert_eq!(
                driver.next_backlog(),
                None,
                "only the first byte that waits is news"
            );
            waiting += message.len();

            let mut incoming = driver.incoming.take().unwrap();
            let mut buffer = vec![0; 1 << 16];
            let drained = async {
                while waiting > 0 {
                    tokio::select! {
                        ready = neighbour.readable() => {
                            ready.unwrap();
                            let _ = neighbour.try_read(&mut buffer);
                        }
                        Some(event) = incoming.recv() => {
                            let SocketEvent::Ready { connection } = event else { continue };
                            let open = driver.connections.get(&connection).unwrap();
                            let shared = open.shared().unwrap().clone();
                            if shared.flush().unwrap() > 0 {
                                assert!(shared.waiting() < waiting);
                                waiting = shared.waiting();
                            }
                            shared.served();
                        }
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(10), drained)
                .await
                .unwrap();
        });
    }
}

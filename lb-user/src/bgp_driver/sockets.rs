//! The driver's side of the sockets: who connects, what has arrived, what could not be written.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp::{ConnectionId, Input, PeerId, PeerState, Transport};
use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;

use super::authentication::Dropped;
use super::connect::unanswered;
use super::connection::{Connecting, Connection, Read, SocketEvent};
use super::driver::Driver;
use super::unnumbered::Heard;
use crate::router_advertisement::Router;

/// A connect that was given up sooner says nothing about the neighbour.
const NO_ANSWER: Duration = Duration::from_millis(300);

impl Driver {
    pub(super) fn event(&mut self, event: SocketEvent) {
        match event {
            SocketEvent::Connected { connection, result } => self.connected(connection, result),
            SocketEvent::Accepted {
                stream,
                remote,
                transport,
            } => self.accepted(stream, remote, &transport),
            SocketEvent::Ready { connection } => self.ready(connection),
            SocketEvent::Router { interface, router } => self.heard(&interface, router),
        }
    }

    /// Somebody is at the other end of an interface with an unnumbered neighbour.
    fn heard(&mut self, interface: &str, router: Router) {
        let speaker = &self.speaker;
        let established = |id| {
            let mut peers = speaker.peers().into_iter();
            peers.any(|peer| peer.id == id && peer.state == PeerState::Established)
        };
        match self
            .neighbors
            .hear(Instant::now(), interface, router.clone(), established)
        {
            Some((id, Heard::Chosen)) => {
                let address = router.address.to_string();
                self.report.discovered(interface, &address);
                self.settle(id);
            }
            Some((id, Heard::Refused(reason))) => {
                if self.neighbors.set_note(id, Some(reason.clone())) {
                    self.report.refused(interface, &reason);
                }
            }
            Some((_, Heard::Known)) | None => {}
        }
    }

    pub(super) fn connect(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        transport: Transport,
        remote: SocketAddr,
    ) {
        let connecting = Connection::connect(connection, peer, transport, remote, self.ends.clone());
        self.connections.insert(connection, connecting);
    }

    fn connected(&mut self, connection: ConnectionId, result: Result<TcpStream, String>) {
        // Or it was given up in the meantime.
        let Some(Connection::Connecting(connecting)) = self.connections.remove(&connection) else {
            return;
        };
        let opened = result.and_then(|stream| match stream.local_addr() {
            Ok(local) => Ok((local, stream)),
            Err(error) => Err(error.to_string()),
        });
        match opened {
            Ok((local, stream)) => {
                self.neighbors.set_note(connecting.peer, None);
                let open = Connection::open(connection, stream, self.ends.clone());
                self.connections.insert(connection, open);
                self.handle(Input::Connected { connection, local });
            }
            Err(reason) => {
                self.explain(&connecting, &reason);
                self.handle(Input::ConnectFailed { connection, reason });
            }
        }
    }

    /// Keeps the words for the status, and tells those about keys when they are new.
    fn explain(&mut self, connecting: &Connecting, reason: &str) {
        let peer = connecting.peer;
        let new = self.neighbors.set_note(peer, Some(reason.to_owned()));
        if new && connecting.transport.authentication.is_some() {
            let neighbor = self.neighbors.name(peer);
            self.report.authentication(&neighbor, reason);
        }
    }

    /// `transport` is what the listener judged the connection by. The configuration may have changed since, and
    /// the socket then lacks a key or a limit that the neighbour now has to have.
    pub(super) fn accepted(&mut self, stream: TcpStream, remote: SocketAddr, transport: &Transport) {
        let Some(peer) = self.speaker.peer_for(remote) else {
            debug!(%remote, "no session for this neighbour now");
            return;
        };
        let wanted = self.neighbors.told(peer);
        let wanted = wanted.or_else(|| self.neighbors.template(remote.ip()));
        if wanted.is_none_or(|config| config.transport != *transport) {
            debug!(%remote, "the configuration has changed while the connection waited");
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return;
        }
        let Ok(local) = stream.local_addr() else { return };
        self.neighbors.set_note(peer, None);
        let connection = self.speaker.allocate_connection();
        self.connections.insert(
            connection,
            Connection::open(connection, stream, self.ends.clone()),
        );
        self.handle(Input::Accepted {
            connection,
            peer,
            local,
        });
    }

    /// Writes what waits, then one bounded read.
    fn ready(&mut self, connection: ConnectionId) {
        // After a close there may still be news; the speaker has forgotten the connection.
        let Some(shared) = self.connections.get(&connection).and_then(Connection::shared) else {
            return;
        };
        let shared = shared.clone();
        match shared.flush() {
            Ok(0) => {}
            Ok(_) => self.report_backlog(connection),
            Err(error) => return self.ended(connection, &error),
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = shared.read(&mut buffer);
        self.received(connection, read, &buffer);
        self.buffer = buffer;
        shared.served();
    }

    /// What has arrived counts before a deadline does: a bounded read of every connection. Many of them with long
    /// tables take their time, and the neighbours must not take that for our silence.
    pub(super) fn sweep(&mut self) {
        let open: Vec<ConnectionId> = self.connections.keys().copied().collect();
        let mut buffer = std::mem::take(&mut self.buffer);
        for connection in open {
            self.handle(Input::Keepalives);
            let shared = self.connections.get(&connection).and_then(Connection::shared);
            if let Some(shared) = shared.cloned() {
                let read = shared.read_anyway(&mut buffer);
                self.received(connection, read, &buffer);
            }
        }
        self.buffer = buffer;
    }

    fn received(&mut self, connection: ConnectionId, read: std::io::Result<Read>, buffer: &[u8]) {
        match read {
            Ok(Read::Bytes(length)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                self.handle(Input::Received { connection, bytes });
            }
            Ok(Read::Nothing) => {}
            Ok(Read::End) => self.close_lost(connection),
            Err(error) => self.ended(connection, &error),
        }
    }

    fn ended(&mut self, connection: ConnectionId, error: &std::io::Error) {
        debug!(%error, "BGP connection lost");
        self.close_lost(connection);
    }

    fn close_lost(&mut self, connection: ConnectionId) {
        if let Some(lost) = self.connections.remove(&connection) {
            lost.abort();
            self.handle(Input::Closed { connection });
        }
    }

    pub(super) fn send(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let Some(open) = self.connections.get(&connection) else {
            return;
        };
        let waited = open.shared().is_some_and(|shared| shared.waiting() > 0);
        match open.send(bytes) {
            Ok(()) => {
                let waits = open.shared().is_some_and(|shared| shared.waiting() > 0);
                if waits && !waited {
                    self.report_backlog(connection);
                }
            }
            Err(error) => {
                debug!(%error, "BGP connection lost while writing");
                // At once: whatever was sent after the gap would be read as if nothing were missing.
                if let Some(lost) = self.connections.remove(&connection) {
                    lost.abort();
                }
                self.lost.push(connection);
            }
        }
    }

    /// The speaker hears of it after its present outputs (RFC 9687).
    fn report_backlog(&mut self, connection: ConnectionId) {
        self.backlogged.insert(connection);
    }

    /// The bytes that wait for one of the neighbours of whom there is news.
    pub(super) fn next_backlog(&mut self) -> Option<(ConnectionId, usize)> {
        loop {
            let connection = self.backlogged.pop_first()?;
            let shared = self.connections.get(&connection).and_then(Connection::shared);
            if let Some(shared) = shared {
                return Some((connection, shared.waiting()));
            }
        }
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.lost.retain(|lost| *lost != connection);
        let Some(closing) = self.connections.remove(&connection) else {
            return;
        };
        if let Connection::Connecting(connecting) = &closing
            && connecting.since.elapsed() >= NO_ANSWER
        {
            let dropped = (connecting.dropped, Dropped::now());
            self.explain(connecting, &unanswered(&connecting.transport, Some(dropped)));
        }
        closing.close();
    }

    /// Once a second: what the listeners have refused, and whose signature was wrong.
    pub(super) fn look_at_entrance(&mut self) {
        let (refused, stranger, refusals) = {
            let mut entrance = self.listeners.entrance.borrow_mut();
            let refusals = std::mem::take(&mut entrance.refusals);
            (entrance.refused, entrance.stranger.take(), refusals)
        };
        if let Some(stranger) = stranger {
            let count = refused.unknown - self.refused.unknown;
            debug!(%stranger, count, "BGP connections from addresses that are no neighbours' were closed");
        }
        self.refused = refused;
        self.board.bgp_refused.publish(refused);
        for (remote, reason) in refusals {
            self.refused_neighbor(remote, &reason);
        }
        self.look_at_signatures();
    }

    fn refused_neighbor(&mut self, remote: SocketAddr, reason: &str) {
        let known = self.neighbors.at(remote);
        let name = known.map_or_else(|| remote.ip().to_string(), |id| self.neighbors.name(id));
        let new = match known {
            Some(id) => self.neighbors.set_note(id, Some(reason.to_owned())),
            None => true,
        };
        if new {
            self.report.refused(&name, reason);
        }
    }

    /// Who waits for a neighbour to connect learns only from the counters that it does, with a wrong signature.
    fn look_at_signatures(&mut self) {
        let (before, now) = (self.dropped, Dropped::now());
        self.dropped = now;
        if before == now {
            return;
        }
        let waiting: Vec<(PeerId, bool)> = self
            .speaker
            .peers()
            .iter()
            .filter(|peer| peer.state < PeerState::OpenSent)
            .filter_map(|peer| {
                let config = self.neighbors.told(peer.id)?;
                Some((peer.id, config.transport.authentication.is_some())).filter(|_| config.passive)
            })
            .collect();
        for (id, password) in waiting {
            let Some(reason) = now.since(before, password) else {
                continue;
            };
            if self.neighbors.set_note(id, Some(reason.to_owned())) {
                self.report.authentication(&self.neighbors.name(id), reason);
            }
        }
    }
}

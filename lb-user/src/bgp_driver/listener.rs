//! Listening for neighbours, on the configured addresses only.
//!
//! Whoever connects is judged before the speaker hears of it: an address that is no neighbour's, a SYN from
//! farther away than the neighbour may be, a neighbour whose key the kernel has not taken, and one that connects
//! all the time are closed at once and counted. A flood of connects costs a bounded part of the thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bgp::{Authentication, Transport};
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::authentication;
use super::budget::Budget;
use super::connect::{bind_device, ip};
use super::connection::SocketEvent;
use super::guests::{Guest, Guests, host};
use super::hops;

/// Connections that the kernel keeps while the thread is busy.
const BACKLOG: i32 = 128;
/// Pause after a failed bind, or a failed accept (descriptors exhausted).
const RETRY: Duration = Duration::from_secs(1);
/// Connections accepted per second, by a listener and from one address.
const RATE: u32 = 500;
const RATE_OF_ONE: u32 = 10;
const BURST_OF_ONE: u32 = 20;
/// Addresses whose rate is remembered.
const REMEMBERED: usize = 1024;
/// Refusals of neighbours that wait to be told.
const REFUSALS: usize = 16;

/// Connections that were closed at once, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The address is no neighbour's.
    pub unknown: u64,
    /// The SYN came from farther away than the neighbour may be (RFC 5082).
    pub far: u64,
    /// The kernel has not taken the neighbour's key.
    pub unauthenticated: u64,
    /// The neighbour connects too often.
    pub frequent: u64,
}

/// What all listeners share with the driver.
#[derive(Default)]
pub(super) struct Entrance {
    guests: Guests,
    pub(super) refused: Refused,
    /// The last address that is no neighbour's.
    pub(super) stranger: Option<IpAddr>,
    /// Neighbours that were refused, and why.
    pub(super) refusals: Vec<(SocketAddr, String)>,
    rates: BTreeMap<IpAddr, Budget>,
}

pub(super) struct Listeners {
    pub(super) entrance: Rc<RefCell<Entrance>>,
    listeners: Vec<Rc<Listener>>,
}

struct Listener {
    address: SocketAddr,
    bound: RefCell<Option<Bound>>,
}

/// A socket and the keys on it.
struct Bound {
    socket: Rc<TcpListener>,
    /// `Err`: why the kernel has not taken it.
    keys: BTreeMap<IpNet, (Authentication, Result<(), String>)>,
}

impl Listeners {
    pub(super) fn none() -> Self {
        Listeners {
            entrance: Rc::default(),
            listeners: Vec::new(),
        }
    }

    /// Accepts for as long as the thread lives; a bind that fails is tried again.
    pub(super) fn spawn(addresses: &[SocketAddr], events: &mpsc::Sender<SocketEvent>) -> Self {
        let entrance = Rc::new(RefCell::new(Entrance::default()));
        let listener = |address: &SocketAddr| {
            let listener = Rc::new(Listener {
                address: *address,
                bound: RefCell::new(None),
            });
            let (events, entrance) = (events.clone(), Rc::clone(&entrance));
            tokio::task::spawn_local(serve(Rc::clone(&listener), entrance, events));
            listener
        };
        Listeners {
            listeners: addresses.iter().map(listener).collect(),
            entrance,
        }
    }

    /// Whom to expect from now on; keys that changed are changed on the listeners.
    pub(super) fn expect(&self, guests: Guests) {
        let mut entrance = self.entrance.borrow_mut();
        if entrance.guests == guests {
            return;
        }
        entrance.guests = guests;
        for listener in &self.listeners {
            listener.prepare(&entrance.guests);
        }
    }
}

impl Listener {
    /// Gives the socket what the neighbours need.
    fn prepare(&self, guests: &Guests) {
        let mut bound = self.bound.borrow_mut();
        let Some(bound) = bound.as_mut() else { return };
        let ipv4 = self.address.is_ipv4();
        if let Err(error) = hops::limit_listener(bound.socket.as_fd(), ip(self.address), guests.hops(ipv4)) {
            warn!(address = %self.address, %error, "cannot limit the hops");
        }
        let wanted: BTreeMap<IpNet, &Authentication> = guests.keys(ipv4).collect();
        let socket = bound.socket.as_fd();
        bound.keys.retain(|net, (key, _)| {
            let kept = wanted.get(net) == Some(&&*key);
            if !kept {
                authentication::remove(socket, *net, key);
            }
            kept
        });
        for (net, key) in wanted {
            // One that failed is tried again with every change.
            if bound.keys.get(&net).is_some_and(|(_, state)| state.is_ok()) {
                continue;
            }
            let state = authentication::install(socket, net, key);
            if let Err(reason) = &state {
                warn!(neighbor = %net, reason, "no key on the listener: the neighbour cannot connect");
            }
            bound.keys.insert(net, (key.clone(), state));
        }
    }

    /// Why connections of this neighbour cannot be trusted.
    fn without_key(&self, guest: &Guest) -> Option<String> {
        let wanted = guest.transport.authentication.as_ref()?;
        let bound = self.bound.borrow();
        match bound.as_ref().and_then(|bound| bound.keys.get(&guest.net)) {
            Some((key, Ok(()))) if key == wanted => None,
            Some((_, Err(reason))) => Some(reason.clone()),
            Some((_, Ok(()))) | None => Some("its key is not on the listener yet".to_owned()),
        }
    }
}

async fn serve(listener: Rc<Listener>, entrance: Rc<RefCell<Entrance>>, events: mpsc::Sender<SocketEvent>) {
    let address = listener.address;
    let socket = Rc::new(bound(address).await);
    *listener.bound.borrow_mut() = Some(Bound {
        socket: Rc::clone(&socket),
        keys: BTreeMap::new(),
    });
    listener.prepare(&entrance.borrow().guests);
    info!(%address, "listening for BGP");
    let mut budget = Budget::new(Instant::now(), RATE, RATE);
    loop {
        if let Err(pause) = budget.take(Instant::now()) {
            tokio::time::sleep(pause).await;
            continue;
        }
        let (stream, remote) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%address, %error, "cannot accept a BGP connection");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let verdict = entrance.borrow_mut().judge(&listener, &stream, remote);
        let Ok(transport) = verdict else {
            // At once and without a state that lingers: a flood must not cost ports and memory.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            continue;
        };
        let accepted = SocketEvent::Accepted {
            stream,
            remote,
            transport: Box::new(transport),
        };
        if events.send(accepted).await.is_err() {
            return;
        }
    }
}

/// The connection is refused.
struct Refusal;

impl Entrance {
    /// Whether the speaker may hear of the connection; its socket then has what the neighbour needs.
    fn judge(
        &mut self,
        listener: &Listener,
        stream: &TcpStream,
        remote: SocketAddr,
    ) -> Result<Transport, Refusal> {
        let Some(guest) = self.guests.find(remote).cloned() else {
            self.refused.unknown += 1;
            self.stranger = Some(remote.ip());
            return Err(Refusal);
        };
        let least = hops::least(guest.transport.hops);
        if let Some(ttl) = hops::of_syn(stream.as_fd()).filter(|ttl| *ttl < least) {
            self.refused.far += 1;
            let reason = format!("it connected with TTL {ttl}, at least {least} is required (RFC 5082)");
            return Err(self.refuse(remote, reason));
        }
        if let Some(reason) = listener.without_key(&guest) {
            self.refused.unauthenticated += 1;
            return Err(self.refuse(remote, reason));
        }
        if !self.may_come(remote.ip()) {
            self.refused.frequent += 1;
            return Err(self.refuse(remote, "it connects too often".to_owned()));
        }
        equip(stream, remote, &guest).map_err(|reason| {
            self.refused.unauthenticated += 1;
            self.refuse(remote, reason)
        })?;
        Ok(guest.transport)
    }

    fn refuse(&mut self, remote: SocketAddr, reason: String) -> Refusal {
        if self.refusals.len() < REFUSALS {
            self.refusals.push((remote, reason));
        }
        Refusal
    }

    fn may_come(&mut self, address: IpAddr) -> bool {
        let now = Instant::now();
        if self.rates.len() >= REMEMBERED {
            self.rates.retain(|_, budget| !budget.is_full(now));
        }
        if self.rates.len() >= REMEMBERED && !self.rates.contains_key(&address) {
            // So many at once: the listener's own rate has to do.
            return true;
        }
        let budget = self
            .rates
            .entry(address)
            .or_insert_with(|| Budget::new(now, RATE_OF_ONE, BURST_OF_ONE));
        budget.take(now).is_ok()
    }
}

/// What a connecting socket gets before its SYN, as far as it can be had afterwards.
fn equip(stream: &TcpStream, remote: SocketAddr, guest: &Guest) -> Result<(), String> {
    let transport = &guest.transport;
    hops::limit(stream.as_fd(), ip(remote), transport.hops)
        .map_err(|error| format!("cannot limit the hops: {error}"))?;
    if let Some(key @ Authentication::Md5(_)) = &transport.authentication {
        // The listener may have got its key while this connection waited to be accepted.
        authentication::install(stream.as_fd(), host(remote.ip()), key)?;
    }
    match &transport.interface {
        Some(interface) => bind_device(stream.as_fd(), interface),
        None => Ok(()),
    }
}

async fn bound(address: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match bind(address).and_then(TcpListener::from_std) {
            Ok(listener) => return listener,
            Err(error) if !told => {
                warn!(%address, %error, "cannot listen for BGP; trying on");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // The address may come to the interface later than the daemon.
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    // Only now, so that a second daemon is still refused: connections may use the port as their source.
    socket.set_reuse_port(true)?;
    hops::keep_syns(socket.as_fd())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

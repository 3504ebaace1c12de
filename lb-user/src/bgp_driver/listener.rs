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
    /// TTL of a SYN, below which the kernel drops it.
    least: u8,
}

impl Bound {
    fn new(socket: Rc<TcpListener>) -> Self {
        Bound {
            socket,
            keys: BTreeMap::new(),
            least: 0,
        }
    }

    /// Closes what has connected and was not accepted yet. It came under less strict rules, and what it has sent
    /// already would be read as if the new ones had let it through. Whoever is a neighbour comes again.
    fn drain(&self) {
        let listener = SockRef::from(&*self.socket);
        // No more than these can have come before the new rules.
        for _ in 0..=BACKLOG {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }
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
        let limited = hops::limit_listener(bound.socket.as_fd(), ip(self.address), guests.hops(ipv4));
        let least = limited.unwrap_or_else(|error| {
            warn!(address = %self.address, %error, "cannot limit the hops");
            0
        });
        let mut stricter = least > bound.least;
        bound.least = least;
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
            stricter |= state.is_ok();
            if let Err(reason) = &state {
                warn!(neighbor = %net, reason, "no key on the listener: the neighbour cannot connect");
            }
            bound.keys.insert(net, (key.clone(), state));
        }
        if stricter {
            bound.drain();
        }
    }

    /// TTL of a SYN, below which the kernel drops it.
    fn least(&self) -> u8 {
        self.bound.borrow().as_ref().map_or(0, |bound| bound.least)
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
    *listener.bound.borrow_mut() = Some(Bound::new(Rc::clone(&socket)));
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
        if let Some(found) = too_far(hops::of_syn(stream.as_fd()), least, listener.least()) {
            self.refused.far += 1;
            let reason = format!("it connected with {found}, at least {least} is required (RFC 5082)");
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

/// What is wrong with the TTL of a SYN that the kernel has let through; one that is not known has at least what
/// the listener asks for.
fn too_far(of_syn: Option<u8>, least: u8, of_listener: u8) -> Option<String> {
    match of_syn {
        Some(ttl) => (ttl < least).then(|| format!("TTL {ttl}")),
        None => (of_listener < least).then(|| "a TTL that the kernel did not keep (SYN flood)".to_owned()),
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use bgp::{Hops, Secret};

    use super::*;

    fn guests(hops: Hops, password: Option<&str>) -> Guests {
        Guests(vec![Guest {
            net: host(IpAddr::from([127, 0, 0, 1])),
            scope: 0,
            transport: Transport {
                hops,
                authentication: password.map(|word| Authentication::Md5(Secret(word.to_owned()))),
                ..Transport::default()
            },
        }])
    }

    /// Whether one that had connected before the listener heard of these guests is still there to be accepted.
    fn still_waits(before: &Guests, after: &Guests) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = Rc::new(TcpListener::from_std(bind(address).unwrap()).unwrap());
        let listener = Listener {
            address,
            bound: RefCell::new(Some(Bound::new(Rc::clone(&socket)))),
        };
        listener.prepare(before);
        let mut stream = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        listener.prepare(after);
        let waits = SockRef::from(&*socket).accept().is_ok();
        if !waits {
            let ended = stream.read(&mut [0; 1]);
            assert!(ended.is_err(), "it was closed: {ended:?}");
        }
        waits
    }

    /// What it has sent by then is neither signed nor limited, and would be read all the same.
    #[test]
    fn whoever_connected_before_the_rules_became_stricter_has_to_come_again() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let anybody = guests(Hops::Limit(64), None);
        let near = guests(Hops::Security(1), None);
        let signed = guests(Hops::Limit(64), Some("secret"));
        assert!(!still_waits(&anybody, &near));
        assert!(!still_waits(&anybody, &signed));
        assert!(still_waits(&anybody, &anybody));
        assert!(still_waits(&anybody, &Guests::default()));
    }

    /// A flood makes the kernel answer with cookies, and then it does not keep the SYN.
    #[test]
    fn a_ttl_that_is_not_known_is_what_the_listener_asks_for() {
        assert_eq!(too_far(Some(255), 255, 0), None);
        assert_eq!(too_far(Some(254), 255, 0).as_deref(), Some("TTL 254"));
        assert!(too_far(None, 255, 254).is_some());
        assert_eq!(too_far(None, 255, 255), None);
        assert_eq!(too_far(None, 0, 0), None);
    }
}

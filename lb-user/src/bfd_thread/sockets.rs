//! Every socket of the thread: opened where a session needs it, and nowhere else.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use bfd::{EchoPayload, Path, Payload};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use socket2::Domain;

use super::Options;
use super::echo_socket::EchoSocket;
use super::receiver::{MAXIMUM_ADDRESSES, Receiver};
use super::registry::Entry;
use super::report::ThreadReport;
use super::transmitter::Transmitter;

/// Links on which Echo packets are exchanged.
const MAXIMUM_ECHO: usize = 32;
const MAXIMUM_DESCRIPTORS: usize = 1 + 2 * MAXIMUM_ADDRESSES + MAXIMUM_ECHO;
/// A socket that cannot be opened is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the sessions need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
    pub(super) ipv4_multihop: bool,
    pub(super) ipv6_multihop: bool,
    /// Of the sessions over several hops.
    minimum_ttl: Option<u8>,
}

impl Wanted {
    pub(super) fn add(&mut self, path: &Path) {
        let (remote, multihop) = (path.remote, path.hops.is_multi());
        if multihop {
            let ttl = path.hops.minimum_ttl();
            self.minimum_ttl = Some(self.minimum_ttl.map_or(ttl, |least| least.min(ttl)));
        }
        let wanted = match (remote.is_ipv4(), multihop) {
            (true, false) => &mut self.ipv4,
            (false, false) => &mut self.ipv6,
            (true, true) => &mut self.ipv4_multihop,
            (false, true) => &mut self.ipv6_multihop,
        };
        *wanted = true;
    }

    /// A stranger may have an address of either family.
    pub(super) fn add_strangers(&mut self) {
        (self.ipv4, self.ipv6) = (true, true);
    }

    fn has(self, address: IpAddr, multihop: bool) -> bool {
        match (address.is_ipv4(), multihop) {
            (true, false) => self.ipv4,
            (false, false) => self.ipv6,
            (true, true) => self.ipv4_multihop,
            (false, true) => self.ipv6_multihop,
        }
    }
}

pub(super) struct Sockets {
    listen: Vec<IpAddr>,
    ports: [u16; 2],
    pub(super) receivers: Vec<Receiver>,
    pub(super) echo: Vec<EchoSocket>,
    transmitters: [Transmitter; 2],
    /// When to try again what could not be opened.
    again: Option<Instant>,
}

impl Sockets {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            listen: options.listen.iter().take(MAXIMUM_ADDRESSES).copied().collect(),
            ports: [false, true].map(|multihop| options.port(multihop)),
            receivers: Vec::with_capacity(2 * MAXIMUM_ADDRESSES),
            echo: Vec::new(),
            transmitters: [Domain::IPV4, Domain::IPV6].map(Transmitter::new),
            again: None,
        }
    }

    fn port(&self, multihop: bool) -> u16 {
        let [single, multi] = self.ports;
        if multihop { multi } else { single }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.again
    }

    /// Listens where a session needs it.
    pub(super) fn listen(&mut self, now: Instant, wanted: Wanted, report: &mut ThreadReport) {
        self.receivers
            .retain(|receiver| wanted.has(receiver.address(), receiver.is_multihop()));
        self.again = None;
        self.open(now, wanted, report);
        let far = self.receivers.iter().filter(|receiver| receiver.is_multihop());
        for receiver in far {
            let minimum_ttl = wanted.minimum_ttl.unwrap_or(u8::MAX);
            if receiver.listen_from(minimum_ttl).is_err() {
                report.receive_errors += 1;
            }
        }
    }

    fn open(&mut self, now: Instant, wanted: Wanted, report: &mut ThreadReport) {
        for index in 0..self.listen.len() {
            let Some(address) = self.listen.get(index).copied() else {
                continue;
            };
            for multihop in [false, true] {
                let open = |known: &Receiver| (known.address(), known.is_multihop()) == (address, multihop);
                if !wanted.has(address, multihop) || self.receivers.iter().any(open) {
                    continue;
                }
                match Receiver::open(address, self.port(multihop), multihop) {
                    Ok(receiver) => self.receivers.push(receiver),
                    Err(_) => {
                        report.receive_errors += 1;
                        self.again = Some(now + AGAIN);
                    }
                }
            }
        }
    }

    /// Sleeps until a packet has arrived, the thread is woken, or the time has passed. True if it was woken.
    pub(super) fn wait(&self, wake: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
        let receivers = self.receivers.iter().map(Receiver::descriptor);
        let mut descriptors = receivers.chain(self.echo.iter().map(EchoSocket::descriptor));
        // Slots without a socket wait for the wake-up as well.
        let mut polled: [PollFd<'_>; MAXIMUM_DESCRIPTORS] = std::array::from_fn(|slot| {
            let descriptor = if slot == 0 { None } else { descriptors.next() };
            PollFd::new(descriptor.unwrap_or(wake), PollFlags::POLLIN)
        });
        let used = (1 + self.receivers.len() + self.echo.len()).min(MAXIMUM_DESCRIPTORS);
        let used = polled.get_mut(..used).unwrap_or_default();
        // The only error is a signal: the loop comes back to it.
        let _ = ppoll(used, timeout.map(TimeSpec::from), None);
        used.first().is_some_and(|wake| wake.any().unwrap_or(true))
    }

    /// Takes a control packet; `flush` sends it.
    pub(super) fn push(
        &mut self,
        path: &Path,
        source_port: u16,
        payload: &Payload,
        report: &mut ThreadReport,
    ) {
        let port = self.port(path.hops.is_multi());
        let [ipv4, ipv6] = &mut self.transmitters;
        let transmitter = if path.remote.is_ipv4() { ipv4 } else { ipv6 };
        if transmitter.is_full() {
            report.count(transmitter.flush());
        }
        transmitter.push(path, source_port, port, payload);
    }

    pub(super) fn flush(&mut self, report: &mut ThreadReport) {
        for transmitter in &mut self.transmitters {
            report.count(transmitter.flush());
        }
    }

    /// Sends an Echo packet by way of the peer.
    pub(super) fn send_echo(&mut self, path: &Path, entry: &Entry, payload: &EchoPayload) -> io::Result<()> {
        let interface = path
            .interface
            .ok_or(io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let peer = entry
            .peer
            .ok_or(io::Error::from(io::ErrorKind::HostUnreachable))?;
        let known = self
            .echo
            .iter()
            .position(|socket| socket.serves(interface, path.local));
        let index = match known {
            Some(index) => index,
            None if self.echo.len() < MAXIMUM_ECHO => {
                self.echo.push(EchoSocket::open(interface, path.local)?);
                self.echo.len() - 1
            }
            None => return Err(io::Error::from(io::ErrorKind::QuotaExceeded)),
        };
        self.echo
            .get(index)
            .map_or(Ok(()), |socket| socket.send(peer, payload))
    }

    /// The echo sockets that nobody needs, for somebody who has the time to close them.
    pub(super) fn unneeded(&mut self, needed: impl Fn(u32, IpAddr) -> bool) -> Vec<EchoSocket> {
        let (kept, unneeded) = std::mem::take(&mut self.echo)
            .into_iter()
            .partition(|socket| needed(socket.interface(), socket.local()));
        self.echo = kept;
        unneeded
    }
}

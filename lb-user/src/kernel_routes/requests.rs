//! The netlink socket over which routes are changed and asked for: requests and answers, blocking.
//!
//! Changes go out many in one datagram; the kernel does them in order and acknowledges each. A time-out bounds what a kernel
//! that does not answer costs; then the socket is given up, and what is true is read over a new one.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE,
    NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;

use super::plan::Operation;
use super::route::{Observed, installation, inventory, question, removal};

/// How long the kernel may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Requests in one datagram. Their acknowledgements have to fit the receive buffer.
const BATCH: usize = 64;
const RECEIVE_BUFFER: usize = 1 << 20;
const DATAGRAM: usize = 64 * 1024;

/// Why the kernel does not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) errno: i32,
    /// For people.
    pub(super) reason: String,
}

pub(super) struct Requests {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    /// In the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        // An acknowledgement does not repeat the request, and says in words what is wrong with it.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        // Dumps of one table only; kernels that cannot are filtered for.
        let _ = socket.set_netlink_get_strict_chk(true);
        socket.set_rx_buf_sz(i32::try_from(RECEIVE_BUFFER).unwrap_or(i32::MAX))?;
        // SAFETY: the descriptor belongs to `socket`, which outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
        let seconds = i64::try_from(ANSWER.as_secs()).unwrap_or(i64::MAX);
        setsockopt(&descriptor, ReceiveTimeout, &TimeVal::new(seconds, 0))?;
        Ok(Self {
            socket,
            port,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// What the kernel calls this socket when it tells others of its changes.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Does them in order; `tell` hears of each. An error means that the socket is of no use any more, and that what was not
    /// told of may or may not have been done.
    pub(super) fn execute(
        &mut self,
        operations: &[Operation],
        metric: u32,
        mut tell: impl FnMut(&Operation, Result<(), Refusal>),
    ) -> io::Result<()> {
        for batch in operations.chunks(BATCH) {
            let mut datagram = Vec::new();
            let first = self.sequence.wrapping_add(1);
            for operation in batch {
                let (request, flags) = request(operation, metric);
                let message = self.message(request, flags | NLM_F_ACK);
                datagram.extend_from_slice(&message);
            }
            self.socket.send(&datagram, 0)?;
            let mut answered = 0;
            while answered < batch.len() {
                self.receive(|frame| {
                    // Answers come in the order of the requests.
                    let index = frame.sequence.wrapping_sub(first) as usize;
                    if let (Some(result), Some(operation)) = (frame.acknowledgement(), batch.get(index)) {
                        answered += 1;
                        tell(operation, result);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// The route that the kernel takes to a next hop; `None` if there is none.
    pub(super) fn lookup(&mut self, next_hop: IpAddr, scope: u32) -> io::Result<Option<Observed>> {
        let request = self.message(RouteNetlinkMessage::GetRoute(question(next_hop, scope)), 0);
        let sequence = self.sequence;
        self.socket.send(&request, 0)?;
        let mut answer = None;
        while answer.is_none() {
            self.receive(|frame| {
                if frame.sequence == sequence {
                    answer = Some(match frame.acknowledgement() {
                        // Unreachable, prohibited, the link is gone: all mean no.
                        Some(_) => None,
                        None => frame.route(),
                    });
                }
                Ok(())
            })?;
        }
        Ok(answer.flatten())
    }

    /// Shows every route of the main table. Returns whether the table kept still meanwhile.
    pub(super) fn dump(&mut self, mut visit: impl FnMut(Observed)) -> io::Result<bool> {
        let mut still = true;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            still &= self.dump_family(family, &mut visit)?;
        }
        Ok(still)
    }

    /// Returns whether the table kept still.
    fn dump_family(&mut self, family: AddressFamily, visit: &mut impl FnMut(Observed)) -> io::Result<bool> {
        let request = self.message(RouteNetlinkMessage::GetRoute(inventory(family)), NLM_F_DUMP);
        let sequence = self.sequence;
        self.socket.send(&request, 0)?;
        let (mut ended, mut still) = (false, true);
        while !ended {
            self.receive(|frame| {
                if frame.sequence != sequence {
                    return Ok(());
                }
                still &= frame.flags & NLM_F_DUMP_INTR == 0;
                if frame.kind == DONE {
                    ended = true;
                } else if let Some(result) = frame.acknowledgement() {
                    ended = true;
                    // A namespace that never had a route of this family has no such table.
                    result.or_else(|refusal| match refusal.errno {
                        libc::ENOENT => Ok(()),
                        errno => Err(io::Error::from_raw_os_error(errno)),
                    })?;
                } else if let Some(route) = frame.route().filter(|route| route.main) {
                    visit(route);
                }
                Ok(())
            })?;
        }
        Ok(still)
    }

    fn message(&mut self, request: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = flags | NLM_F_REQUEST;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
        message.serialize(&mut bytes);
        bytes
    }

    /// One datagram, message by message.
    fn receive(&mut self, mut look: impl FnMut(&Frame<'_>) -> io::Result<()>) -> io::Result<()> {
        self.buffer.clear();
        loop {
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Frame::each(&self.buffer, |frame| look(frame))
    }
}

fn request(operation: &Operation, metric: u32) -> (RouteNetlinkMessage, u16) {
    match operation {
        Operation::Create { prefix, ways } => (
            RouteNetlinkMessage::NewRoute(installation(*prefix, metric, ways)),
            NLM_F_CREATE | NLM_F_EXCL,
        ),
        Operation::Replace { prefix, ways } => (
            RouteNetlinkMessage::NewRoute(installation(*prefix, metric, ways)),
            NLM_F_REPLACE,
        ),
        Operation::Remove { prefix, metric } => (RouteNetlinkMessage::DelRoute(removal(*prefix, *metric)), 0),
    }
}

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Text among the attributes of an acknowledgement.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A netlink message, its header read: length, type, flags, sequence, port, in host order.
pub(super) struct Frame<'a> {
    bytes: &'a [u8],
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// Who asked for the change that it tells of; 0: the kernel by itself.
    pub(super) port: u32,
}

impl<'a> Frame<'a> {
    /// Every message of a datagram.
    pub(super) fn each<E>(
        mut bytes: &'a [u8],
        mut look: impl FnMut(&Frame<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(length) = read_u32(bytes, 0).map(|length| length as usize) {
            let Some(message) = bytes.get(..length).filter(|_| length >= HEADER) else {
                break;
            };
            let half = |at| read_u16(message, at).unwrap_or_default();
            let word = |at| read_u32(message, at).unwrap_or_default();
            look(&Frame {
                bytes: message,
                kind: half(4),
                flags: half(6),
                sequence: word(8),
                port: word(12),
            })?;
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    /// A message that this program does not understand is none.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
    pub(super) fn decode(&self) -> Option<RouteNetlinkMessage> {
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(self.bytes)
            .ok()?
            .payload
        {
            NetlinkPayload::InnerMessage(inner) => Some(inner),
            _ => None,
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "of some sixty kinds of messages one matters"
    )]
    fn route(&self) -> Option<Observed> {
        match self.decode()? {
            RouteNetlinkMessage::NewRoute(route) => Observed::parse(&route),
            _ => None,
        }
    }

    fn acknowledgement(&self) -> Option<Result<(), Refusal>> {
        if self.kind != ERROR {
            return None;
        }
        let code = i32::from_ne_bytes(read_u32(self.bytes, HEADER)?.to_ne_bytes());
        if code == 0 {
            return Some(Ok(()));
        }
        let errno = code.saturating_abs();
        let system = io::Error::from_raw_os_error(errno);
        let reason = match self.extended_text() {
            Some(text) => format!("{text} ({system})"),
            None => system.to_string(),
        };
        Some(Err(Refusal { errno, reason }))
    }

    /// After the code and the header of the request come attributes, if the flag says so.
    fn extended_text(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let mut rest = self.bytes.get(HEADER + 4 + HEADER..)?;
        loop {
            let length = usize::from(read_u16(rest, 0)?);
            let value = rest.get(4..length)?;
            if read_u16(rest, 2)? == NLMSGERR_ATTR_MSG {
                let text = value.split(|byte| *byte == 0).next()?;
                return Some(String::from_utf8_lossy(text).into_owned());
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|raw| u16::from_ne_bytes(*raw))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|raw| u32::from_ne_bytes(*raw))
}

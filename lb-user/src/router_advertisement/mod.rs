//! Who is the router at the other end of an interface: router advertisements sent and heard.
//!
//! Purpose: an unnumbered BGP neighbour is known by its interface only. Both ends say that they are there by
//! router advertisements, whose source is the link-local address to connect to (as FRR and others do it).
//!
//! What is sent: the lifetime of the router is 0, so that no host on the link takes this node as its default
//! router (RFC 4861 section 6.2.3 allows it), and no prefix: hosts learn nothing. FRR looks at the source only. The
//! link-layer address goes with it, because the neighbour may need it for IPv4 next hops. Three in the first three
//! seconds, then one in ten seconds, which is what FRR does for such neighbours; one at once when somebody solicits. We
//! solicit as long as nobody is heard.
//!
//! Owner: a task for each interface, on the thread of the BGP driver. An interface that goes and comes again is
//! found again.
//!
//! It must never believe what may have come from another link: hop limit 255 and a link-local source are
//! required (RFC 4861 section 6.1.2).

mod message;
mod socket;

use std::io;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use tracing::{debug, warn};

use self::message::Message;
use self::socket::LinkSocket;

/// Between two advertisements, and in the beginning.
const INTERVAL: Duration = Duration::from_secs(10);
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const FIRST: u32 = 3;
/// Answers to solicitations are no closer than that, whoever solicits.
const ANSWER: Duration = Duration::from_secs(1);
/// How often to look whether the interface is still the same, and for one that is missing.
const LOOK: Duration = Duration::from_secs(1);

/// A router that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    pub address: Ipv6Addr,
    /// Index of the interface.
    pub scope: u32,
}

/// Advertises and listens on one interface until dropped. `tell` must not block.
pub async fn run(interface: String, mut tell: impl FnMut(Router)) {
    let mut told = String::new();
    loop {
        let ended = match LinkSocket::open(&interface) {
            Ok(socket) => serve(&interface, &socket, &mut tell).await,
            Err(error) => error,
        };
        let reason = ended.to_string();
        if reason != told {
            warn!(interface, reason, "router advertisements");
            told = reason;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// When to send.
struct Schedule {
    sent: u32,
    last: Option<Instant>,
    next: Instant,
    /// Somebody has been heard.
    heard: bool,
}

impl Schedule {
    fn new(now: Instant) -> Self {
        Schedule {
            sent: 0,
            last: None,
            next: now,
            heard: false,
        }
    }

    fn sent(&mut self, now: Instant) {
        self.sent = self.sent.saturating_add(1);
        self.last = Some(now);
        let pause = if self.sent < FIRST || !self.heard && self.sent < 10 * FIRST {
            FIRST_INTERVAL
        } else {
            INTERVAL
        };
        self.next = now + pause;
    }

    fn failed(&mut self, now: Instant) {
        self.next = now + LOOK;
    }

    fn solicited(&mut self, now: Instant) {
        let earliest = self.last.map_or(now, |last| last + ANSWER).max(now);
        self.next = self.next.min(earliest);
    }
}

async fn serve(interface: &str, socket: &LinkSocket, tell: &mut impl FnMut(Router)) -> io::Error {
    let mut schedule = Schedule::new(Instant::now());
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(schedule.next.into()) => {
                match send(socket, schedule.heard) {
                    Ok(()) => schedule.sent(Instant::now()),
                    Err(error) => {
                        // No link-local address yet, or the link is down.
                        debug!(interface, %error, "cannot send a router advertisement");
                        schedule.failed(Instant::now());
                    }
                }
            }
            heard = socket.receive() => match heard {
                Ok(Some((_, Message::Solicitation))) => schedule.solicited(Instant::now()),
                Ok(Some((address, Message::Advertisement))) => {
                    schedule.heard = true;
                    tell(Router { address, scope: socket.scope() });
                }
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(nix::libc::ENETDOWN) => {}
                Err(error) => return error,
            },
            _ = look.tick() => if if_nametoindex(interface) != Ok(socket.scope()) {
                return io::Error::new(io::ErrorKind::NotFound, "the interface is gone");
            },
        }
    }
}

fn send(socket: &LinkSocket, heard: bool) -> io::Result<()> {
    socket.send(Message::Advertisement)?;
    if heard {
        Ok(())
    } else {
        socket.send(Message::Solicitation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_at_first_then_calm_and_prompt_when_asked() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        schedule.heard = true;
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..4 {
            schedule.sent(now);
            pauses.push(schedule.next - now);
            now = schedule.next;
        }
        assert_eq!(pauses, [FIRST_INTERVAL, FIRST_INTERVAL, INTERVAL, INTERVAL]);
        // Asked right after one was sent: a second later, not ten; asked later: at once.
        let sent = now - INTERVAL;
        schedule.solicited(sent);
        assert_eq!(schedule.next, sent + ANSWER);
        schedule.next = sent + INTERVAL;
        schedule.solicited(sent + Duration::from_secs(5));
        assert_eq!(schedule.next, sent + Duration::from_secs(5));
    }
}

//! The relay process, `lab wire`: frames from one veth to the other, orders in between.
//!
//! Two threads. The relay thread (SCHED_FIFO: it plays the part of physics, so it comes before
//! whatever it connects) owns all sockets and all state, and sleeps in `ppoll` until a frame, an
//! order or the release of a delayed frame. The control thread reads orders from the unix socket and
//! hands them over; the relay thread carries them out between two batches and says when. The relay
//! thread never waits for the control thread, a client or a disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{ForkResult, fork, setsid};

use super::direction::{DirectionState, Fate};
use super::packet_socket::{Batch, PacketSocket};
use super::{Answer, Counters, Order, client, interfaces};
use crate::clock::monotonic_ns;
use crate::error::{Context, Error, Result};

/// Above every real-time thread of the daemons under test.
const PRIORITY: libc::c_int = 70;
/// Batches from one socket before the others get their turn.
const FAIRNESS: usize = 4;

struct RelayLink {
    names: [String; 2],
    ends: [Option<PacketSocket>; 2],
    /// `directions[i]` carries what comes in at `ends[i]`.
    directions: [DirectionState; 2],
}

struct Asked {
    order: Order,
    answer: mpsc::Sender<Answer>,
}

struct Relay {
    links: Vec<RelayLink>,
    batch: Batch,
    orders: mpsc::Receiver<Asked>,
    wake: EventFd,
}

/// The body of `lab wire`. Returns in the caller when the relay works; the relay stays behind.
///
/// # Errors
/// The namespace, an interface or the control socket cannot be opened.
pub fn main(netns: &Path, folder: &Path, seed: u64, links: usize) -> Result<()> {
    let file = File::open(netns).context(|| netns.display().to_string())?;
    setns(file.as_fd(), CloneFlags::CLONE_NEWNET).context(|| "joining the wire's namespace".into())?;
    drop(file);
    let mut relayed = Vec::new();
    for (index, number) in (0..links).zip(0_u64..) {
        let names = interfaces(index);
        let mut ends = [None, None];
        for (end, name) in ends.iter_mut().zip(&names) {
            *end = Some(PacketSocket::open(name).context(|| format!("interface {name} of the wire"))?);
        }
        let state =
            |end: u64| DirectionState::new(seed.wrapping_mul(0x1_0001).wrapping_add(number * 2 + end));
        relayed.push(RelayLink {
            names,
            ends,
            directions: [state(0), state(1)],
        });
    }
    let listener = listen(folder).context(|| "control socket".into())?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.context(|| "fork".into())? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            let _ = setsid();
            serve(relayed, listener)
        }
    }
}

fn listen(folder: &Path) -> io::Result<UnixListener> {
    let folder = File::open(folder)?;
    let path = client::short_path(&folder);
    let _ = std::fs::remove_file(&path);
    UnixListener::bind(&path)
}

fn serve(links: Vec<RelayLink>, listener: UnixListener) -> Result<()> {
    let (sender, orders) = mpsc::channel();
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
        .context(|| "eventfd".into())?;
    let waker = wake.as_fd().try_clone_to_owned().context(|| "eventfd".into())?;
    std::thread::spawn(move || control(&listener, &sender, &File::from(waker)));
    become_physics();
    let mut relay = Relay {
        links,
        batch: Batch::new(),
        orders,
        wake,
    };
    loop {
        relay
            .turn()
            .map_err(|error| Error::Wire(format!("relay: {error}")))?;
    }
}

/// A relay that is scheduled like anybody else still works, only with a worse clock; it says so.
fn become_physics() {
    let parameter = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: the parameter outlives the call.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) } != 0 {
        eprintln!("wire: no real-time priority: {}", io::Error::last_os_error());
    }
    // SAFETY: a system call on integers.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } != 0 {
        eprintln!("wire: memory is not locked: {}", io::Error::last_os_error());
    }
}

impl Relay {
    fn turn(&mut self) -> io::Result<()> {
        let mut waiting = vec![pollfd(self.wake.as_fd().as_raw_fd())];
        let mut owners = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            for (end, socket) in link.ends.iter().enumerate() {
                if let Some(socket) = socket {
                    waiting.push(pollfd(socket.descriptor()));
                    owners.push((index, end));
                }
            }
        }
        let next = self
            .links
            .iter()
            .flat_map(|link| &link.directions)
            .filter_map(DirectionState::next_release)
            .min();
        wait(&mut waiting, next)?;
        if waiting.first().is_some_and(|wake| wake.revents != 0) {
            self.obey();
        }
        for (ready, (link, end)) in waiting.iter().skip(1).zip(owners) {
            if let Some(link) = self.links.get_mut(link).filter(|_| ready.revents != 0) {
                link.relay(end, &mut self.batch);
            }
        }
        let now = monotonic_ns();
        for link in &mut self.links {
            link.release(now);
        }
        Ok(())
    }

    fn obey(&mut self) {
        let _ = self.wake.read();
        while let Ok(Asked { order, answer }) = self.orders.try_recv() {
            // A client that has gone away does not want its answer.
            let _ = answer.send(self.carry_out(order));
        }
    }

    fn carry_out(&mut self, order: Order) -> Answer {
        let error = match order {
            Order::Impair {
                links,
                direction,
                impairment,
            } => match impairment.check() {
                Ok(()) => self.each(&links, |link, end| {
                    if direction.includes(end) {
                        link.directions[end].impair(impairment);
                    }
                    Ok(())
                }),
                Err(error) => Some(error),
            },
            Order::Blackhole {
                links,
                direction,
                on,
                for_ns,
            } => {
                let until = match (on, for_ns) {
                    (false, _) => 0,
                    (true, None) => u64::MAX,
                    (true, Some(duration)) => monotonic_ns().saturating_add(duration),
                };
                self.each(&links, |link, end| {
                    if direction.includes(end) {
                        link.directions[end].blackhole(until);
                    }
                    Ok(())
                })
            }
            Order::Attach { links } => self.each(&links, |link, end| {
                // The end that is still there has a socket that works; opening it anew is harmless.
                let name = &link.names[end];
                let socket = PacketSocket::open(name).map_err(|error| format!("{name}: {error}"))?;
                retire(link.ends[end].replace(socket));
                Ok(())
            }),
            Order::Counters => None,
        };
        for link in &mut self.links {
            link.count_drops();
        }
        let counters: Vec<[Counters; 2]> = self
            .links
            .iter()
            .map(|link| [link.directions[0].counters, link.directions[1].counters])
            .collect();
        Answer {
            at_ns: monotonic_ns(),
            error,
            counters,
        }
    }

    fn each(
        &mut self,
        links: &[usize],
        mut action: impl FnMut(&mut RelayLink, usize) -> Result<(), String>,
    ) -> Option<String> {
        for &index in links {
            let Some(link) = self.links.get_mut(index) else {
                return Some(format!("no link {index}"));
            };
            for end in 0..2 {
                if let Err(error) = action(link, end) {
                    return Some(error);
                }
            }
        }
        None
    }
}

/// Closing a packet socket waits until no CPU looks at it any more: milliseconds in which nothing would be relayed.
fn retire(socket: Option<PacketSocket>) {
    if socket.is_some() {
        std::thread::spawn(move || drop(socket));
    }
}

impl RelayLink {
    /// Takes what has arrived at an end and sends or keeps it.
    fn relay(&mut self, end: usize, batch: &mut Batch) {
        for _ in 0..FAIRNESS {
            let Some(socket) = &self.ends[end] else { return };
            if socket.receive(batch).is_err() && !interface_exists(&self.names[end]) {
                // Its node has lost its power. Until it is attached anew there is nothing to hear.
                retire(self.ends[end].take());
                return;
            }
            let now = monotonic_ns();
            let direction = &mut self.directions[end];
            let passing: Vec<&[u8]> = batch
                .frames()
                .filter(|frame| direction.admit(now, frame) == Fate::Pass)
                .collect();
            if let Some(other) = &self.ends[1 - end] {
                let taken = other.send(passing.iter().copied());
                direction.counters.overrun += (passing.len() - taken) as u64;
            }
            if !batch.is_full() {
                return;
            }
        }
    }

    fn release(&mut self, now: u64) {
        for end in 0..2 {
            while let Some(frame) = self.directions[end].due(now) {
                if let Some(other) = &self.ends[1 - end] {
                    let taken = other.send(std::iter::once(frame.as_slice()));
                    self.directions[end].counters.overrun += 1 - taken as u64;
                }
            }
        }
    }

    fn count_drops(&mut self) {
        for (socket, direction) in self.ends.iter().zip(&mut self.directions) {
            direction.counters.overrun += socket.as_ref().map_or(0, PacketSocket::dropped);
        }
    }
}

fn interface_exists(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

fn pollfd(descriptor: i32) -> libc::pollfd {
    libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    }
}

/// Sleeps until something is ready or a time of CLOCK_MONOTONIC has come.
fn wait(waiting: &mut [libc::pollfd], until: Option<u64>) -> io::Result<()> {
    let timeout = until.map(|until| {
        let left = Duration::from_nanos(until.saturating_sub(monotonic_ns()));
        libc::timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    let pointer = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the slice and the time outlive the call.
    let result = unsafe {
        libc::ppoll(
            waiting.as_mut_ptr(),
            waiting.len() as libc::nfds_t,
            pointer,
            std::ptr::null(),
        )
    };
    match result {
        -1 => {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                Ok(())
            } else {
                Err(error)
            }
        }
        _ => Ok(()),
    }
}

fn control(listener: &UnixListener, orders: &mpsc::Sender<Asked>, waker: &File) {
    for stream in listener.incoming().flatten() {
        if let Err(error) = answer(stream, orders, waker) {
            eprintln!("wire: order: {error}");
        }
    }
}

fn answer(stream: UnixStream, orders: &mpsc::Sender<Asked>, mut waker: &File) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(order) => {
            let (sender, receiver) = mpsc::channel();
            let gone = || io::Error::other("the relay thread has ended");
            orders
                .send(Asked {
                    order,
                    answer: sender,
                })
                .map_err(|_| gone())?;
            waker.write_all(&1_u64.to_ne_bytes())?;
            receiver.recv().map_err(|_| gone())?
        }
        Err(error) => Answer {
            error: Some(error.to_string()),
            ..Answer::default()
        },
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    (&stream).write_all(&text)
}

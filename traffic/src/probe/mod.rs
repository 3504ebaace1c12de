//! The 1 kHz UDP probe.
//!
//! Two SCHED_FIFO threads: one sends at absolute times of CLOCK_MONOTONIC, one receives. They share the log behind a
//! lock that is held for one entry. The schedule never slips: after a late wake-up the missed probes are sent at once,
//! so that the count of lost probes times the interval stays a time.

pub mod log;
pub mod packet;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use crate::clock;
use crate::control::{self, Command};
use crate::probe::log::Log;
use crate::window::Windows;

/// How long a report waits for answers that are under way.
const GRACE: Duration = Duration::from_millis(300);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port of the echo.
    #[arg(long)]
    pub udp: SocketAddr,
    /// Probes a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rate: u32,
    /// Source ports to use in turn, each a flow of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub flows: u16,
    /// End after this time and print a report; otherwise on `quit` or end of input.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("socket for {0}: {1}")]
    Socket(SocketAddr, io::Error),
    #[error("report: {0}")]
    Report(#[from] serde_json::Error),
}

/// A probe under way.
pub struct Prober {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Prober {
    pub fn start(options: &Options) -> Result<Self, Error> {
        let sockets = (0..options.flows)
            .map(|_| connect(options.udp))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| Error::Socket(options.udp, error))?;
        let interval = 1_000_000_000 / u64::from(options.rate.max(1));
        let log = Arc::new(Mutex::new(Log::new(interval, sockets.len())));
        let sockets = Arc::new(sockets);
        let stop = Arc::new(AtomicBool::new(false));
        let sender = {
            let (sockets, log, stop) = (Arc::clone(&sockets), Arc::clone(&log), Arc::clone(&stop));
            thread::spawn(move || send(&sockets, interval, &log, &stop))
        };
        let receiver = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            thread::spawn(move || receive(&sockets, &log, &stop))
        };
        Ok(Self {
            log,
            stop,
            threads: vec![sender, receiver],
        })
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    /// Ends both threads.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Probes until told to stop; every report is a line of JSON on standard output.
pub fn run(options: &Options) -> Result<(), Error> {
    let (sender, mut commands) = mpsc::unbounded_channel();
    if let Some(duration) = options.duration {
        thread::spawn(move || {
            thread::sleep(duration);
            let _ = sender.send(Command::Report { detail: false });
            let _ = sender.send(Command::Quit);
        });
    } else {
        control::read_stdin(sender);
    }
    let mut windows = Windows::new(clock::now());
    let prober = Prober::start(options)?;
    while let Some(command) = commands.blocking_recv() {
        match command {
            Command::Mark(name) => windows.mark(clock::now(), &name),
            Command::Wake => {}
            Command::Report { .. } => {
                let until = clock::now();
                thread::sleep(GRACE);
                let report = prober.log().report(&windows, until);
                println!("{}", serde_json::to_string(&report)?);
            }
            Command::Quit => break,
        }
    }
    prober.stop();
    Ok(())
}

fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn become_fifo(what: &str) {
    if !clock::become_fifo(10) {
        eprintln!("traffic: no SCHED_FIFO: the {what} of the probe shares its priority with everything");
    }
}

fn send(sockets: &[UdpSocket], interval: u64, log: &Mutex<Log>, stop: &AtomicBool) {
    become_fifo("sender");
    let mut deadline = clock::now() + interval;
    for (sequence, socket) in (0..).zip(sockets.iter().cycle()) {
        clock::sleep_until(deadline);
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let now = clock::now();
        lock(log).sent(deadline, now);
        // A refused send (no route, unreachable) is a lost probe like any other.
        let _ = socket.send(&packet::request(sequence, now));
        deadline += interval;
    }
}

fn receive(sockets: &[UdpSocket], log: &Mutex<Log>, stop: &AtomicBool) {
    become_fifo("receiver");
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let mut ready: Vec<_> = sockets
            .iter()
            .map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut ready, PollTimeout::from(100_u8));
        for (socket, _) in sockets
            .iter()
            .zip(&ready)
            .filter(|(_, fd)| fd.any() == Some(true))
        {
            // An error is a pending ICMP message, cleared by reading it.
            while let Ok(length) = socket.recv(&mut buffer) {
                let now = clock::now();
                if let Some(answer) = buffer.get(..length).and_then(packet::read) {
                    lock(log).answered(&answer, now);
                }
            }
        }
    }
}

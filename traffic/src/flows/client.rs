//! One flow: connects, speaks as its kind demands, verifies, and never reconnects.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::flows::record::{Record, classify, classify_corrupt};
use crate::message::{Corrupt, Decoder, Encoder, Hello, Kind, Observation, Stamp};
use crate::pattern::Direction;
use crate::report::Failure;
use crate::window::Windows;
use crate::{clock, tcp_info};

/// What all flows share. Everything runs on one thread; no borrow is held across an await.
#[derive(Debug)]
pub struct Shared {
    pub windows: RefCell<Windows>,
    pub records: RefCell<Vec<Record>>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Connect(io::Error),
}

impl Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => classify(error),
            Self::Corrupt(corrupt) => classify_corrupt(corrupt),
            Self::Closed => Failure::Closed,
            Self::Connect(_) => Failure::Connect,
        }
    }
}

/// Runs the flow at `index` of the records until it fails.
pub async fn run(
    shared: Rc<Shared>,
    index: usize,
    hello: Hello,
    keepalive: Option<Duration>,
    wake: watch::Receiver<u32>,
) {
    let Err(error) = drive(&shared, index, hello, keepalive, wake).await;
    if let Some(record) = shared.records.borrow_mut().get_mut(index) {
        record.failed(error.failure(), clock::now(), error.to_string());
    }
}

struct Flow<'a> {
    shared: &'a Shared,
    index: usize,
    hello: Hello,
    stream: TcpStream,
    decoder: Decoder,
    encoder: Encoder,
    out: Vec<u8>,
}

async fn drive(
    shared: &Shared,
    index: usize,
    hello: Hello,
    keepalive: Option<Duration>,
    wake: watch::Receiver<u32>,
) -> Result<std::convert::Infallible, Error> {
    let Some(target) = shared.records.borrow().get(index).map(|record| record.target) else {
        return Err(Error::Closed);
    };
    let stream = TcpStream::connect(target).await.map_err(Error::Connect)?;
    stream.set_nodelay(true)?;
    if let Some(time) = keepalive {
        keep_alive(&stream, time)?;
    }
    let mut flow = Flow {
        shared,
        index,
        hello,
        stream,
        decoder: Decoder::new(hello.flow, Direction::ToClient),
        encoder: Encoder::new(hello.flow, Direction::ToServer, Stamp::default()),
        out: Vec::new(),
    };
    let local = flow.stream.local_addr().ok();
    flow.record(|record| record.local = local);
    flow.stream.write_all(&hello.encode()).await?;
    flow.receive().await?;
    match hello.kind {
        Kind::PingPong => flow.ping_pong().await,
        Kind::Up => flow.up().await,
        Kind::Down => loop {
            flow.receive().await?;
        },
        Kind::Idle => flow.idle(wake).await,
    }
}

fn keep_alive(stream: &TcpStream, time: Duration) -> io::Result<()> {
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1);
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &seconds)?;
    Ok(setsockopt(stream, sockopt::TcpKeepInterval, &seconds)?)
}

impl Flow<'_> {
    fn record(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.shared.records.borrow_mut().get_mut(self.index) {
            change(record);
        }
    }

    /// Waits for bytes and verifies what is complete. Cancelling it loses nothing: it awaits nothing after the read.
    async fn receive(&mut self) -> Result<usize, Error> {
        let mut buffer = [0; 4096];
        let length = self.stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(Error::Closed);
        }
        self.decoder.feed(buffer.get(..length).unwrap_or_default());
        let mut count = 0;
        while let Some(message) = self.decoder.next_message()? {
            let retransmits = tcp_info::retransmits(self.stream.as_fd()).unwrap_or(0);
            let windows = self.shared.windows.borrow();
            self.record(|record| {
                record.retransmits_client = retransmits;
                record.arrived(clock::now(), &message, &windows);
            });
            count += 1;
        }
        Ok(count)
    }

    async fn send(&mut self, payload: u32) -> Result<(), Error> {
        self.encoder
            .encode(&mut self.out, payload, Observation::default());
        self.record(|record| record.sent += u64::from(payload));
        Ok(self.stream.write_all(&self.out).await?)
    }

    async fn ask(&mut self) -> Result<(), Error> {
        self.record(|record| {
            record.asked.get_or_insert_with(clock::now);
        });
        self.send(self.hello.payload).await?;
        while self.receive().await? == 0 {}
        Ok(())
    }

    fn ticks(&self) -> tokio::time::Interval {
        let period = Duration::from_secs(1) / u32::from(self.hello.rate);
        // Flows start at different phases of their period instead of all at once.
        let phase = period.mul_f64((self.hello.flow % 16) as f64 / 16.0);
        let mut ticks = interval_at(Instant::now() + phase, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    async fn ping_pong(&mut self) -> Result<std::convert::Infallible, Error> {
        let mut ticks = self.ticks();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.ask().await?,
                received = self.receive() => { received?; }
            }
        }
    }

    async fn up(&mut self) -> Result<std::convert::Infallible, Error> {
        let mut ticks = self.ticks();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.send(self.hello.payload).await?,
                received = self.receive() => { received?; }
            }
        }
    }

    async fn idle(&mut self, mut wake: watch::Receiver<u32>) -> Result<std::convert::Infallible, Error> {
        wake.mark_unchanged();
        loop {
            tokio::select! {
                changed = wake.changed() => {
                    changed.map_err(|_| Error::Closed)?;
                    self.ask().await?;
                }
                received = self.receive() => { received?; }
            }
        }
    }
}

//! The backend: verified TCP flows and a stamped UDP echo.
//!
//! TCP runs on a single-threaded runtime; each UDP echo has a SCHED_FIFO thread of its own, so that busy flows never
//! show up as a gap of the probe. A flow whose bytes do not verify is closed and named on standard error.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::message::{Corrupt, Decoder, Encoder, HELLO_LENGTH, Hello, Kind, Message, Observation, Stamp};
use crate::pattern::Direction;
use crate::probe::packet;
use crate::{clock, tcp_info};

/// How often a server tells a silent or sending client what it sees.
pub const RECEIPT_PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Name stamped on every answer, at most eight bytes.
    #[arg(long)]
    pub id: String,
    /// TCP port of verified flows; may be repeated.
    #[arg(long)]
    pub tcp: Vec<u16>,
    /// UDP port of the echo; may be repeated.
    #[arg(long)]
    pub udp: Vec<u16>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--id {0:?}: one to eight bytes")]
    Id(String),
    #[error("port {0}: {1}")]
    Bind(u16, io::Error),
    #[error("runtime: {0}")]
    Runtime(io::Error),
}

/// Serves until the process ends.
pub fn run(options: &Options) -> Result<(), Error> {
    let stamp = Stamp::new(&options.id).ok_or_else(|| Error::Id(options.id.clone()))?;
    for &port in &options.udp {
        let socket = bind(port, UdpSocket::bind)?;
        std::thread::spawn(move || echo(&socket, stamp));
    }
    let listeners = options
        .tcp
        .iter()
        .map(|&port| bind(port, TcpListener::bind))
        .collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    LocalSet::new().block_on(&runtime, async {
        for listener in listeners {
            spawn_local(accept(listener, stamp));
        }
        std::future::pending::<()>().await;
    });
    Ok(())
}

/// Both families by one socket; IPv4 alone where the kernel has no IPv6.
fn bind<S>(port: u16, bind: impl Fn(SocketAddr) -> io::Result<S>) -> Result<S, Error> {
    bind((Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| bind((Ipv4Addr::UNSPECIFIED, port).into()))
        .map_err(|error| Error::Bind(port, error))
}

/// Answers every probe with the stamp of this backend and the time at which it arrived.
pub fn echo(socket: &UdpSocket, stamp: Stamp) {
    if !clock::become_fifo(10) {
        eprintln!("traffic: no SCHED_FIFO: the echo shares its priority with everything");
    }
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if let Some(datagram) = buffer.get_mut(..length)
            && packet::answer(datagram, stamp, clock::now())
        {
            // A refused or unroutable answer is the loss that the prober is there to see.
            let _ = socket.send_to(datagram, client);
        }
    }
}

/// Accepts for ever; must run inside a `LocalSet`.
pub async fn accept(listener: TcpListener, stamp: Stamp) {
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return eprintln!("traffic: listener: {error}"),
    };
    let name = Rc::new(stamp.to_string());
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let name = Rc::clone(&name);
                spawn_local(async move {
                    if let Err(error) = connection(stream, stamp).await {
                        eprintln!("traffic {name}: flow from {client}: {error}");
                    }
                });
            }
            // Out of descriptors: wait for some to be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum FlowError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error("the client sends although its flow only receives")]
    Unexpected,
}

struct Connection {
    stream: TcpStream,
    decoder: Decoder,
    encoder: Encoder,
    last_arrival: Option<u64>,
    /// Longest silence since the last message that reported one, and its end.
    silence: (u64, u64),
    out: Vec<u8>,
}

async fn connection(mut stream: TcpStream, stamp: Stamp) -> Result<(), FlowError> {
    stream.set_nodelay(true)?;
    let mut bytes = [0; HELLO_LENGTH];
    stream.read_exact(&mut bytes).await?;
    let hello = Hello::decode(&bytes)?;
    let mut connection = Connection {
        stream,
        decoder: Decoder::new(hello.flow, Direction::ToServer),
        encoder: Encoder::new(hello.flow, Direction::ToClient, stamp),
        last_arrival: None,
        silence: (0, 0),
        out: Vec::new(),
    };
    connection.send(0).await?;
    match hello.kind {
        Kind::PingPong | Kind::Idle => connection.answer().await,
        Kind::Up => connection.collect().await,
        Kind::Down => connection.push(&hello).await,
    }
}

impl Connection {
    async fn send(&mut self, payload: u32) -> Result<(), FlowError> {
        let (silence, silence_end) = std::mem::take(&mut self.silence);
        let observation = Observation {
            retransmits: tcp_info::retransmits(self.stream.as_fd()).unwrap_or(0),
            silence_us: u32::try_from(silence / 1000).unwrap_or(u32::MAX),
            silence_end,
        };
        self.encoder.encode(&mut self.out, payload, observation);
        Ok(self.stream.write_all(&self.out).await?)
    }

    /// The next verified message; `None` once the buffered bytes hold no complete one.
    fn next(&mut self) -> Result<Option<Message>, Corrupt> {
        let message = self.decoder.next_message()?;
        if message.is_some() {
            let now = clock::now();
            let silence = now - self.last_arrival.replace(now).unwrap_or(now);
            self.silence = self.silence.max((silence, now));
        }
        Ok(message)
    }

    async fn answer(&mut self) -> Result<(), FlowError> {
        let mut buffer = [0; 4096];
        loop {
            let length = self.stream.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            self.decoder.feed(buffer.get(..length).unwrap_or_default());
            while let Some(message) = self.next()? {
                self.send(message.length).await?;
            }
        }
    }

    async fn collect(&mut self) -> Result<(), FlowError> {
        let mut buffer = [0; 4096];
        let mut receipts = interval_at(Instant::now() + RECEIPT_PERIOD, RECEIPT_PERIOD);
        receipts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                length = self.stream.read(&mut buffer) => {
                    let length = length?;
                    if length == 0 {
                        return Ok(());
                    }
                    self.decoder.feed(buffer.get(..length).unwrap_or_default());
                    while self.next()?.is_some() {}
                }
                _ = receipts.tick() => self.send(0).await?,
            }
        }
    }

    async fn push(&mut self, hello: &Hello) -> Result<(), FlowError> {
        let mut buffer = [0; 64];
        let period = Duration::from_secs(1) / u32::from(hello.rate);
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                length = self.stream.read(&mut buffer) => {
                    return if length? == 0 { Ok(()) } else { Err(FlowError::Unexpected) };
                }
                _ = ticks.tick() => self.send(hello.payload).await?,
            }
        }
    }
}

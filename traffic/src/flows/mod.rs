//! The client: many long-lived flows, each verified.
//!
//! One thread runs them all. Kinds and targets alternate so that every target carries every kind. Flows are opened at
//! a steady rate and stay open until the end; `mark` begins a window, `report` prints one line of JSON.

pub mod client;
pub mod record;
pub mod summary;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::control::{self, Command};
use crate::flows::client::Shared;
use crate::flows::record::Record;
use crate::message::{Hello, Kind};
use crate::report::FlowsReport;
use crate::window::Windows;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port of a service; may be repeated.
    #[arg(long, required = true)]
    pub tcp: Vec<SocketAddr>,
    /// Flows altogether.
    #[arg(long, default_value_t = 200)]
    pub count: u32,
    /// Kinds to open in turn.
    #[arg(long, value_delimiter = ',', default_values_t = Kind::ALL)]
    pub kinds: Vec<Kind>,
    /// New flows a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub open_rate: u32,
    /// Requests a second of a ping-pong flow.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub ping_pong_rate: u16,
    /// Messages a second of a stream.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub stream_rate: u16,
    /// Payload bytes of a message.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub payload: u32,
    /// TCP keepalive after this time of silence; whole seconds.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub keepalive: Option<Duration>,
    /// End after this time and print a report; otherwise on `quit` or end of input.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("runtime: {0}")]
    Runtime(io::Error),
    #[error("report: {0}")]
    Report(#[from] serde_json::Error),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PingPong => "ping-pong",
            Self::Up => "up",
            Self::Down => "down",
            Self::Idle => "idle",
        })
    }
}

/// Runs until told to stop.
pub fn run(options: &Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let (sender, commands) = mpsc::unbounded_channel();
    if options.duration.is_none() {
        control::read_stdin(sender.clone());
    }
    LocalSet::new().block_on(&runtime, async {
        let flows = Flows::open(options.clone());
        if let Some(duration) = options.duration {
            spawn_local(async move {
                tokio::time::sleep(duration).await;
                let _ = sender.send(Command::Report { detail: false });
                let _ = sender.send(Command::Quit);
            });
        }
        flows
            .obey(commands, |report| {
                println!("{}", serde_json::to_string(&report)?);
                Ok(())
            })
            .await
    })
}

/// Flows under way; must live inside a `LocalSet`.
pub struct Flows {
    shared: Rc<Shared>,
    wake: watch::Sender<u32>,
}

impl Flows {
    /// Starts to open them; they establish while the caller goes on.
    #[must_use]
    pub fn open(options: Options) -> Self {
        let shared = Rc::new(Shared {
            windows: RefCell::new(Windows::new(clock::now())),
            records: RefCell::new(Vec::new()),
        });
        let (wake, listener) = watch::channel(0);
        spawn_local(open_all(Rc::clone(&shared), options, listener));
        Self { shared, wake }
    }

    pub fn mark(&self, name: &str) {
        self.shared.windows.borrow_mut().mark(clock::now(), name);
        self.shared.records.borrow_mut().iter_mut().for_each(Record::mark);
    }

    /// Every idle flow speaks once. It counts as unanswered from here on, not from when its task runs.
    pub fn wake(&self) {
        let now = clock::now();
        let mut records = self.shared.records.borrow_mut();
        for record in records
            .iter_mut()
            .filter(|record| record.kind == Kind::Idle && record.alive())
        {
            record.asked.get_or_insert(now);
        }
        self.wake.send_modify(|count| *count = count.wrapping_add(1));
    }

    #[must_use]
    pub fn report(&self, detail: bool) -> FlowsReport {
        let (records, windows) = (self.shared.records.borrow(), self.shared.windows.borrow());
        summary::report(&records, &windows, clock::now(), detail)
    }

    async fn obey(
        &self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        print: impl Fn(FlowsReport) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Mark(name) => self.mark(&name),
                Command::Wake => self.wake(),
                Command::Report { detail } => print(self.report(detail))?,
                Command::Quit => break,
            }
        }
        Ok(())
    }
}

async fn open_all(shared: Rc<Shared>, options: Options, wake: watch::Receiver<u32>) {
    let start = Instant::now();
    for number in 0..options.count {
        sleep_until(start + Duration::from_secs(1) * number / options.open_rate).await;
        let Some((hello, target)) = plan(&options, number) else {
            return;
        };
        let index = {
            let mut records = shared.records.borrow_mut();
            let windows = shared.windows.borrow().all().len();
            let period = 1_000_000_000 / u64::from(hello.rate);
            records.push(Record::new(
                hello.flow,
                hello.kind,
                target,
                period,
                windows,
                clock::now(),
            ));
            records.len() - 1
        };
        spawn_local(client::run(
            Rc::clone(&shared),
            index,
            hello,
            options.keepalive,
            wake.clone(),
        ));
    }
}

/// The flow with a number: targets alternate fastest, then kinds.
fn plan(options: &Options, number: u32) -> Option<(Hello, SocketAddr)> {
    let number = number as usize;
    let target = *options.tcp.get(number.checked_rem(options.tcp.len())?)?;
    let kind = *options
        .kinds
        .get((number / options.tcp.len()).checked_rem(options.kinds.len())?)?;
    let rate = match kind {
        Kind::PingPong | Kind::Idle => options.ping_pong_rate,
        Kind::Up | Kind::Down => options.stream_rate,
    };
    Some((
        Hello {
            flow: number as u64,
            kind,
            rate,
            payload: options.payload,
        },
        target,
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn every_target_carries_every_kind() {
        let line = Line::parse_from(["x", "--tcp", "192.0.2.1:80", "--tcp", "192.0.2.2:80"]);
        let planned: Vec<_> = (0..8).filter_map(|number| plan(&line.options, number)).collect();
        for target in &line.options.tcp {
            for kind in Kind::ALL {
                let count = planned
                    .iter()
                    .filter(|(hello, to)| hello.kind == kind && to == target)
                    .count();
                assert_eq!(count, 1, "{target} {kind}");
            }
        }
    }
}

//! `batonctl`: asks the daemon over its unix socket and shows the answer.
//!
//! Exit codes: 0 done, 1 the answer is no (not found, not healthy, not drained in time), 2 the command line is
//! wrong, 3 the daemon cannot be reached, 4 the daemon refused. Answers go to standard output, everything
//! else to standard error, with what to do next. One file for each noun.

mod bfd;
mod client;
mod drain;
mod failure;
mod flow;
mod ha;
mod neighbor;
mod output;
mod route;
mod service;
mod status;
mod sync;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::sys::signal::{SigHandler, Signal, signal};

use client::Client;
use failure::Failure;
use output::Format;

/// Ask and command a Baton daemon.
#[derive(Parser)]
#[command(name = "batonctl", version)]
struct Arguments {
    /// Socket of the daemon.
    #[arg(long, global = true, value_name = "PATH", env = "BATON_SOCKET", default_value = api::DEFAULT_SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show services, neighbors, routes, BFD sessions, roles, flows or the synchronisation.
    #[command(subcommand)]
    Get(Get),
    /// Show everything about one thing.
    #[command(subcommand)]
    Describe(Describe),
    /// Change something while the daemon runs; exit 1 if it is not there.
    #[command(subcommand)]
    Set(Set),
    /// Command one BGP neighbor; exit 1 if there is none.
    #[command(subcommand)]
    Neighbor(neighbor::Order),
    /// Command one BFD session; exit 1 if there is none.
    #[command(subcommand)]
    Bfd(bfd::Order),
    /// Give the roles of this node to its peer, without losing a flow.
    Drain(drain::Drain),
    /// Take part in the election again.
    Undrain,
    /// Show what happened, on the monotonic clock.
    Timeline(timeline::Query),
    /// Show the node as a whole; exit 1 if something is not as configured.
    Status(status::Query),
}

#[derive(Subcommand)]
enum Get {
    /// Services and their endpoints.
    #[command(alias = "services")]
    Service(service::Query),
    /// BGP neighbors.
    #[command(alias = "neighbors")]
    Neighbor(neighbor::Query),
    /// BGP routes: of the neighbors, and for them.
    #[command(alias = "routes")]
    Route(route::Query),
    /// BFD sessions.
    Bfd(bfd::Query),
    /// Roles by instance, and peers.
    Ha(ha::Query),
    /// Flows of the data path.
    #[command(alias = "flows")]
    Flow(flow::Query),
    /// Flow synchronisation by peer.
    Sync(sync::Query),
}

#[derive(Subcommand)]
enum Describe {
    /// A BGP neighbor: session, configuration, counters.
    Neighbor(neighbor::Describe),
    /// A BFD session: state, timing, functions, counters.
    Bfd(bfd::Describe),
}

#[derive(Subcommand)]
enum Set {
    /// Timing of a BFD session.
    Bfd(bfd::Change),
}

/// Address family.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        }
    }
}

/// How the answer is written; the same for every noun.
#[derive(clap::Args)]
struct Output {
    #[arg(short, long = "output", value_enum, default_value = "table")]
    output: Format,
}

fn main() -> ExitCode {
    // A reader that has seen enough (`| head`) ends this process quietly, as any other tool.
    // SAFETY: no handler is installed, and no other thread exists yet.
    if let Err(error) = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) } {
        eprintln!("batonctl: SIGPIPE: {error}");
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("batonctl: {failure}");
            failure.code()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let client = Client::new(arguments.socket)?;
    match arguments.command {
        Command::Get(Get::Service(query)) => query.run(&client),
        Command::Get(Get::Neighbor(query)) => query.run(&client),
        Command::Get(Get::Route(query)) => query.run(&client),
        Command::Get(Get::Bfd(query)) => query.run(&client),
        Command::Get(Get::Ha(query)) => query.run(&client),
        Command::Get(Get::Flow(query)) => query.run(&client),
        Command::Get(Get::Sync(query)) => query.run(&client),
        Command::Describe(Describe::Neighbor(query)) => query.run(&client),
        Command::Describe(Describe::Bfd(query)) => query.run(&client),
        Command::Set(Set::Bfd(change)) => change.run(&client),
        Command::Neighbor(order) => order.run(&client),
        Command::Bfd(order) => order.run(&client),
        Command::Drain(command) => command.run(&client),
        Command::Undrain => drain::undrain(&client),
        Command::Timeline(query) => query.run(&client),
        Command::Status(query) => query.run(&client),
    }
}

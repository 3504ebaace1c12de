//! The command line of the daemon: `batond run | check | keygen`.
//!
//! Exit codes: 0 done, 1 the system did not allow it, 2 the command line or the configuration is wrong (then
//! nothing was started).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lb_user::config::{BgpFlags, ExternalPeers, Source};
use lb_user::desired::Desired;
use lb_user::log::Format;
use lb_user::{daemon, keygen, log};

const DEFAULT_CONFIG: &str = "/etc/baton/baton.toml";

/// The Baton daemon: announces service addresses, forwards their packets, hands flows over.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(clap::Args)]
struct Run {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// How lines of the log are written.
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    /// What is logged, in the syntax of RUST_LOG.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(flatten)]
    bgp: Bgp,
}

/// The names are those that users of kube-loxilb know.
#[derive(clap::Args)]
#[command(next_help_heading = "BGP without [bgp] in the file")]
struct Bgp {
    /// The own AS; the file may have the same one.
    #[arg(long = "setBGP", value_name = "AS", value_parser = clap::value_parser!(u32).range(1..))]
    set_bgp: Option<u32>,
    /// Neighbors: ADDRESS:AS,[IPV6]:AS,... They are told every VIP, and nothing is imported from them.
    #[arg(long = "extBGPPeers", value_name = "ADDRESS:AS,...")]
    ext_bgp_peers: Option<ExternalPeers>,
    /// Listen for neighbors on this port of every address; without it on those of `bgp.listen` only.
    #[arg(long = "listenBGPPort", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    listen_bgp_port: Option<u16>,
}

impl Bgp {
    fn source(&self, path: &Path) -> Source {
        Source {
            path: path.to_owned(),
            flags: BgpFlags {
                local_as: self.set_bgp,
                peers: self.ext_bgp_peers.clone().unwrap_or_default(),
                listen_port: self.listen_bgp_port,
            },
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon (also without a command).
    Run(Run),
    /// Say whether a configuration is valid, and start nothing.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        #[command(flatten)]
        bgp: Bgp,
    },
    /// Make the certificates of a cluster: ca.crt, ca.key, and NODE.crt, NODE.key for each node.
    Keygen {
        /// Where to write them.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Names of the nodes (node.name of their configuration).
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Run(arguments.run)) {
        Command::Run(flags) => run(&flags),
        Command::Check { config, bgp } => check(&bgp.source(&config)),
        Command::Keygen { dir, nodes } => outcome(keygen::run(&dir, &nodes)),
    }
}

fn run(flags: &Run) -> ExitCode {
    let source = flags.bgp.source(&flags.config);
    let desired = match source.load() {
        Ok(desired) => desired,
        Err(error) => return wrong(&error.to_string()),
    };
    let _log = match log::start(flags.log_format, &flags.log) {
        Ok(log) => log,
        Err(reason) => return wrong(&reason),
    };
    outcome(daemon::run(&source, desired))
}

fn check(source: &Source) -> ExitCode {
    match source.load() {
        Ok(desired) => {
            for warning in &desired.warnings {
                eprintln!("batond: warning: {warning}");
            }
            println!("ok: {}", summary(&desired));
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error.to_string()),
    }
}

fn summary(desired: &Desired) -> String {
    let peers = desired.fixed.peers.len();
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    format!(
        "node {}, {}, {}, {}, {}, {}",
        desired.fixed.node.name,
        count(desired.services.len(), "service"),
        count(desired.instances.len(), "instance"),
        count(desired.neighbors.len(), "neighbor"),
        count(desired.sessions.len(), "BFD session"),
        if peers == 0 {
            "no peer".to_owned()
        } else {
            count(peers, "peer")
        },
    )
}

fn wrong(reason: &str) -> ExitCode {
    eprintln!("batond: {reason}");
    ExitCode::from(2)
}

fn outcome<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("batond: {error}");
            ExitCode::FAILURE
        }
    }
}

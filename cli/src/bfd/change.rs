//! What can be ordered of a running session.

use api::{BfdTiming, path};

use super::interval::microseconds;
use crate::client::{Client, encoded};
use crate::failure::Failure;

/// Change the timing of a session until it is reset or the daemon restarts; a reload keeps the change.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub(crate) struct Change {
    /// Address of the peer (`fe80::1%eth1` on an interface).
    session: String,
    /// Both ways: 100ms, or a plain number of microseconds.
    #[arg(long, value_name = "TIME", value_parser = microseconds, group = "what",
          conflicts_with_all = ["transmit_interval", "receive_interval"])]
    interval: Option<u64>,
    /// How often this node wants to send.
    #[arg(long, value_name = "TIME", value_parser = microseconds, group = "what")]
    transmit_interval: Option<u64>,
    /// How often this node can receive.
    #[arg(long, value_name = "TIME", value_parser = microseconds, group = "what")]
    receive_interval: Option<u64>,
    /// Packets of this node that have to be lost before the peer calls the session down.
    #[arg(long, value_name = "NUMBER", alias = "retryCount", group = "what",
          value_parser = clap::value_parser!(u8).range(1..))]
    multiplier: Option<u8>,
    /// Back to what is configured.
    #[arg(long, group = "what",
          conflicts_with_all = ["interval", "transmit_interval", "receive_interval", "multiplier"])]
    reset: bool,
}

impl Change {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let done = if self.reset {
            client.delete(&named(path::BFD_OVERRIDE, &self.session))
        } else {
            let timing = BfdTiming {
                transmit_interval_us: self.transmit_interval.or(self.interval),
                receive_interval_us: self.receive_interval.or(self.interval),
                multiplier: self.multiplier,
            };
            client.patch(&named(path::BFD_SESSION, &self.session), &timing)
        };
        done.map_err(|failure| failure.absent("bfd"))
    }
}

#[derive(clap::Subcommand)]
pub(crate) enum Order {
    /// Take the session up again.
    Enable {
        /// Address of the peer (`fe80::1%eth1` on an interface).
        session: String,
    },
    /// Take the session down administratively until it is enabled again or the daemon restarts. The peer is told that
    /// this is no failure, and BGP goes on without BFD.
    Disable {
        /// Address of the peer (`fe80::1%eth1` on an interface).
        session: String,
        /// Also if it watches the peer of this node: both would be MASTER.
        #[arg(long)]
        force: bool,
    },
}

impl Order {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let done = match self {
            Order::Enable { session } => client.post(&named(path::BFD_ENABLE, session)),
            Order::Disable { session, force } => {
                client.post(&format!("{}?force={force}", named(path::BFD_DISABLE, session)))
            }
        };
        done.map_err(|failure| failure.absent("bfd"))
    }
}

pub(super) fn named(path: &str, session: &str) -> String {
    path.replace("{session}", &encoded(session))
}

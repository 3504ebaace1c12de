//! `batonctl drain` and `batonctl undrain`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use api::{HaStatus, path};

use crate::client::Client;
use crate::failure::Failure;

/// Between two looks at the roles.
const LOOK: Duration = Duration::from_millis(20);

#[derive(clap::Args)]
pub(crate) struct Drain {
    /// Return when a peer has all roles and all flows.
    #[arg(long)]
    wait: bool,
    /// With --wait: give up (exit 1) after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: u64,
    /// Drain although no peer is alive: the traffic stops.
    #[arg(long)]
    force: bool,
}

impl Drain {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        client.post(&format!("{}?force={}", path::DRAIN, self.force))?;
        if self.wait { self.wait(client) } else { Ok(()) }
    }

    fn wait(&self, client: &Client) -> Result<(), Failure> {
        let started = Instant::now();
        let deadline = started.checked_add(Duration::from_secs(self.timeout));
        loop {
            let ha: HaStatus = client.get(path::HA)?;
            if ha.draining && ha.drained {
                return Ok(());
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let roles: Vec<String> = ha
                    .instances
                    .iter()
                    .map(|instance| format!("{}={}", instance.name, instance.role))
                    .collect();
                return Err(Failure::Negative(format!(
                    "not drained within {} s ({}); draining goes on, `batonctl get ha` shows it, \
                     `batonctl undrain` takes it back",
                    self.timeout,
                    roles.join(", ")
                )));
            }
            sleep(LOOK);
        }
    }
}

pub(crate) fn undrain(client: &Client) -> Result<(), Failure> {
    client.post(path::UNDRAIN)
}

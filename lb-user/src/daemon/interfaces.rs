//! Waiting for the interfaces of the data path: containers and boot scripts may bring them after the daemon.

use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use tracing::info;

/// How long the daemon waits before it gives up and says which one is missing.
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until all of them exist; otherwise names the first that does not.
pub(super) fn wait_for(names: &[String]) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        let missing = names.iter().find(|name| if_nametoindex(name.as_str()).is_err());
        match missing {
            None => return Ok(()),
            Some(name) if Instant::now() >= end => return Err(name.clone()),
            Some(name) if !told => {
                info!(interface = name, "waiting for the interface");
                told = true;
            }
            Some(_) => {}
        }
        std::thread::sleep(INTERVAL);
    }
}

//! The failover demonstration: `lab failover`.
//!
//! Realises `labs/failover`, opens verified flows through two modes and a 1 kHz probe through a third service, takes
//! the power of the MASTER away, lets it return, and then drains it. What happened is printed as a timeline and a
//! table and written as `failover.json` and `failover.svg`.
//!
//! The harness distrusts itself: a window without fault comes first, and `--known-blackhole` measures a silence whose
//! length is known. It distrusts the daemons too: packets and routes are witnessed at the router, resets are counted
//! in the kernels of the ends.
//!
//! Runs on the main thread; three helpers stamp packets, routes and generator output. It knows no crate of the daemon:
//! it asks `batonctl`, as an operator would.

mod bed;
mod bfd;
mod birdlog;
mod figures;
mod generator;
mod load;
mod outcome;
mod picture;
mod print;
mod routes;
mod scenario;
mod tap;
mod witness;

use std::path::PathBuf;
use std::time::Duration;

pub use bfd::BfdTimes;

use crate::error::{Context, Result};

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// BFD interval and multiplier of all sessions.
    #[arg(long, default_value = "30msx5")]
    pub bfd: BfdTimes,
    /// Power losses, each at a random moment of a BFD interval; 0 with `--known-blackhole` calibrates only.
    #[arg(long, default_value_t = 1)]
    pub runs: usize,
    /// Long-lived flows.
    #[arg(long, default_value_t = 200)]
    pub flows: usize,
    /// First measure a silence of this length, as in 100ms, which must be read to within 3 ms.
    #[arg(long, value_parser = milliseconds)]
    pub known_blackhole: Option<Duration>,
    /// Cut the synchronisation before the flows open and heal it with the first return: until then nothing but the
    /// derivation of the mapping keeps the flows alive.
    #[arg(long)]
    pub cut_sync: bool,
    /// Folder of failover.json and failover.svg.
    #[arg(long, default_value = "target/demo")]
    pub out: PathBuf,
    /// Leave the lab up.
    #[arg(long)]
    pub keep: bool,
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("ms").and_then(|number| number.parse().ok());
    number
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?}: expected milliseconds as in 100ms"))
}

/// Runs the demonstration; true when no flow was lost, reset or misdelivered.
///
/// # Errors
/// The lab did not come up, a step did not happen in time, or the harness cannot be trusted.
pub fn run(options: &Options) -> Result<bool> {
    let outcome = scenario::run(options)?;
    print!("{}", print::text(&outcome));
    std::fs::create_dir_all(&options.out).context(|| options.out.display().to_string())?;
    let json = serde_json::to_vec_pretty(&outcome).map_err(std::io::Error::from);
    let file = options.out.join("failover.json");
    json.and_then(|json| std::fs::write(&file, json))
        .context(|| file.display().to_string())?;
    println!("{}", file.display());
    if let Some(picture) = picture::svg(&outcome) {
        let file = options.out.join("failover.svg");
        std::fs::write(&file, picture).context(|| file.display().to_string())?;
        println!("{}", file.display());
    }
    Ok(outcome.passed)
}

/// Puts the calling thread into SCHED_FIFO, so that its stamps are not late while every core is busy. Without the
/// privilege they are a little less exact, which the null window shows.
fn become_fifo() {
    // SAFETY: plain system call; `sched_param` is valid when zeroed and lives across the call.
    unsafe {
        let mut parameter: libc::sched_param = std::mem::zeroed();
        parameter.sched_priority = 10;
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter);
    }
}

//! The command line.
use std::time::{SystemTime, UNIX_EPOCH};

use crate::daemon::Scheduling;
use crate::times::Times;
use crate::{cpu, detection, quiet};

const PARTS: [&str; 4] = ["detection", "update", "quiet", "cpu"];

pub(crate) const USAGE: &str = "parts: detection, update, quiet, cpu (all without one)
  --trials N       trials of each fault in detection and update (50)
  --times 10msx3   of detection, repeatable (10msx3, 50msx3, 100msx3)
  --burn           all cores burn while detection waits
  --minutes N      of quiet (10)
  --rate N         packets of its flood in a second (100000)
  --sessions N     of cpu, repeatable (1, 64, 256)
  --seconds N      of each measurement of cpu (10)
  --peers-fifo     bird and FRR under SCHED_FIFO 50, as our BFD thread is
  --seed N         of the moments of the faults";

pub(crate) struct Options {
    parts: Vec<String>,
    pub(crate) trials: usize,
    times: Vec<Times>,
    minutes: f64,
    rate: u32,
    sessions: Vec<u32>,
    seconds: u64,
    peers: Scheduling,
    burn: bool,
    pub(crate) seed: u64,
}

impl Options {
    pub(crate) fn read(arguments: &[String]) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut options = Options {
            parts: Vec::new(),
            trials: 50,
            times: Vec::new(),
            minutes: 10.0,
            rate: 100_000,
            sessions: Vec::new(),
            seconds: 10,
            peers: Scheduling::Own,
            burn: false,
            seed: u64::from(now.subsec_nanos()),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word}: value is missing"));
            match word.as_str() {
                "--trials" => options.trials = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--times" => options.times.push(value()?.parse()?),
                "--minutes" => options.minutes = number(value()?)?,
                "--rate" => options.rate = number(value()?)?,
                "--sessions" => options.sessions.push(number(value()?)?),
                "--seconds" => options.seconds = number(value()?)?,
                "--burn" => options.burn = true,
                "--peers-fifo" => options.peers = Scheduling::Fifo(50),
                // Cargo says that to every benchmark.
                "--bench" => (),
                part if PARTS.contains(&part) => options.parts.push(part.to_owned()),
                other => return Err(format!("{other}: no such part or option")),
            }
        }
        if options.times.is_empty() {
            options.times = [10, 50, 100].map(|interval| Times::new(interval, 3)).to_vec();
        }
        if options.sessions.is_empty() {
            options.sessions = vec![1, 64, 256];
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    pub(crate) fn detection(&self) -> detection::Options {
        detection::Options {
            times: self.times.clone(),
            trials: self.trials,
            peers: self.peers,
            burn: self.burn,
        }
    }

    pub(crate) fn quiet(&self) -> quiet::Options {
        quiet::Options {
            minutes: self.minutes,
            rate: self.rate,
            peers: self.peers,
        }
    }

    pub(crate) fn cpu(&self) -> cpu::Options {
        cpu::Options {
            sessions: self.sessions.clone(),
            seconds: self.seconds,
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text}: not a number"))
}

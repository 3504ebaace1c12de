//! bird2 over its control socket: as the receiver of every run, and as one of the senders.
//!
//! What it counts is read, not what it has: `show route count` walks the table, the counters are there anyway.
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use labs::Netns;

use crate::network::{RECEIVER, SENDER, end, spawn};

pub(crate) struct Bird {
    child: Child,
    control: BufReader<UnixStream>,
}

/// Of the channel to the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) imported: u64,
    pub(crate) updates: u64,
    pub(crate) withdraws: u64,
}

impl Bird {
    pub(crate) fn start(netns: &Netns, folder: &Path, name: &str, config: &str) -> Self {
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        std::fs::write(file("conf"), config).unwrap();
        let _ = std::fs::remove_file(file("ctl"));
        let [config, control] = ["conf", "ctl"].map(|end| file(end).to_str().unwrap().to_owned());
        let child = spawn(
            netns,
            &file("log"),
            &["bird", "-f", "-c", &config, "-s", &control],
        );
        let deadline = Instant::now() + Duration::from_secs(60);
        let stream = loop {
            if let Ok(stream) = UnixStream::connect(&control) {
                break stream;
            }
            assert!(Instant::now() < deadline, "bird does not start: {config}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut bird = Bird {
            child,
            control: BufReader::new(stream),
        };
        bird.answer();
        bird
    }

    /// The one that all senders talk to.
    pub(crate) fn receiver(netns: &Netns, folder: &Path) -> Self {
        let config = format!(
            "router id {RECEIVER};
             protocol device {{}}
             protocol bgp peer {{
                 local {RECEIVER} as 65000; neighbor {SENDER} as 65001; passive on; hold time 90;
                 connect delay time 1; error wait time 1,1; connect retry time 1;
                 ipv4 {{ import all; export none; }};
             }}"
        );
        Bird::start(netns, folder, "receiver", &config)
    }

    pub(crate) fn ask(&mut self, question: &str) -> String {
        let line = format!("{question}\n");
        self.control.get_mut().write_all(line.as_bytes()).unwrap();
        self.answer()
    }

    /// Lines up to one that starts with a code and a space.
    fn answer(&mut self) -> String {
        let mut text = String::new();
        loop {
            let start = text.len();
            assert!(self.control.read_line(&mut text).unwrap() > 0, "bird has ended");
            let line = &text.as_bytes()[start..];
            if line.len() > 4 && line[..4].iter().all(u8::is_ascii_digit) && line[4] == b' ' {
                return text;
            }
        }
    }

    pub(crate) fn is_established(&mut self) -> bool {
        self.ask("show protocols peer").contains("Established")
    }

    pub(crate) fn counts(&mut self) -> Counts {
        let text = self.ask("show protocols all peer");
        let numbers = |label: &str| -> Vec<u64> {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
            let words = line.unwrap_or_default().split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let last = |label: &str| numbers(label).last().copied().unwrap_or(0);
        Counts {
            imported: numbers("Routes:").first().copied().unwrap_or(0),
            updates: last("Import updates:"),
            withdraws: last("Import withdraws:"),
        }
    }

    /// When it first held; `None`: not within `patience`.
    pub(crate) fn when(&mut self, patience: Duration, holds: impl Fn(&mut Bird) -> bool) -> Option<Instant> {
        let deadline = Instant::now() + patience;
        loop {
            if holds(self) {
                return Some(Instant::now());
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

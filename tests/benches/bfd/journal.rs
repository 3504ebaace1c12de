//! What a daemon says, each line with the moment at which it came out of the pipe.
//!
//! A daemon's own stamp would be of its own clock and of its own making; the thread here is real-time and reads all of
//! them alike.
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::sync::{Arc, Mutex};

use crate::clock::observe_in_time;

#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<(u64, String)>>>);

impl Journal {
    /// The thread ends with the last writer of the pipe.
    pub(crate) fn open(&self) -> PipeWriter {
        let (reader, writer) = std::io::pipe().unwrap();
        let lines = self.clone();
        std::thread::spawn(move || follow(reader, &lines));
        writer
    }

    /// The first line at or after a moment of which something holds.
    pub(crate) fn first(&self, since: u64, holds: impl Fn(&str) -> bool) -> Option<u64> {
        let lines = self.0.lock().unwrap();
        let found = lines.iter().find(|(at, line)| *at >= since && holds(line));
        found.map(|(at, _)| *at)
    }

    pub(crate) fn tail(&self, count: usize) -> String {
        let lines = self.0.lock().unwrap();
        let last: Vec<&str> = lines
            .iter()
            .rev()
            .take(count)
            .map(|(_, line)| line.as_str())
            .collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

fn follow(reader: PipeReader, journal: &Journal) {
    observe_in_time();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let now = labs::monotonic_ns();
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        journal.0.lock().unwrap().push((now, text));
        line.clear();
    }
}

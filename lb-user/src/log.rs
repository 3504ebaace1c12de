//! Log lines to standard error, without ever waiting for whoever reads it.
//!
//! A full disk or a stuck pipe behind standard error must not stop a thread with a deadline. Lines go through
//! a bounded queue to a thread that writes them; what finds no room is dropped, and the next line that is
//! written says how many were.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use caps::CapSet;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written.
const QUEUED: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Writes what is queued when dropped.
pub struct Log {
    lines: Lines,
    writer: Option<JoinHandle<()>>,
}

/// Starts logging. `filter` is in the syntax of `RUST_LOG`, which overrides it.
pub fn start(format: Format, filter: &str) -> Result<Log, String> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = EnvFilter::try_new(&filter).map_err(|error| format!("log filter `{filter}`: {error}"))?;
    let (lines, writer) = queue(io::stderr()).map_err(|error| format!("log thread: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(lines.clone());
    let started = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    started.map_err(|error| error.to_string())?;
    Ok(Log {
        lines,
        writer: Some(writer),
    })
}

impl Drop for Log {
    fn drop(&mut self) {
        // The subscriber is global and keeps a sender for ever, so the end is a message.
        let _ = self.lines.queue.send(Entry::End);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

enum Entry {
    Line(Vec<u8>),
    End,
}

#[derive(Clone)]
struct Lines {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

fn queue(to: impl Write + Send + 'static) -> io::Result<(Lines, JoinHandle<()>)> {
    let (queue, entries) = sync_channel(QUEUED);
    let dropped = Arc::new(AtomicU64::new(0));
    let lines = Lines {
        queue,
        dropped: Arc::clone(&dropped),
    };
    let writer = std::thread::Builder::new().name("log".to_owned());
    let run = move || {
        give_up_privileges();
        write(&entries, &dropped, to);
    };
    Ok((lines, writer.spawn(run)?))
}

/// Capabilities belong to threads, and this one starts before the daemon gives up its own. It needs none.
fn give_up_privileges() {
    let given_up = [
        CapSet::Ambient,
        CapSet::Effective,
        CapSet::Permitted,
        CapSet::Inheritable,
    ]
    .into_iter()
    .try_for_each(|set| caps::clear(None, set));
    if let Err(error) = given_up {
        eprintln!("the log thread keeps its capabilities: {error}");
    }
}

fn write(entries: &Receiver<Entry>, dropped: &AtomicU64, mut to: impl Write) {
    crate::privilege::renounce();
    while let Ok(Entry::Line(line)) = entries.recv() {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                to,
                "{lost} log lines were dropped: standard error was not read in time"
            );
        }
        let _ = to.write_all(&line);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            text: Vec::with_capacity(256),
            to: self,
        }
    }
}

/// One line while it is formatted; queued when dropped.
struct Line<'a> {
    text: Vec<u8>,
    to: &'a Lines,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.text);
        if !line.is_empty() && self.to.queue.try_send(Entry::Line(line)).is_err() {
            self.to.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    /// A writer that says what it got and then waits to be let on.
    struct Stuck {
        seen: Sender<Vec<u8>>,
        go: Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.seen.send(bytes.to_vec());
            let _ = self.go.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_no_time() {
        let (seen, lines_seen) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel();
        let (lines, writer) = queue(Stuck { seen, go: wait }).unwrap();
        lines.make_writer().write_all(b"first\n").unwrap();
        assert_eq!(lines_seen.recv().unwrap(), b"first\n");
        // The writer is stuck in the first line now: the queue fills and the rest is dropped.
        for _ in 0..QUEUED + 3 {
            lines.make_writer().write_all(b"more\n").unwrap();
        }
        assert_eq!(lines.dropped.load(Ordering::Relaxed), 3);
        drop(go);
        let next = lines_seen.recv().unwrap();
        assert!(next.starts_with(b"3"), "{}", String::from_utf8_lossy(&next));
        lines.queue.send(Entry::End).unwrap();
        writer.join().unwrap();
    }
}

//! A traffic generator inside a node: commands on its standard input, reports on its standard output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::error::{Context, Error, Result};
use crate::node::Node;

/// A report comes within milliseconds; the probe adds a grace for answers that are under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends with this value.
pub(super) struct Generator {
    what: &'static str,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Generator {
    /// `traffic <what> <arguments>`.
    pub(super) fn start(node: &Node, what: &'static str, arguments: &[String]) -> Result<Self> {
        let mut command = node.command("traffic");
        command
            .arg(what)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context(|| format!("traffic {what}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Missing(format!("traffic {what} has no pipes")));
        };
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            what,
            child,
            input,
            lines,
        })
    }

    pub(super) fn tell(&mut self, command: &str) -> Result<()> {
        writeln!(self.input, "{command}").context(|| format!("traffic {}", self.what))
    }

    pub(super) fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        self.tell(command)?;
        let what = self.what;
        let line = self
            .lines
            .recv_timeout(PATIENCE)
            .map_err(|_| Error::Missing(format!("traffic {what} does not answer `{command}`")))?;
        serde_json::from_str(&line)
            .map_err(std::io::Error::from)
            .context(|| format!("report of traffic {what}"))
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

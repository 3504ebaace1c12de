//! What a lab must come to: `expected.toml`, a list of steps, each polled until it holds.
//!
//! A step runs a command in a node and looks for a subset of its JSON, for texts, or for their
//! absence; or it does something to the lab (takes the power of a node, gives it back, kills a main
//! process, cuts a link). Steps go in order: what is written after a power cut must hold after it.

mod subset;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::node::Node;
use crate::running::Running;
use crate::words;

pub use subset::difference;

/// Longest time for one try: a command that hangs does not use up the deadline of the step.
const TRY: Duration = Duration::from_secs(3);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expected {
    /// Seconds for each step that does not name its own.
    #[serde(default)]
    deadline: Option<f64>,
    #[serde(default, rename = "step")]
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Step {
    /// What it shows, for the reader of a failure.
    title: String,
    deadline: Option<f64>,
    node: Option<String>,
    run: Option<String>,
    /// Must be contained in the JSON that the command prints.
    json: Option<toml::Value>,
    /// Must all occur in the output.
    text: Vec<String>,
    /// Must not occur in the output.
    absent: Vec<String>,
    power_cut: Option<String>,
    revive: Option<String>,
    /// SIGKILL to the main process of a node, nothing else.
    kill: Option<String>,
    /// Starts the main process of a node again.
    start: Option<String>,
}

impl Expected {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let fault = |message: String| Error::Settings {
            path: path.to_owned(),
            message,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).context(|| path.display().to_string()),
        };
        let expected: Self = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        for (number, step) in (1..).zip(&expected.steps) {
            step.check()
                .map_err(|message| fault(format!("step {number} ({}): {message}", step.title)))?;
        }
        Ok(expected)
    }

    /// The nodes that the steps name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.steps
            .iter()
            .flat_map(|step| [&step.node, &step.power_cut, &step.revive, &step.kill, &step.start])
            .flatten()
            .map(String::as_str)
    }

    /// Carries out all steps; says on standard error how each went.
    ///
    /// # Errors
    /// The first step that does not hold at its deadline, with the last output seen.
    pub fn check(&self, running: &mut Running) -> Result<()> {
        for (number, step) in (1..).zip(&self.steps) {
            let begin = Instant::now();
            let patience =
                Duration::from_secs_f64(step.deadline.or(self.deadline).unwrap_or(30.0).clamp(0.0, 3600.0));
            step.carry_out(running, patience)
                .map_err(|error| Error::Expectation(format!("step {number} ({}): {error}", step.title)))?;
            eprintln!(
                "  ok {number:>2} {} ({:.1} s)",
                step.title,
                begin.elapsed().as_secs_f64()
            );
        }
        Ok(())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Step {
    fn check(&self) -> Result<(), String> {
        let actions = [&self.power_cut, &self.revive, &self.kill, &self.start];
        let actions = actions.iter().filter(|action| action.is_some()).count();
        match (actions, &self.node, &self.run) {
            (1, None, None) => Ok(()),
            (0, Some(_), Some(run)) => match words::split(run) {
                Ok(words) if !words.is_empty() => Ok(()),
                Ok(_) => Err("`run` is empty".into()),
                Err(reason) => Err(format!("`run`: {reason}")),
            },
            _ => Err("a step has either `node` and `run`, or one of power-cut, revive, kill, start".into()),
        }
    }

    fn carry_out(&self, running: &mut Running, patience: Duration) -> Result<()> {
        if let Some(node) = &self.power_cut {
            return running.power_cut(node).map(drop);
        }
        if let Some(node) = &self.revive {
            return running.revive(node);
        }
        if let Some(node) = &self.kill {
            let main = running.node(node)?.main();
            let main = main.ok_or_else(|| Error::Missing(format!("node {node} has no main process")))?;
            main.signal(nix::sys::signal::Signal::SIGKILL)?;
            return main.wait_gone(patience);
        }
        if let Some(node) = &self.start {
            return running.restart(node);
        }
        let (Some(node), Some(run)) = (&self.node, &self.run) else {
            return Ok(());
        };
        let words = words::split(run).map_err(|reason| Error::Missing(reason.to_owned()))?;
        self.poll(running.node(node)?, &words, patience)
    }

    fn poll(&self, node: &Node, words: &[String], patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let fault = match node.output(words, left.clamp(Duration::from_secs(1), TRY)) {
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stdout).into_owned();
                    match self.judge(output.status.success(), &said) {
                        Ok(()) => return Ok(()),
                        Err(fault) => {
                            let complaint = String::from_utf8_lossy(&output.stderr);
                            format!("{fault}\n--- output ({})\n{said}{complaint}---", output.status)
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                let message = format!("`{}` in {patience:?}: {fault}", words.join(" "));
                return Err(Error::Node {
                    node: node.name().to_owned(),
                    message,
                });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn judge(&self, success: bool, said: &str) -> Result<(), String> {
        // A command that looks for absence may fail because there is nothing to show.
        if !success && self.absent.is_empty() {
            return Err("the command failed".into());
        }
        if let Some(text) = self.text.iter().find(|text| !said.contains(text.as_str())) {
            return Err(format!("`{text}` does not occur"));
        }
        if let Some(text) = self.absent.iter().find(|text| said.contains(text.as_str())) {
            return Err(format!("`{text}` occurs"));
        }
        let Some(wanted) = &self.json else { return Ok(()) };
        let wanted = serde_json::to_value(wanted).map_err(|error| error.to_string())?;
        let actual = serde_json::from_str(said).map_err(|error| format!("not JSON: {error}"))?;
        difference(&wanted, &actual).map_or(Ok(()), Err)
    }
}

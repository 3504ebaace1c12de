//! What a lab must come to: `expected.toml`, a list of steps, each polled until it holds.
//!
//! A step runs a command in a node and looks for a subset of its JSON, for texts, or for their
//! absence; or it does something to the lab (takes the power of a node, gives it back, kills a main
//! process, delays a link). A third kind looks at the frames of a capture. Steps go in order: what is written after a
//! power cut must hold after it.

mod frames;
mod subset;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::node::Node;
use crate::running::Running;
use crate::wire::{Direction, Impairment};
use crate::words;

use frames::{Frames, Marks};
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
    /// Delays the frames of a wired link, in both directions.
    delay: Option<Delay>,
    /// Names this point of time in all captures.
    mark: Option<String>,
    /// Looks at what was captured.
    frames: Option<Frames>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Delay {
    link: String,
    milliseconds: u16,
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
        let mut marks = Vec::new();
        for (number, step) in (1..).zip(&expected.steps) {
            step.check(&marks)
                .map_err(|message| fault(format!("step {number} ({}): {message}", step.title)))?;
            marks.extend(step.mark.as_deref());
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

    /// Whether a step takes the power of a node.
    pub(crate) fn cuts(&self, node: &str) -> bool {
        self.steps
            .iter()
            .any(|step| step.power_cut.as_deref() == Some(node))
    }

    /// Carries out all steps; says on standard error how each went. With `all` a step that does not hold does not
    /// keep those behind it from being tried, each for two seconds more.
    ///
    /// # Errors
    /// The first step that does not hold at its deadline, with the last output seen.
    pub fn check(&self, running: &mut Running, all: bool) -> Result<()> {
        let mut marks = Marks::new();
        let mut first = None;
        for (number, step) in (1..).zip(&self.steps) {
            let begin = Instant::now();
            let seconds = step.deadline.or(self.deadline).unwrap_or(30.0);
            let seconds = if first.is_some() { 2.0 } else { seconds };
            let patience = Duration::from_secs_f64(seconds.clamp(0.0, 3600.0));
            match step.carry_out(running, &mut marks, patience) {
                Ok(()) => eprintln!(
                    "  ok {number:>2} {} ({:.1} s)",
                    step.title,
                    begin.elapsed().as_secs_f64()
                ),
                Err(error) => {
                    let error = Error::Expectation(format!("step {number} ({}): {error}", step.title));
                    if !all {
                        return Err(error);
                    }
                    eprintln!("  NO {number:>2} {error}");
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(()), Err)
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
    fn check(&self, marks: &[&str]) -> Result<(), String> {
        let actions = [&self.power_cut, &self.revive, &self.kill, &self.start, &self.mark];
        let actions = actions.iter().filter(|action| action.is_some()).count()
            + usize::from(self.delay.is_some())
            + usize::from(self.frames.is_some());
        if let Some(frames) = &self.frames {
            frames.check()?;
            if let Some(mark) = frames
                .since
                .as_ref()
                .filter(|mark| !marks.contains(&mark.as_str()))
            {
                return Err(format!("frames: no mark `{mark}` before this step"));
            }
        }
        match (actions, &self.node, &self.run) {
            (1, None, None) => Ok(()),
            (0, Some(_), Some(run)) => match words::split(run) {
                Ok(words) if !words.is_empty() => Ok(()),
                Ok(_) => Err("`run` is empty".into()),
                Err(reason) => Err(format!("`run`: {reason}")),
            },
            _ => Err(
                "a step has either `node` and `run`, or one of power-cut, revive, kill, start, delay, mark, frames"
                    .into(),
            ),
        }
    }

    fn carry_out(&self, running: &mut Running, marks: &mut Marks, patience: Duration) -> Result<()> {
        if let Some(frames) = &self.frames {
            return frames.poll(running.capture(frames.node.as_deref())?, marks, patience);
        }
        if let Some(mark) = &self.mark {
            let stands = running
                .captures()
                .iter()
                .map(|capture| Ok((capture.node().to_owned(), capture.settle()?)))
                .collect::<Result<Vec<_>>>()?;
            marks.insert(mark.clone(), stands);
            return Ok(());
        }
        if let Some(words) = self.act(running, patience)? {
            let node = self.node.as_deref().unwrap_or_default();
            return self.poll(running.node(node)?, &words, patience);
        }
        Ok(())
    }

    /// Does what the step does to the lab, or returns the command that it polls.
    fn act(&self, running: &mut Running, patience: Duration) -> Result<Option<Vec<String>>> {
        if let Some(node) = &self.power_cut {
            running.power_cut(node)?;
        }
        if let Some(node) = &self.revive {
            running.revive(node)?;
        }
        if let Some(node) = &self.kill {
            let main = running.node(node)?.main();
            let main = main.ok_or_else(|| Error::Missing(format!("node {node} has no main process")))?;
            main.signal(nix::sys::signal::Signal::SIGKILL)?;
            main.wait_gone(patience)?;
        }
        if let Some(node) = &self.start {
            running.restart(node)?;
        }
        if let Some(Delay { link, milliseconds }) = &self.delay {
            let impairment = Impairment {
                delay_us: u64::from(*milliseconds) * 1000,
                ..Impairment::default()
            };
            running.wire()?.impair(link, Direction::Both, impairment)?;
        }
        let words = self.run.as_deref().map(words::split).transpose();
        words.map_err(|reason| Error::Missing(reason.to_owned()))
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

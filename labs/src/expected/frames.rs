//! A step that looks at what was captured: frames that pass a display filter, and the values in them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::PAUSE;
use crate::capture::{Capture, Question};
use crate::error::{Error, Result};

/// Where each capture stood when a mark was set: node and number of its last frame.
pub(super) type Marks = BTreeMap<String, Vec<(String, u64)>>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Frames {
    /// tshark's display filter.
    filter: String,
    /// Whose capture; not needed if there is one.
    pub(super) node: Option<String>,
    /// A mark behind which the frames are.
    pub(super) since: Option<String>,
    /// That many frames, no more and no less; without it, at least one.
    count: Option<usize>,
    /// A field whose values are looked at.
    field: Option<String>,
    /// All values of the field in all these frames, in their order.
    values: Option<Vec<String>>,
    /// A frame that must be seen behind the last of them: whoever says there is no more must have waited for something.
    then: Option<String>,
}

impl Frames {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.filter.is_empty() {
            return Err("frames: `filter` is missing".into());
        }
        if self.values.is_some() != self.field.is_some() {
            return Err("frames: `values` without `field`, or the other way round".into());
        }
        Ok(())
    }

    pub(super) fn poll(&self, capture: &Capture, marks: &Marks, patience: Duration) -> Result<()> {
        let since = self.since.as_ref().and_then(|mark| marks.get(mark));
        let since = since.and_then(|marks| marks.iter().find(|(node, _)| node == capture.node()));
        let since = since.map_or(0, |&(_, number)| number);
        let deadline = Instant::now() + patience;
        loop {
            let fault = match self.judge(capture, since) {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if Instant::now() >= deadline {
                let what = format!("`{}` behind frame {since} in {patience:?}: {fault}", self.filter);
                return Err(Error::Expectation(what));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn judge(&self, capture: &Capture, since: u64) -> Result<()> {
        let question = Question {
            filter: &self.filter,
            field: self.field.as_deref(),
        };
        let frames = capture.ask(&question, since)?;
        let numbers: Vec<u64> = frames.iter().map(|&(number, _)| number).collect();
        let fault = |message: String| Err(Error::Expectation(format!("{message}; frames {numbers:?}")));
        match self.count {
            Some(count) if count != frames.len() => {
                return fault(format!("{} frames instead of {count}", frames.len()));
            }
            None if self.values.is_none() && frames.is_empty() => return fault("none".into()),
            Some(_) | None => {}
        }
        let values: Vec<&String> = frames.iter().flat_map(|(_, values)| values).collect();
        if let Some(wanted) = &self.values
            && !wanted.iter().eq(values.iter().copied())
        {
            return fault(format!("values {values:?} instead of {wanted:?}"));
        }
        let Some(then) = &self.then else { return Ok(()) };
        let last = numbers.last().copied().unwrap_or(since);
        let question = Question {
            filter: then,
            field: None,
        };
        if capture.ask(&question, last)?.is_empty() {
            return fault(format!("`{then}` was not seen behind them"));
        }
        Ok(())
    }
}

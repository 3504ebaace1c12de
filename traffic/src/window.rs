//! Measurement windows: a name and the time at which it began.
//!
//! A window ends where the next begins. Events are attributed by their own time stamp, so late news of an end that
//! reports once a second still lands in the window it belongs to.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub name: String,
    pub start_ns: u64,
    /// `None` while it is open.
    pub end_ns: Option<u64>,
}

#[derive(Debug)]
pub struct Windows(Vec<Window>);

impl Windows {
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self(vec![Window {
            name: "start".to_owned(),
            start_ns: now,
            end_ns: None,
        }])
    }

    pub fn mark(&mut self, now: u64, name: &str) {
        if let Some(open) = self.0.last_mut() {
            open.end_ns = Some(now);
        }
        self.0.push(Window {
            name: name.to_owned(),
            start_ns: now,
            end_ns: None,
        });
    }

    #[must_use]
    pub fn all(&self) -> &[Window] {
        &self.0
    }

    /// Index of the window that contains `time`; what came before the first counts as the first.
    #[must_use]
    pub fn at(&self, time: u64) -> usize {
        self.0
            .iter()
            .rposition(|window| window.start_ns <= time)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_exactly_one_window() {
        let mut windows = Windows::new(100);
        windows.mark(200, "cut");
        windows.mark(300, "back");
        assert_eq!(
            [50, 100, 199, 200, 299, 300, 900].map(|time| windows.at(time)),
            [0, 0, 0, 1, 1, 2, 2]
        );
        assert_eq!(windows.all()[1].end_ns, Some(300));
        assert_eq!(windows.all()[2].end_ns, None);
    }
}

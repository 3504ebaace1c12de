//! Interval and multiplier of a session, written `10msx3`.
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) milliseconds: u32,
    pub(crate) multiplier: u8,
}

impl Times {
    pub(crate) const fn new(milliseconds: u32, multiplier: u8) -> Self {
        Times {
            milliseconds,
            multiplier,
        }
    }

    pub(crate) fn interval(self) -> Duration {
        Duration::from_millis(self.milliseconds.into())
    }

    pub(crate) fn detection(self) -> Duration {
        self.interval() * self.multiplier.into()
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ms x {}", self.milliseconds, self.multiplier)
    }
}

impl std::str::FromStr for Times {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: expected interval and multiplier as in 10msx3");
        let (interval, multiplier) = text.split_once("msx").ok_or_else(wrong)?;
        Ok(Times::new(
            interval.parse().map_err(|_| wrong())?,
            multiplier.parse().map_err(|_| wrong())?,
        ))
    }
}

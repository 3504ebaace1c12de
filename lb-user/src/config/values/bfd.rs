//! Texts of `[bfd]`.

use serde::{Deserialize, Deserializer};

use super::{Time, text};

/// `"10ms"`, or `"off"` where a table below says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct OrOff<T>(pub(in crate::config) Option<T>);

impl<'de> Deserialize<'de> for OrOff<Time> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| match text {
            "off" => Ok(OrOff(None)),
            _ => match Time::parse(text) {
                Ok(time) => Ok(OrOff(Some(time))),
                Err(reason) => Err(format!("{reason}; or \"off\"")),
            },
        })
    }
}

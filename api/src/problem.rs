//! Errors of the API as `application/problem+json` (RFC 9457).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a request was not served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub status: u16,
    /// The same for every occurrence: `Not Found`.
    pub title: String,
    /// What was wrong this time.
    pub detail: String,
    /// The parameter or key that is at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Problem {
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    pub fn new(status: u16, title: &str, detail: impl Into<String>) -> Self {
        Problem {
            status,
            title: title.to_owned(),
            detail: detail.into(),
            field: None,
        }
    }

    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

impl std::error::Error for Problem {}

//! One entry of the timeline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that happened at a moment of CLOCK_MONOTONIC, comparable between all processes of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    pub monotonic_ns: u64,
    /// For example `bfd-state`, `role-changed`, `update-sent`.
    pub kind: String,
    pub fields: BTreeMap<String, Value>,
}

//! The node as a whole.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub node: String,
    pub version: String,
    pub uptime_ms: u64,
    /// Generation of the configuration that was accepted last, and of the one that is applied in full.
    pub generation: u64,
    pub applied_generation: u64,
    /// What could not be applied; it is tried again.
    pub errors: Vec<AppliedError>,
    /// Why the last reload was refused; the configuration of `generation` keeps running.
    pub refused: Option<String>,
    pub services: u64,
    pub neighbors_established: u64,
    pub neighbors: u64,
    /// `instance=role`, ordered by instance.
    pub roles: Vec<String>,
    pub draining: bool,
}

/// An operation that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppliedError {
    /// For example `put service 203.0.113.10:80/tcp`.
    pub operation: String,
    pub reason: String,
}

/// A counter of the data path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counter {
    /// The reason, for example `no-service` or `forwarded`.
    pub name: String,
    /// Packets that were dropped for it, as opposed to forwarded or passed to the kernel.
    pub drop: bool,
    pub packets: u64,
}

//! One BFD session.

use serde::{Deserialize, Serialize};

/// Names are those of RFC 5880 section 6.8.1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BfdSession {
    pub remote: String,
    pub local: String,
    pub interface: String,
    /// `admin-down`, `down`, `init` or `up`.
    pub state: String,
    pub remote_state: String,
    pub diagnostic: String,
    pub remote_diagnostic: String,
    /// How long the session has been in its state.
    pub since_ms: u64,
    pub local_discriminator: u32,
    pub remote_discriminator: u32,
    /// Negotiated: how often this node transmits.
    pub transmit_interval_us: u64,
    /// Negotiated: silence after which the session goes down.
    pub detection_time_us: u64,
    pub multiplier: u8,
    pub transmitted: u64,
    pub received: u64,
    pub discarded: u64,
    pub ups: u64,
    pub downs: u64,
}

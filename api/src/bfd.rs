//! One BFD session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names are those of RFC 5880 section 6.8.1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BfdSession {
    /// Its name: the address of the peer, `fe80::1%eth1` if it is on a certain interface.
    pub session: String,
    pub remote: String,
    pub local: String,
    pub interface: String,
    /// `admin-down`, `down`, `init` or `up`.
    pub state: String,
    /// Up, and trusted: what depends on it may use the path.
    pub usable: bool,
    /// False: an operator has taken it down.
    pub enabled: bool,
    pub remote_state: String,
    pub diagnostic: String,
    pub remote_diagnostic: String,
    /// How long the session has been in its state.
    pub since_ms: u64,
    /// Who needs it: `neighbor 10.0.11.1`, `peer lb2`, `bfd.session`.
    pub users: Vec<String>,
    /// Started by the peer (RFC 9468).
    pub unsolicited: bool,
    /// Over several hops (RFC 5883); then packets with a lower TTL are discarded.
    pub multihop: bool,
    pub minimum_ttl: u8,
    /// Says nothing before the peer does.
    pub passive: bool,
    pub local_discriminator: u32,
    pub remote_discriminator: u32,
    /// As this node wants it now: an operator's values before those of the configuration.
    pub desired_transmit_interval_us: u64,
    pub required_receive_interval_us: u64,
    pub multiplier: u8,
    /// What of that an operator has set.
    pub overridden: Option<BfdTiming>,
    /// As the peer wants it; 0 while it is unknown.
    pub remote_desired_transmit_interval_us: u64,
    pub remote_required_receive_interval_us: u64,
    pub remote_multiplier: u8,
    /// Negotiated: how often this node transmits.
    pub transmit_interval_us: u64,
    /// Negotiated: how often the peer transmits.
    pub receive_interval_us: u64,
    /// Negotiated: silence after which the session goes down.
    pub detection_time_us: u64,
    /// New timing waits for the peer's answer.
    pub polling: bool,
    /// This node asks the peer to be silent, and makes sure of it so often.
    pub demand: bool,
    pub demand_interval_us: Option<u64>,
    pub remote_demand: bool,
    /// The peer's BFD goes on without its control plane.
    pub remote_independent: bool,
    /// The Echo function (RFC 5880 section 6.4) as configured: how often Echo packets are sent, and how often those of the
    /// peer are returned.
    pub echo_transmit_interval_us: Option<u64>,
    pub echo_receive_interval_us: Option<u64>,
    /// How often the peer returns ours; 0: not at all.
    pub remote_echo_receive_interval_us: u64,
    /// Negotiated; absent while none are sent.
    pub echo_interval_us: Option<u64>,
    /// Some have come back: their absence ends the session.
    pub echo_proven: bool,
    pub echo_round_trip_us: Option<u64>,
    pub echo_transmitted: u64,
    pub echo_returned: u64,
    /// Id and algorithm of the key that is sent with; never a secret.
    pub key_id: Option<u8>,
    pub key_algorithm: Option<String>,
    /// How a session that was down is trusted again, and how long it is still held back.
    pub hold_down_first_ms: u64,
    pub hold_down_longest_ms: u64,
    pub hold_down_left_ms: Option<u64>,
    pub last_down: Option<BfdDown>,
    pub last_packet_ms: Option<u64>,
    /// How much later than agreed the packets of the peer come.
    pub receive_jitter: Delays,
    pub transmitted: u64,
    pub received: u64,
    pub discarded: u64,
    /// By reason, without those that did not occur.
    pub discards: BTreeMap<String, u64>,
    pub ups: u64,
    pub downs: u64,
    /// Returns to up that were held back.
    pub held: u64,
    /// Polls of the peer that were more than are answered.
    pub polls_unanswered: u64,
}

impl BfdSession {
    /// How it is named: without a name, by the address of the peer.
    pub fn name(&self) -> &str {
        match self.session.as_str() {
            "" => &self.remote,
            session => session,
        }
    }
}

/// When and why a session last left up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BfdDown {
    pub age_ms: u64,
    pub diagnostic: String,
    pub remote_diagnostic: String,
    /// An administrator wanted it, here or there.
    pub planned: bool,
}

/// What can be changed while a session runs. As a request: what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BfdTiming {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmit_interval_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_interval_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<u8>,
}

/// How late something was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delays {
    pub count: u64,
    pub sum_us: u64,
    /// Upper bounds of the quantiles.
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    pub buckets: Vec<DelayBucket>,
}

/// So many were at most so late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DelayBucket {
    pub at_most_us: u64,
    pub count: u64,
}

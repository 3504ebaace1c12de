//! What the operator decides about a session, and what is refused.

use std::net::IpAddr;
use std::time::Duration;

/// Shortest interval that is accepted, for both directions.
pub const MINIMUM_INTERVAL: Duration = Duration::from_millis(1);
/// Longest interval that is accepted, for both directions.
pub const MAXIMUM_INTERVAL: Duration = Duration::from_secs(60);

/// Who speaks first (RFC 5880 section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Sends from the start.
    #[default]
    Active,
    /// Sends nothing until the peer has been heard.
    Passive,
}

/// The parameters of a session that may change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub desired_min_tx: Duration,
    pub required_min_rx: Duration,
    pub detect_multiplier: u8,
}

impl Timing {
    /// The usual symmetric setting: the same interval both ways.
    pub fn symmetric(interval: Duration, detect_multiplier: u8) -> Self {
        Self {
            desired_min_tx: interval,
            required_min_rx: interval,
            detect_multiplier,
        }
    }

    pub fn validate(&self) -> Result<(), ConfigError> {
        for interval in [self.desired_min_tx, self.required_min_rx] {
            if !(MINIMUM_INTERVAL..=MAXIMUM_INTERVAL).contains(&interval) {
                return Err(ConfigError::Interval(interval));
            }
        }
        // RFC 5880 section 6.8.1: bfd.DetectMult is a nonzero integer.
        if self.detect_multiplier == 0 {
            return Err(ConfigError::MultiplierZero);
        }
        Ok(())
    }
}

/// One session: one neighbour on one link (RFC 5881 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    pub local: IpAddr,
    pub remote: IpAddr,
    /// Index of the interface that packets must come from; `None` takes them from any.
    pub interface: Option<u32>,
    pub desired_min_tx: Duration,
    pub required_min_rx: Duration,
    pub detect_multiplier: u8,
    pub role: Role,
}

impl SessionConfig {
    pub fn timing(&self) -> Timing {
        Timing {
            desired_min_tx: self.desired_min_tx,
            required_min_rx: self.required_min_rx,
            detect_multiplier: self.detect_multiplier,
        }
    }

    pub fn validate(&self) -> Result<(), ConfigError> {
        self.timing().validate()?;
        if self.local.is_ipv4() != self.remote.is_ipv4() {
            return Err(ConfigError::FamilyMismatch {
                local: self.local,
                remote: self.remote,
            });
        }
        for address in [self.local, self.remote] {
            if address.is_unspecified() || address.is_multicast() {
                return Err(ConfigError::Address(address));
            }
        }
        if self.local == self.remote {
            return Err(ConfigError::Address(self.remote));
        }
        let link_local = matches!(self.remote, IpAddr::V6(address) if address.is_unicast_link_local());
        if link_local && self.interface.is_none() {
            return Err(ConfigError::InterfaceNeeded(self.remote));
        }
        Ok(())
    }
}

/// Why a session or a change of its timing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("BFD interval {0:?} is outside {MINIMUM_INTERVAL:?}..{MAXIMUM_INTERVAL:?}")]
    Interval(Duration),
    #[error("BFD detection multiplier must be 1 or more")]
    MultiplierZero,
    #[error("BFD addresses {local} and {remote} are of different families")]
    FamilyMismatch { local: IpAddr, remote: IpAddr },
    #[error("{0} cannot be an end of a BFD session here")]
    Address(IpAddr),
    #[error("{0} is link-local: the BFD session needs an interface")]
    InterfaceNeeded(IpAddr),
    #[error("there already is a BFD session with {0} on this interface")]
    Duplicate(IpAddr),
    #[error("too many BFD sessions (limit {0})")]
    TooMany(usize),
}

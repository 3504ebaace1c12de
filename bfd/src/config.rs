//! What the operator decides about a session, and what is refused.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::Keys;

/// Shortest interval that is accepted, for both directions.
pub const MINIMUM_INTERVAL: Duration = Duration::from_millis(1);
/// Longest interval that is accepted, for both directions.
pub const MAXIMUM_INTERVAL: Duration = Duration::from_secs(60);
/// Longest time that a session which is Up again may be held back.
pub const MAXIMUM_HOLD_DOWN: Duration = Duration::from_secs(3600);

/// Who speaks first (RFC 5880 section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Sends from the start.
    #[default]
    Active,
    /// Sends nothing until the peer has been heard.
    Passive,
}

/// How far away the peer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hops {
    /// On the link (RFC 5881): port 3784, and packets arrive with TTL 255.
    #[default]
    Single,
    /// Behind routers (RFC 5883): port 4784. Packets that arrive with less than `minimum_ttl` are discarded.
    Multi { minimum_ttl: u8 },
}

impl Hops {
    pub fn is_multi(self) -> bool {
        matches!(self, Self::Multi { .. })
    }

    /// The least TTL or hop limit of a packet that is listened to.
    pub fn minimum_ttl(self) -> u8 {
        match self {
            // RFC 5881 section 5: a packet that crossed a router arrives with less.
            Self::Single => 255,
            Self::Multi { minimum_ttl } => minimum_ttl,
        }
    }
}

/// Intervals and the detection multiplier.
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
        interval(self.desired_min_tx)?;
        interval(self.required_min_rx)?;
        // RFC 5880 section 6.8.1: bfd.DetectMult is a nonzero integer.
        if self.detect_multiplier == 0 {
            return Err(ConfigError::MultiplierZero);
        }
        Ok(())
    }
}

/// The Echo function (RFC 5880 section 6.4), over a single hop only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// How often Echo packets are sent while the peer takes them; `None`: never.
    pub transmit: Option<Duration>,
    /// How often the peer may send its own, which the data path returns; `None`: not at all.
    pub required_min_rx: Option<Duration>,
}

/// How a session that was down is trusted again. Failure is told at once, whatever these say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldDown {
    /// How long a session has to stay Up after a failure before it counts. Doubles with each further failure;
    /// zero: it counts at once, always.
    pub first: Duration,
    /// The doubling ends here. A session that has counted for so long starts again with `first`.
    pub longest: Duration,
}

/// What may change while the session runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub timing: Timing,
    /// Ask the peer to be silent while the session is Up (RFC 5880 section 6.6), and make sure of it with a Poll
    /// Sequence this often.
    pub demand: Option<Duration>,
    pub echo: Echo,
    pub hold_down: HoldDown,
    /// Authentication (RFC 5880 section 6.7). Keys change without a flap while both ends know the one that is sent with.
    pub keys: Option<Arc<Keys>>,
}

impl Parameters {
    /// Asynchronous mode with this timing, and nothing else.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            demand: None,
            echo: Echo::default(),
            hold_down: HoldDown::default(),
            keys: None,
        }
    }

    pub fn validate(&self, hops: Hops) -> Result<(), ConfigError> {
        self.timing.validate()?;
        let echo = [self.echo.transmit, self.echo.required_min_rx];
        for period in echo.into_iter().chain([self.demand]).flatten() {
            interval(period)?;
        }
        // RFC 5883 section 3.
        if hops.is_multi() && echo.iter().any(Option::is_some) {
            return Err(ConfigError::EchoOverHops);
        }
        let HoldDown { first, longest } = self.hold_down;
        if first > longest || longest > MAXIMUM_HOLD_DOWN {
            return Err(ConfigError::HoldDown { first, longest });
        }
        Ok(())
    }
}

fn interval(interval: Duration) -> Result<(), ConfigError> {
    if (MINIMUM_INTERVAL..=MAXIMUM_INTERVAL).contains(&interval) {
        Ok(())
    } else {
        Err(ConfigError::Interval(interval))
    }
}

/// Both ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    pub local: IpAddr,
    pub remote: IpAddr,
    /// Index of the interface that packets must come from and leave by; `None` takes them from any.
    pub interface: Option<u32>,
    pub hops: Hops,
}

/// One session: one neighbour on one link (RFC 5881 section 2), or one pair of addresses (RFC 5883 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    pub path: Path,
    pub role: Role,
    pub parameters: Parameters,
}

impl SessionConfig {
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Path {
            local,
            remote,
            interface,
            hops,
        } = self.path;
        self.parameters.validate(hops)?;
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(ConfigError::FamilyMismatch { local, remote });
        }
        for address in [local, remote] {
            if address.is_unspecified() || address.is_multicast() {
                return Err(ConfigError::Address(address));
            }
        }
        if local == remote {
            return Err(ConfigError::Address(remote));
        }
        let link_local = matches!(remote, IpAddr::V6(address) if address.is_unicast_link_local());
        if link_local && hops.is_multi() {
            return Err(ConfigError::Address(remote));
        }
        if link_local && interface.is_none() {
            return Err(ConfigError::InterfaceNeeded(remote));
        }
        if matches!(hops, Hops::Multi { minimum_ttl: 0 }) {
            return Err(ConfigError::MinimumTtl);
        }
        Ok(())
    }
}

/// Whom this node answers without knowing them before (RFC 9468).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsolicited {
    /// Index of the interface on which strangers may speak first.
    pub interface: u32,
    /// Who may: the address and the length of each prefix. Empty: whoever is on the link.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// Sessions at a time.
    pub limit: u32,
    pub parameters: Parameters,
}

impl Unsolicited {
    /// Whether `source` may start a session.
    pub fn admits(&self, source: IpAddr) -> bool {
        self.prefixes.is_empty()
            || self
                .prefixes
                .iter()
                .any(|(network, length)| contains(*network, *length, source))
    }
}

fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32_u32.saturating_sub(length.into());
            (network.to_bits() ^ address.to_bits())
                .checked_shr(shift)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128_u32.saturating_sub(length.into());
            (network.to_bits() ^ address.to_bits())
                .checked_shr(shift)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Why a session or a change of it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("BFD interval {0:?} is outside {MINIMUM_INTERVAL:?}..{MAXIMUM_INTERVAL:?}")]
    Interval(Duration),
    #[error("BFD detection multiplier must be 1 or more")]
    MultiplierZero,
    #[error("BFD echo is for neighbours on the link, not over several hops (RFC 5883 section 3)")]
    EchoOverHops,
    #[error(
        "BFD hold-down of {first:?} up to {longest:?}: at most {MAXIMUM_HOLD_DOWN:?}, and the first not above the longest"
    )]
    HoldDown { first: Duration, longest: Duration },
    #[error("the least TTL of a BFD session over several hops must be 1 or more")]
    MinimumTtl,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_contain_what_they_should() {
        let cases = [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("10.0.0.1", 32, "10.0.0.1", true),
            ("10.0.0.1", 32, "10.0.0.2", false),
            ("0.0.0.0", 0, "192.0.2.1", true),
            ("0.0.0.0", 0, "2001:db8::1", false),
            ("2001:db8::", 32, "2001:db8:1::1", true),
            ("::", 0, "2001:db8::1", true),
            ("2001:db8::1", 128, "2001:db8::2", false),
        ];
        for (network, length, address, inside) in cases {
            let (network, parsed) = (network.parse().unwrap(), address.parse().unwrap());
            assert_eq!(
                contains(network, length, parsed),
                inside,
                "{network}/{length} {address}"
            );
        }
    }

    #[test]
    fn strangers_need_a_prefix_around_them() {
        let mut unsolicited = Unsolicited {
            interface: 1,
            prefixes: Vec::new(),
            limit: 1,
            parameters: Parameters::new(Timing::symmetric(MINIMUM_INTERVAL, 3)),
        };
        let source = IpAddr::from([10, 0, 0, 1]);
        assert!(unsolicited.admits(source), "whoever is on the link");
        unsolicited.prefixes.push((IpAddr::from([10, 0, 1, 0]), 24));
        assert!(!unsolicited.admits(source));
        unsolicited.prefixes.push((IpAddr::from([10, 0, 0, 0]), 24));
        assert!(unsolicited.admits(source));
    }
}

//! A control packet (RFC 5880) as it passes, read here anew: an observer must not share the decoder of the observed.
use std::net::Ipv4Addr;
use std::time::Duration;

pub(crate) const PORT: u16 = 3784;
pub(crate) const UDP: u8 = 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    AdminDown,
    Down,
    Init,
    Up,
}

/// Why a session is down: its own detection time has expired.
pub(crate) const EXPIRED: u8 = 1;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) state: State,
    pub(crate) diagnostic: u8,
    /// A change of intervals is under way: P or F.
    pub(crate) negotiates: bool,
    pub(crate) multiplier: u8,
    pub(crate) desired_min_tx: Duration,
    pub(crate) required_min_rx: Duration,
}

impl Packet {
    /// Of an IPv4 packet, without options as all daemons here send it.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let address = |at: usize| Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?));
        if *bytes.first()? != 0x45 || *bytes.get(9)? != UDP {
            return None;
        }
        let port = u16::from_be_bytes(*bytes.get(22..)?.first_chunk()?);
        let payload = bytes.get(28..)?.first_chunk::<24>()?;
        if port != PORT || payload[0] >> 5 != 1 {
            return None;
        }
        let interval = |at: usize| {
            let bytes = [payload[at], payload[at + 1], payload[at + 2], payload[at + 3]];
            Duration::from_micros(u32::from_be_bytes(bytes).into())
        };
        Some(Packet {
            source: address(12)?,
            destination: address(16)?,
            state: match payload[1] >> 6 {
                0 => State::AdminDown,
                1 => State::Down,
                2 => State::Init,
                _ => State::Up,
            },
            diagnostic: payload[0] & 0x1f,
            negotiates: payload[1] & 0x30 != 0,
            multiplier: payload[2],
            desired_min_tx: interval(12),
            required_min_rx: interval(16),
        })
    }
}

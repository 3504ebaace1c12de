//! BMP messages (RFC 7854 section 4), written only: stations say nothing.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::io::DownReason;

/// RFC 7854 section 4.1.
const VERSION: u8 = 3;
/// Types of neighbours (RFC 7854 section 4.2).
const GLOBAL_INSTANCE: u8 = 0;
const LOCAL_INSTANCE: u8 = 2;
/// Address of an IPv6 neighbour.
const FLAG_V: u8 = 0x80;
/// After policy.
const FLAG_L: u8 = 0x40;
/// AS_PATH of two octets.
const FLAG_A: u8 = 0x20;
/// Adj-RIB-Out (RFC 8671 section 4).
const FLAG_O: u8 = 0x10;

/// Information TLVs (RFC 7854 section 4.4).
const INFORMATION_DESCRIPTION: u16 = 1;
const INFORMATION_NAME: u16 = 2;

#[derive(Clone, Copy)]
enum Kind {
    RouteMonitoring = 0,
    StatisticsReport = 1,
    PeerDown = 2,
    PeerUp = 3,
    Initiation = 4,
    Termination = 5,
}

/// What of a neighbour is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rib {
    /// Adj-RIB-In: what it has announced, before policy.
    In,
    /// Adj-RIB-Out: what it was told, after policy (RFC 8671).
    Out,
}

/// The neighbour, as the per-peer header names it (RFC 7854 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) address: IpAddr,
    pub(super) asn: u32,
    pub(super) router_id: Ipv4Addr,
    /// The interface of a link-local address, which is only one's own on its link; 0 otherwise.
    pub(super) scope: u32,
}

/// Why monitoring ends (RFC 7854 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Administrative = 0,
    OutOfResources = 2,
}

/// A number of a statistics report (RFC 7854 section 4.8, RFC 8671 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    Rejected(u32),
    AdjRibIn(u64),
    TreatedAsWithdraw(u32),
    AdjRibOut(u64),
}

/// RFC 7854 section 4.3.
pub fn initiation(name: &str, description: &str) -> Vec<u8> {
    message(Kind::Initiation, |out| {
        information(out, INFORMATION_DESCRIPTION, description.as_bytes());
        information(out, INFORMATION_NAME, name.as_bytes());
    })
}

/// RFC 7854 section 4.5.
pub fn termination(reason: Reason) -> Vec<u8> {
    message(Kind::Termination, |out| {
        information(out, 1, &(reason as u16).to_be_bytes());
    })
}

/// RFC 7854 section 4.10. The OPENs are whole messages.
pub(super) fn peer_up(
    identity: Identity,
    at: Duration,
    local: SocketAddr,
    remote_port: u16,
    sent: &[u8],
    received: &[u8],
) -> Vec<u8> {
    message(Kind::PeerUp, |out| {
        peer_header(out, identity, 0, at);
        out.extend_from_slice(&address(local.ip()));
        out.extend_from_slice(&local.port().to_be_bytes());
        out.extend_from_slice(&remote_port.to_be_bytes());
        out.extend_from_slice(sent);
        out.extend_from_slice(received);
    })
}

/// RFC 7854 section 4.9.
pub(super) fn peer_down(identity: Identity, at: Duration, reason: &DownReason) -> Vec<u8> {
    message(Kind::PeerDown, |out| {
        peer_header(out, identity, 0, at);
        match reason {
            DownReason::LocalNotification(notification) => {
                out.push(1);
                out.extend_from_slice(notification);
            }
            // No event of the state machine is named.
            DownReason::LocalSilent => out.extend_from_slice(&[2, 0, 0]),
            DownReason::RemoteNotification(notification) => {
                out.push(3);
                out.extend_from_slice(notification);
            }
            DownReason::RemoteSilent => out.push(4),
            DownReason::Deconfigured => out.push(5),
        }
    })
}

/// RFC 7854 section 4.6: one UPDATE, whole.
pub(super) fn route_monitoring(
    identity: Identity,
    at: Duration,
    rib: Rib,
    legacy: bool,
    update: &[u8],
) -> Vec<u8> {
    let rib = match rib {
        Rib::In => 0,
        Rib::Out => FLAG_O | FLAG_L,
    };
    message(Kind::RouteMonitoring, |out| {
        peer_header(out, identity, rib | if legacy { FLAG_A } else { 0 }, at);
        out.extend_from_slice(update);
    })
}

/// RFC 7854 section 4.8.
pub(super) fn statistics(identity: Identity, at: Duration, numbers: &[Statistic]) -> Vec<u8> {
    message(Kind::StatisticsReport, |out| {
        peer_header(out, identity, 0, at);
        out.extend_from_slice(&u32::try_from(numbers.len()).unwrap_or(u32::MAX).to_be_bytes());
        for number in numbers {
            match number {
                Statistic::Rejected(count) => information(out, 0, &count.to_be_bytes()),
                Statistic::AdjRibIn(count) => information(out, 7, &count.to_be_bytes()),
                Statistic::TreatedAsWithdraw(count) => information(out, 11, &count.to_be_bytes()),
                Statistic::AdjRibOut(count) => information(out, 15, &count.to_be_bytes()),
            }
        }
    })
}

/// The common header, its length filled in (RFC 7854 section 4.1).
fn message(kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![VERSION, 0, 0, 0, 0, kind as u8];
    fill(&mut out);
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX).to_be_bytes();
    for (slot, byte) in out.iter_mut().skip(1).zip(length) {
        *slot = byte;
    }
    out
}

fn peer_header(out: &mut Vec<u8>, identity: Identity, flags: u8, at: Duration) {
    let family = if identity.address.is_ipv6() { FLAG_V } else { 0 };
    // Stations tell neighbours apart by distinguisher and address. On several links the address may be the same; then
    // the link is a local instance with a number of its own.
    let kind = if identity.scope == 0 {
        GLOBAL_INSTANCE
    } else {
        LOCAL_INSTANCE
    };
    out.extend_from_slice(&[kind, family | flags]);
    out.extend_from_slice(&u64::from(identity.scope).to_be_bytes());
    out.extend_from_slice(&address(identity.address));
    out.extend_from_slice(&identity.asn.to_be_bytes());
    out.extend_from_slice(&identity.router_id.octets());
    // 32 bits of seconds: until 2106.
    let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
    out.extend_from_slice(&seconds.to_be_bytes());
    out.extend_from_slice(&at.subsec_micros().to_be_bytes());
}

/// 16 octets; IPv4 in the last four.
fn address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address))).to_be_bytes(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Type, length, value. What is longer than 65,535 octets is cut.
fn information(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(value.iter().take(usize::from(length)));
}

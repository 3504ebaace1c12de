//! Capabilities of the OPEN (RFC 5492): those this speaker acts on, the rest kept for display.
use super::error::{DecodeError, ErrorKind};
use super::reader::Reader;
use crate::config::Family;

pub const AFI_IPV4: u16 = 1;
pub const AFI_IPV6: u16 = 2;
pub const SAFI_UNICAST: u8 = 1;

pub fn family(afi: u16, safi: u8) -> Option<Family> {
    match (afi, safi) {
        (AFI_IPV4, SAFI_UNICAST) => Some(Family::Ipv4),
        (AFI_IPV6, SAFI_UNICAST) => Some(Family::Ipv6),
        _ => None,
    }
}

pub fn afi(family: Family) -> u16 {
    match family {
        Family::Ipv4 => AFI_IPV4,
        Family::Ipv6 => AFI_IPV6,
    }
}

/// AFI, an octet between, SAFI: the layout of the multiprotocol capability and of ROUTE-REFRESH.
pub(super) fn read_afi_safi(reader: &mut Reader<'_>) -> Result<(u16, u8, u8), DecodeError> {
    Ok((reader.u16()?, reader.u8()?, reader.u8()?))
}

/// RFC 4724 section 3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    /// The sender has restarted and waits for our routes (R).
    pub restarting: bool,
    /// NOTIFICATIONs, too, leave the routes in place (N, RFC 8538 section 2).
    pub notification: bool,
    /// How long to wait for the sender: seconds, 12 bits.
    pub time: u16,
    pub families: Vec<RestartFamily>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartFamily {
    pub afi: u16,
    pub safi: u8,
    /// The sender has kept its forwarding state of the family (F).
    pub forwarding: bool,
}

/// RFC 9494 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLived {
    pub afi: u16,
    pub safi: u8,
    pub forwarding: bool,
    /// How long stale routes are kept: seconds, 24 bits.
    pub time: u32,
}

/// RFC 7911 section 4. What the sender wants to do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddPath {
    pub afi: u16,
    pub safi: u8,
    pub receive: bool,
    pub send: bool,
}

/// RFC 8950 section 4: for prefixes of `afi` and `safi` it understands next hops of `next_hop_afi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedNextHop {
    pub afi: u16,
    pub safi: u16,
    pub next_hop_afi: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760 section 8.
    Multiprotocol {
        afi: u16,
        safi: u8,
    },
    /// RFC 2918.
    RouteRefresh,
    /// RFC 8950 section 4.
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// RFC 8654 section 3.
    ExtendedMessage,
    /// RFC 9234 section 4.1; any value.
    Role(u8),
    /// RFC 4724 section 3.
    GracefulRestart(Restart),
    /// RFC 6793.
    FourOctetAs(u32),
    /// RFC 7911 section 4.
    AddPath(Vec<AddPath>),
    /// RFC 7313.
    EnhancedRouteRefresh,
    /// RFC 9494 section 3.
    LongLivedGracefulRestart(Vec<LongLived>),
    /// draft-walton-bgp-hostname-capability: 255 octets each at most.
    Fqdn {
        hostname: Vec<u8>,
        domain: Vec<u8>,
    },
    /// draft-ietf-idr-bgp-bfd-strict-mode.
    BfdStrict,
    Other {
        code: u8,
        value: Vec<u8>,
    },
}

impl Capability {
    pub fn unicast(family: Family) -> Self {
        Capability::Multiprotocol {
            afi: afi(family),
            safi: SAFI_UNICAST,
        }
    }

    pub fn code(&self) -> u8 {
        match self {
            Capability::Multiprotocol { .. } => 1,
            Capability::RouteRefresh => 2,
            Capability::ExtendedNextHop(_) => 5,
            Capability::ExtendedMessage => 6,
            Capability::Role(_) => 9,
            Capability::GracefulRestart(_) => 64,
            Capability::FourOctetAs(_) => 65,
            Capability::AddPath(_) => 69,
            Capability::EnhancedRouteRefresh => 70,
            Capability::LongLivedGracefulRestart(_) => 71,
            Capability::Fqdn { .. } => 73,
            Capability::BfdStrict => 74,
            Capability::Other { code, .. } => *code,
        }
    }

    /// A capability that this speaker acts on and that has a wrong length is a malformed optional parameter (RFC
    /// 4271 section 6.2); those of drafts are then only not understood.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = *reader;
        let code = reader.u8()?;
        let length = usize::from(reader.u8()?);
        let mut value = reader.take(length)?;
        let other = Capability::Other {
            code,
            value: value.rest().to_vec(),
        };
        match (code, length) {
            (1, 4) => {
                let (afi, _reserved, safi) = read_afi_safi(&mut value)?;
                Ok(Capability::Multiprotocol { afi, safi })
            }
            (2, 0) => Ok(Capability::RouteRefresh),
            (5, _) if length.is_multiple_of(6) => list(value, |reader| {
                Ok(ExtendedNextHop {
                    afi: reader.u16()?,
                    safi: reader.u16()?,
                    next_hop_afi: reader.u16()?,
                })
            })
            .map(Capability::ExtendedNextHop),
            (6, 0) => Ok(Capability::ExtendedMessage),
            (9, 1) => value.u8().map(Capability::Role),
            (64, 2..) if length % 4 == 2 => restart(value).map(Capability::GracefulRestart),
            (65, 4) => {
                let asn_at = value;
                match value.u32()? {
                    // RFC 7607 section 2.
                    0 => Err(asn_at.error(ErrorKind::ZeroAs)),
                    asn => Ok(Capability::FourOctetAs(asn)),
                }
            }
            (69, _) if length.is_multiple_of(4) => Ok(add_path(value)?.unwrap_or(other)),
            (70, 0) => Ok(Capability::EnhancedRouteRefresh),
            (71, _) if length.is_multiple_of(7) => {
                list(value, long_lived).map(Capability::LongLivedGracefulRestart)
            }
            (73, _) => Ok(fqdn(value).unwrap_or(other)),
            (74, 0) => Ok(Capability::BfdStrict),
            (1 | 2 | 5 | 6 | 9 | 64 | 65 | 69 | 70 | 71, _) => {
                Err(start.error(ErrorKind::CapabilityLength { code, length }))
            }
            _ => Ok(other),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        self.encode_value(&mut value);
        // One octet of length; what does not fit was never decoded.
        value.truncate(255);
        out.push(self.code());
        out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(&value);
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Capability::Multiprotocol { afi, safi } => {
                out.extend_from_slice(&afi.to_be_bytes());
                out.extend_from_slice(&[0, *safi]);
            }
            Capability::RouteRefresh
            | Capability::ExtendedMessage
            | Capability::EnhancedRouteRefresh
            | Capability::BfdStrict => {}
            Capability::ExtendedNextHop(list) => out.extend(
                list.iter()
                    .flat_map(|item| [item.afi, item.safi, item.next_hop_afi])
                    .flat_map(u16::to_be_bytes),
            ),
            Capability::Role(role) => out.push(*role),
            Capability::GracefulRestart(restart) => encode_restart(restart, out),
            Capability::FourOctetAs(asn) => out.extend_from_slice(&asn.to_be_bytes()),
            Capability::AddPath(list) => {
                for item in list {
                    out.extend_from_slice(&item.afi.to_be_bytes());
                    out.extend_from_slice(&[item.safi, u8::from(item.receive) | u8::from(item.send) << 1]);
                }
            }
            Capability::LongLivedGracefulRestart(list) => {
                for item in list {
                    let [_, high, middle, low] = item.time.min(0x00ff_ffff).to_be_bytes();
                    out.extend_from_slice(&item.afi.to_be_bytes());
                    out.extend_from_slice(&[item.safi, forwarding(item.forwarding), high, middle, low]);
                }
            }
            Capability::Fqdn { hostname, domain } => {
                // Both and their lengths fit the 255 octets of the capability, the host name first.
                let hostname = hostname.get(..253).unwrap_or(hostname);
                let room = 253 - hostname.len();
                let domain = domain.get(..room).unwrap_or(domain);
                for name in [hostname, domain] {
                    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                    out.extend_from_slice(name);
                }
            }
            Capability::Other { value, .. } => out.extend_from_slice(value),
        }
    }

    /// For people.
    pub fn name(&self) -> String {
        match self {
            Capability::Multiprotocol { afi, safi } => match family(*afi, *safi) {
                Some(family) => format!("{family}-unicast"),
                None => format!("afi-{afi}-safi-{safi}"),
            },
            Capability::RouteRefresh => "route-refresh".to_owned(),
            Capability::ExtendedNextHop(_) => "extended-next-hop".to_owned(),
            Capability::ExtendedMessage => "extended-message".to_owned(),
            Capability::Role(_) => "role".to_owned(),
            Capability::GracefulRestart(_) => "graceful-restart".to_owned(),
            Capability::FourOctetAs(_) => "four-octet-as".to_owned(),
            Capability::AddPath(_) => "add-path".to_owned(),
            Capability::EnhancedRouteRefresh => "enhanced-route-refresh".to_owned(),
            Capability::LongLivedGracefulRestart(_) => "long-lived-graceful-restart".to_owned(),
            Capability::Fqdn { .. } => "hostname".to_owned(),
            Capability::BfdStrict => "bfd-strict-mode".to_owned(),
            Capability::Other { code, .. } => match code {
                128 => "cisco-route-refresh".to_owned(),
                _ => format!("capability-{code}"),
            },
        }
    }
}

/// Items to the end of the value.
fn list<T>(
    mut value: Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while !value.is_empty() {
        items.push(item(&mut value)?);
    }
    Ok(items)
}

const FORWARDING: u8 = 0x80;
const RESTARTING: u16 = 0x8000;
const NOTIFICATION: u16 = 0x4000;

fn forwarding(kept: bool) -> u8 {
    if kept { FORWARDING } else { 0 }
}

fn restart(mut value: Reader<'_>) -> Result<Restart, DecodeError> {
    let flags = value.u16()?;
    let families = list(value, |reader| {
        Ok(RestartFamily {
            afi: reader.u16()?,
            safi: reader.u8()?,
            forwarding: reader.u8()? & FORWARDING != 0,
        })
    })?;
    Ok(Restart {
        restarting: flags & RESTARTING != 0,
        notification: flags & NOTIFICATION != 0,
        time: flags & 0x0fff,
        families,
    })
}

fn encode_restart(restart: &Restart, out: &mut Vec<u8>) {
    let mut flags = restart.time.min(0x0fff);
    if restart.restarting {
        flags |= RESTARTING;
    }
    if restart.notification {
        flags |= NOTIFICATION;
    }
    out.extend_from_slice(&flags.to_be_bytes());
    for family in &restart.families {
        out.extend_from_slice(&family.afi.to_be_bytes());
        out.extend_from_slice(&[family.safi, forwarding(family.forwarding)]);
    }
}

/// RFC 7911 section 4: with another value of send/receive, the capability is not understood.
fn add_path(value: Reader<'_>) -> Result<Option<Capability>, DecodeError> {
    let items = list(value, |reader| {
        let (afi, safi, mode) = (reader.u16()?, reader.u8()?, reader.u8()?);
        Ok((1..=3).contains(&mode).then_some(AddPath {
            afi,
            safi,
            receive: mode & 1 != 0,
            send: mode & 2 != 0,
        }))
    })?;
    let known: Option<Vec<AddPath>> = items.into_iter().collect();
    Ok(known.map(Capability::AddPath))
}

fn long_lived(reader: &mut Reader<'_>) -> Result<LongLived, DecodeError> {
    Ok(LongLived {
        afi: reader.u16()?,
        safi: reader.u8()?,
        forwarding: reader.u8()? & FORWARDING != 0,
        time: u32::from(reader.u8()?) << 16 | u32::from(reader.u16()?),
    })
}

/// Two strings with their lengths.
fn fqdn(mut value: Reader<'_>) -> Option<Capability> {
    let mut name = || {
        let length = value.u8().ok()?;
        value.bytes(length.into()).ok().map(<[u8]>::to_vec)
    };
    let (hostname, domain) = (name()?, name()?);
    value.is_empty().then_some(Capability::Fqdn { hostname, domain })
}

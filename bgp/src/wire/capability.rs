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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760 section 8.
    Multiprotocol {
        afi: u16,
        safi: u8,
    },
    /// RFC 2918.
    RouteRefresh,
    /// RFC 6793.
    FourOctetAs(u32),
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

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = *reader;
        let code = reader.u8()?;
        let length = usize::from(reader.u8()?);
        let mut value = reader.take(length)?;
        let wrong = || start.error(ErrorKind::CapabilityLength { code, length });
        match (code, length) {
            (1, 4) => {
                let (afi, _reserved, safi) = read_afi_safi(&mut value)?;
                Ok(Capability::Multiprotocol { afi, safi })
            }
            (2, 0) => Ok(Capability::RouteRefresh),
            (65, 4) => {
                let asn_at = value;
                match value.u32()? {
                    // RFC 7607 section 2.
                    0 => Err(asn_at.error(ErrorKind::ZeroAs)),
                    asn => Ok(Capability::FourOctetAs(asn)),
                }
            }
            (1 | 2 | 65, _) => Err(wrong()),
            (code, _) => Ok(Capability::Other {
                code,
                value: value.rest().to_vec(),
            }),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Capability::Multiprotocol { afi, safi } => {
                out.extend_from_slice(&[1, 4]);
                out.extend_from_slice(&afi.to_be_bytes());
                out.extend_from_slice(&[0, *safi]);
            }
            Capability::RouteRefresh => out.extend_from_slice(&[2, 0]),
            Capability::FourOctetAs(asn) => {
                out.extend_from_slice(&[65, 4]);
                out.extend_from_slice(&asn.to_be_bytes());
            }
            Capability::Other { code, value } => {
                // One octet of length; what does not fit was never decoded.
                let value = value.get(..255).unwrap_or(value);
                out.push(*code);
                out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(value);
            }
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
            Capability::FourOctetAs(_) => "four-octet-as".to_owned(),
            Capability::Other { code, .. } => match code {
                5 => "extended-next-hop".to_owned(),
                6 => "extended-message".to_owned(),
                9 => "role".to_owned(),
                64 => "graceful-restart".to_owned(),
                69 => "add-path".to_owned(),
                70 => "enhanced-route-refresh".to_owned(),
                71 => "long-lived-graceful-restart".to_owned(),
                73 => "hostname".to_owned(),
                128 => "cisco-route-refresh".to_owned(),
                _ => format!("capability-{code}"),
            },
        }
    }
}

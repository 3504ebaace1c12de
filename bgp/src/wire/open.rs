//! OPEN (RFC 4271 section 4.2) with its capabilities.
use std::net::Ipv4Addr;

use super::capability::{Capability, family};
use super::error::{DecodeError, ErrorKind};
use super::reader::Reader;
use crate::config::Families;

/// Stands for an AS number that does not fit two octets (RFC 6793 section 9).
pub const AS_TRANS: u16 = 23456;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The field of two octets; see [`Open::asn`].
    pub my_as: u16,
    pub hold_time: u16,
    pub identifier: Ipv4Addr,
    pub capabilities: Vec<Capability>,
}

impl Open {
    pub fn new(asn: u32, hold_time: u16, identifier: Ipv4Addr, families: Families) -> Self {
        let mut capabilities: Vec<Capability> = families.iter().map(Capability::unicast).collect();
        capabilities.push(Capability::RouteRefresh);
        capabilities.push(Capability::FourOctetAs(asn));
        Open {
            my_as: u16::try_from(asn).unwrap_or(AS_TRANS),
            hold_time,
            identifier,
            capabilities,
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let version_at = reader;
        match reader.u8()? {
            4 => {}
            version => return Err(version_at.error(ErrorKind::Version(version))),
        }
        let as_at = reader;
        let my_as = reader.u16()?;
        // RFC 7607 section 2.
        if my_as == 0 {
            return Err(as_at.error(ErrorKind::ZeroAs));
        }
        let hold_at = reader;
        let hold_time = reader.u16()?;
        // RFC 4271 section 6.2: one and two seconds must be refused.
        if matches!(hold_time, 1 | 2) {
            return Err(hold_at.error(ErrorKind::HoldTime(hold_time)));
        }
        let identifier_at = reader;
        let identifier = reader.ipv4()?;
        // RFC 6286 section 2.1: any value but zero.
        if identifier.is_unspecified() {
            return Err(identifier_at.error(ErrorKind::Identifier));
        }
        let capabilities = parameters(reader)?;
        Ok(Open {
            my_as,
            hold_time,
            identifier,
            capabilities,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(4);
        out.extend_from_slice(&self.my_as.to_be_bytes());
        out.extend_from_slice(&self.hold_time.to_be_bytes());
        out.extend_from_slice(&self.identifier.octets());
        let mut parameters = Vec::new();
        for capability in &self.capabilities {
            // One parameter per capability: the form every implementation understands (RFC 5492 section 4).
            let mut value = Vec::new();
            capability.encode(&mut value);
            let (Ok(length), true) = (
                u8::try_from(value.len()),
                parameters.len() + value.len() + 2 <= 255,
            ) else {
                continue;
            };
            parameters.extend_from_slice(&[2, length]);
            parameters.extend_from_slice(&value);
        }
        out.push(u8::try_from(parameters.len()).unwrap_or(0));
        out.extend_from_slice(&parameters);
    }

    pub fn four_octet_as(&self) -> Option<u32> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            Capability::Multiprotocol { .. } | Capability::RouteRefresh | Capability::Other { .. } => None,
        })
    }

    /// The AS of the sender (RFC 6793 section 4.1).
    pub fn asn(&self) -> u32 {
        self.four_octet_as().unwrap_or(u32::from(self.my_as))
    }

    /// Without any multiprotocol capability a speaker means IPv4 unicast alone (RFC 4760 section 8).
    pub fn families(&self) -> Families {
        let mut families = Families::default();
        let mut named = false;
        for capability in &self.capabilities {
            if let Capability::Multiprotocol { afi, safi } = capability {
                named = true;
                if let Some(family) = family(*afi, *safi) {
                    families.insert(family);
                }
            }
        }
        if named { families } else { Families::IPV4 }
    }

    pub fn route_refresh(&self) -> bool {
        self.capabilities.contains(&Capability::RouteRefresh)
    }
}

fn parameters(mut reader: Reader<'_>) -> Result<Vec<Capability>, DecodeError> {
    let length_at = reader;
    let mut length = usize::from(reader.u8()?);
    // RFC 9072 section 2: both octets 255 announce lengths of two octets.
    let extended = length != 0 && reader.rest().first() == Some(&255);
    if extended {
        reader.u8()?;
        length = usize::from(reader.u16()?);
    }
    if length != reader.remaining() {
        return Err(length_at.error(ErrorKind::ParametersLength(length)));
    }
    let mut capabilities = Vec::new();
    while !reader.is_empty() {
        let parameter_at = reader;
        let kind = reader.u8()?;
        let length = if extended {
            usize::from(reader.u16()?)
        } else {
            usize::from(reader.u8()?)
        };
        let mut value = reader.take(length)?;
        // RFC 4271 section 6.2: an optional parameter that is not recognized ends the session.
        if kind != 2 {
            return Err(parameter_at.error(ErrorKind::OptionalParameter(kind)));
        }
        while !value.is_empty() {
            capabilities.push(Capability::decode(&mut value)?);
        }
    }
    Ok(capabilities)
}

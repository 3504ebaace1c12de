//! OPEN (RFC 4271 section 4.2) with its capabilities.
use std::net::Ipv4Addr;

use super::capability::{AddPath, Capability, ExtendedNextHop, LongLived, Restart, family};
use super::error::{DecodeError, ErrorKind};
use super::notification::printable;
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
        // One parameter per capability: the form every implementation understands (RFC 5492 section 4).
        let mut parameters = Vec::new();
        let mut capabilities = Vec::new();
        let mut fits = true;
        for capability in &self.capabilities {
            let start = capabilities.len();
            capability.encode(&mut capabilities);
            let length = u8::try_from(capabilities.len() - start);
            fits &= length.is_ok();
            parameters.extend_from_slice(&[2, length.unwrap_or(u8::MAX)]);
            parameters.extend(capabilities.iter().skip(start));
        }
        match u8::try_from(parameters.len()) {
            Ok(length) if fits && length < u8::MAX => {
                out.push(length);
                out.extend_from_slice(&parameters);
            }
            // RFC 9072 section 2: lengths of two octets; all capabilities in one parameter.
            Ok(_) | Err(_) => {
                let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&[255, 255]);
                out.extend_from_slice(&length.saturating_add(3).to_be_bytes());
                out.push(2);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&capabilities);
            }
        }
    }

    /// The first capability that `choose` takes.
    fn find<'a, T>(&'a self, choose: impl Fn(&'a Capability) -> Option<T>) -> Option<T> {
        self.capabilities.iter().find_map(choose)
    }

    pub fn four_octet_as(&self) -> Option<u32> {
        self.find(|capability| {
            if let Capability::FourOctetAs(asn) = capability {
                Some(*asn)
            } else {
                None
            }
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

    /// RFC 7313.
    pub fn enhanced_route_refresh(&self) -> bool {
        self.capabilities.contains(&Capability::EnhancedRouteRefresh)
    }

    /// RFC 8654.
    pub fn extended_message(&self) -> bool {
        self.capabilities.contains(&Capability::ExtendedMessage)
    }

    /// draft-ietf-idr-bgp-bfd-strict-mode.
    pub fn bfd_strict(&self) -> bool {
        self.capabilities.contains(&Capability::BfdStrict)
    }

    /// Every role that was told: one, unless the neighbour is at odds with itself (RFC 9234 section 4.2).
    pub fn roles(&self) -> Vec<u8> {
        let role = |capability: &Capability| {
            if let Capability::Role(role) = capability {
                Some(*role)
            } else {
                None
            }
        };
        let mut roles: Vec<u8> = self.capabilities.iter().filter_map(role).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// RFC 4724 section 3: of several the last.
    pub fn graceful_restart(&self) -> Option<&Restart> {
        self.capabilities.iter().rev().find_map(|capability| {
            if let Capability::GracefulRestart(restart) = capability {
                Some(restart)
            } else {
                None
            }
        })
    }

    /// RFC 9494 section 3. Means nothing without [`Open::graceful_restart`].
    pub fn long_lived(&self) -> &[LongLived] {
        self.find(|capability| {
            if let Capability::LongLivedGracefulRestart(list) = capability {
                Some(list.as_slice())
            } else {
                None
            }
        })
        .unwrap_or_default()
    }

    /// RFC 7911 section 4: what the neighbour wants to do itself; of a family only the first entry counts.
    pub fn add_path(&self) -> impl Iterator<Item = &AddPath> {
        self.capabilities.iter().flat_map(|capability| {
            if let Capability::AddPath(list) = capability {
                list.as_slice()
            } else {
                &[]
            }
        })
    }

    /// RFC 8950 section 4.
    pub fn extended_next_hops(&self) -> impl Iterator<Item = &ExtendedNextHop> {
        self.capabilities.iter().flat_map(|capability| {
            if let Capability::ExtendedNextHop(list) = capability {
                list.as_slice()
            } else {
                &[]
            }
        })
    }

    /// Name of the neighbour, and its domain, made fit to be shown.
    pub fn host_name(&self) -> Option<String> {
        let (hostname, domain) = self.find(|capability| {
            if let Capability::Fqdn { hostname, domain } = capability {
                Some((hostname, domain))
            } else {
                None
            }
        })?;
        let mut name = printable(&String::from_utf8_lossy(hostname));
        if !domain.is_empty() {
            name.push('.');
            name.push_str(&printable(&String::from_utf8_lossy(domain)));
        }
        Some(name)
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

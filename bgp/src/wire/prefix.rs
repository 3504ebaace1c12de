//! NLRI: a prefix as its length in bits and as many octets as that needs (RFC 4271 section 4.3), behind a path
//! identifier where that was agreed (RFC 7911 section 3).
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::error::{DecodeError, ErrorKind};
use super::reader::Reader;
use crate::config::{Families, Family};

/// A path to a prefix; of one neighbour, it is what replaces and withdraws itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nlri {
    pub prefix: IpNet,
    /// 0 without ADD-PATH.
    pub path_id: u32,
}

impl Nlri {
    pub fn family(&self) -> Family {
        match self.prefix {
            IpNet::V4(_) => Family::Ipv4,
            IpNet::V6(_) => Family::Ipv6,
        }
    }
}

impl From<IpNet> for Nlri {
    fn from(prefix: IpNet) -> Self {
        Nlri { prefix, path_id: 0 }
    }
}

impl fmt::Display for Nlri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path_id {
            0 => write!(f, "{}", self.prefix),
            id => write!(f, "{} path {id}", self.prefix),
        }
    }
}

fn decode(reader: &mut Reader<'_>, family: Family, add_path: bool) -> Result<Nlri, DecodeError> {
    let start = *reader;
    let path_id = if add_path {
        reader.u32().map_err(|_| start.error(ErrorKind::PathIdentifier))?
    } else {
        0
    };
    let start = *reader;
    let Ok(bits) = reader.u8() else {
        // Only a path identifier without a prefix ends like this.
        return Err(start.error(ErrorKind::PathIdentifier));
    };
    let wrong = || start.error(ErrorKind::PrefixLength(bits));
    let octets = usize::from(bits).div_ceil(8);
    let net = match family {
        Family::Ipv4 => padded::<4>(reader, octets).map(|octets| IpAddr::from(Ipv4Addr::from(octets))),
        Family::Ipv6 => padded::<16>(reader, octets).map(|octets| IpAddr::from(Ipv6Addr::from(octets))),
    };
    // RFC 7606 section 5.3: too long for the family, or longer than what is left, is the same fault.
    let address = net.ok_or_else(wrong)?;
    // Bits after the length mean nothing (RFC 4271 section 4.3).
    let prefix = IpNet::new(address, bits).map_err(|_| wrong())?.trunc();
    Ok(Nlri { prefix, path_id })
}

fn padded<const N: usize>(reader: &mut Reader<'_>, octets: usize) -> Option<[u8; N]> {
    let mut value = [0; N];
    let head = value.get_mut(..octets)?;
    head.copy_from_slice(reader.bytes(octets).ok()?);
    Some(value)
}

pub(super) fn decode_all(
    mut reader: Reader<'_>,
    family: Family,
    add_path: Families,
) -> Result<Vec<Nlri>, DecodeError> {
    let add_path = add_path.contains(family);
    // Host routes, the most common ones by far here, need no more; shorter prefixes grow the list.
    let host = match family {
        Family::Ipv4 => 5,
        Family::Ipv6 => 17,
    };
    let each = if add_path { host + 4 } else { host };
    let mut prefixes = Vec::with_capacity(reader.remaining().div_ceil(each));
    while !reader.is_empty() {
        prefixes.push(decode(&mut reader, family, add_path)?);
    }
    Ok(prefixes)
}

/// Octets that `prefix` takes on the wire, without a path identifier.
pub fn encoded_length(prefix: &IpNet) -> usize {
    1 + usize::from(prefix.prefix_len()).div_ceil(8)
}

pub(super) fn encode_all(list: &[Nlri], out: &mut Vec<u8>, add_path: Families) {
    for nlri in list {
        if add_path.contains(nlri.family()) {
            out.extend_from_slice(&nlri.path_id.to_be_bytes());
        }
        out.push(nlri.prefix.prefix_len());
        let octets = encoded_length(&nlri.prefix) - 1;
        match nlri.prefix.network() {
            IpAddr::V4(address) => out.extend(address.octets().iter().take(octets)),
            IpAddr::V6(address) => out.extend(address.octets().iter().take(octets)),
        }
    }
}

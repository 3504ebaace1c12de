//! NLRI: a prefix as its length in bits and as many octets as that needs (RFC 4271 section 4.3).
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::error::{DecodeError, ErrorKind};
use super::reader::Reader;
use crate::config::Family;

pub(super) fn decode(reader: &mut Reader<'_>, family: Family) -> Result<IpNet, DecodeError> {
    let start = *reader;
    let bits = reader.u8()?;
    let wrong = || start.error(ErrorKind::PrefixLength(bits));
    let octets = usize::from(bits).div_ceil(8);
    let net = match family {
        Family::Ipv4 => padded::<4>(reader, octets).map(|octets| IpAddr::from(Ipv4Addr::from(octets))),
        Family::Ipv6 => padded::<16>(reader, octets).map(|octets| IpAddr::from(Ipv6Addr::from(octets))),
    };
    // RFC 7606 section 5.3: too long for the family, or longer than what is left, is the same fault.
    let address = net.ok_or_else(wrong)?;
    // Bits after the length mean nothing (RFC 4271 section 4.3).
    IpNet::new(address, bits)
        .map(|net| net.trunc())
        .map_err(|_| wrong())
}

fn padded<const N: usize>(reader: &mut Reader<'_>, octets: usize) -> Option<[u8; N]> {
    let mut value = [0; N];
    let head = value.get_mut(..octets)?;
    head.copy_from_slice(reader.bytes(octets).ok()?);
    Some(value)
}

pub(super) fn decode_all(mut reader: Reader<'_>, family: Family) -> Result<Vec<IpNet>, DecodeError> {
    let mut prefixes = Vec::new();
    while !reader.is_empty() {
        prefixes.push(decode(&mut reader, family)?);
    }
    Ok(prefixes)
}

/// Octets that `prefix` takes on the wire.
pub fn encoded_length(prefix: &IpNet) -> usize {
    1 + usize::from(prefix.prefix_len()).div_ceil(8)
}

pub(super) fn encode(prefix: &IpNet, out: &mut Vec<u8>) {
    out.push(prefix.prefix_len());
    let octets = encoded_length(prefix) - 1;
    match prefix.network() {
        IpAddr::V4(address) => out.extend(address.octets().iter().take(octets)),
        IpAddr::V6(address) => out.extend(address.octets().iter().take(octets)),
    }
}

//! Values of the attributes this speaker knows: octets to [`Attribute`], or an error at its octet.
//!
//! What an error does is the table's business, not theirs.
use std::net::{IpAddr, Ipv4Addr};

use super::attribute::{Aggregator, AsPathSegment, Attribute, MpReach, MpUnreach, Origin, SegmentKind};
use super::capability::family;
use super::error::{DecodeError, ErrorKind};
use super::prefix;
use super::reader::Reader;
use super::table::Value;
use crate::config::Family;

/// Fails with the length error unless the value has exactly `length` octets.
fn exactly(reader: Reader<'_>, value: Value, length: usize) -> Result<Reader<'_>, DecodeError> {
    if reader.remaining() == length {
        Ok(reader)
    } else {
        Err(reader.error(ErrorKind::AttributeLength {
            code: value.code,
            length: reader.remaining(),
        }))
    }
}

/// A list of items of `N` octets with at least one item.
fn items<const N: usize>(mut reader: Reader<'_>, value: Value) -> Result<Vec<[u8; N]>, DecodeError> {
    if reader.is_empty() || !reader.remaining().is_multiple_of(N) {
        return Err(reader.error(ErrorKind::AttributeLength {
            code: value.code,
            length: reader.remaining(),
        }));
    }
    let mut list = Vec::with_capacity(reader.remaining() / N);
    while !reader.is_empty() {
        list.push(reader.array::<N>()?);
    }
    Ok(list)
}

pub(super) fn origin(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    match exactly(reader, value, 1)?.u8()? {
        0 => Ok(Attribute::Origin(Origin::Igp)),
        1 => Ok(Attribute::Origin(Origin::Egp)),
        2 => Ok(Attribute::Origin(Origin::Incomplete)),
        undefined => Err(reader.error(ErrorKind::Origin(undefined))),
    }
}

pub(super) fn as_path(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let path = segments(reader, value.context.four_octet)?;
    // RFC 5065 section 5: inside a confederation only, and this speaker has none of its own.
    let confederation =
        |segment: &AsPathSegment| !matches!(segment.kind, SegmentKind::Sequence | SegmentKind::Set);
    if value.context.external && path.iter().any(confederation) {
        return Err(reader.error(ErrorKind::AsPath));
    }
    Ok(Attribute::AsPath(path))
}

pub(super) fn as4_path(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    // RFC 6793 section 6: without an AS it would not have been sent.
    if reader.is_empty() {
        return Err(reader.error(ErrorKind::AttributeLength {
            code: value.code,
            length: 0,
        }));
    }
    segments(reader, true).map(Attribute::As4Path)
}

/// RFC 7606 section 7.2: unknown segment type, overrun, underrun, empty segment; RFC 7607 section 2: AS 0.
fn segments(mut reader: Reader<'_>, four_octet: bool) -> Result<Vec<AsPathSegment>, DecodeError> {
    let mut segments = Vec::new();
    while !reader.is_empty() {
        let start = reader;
        let malformed = |_| start.error(ErrorKind::AsPath);
        let kind = match reader.u8()? {
            1 => SegmentKind::Set,
            2 => SegmentKind::Sequence,
            3 => SegmentKind::ConfederationSequence,
            4 => SegmentKind::ConfederationSet,
            _ => return Err(start.error(ErrorKind::AsPath)),
        };
        let count = reader.u8().map_err(malformed)?;
        if count == 0 {
            return Err(start.error(ErrorKind::AsPath));
        }
        let mut asns = Vec::with_capacity(usize::from(count).min(reader.remaining()));
        for _ in 0..count {
            let at = reader;
            let asn = if four_octet {
                reader.u32()
            } else {
                reader.u16().map(u32::from)
            };
            match asn.map_err(malformed)? {
                0 => return Err(at.error(ErrorKind::ZeroAs)),
                asn => asns.push(asn),
            }
        }
        segments.push(AsPathSegment { kind, asns });
    }
    Ok(segments)
}

pub(super) fn next_hop(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.ipv4().map(Attribute::NextHop)
}

pub(super) fn med(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.u32().map(Attribute::Med)
}

pub(super) fn local_pref(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.u32().map(Attribute::LocalPref)
}

pub(super) fn atomic_aggregate(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 0).map(|_| Attribute::AtomicAggregate)
}

pub(super) fn aggregator(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let length = if value.context.four_octet { 8 } else { 6 };
    read_aggregator(exactly(reader, value, length)?, value.context.four_octet).map(Attribute::Aggregator)
}

pub(super) fn as4_aggregator(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    read_aggregator(exactly(reader, value, 8)?, true).map(Attribute::As4Aggregator)
}

fn read_aggregator(mut reader: Reader<'_>, four_octet: bool) -> Result<Aggregator, DecodeError> {
    let start = reader;
    let asn = if four_octet {
        reader.u32()?
    } else {
        reader.u16()?.into()
    };
    if asn == 0 {
        return Err(start.error(ErrorKind::ZeroAs));
    }
    Ok(Aggregator {
        asn,
        identifier: reader.ipv4()?,
    })
}

pub(super) fn communities(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let list = items::<4>(reader, value)?;
    Ok(Attribute::Communities(
        list.into_iter().map(u32::from_be_bytes).collect(),
    ))
}

pub(super) fn originator_id(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.ipv4().map(Attribute::OriginatorId)
}

pub(super) fn cluster_list(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let list = items::<4>(reader, value)?;
    Ok(Attribute::ClusterList(
        list.into_iter().map(Ipv4Addr::from).collect(),
    ))
}

pub(super) fn extended_communities(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    items::<8>(reader, value).map(Attribute::ExtendedCommunities)
}

pub(super) fn large_communities(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let mut list = Vec::new();
    for item in items::<12>(reader, value)? {
        let mut parts = Reader::new(&item, reader.offset(), None);
        list.push([parts.u32()?, parts.u32()?, parts.u32()?]);
    }
    Ok(Attribute::LargeCommunities(list))
}

pub(super) fn only_to_customer(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.u32().map(Attribute::OnlyToCustomer)
}

pub(super) fn mp_reach(mut reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let whole = reader.rest();
    let afi = reader.u16()?;
    let safi = reader.u8()?;
    let Some(family) = family(afi, safi) else {
        return Ok(Attribute::Other {
            code: value.code,
            flags: value.flags,
            value: whole.to_vec(),
        });
    };
    let length_at = reader;
    let length = usize::from(reader.u8()?);
    let mut next_hops = reader.take(length)?;
    // RFC 7606 section 7.11: a next hop of the wrong length leaves no way to find the NLRI.
    let (next_hop, link_local) = match (family, length) {
        (Family::Ipv4, 4) => (IpAddr::V4(next_hops.ipv4()?), None),
        // Of IPv4 prefixes, too (RFC 8950 section 3).
        (Family::Ipv4 | Family::Ipv6, 16) => (IpAddr::V6(next_hops.ipv6()?), None),
        (Family::Ipv4 | Family::Ipv6, 32) => (IpAddr::V6(next_hops.ipv6()?), Some(next_hops.ipv6()?)),
        (Family::Ipv4 | Family::Ipv6, _) => return Err(length_at.error(ErrorKind::NextHop)),
    };
    let _reserved = reader.u8()?;
    let prefixes = prefix::decode_all(reader, family, value.context.add_path)?;
    Ok(Attribute::MpReach(MpReach {
        family,
        next_hop,
        link_local,
        prefixes,
    }))
}

pub(super) fn mp_unreach(mut reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let whole = reader.rest();
    let afi = reader.u16()?;
    let safi = reader.u8()?;
    let Some(family) = family(afi, safi) else {
        return Ok(Attribute::Other {
            code: value.code,
            flags: value.flags,
            value: whole.to_vec(),
        });
    };
    let prefixes = prefix::decode_all(reader, family, value.context.add_path)?;
    Ok(Attribute::MpUnreach(MpUnreach { family, prefixes }))
}

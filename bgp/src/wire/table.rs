//! The attributes this speaker knows, one row each: flags, what an error in it does (RFC 7606), how it is read.
//!
//! A new attribute is a new row. A decoder returns a value or an error with its offset; it does not know what the
//! error will do, and the loop over the attributes (`update`) does not know the attributes.
use std::net::{IpAddr, Ipv4Addr};

use super::attribute::{Aggregator, AsPathSegment, Attribute, MpReach, MpUnreach, Origin, SegmentKind};
use super::capability::family;
use super::context::Context;
use super::error::{DecodeError, ErrorKind};
use super::prefix;
use super::reader::Reader;
use crate::config::Family;

pub(super) const FLAG_OPTIONAL: u8 = 0x80;
pub(super) const FLAG_TRANSITIVE: u8 = 0x40;
pub(super) const FLAG_EXTENDED: u8 = 0x10;

/// What an error does (RFC 7606 section 2), the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    AttributeDiscard,
    TreatAsWithdraw,
    SessionReset,
}

impl Effect {
    pub fn name(self) -> &'static str {
        match self {
            Effect::AttributeDiscard => "attribute discard",
            Effect::TreatAsWithdraw => "treat as withdraw",
            Effect::SessionReset => "session reset",
        }
    }
}

type Decoder = fn(Reader<'_>, Value) -> Result<Attribute, DecodeError>;

/// What a decoder may need beside the bytes.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) code: u8,
    pub(super) flags: u8,
    pub(super) context: Context,
}

pub(super) struct Row {
    pub(super) code: u8,
    pub(super) flags: u8,
    pub(super) effect: Effect,
    /// Only means something from the same AS (RFC 7606 sections 7.5, 7.9, 7.10).
    pub(super) internal_only: bool,
    /// Only means something from a neighbour of two octets (RFC 6793 section 4.1).
    pub(super) two_octet_only: bool,
    pub(super) decode: Decoder,
}

const WELL_KNOWN: u8 = FLAG_TRANSITIVE;
const OPTIONAL_TRANSITIVE: u8 = FLAG_OPTIONAL | FLAG_TRANSITIVE;
const OPTIONAL: u8 = FLAG_OPTIONAL;

const fn plain(code: u8, flags: u8, effect: Effect, decode: Decoder) -> Row {
    Row {
        code,
        flags,
        effect,
        internal_only: false,
        two_octet_only: false,
        decode,
    }
}

const fn internal(code: u8, flags: u8, effect: Effect, decode: Decoder) -> Row {
    Row {
        internal_only: true,
        ..plain(code, flags, effect, decode)
    }
}

const fn two_octet(code: u8, flags: u8, effect: Effect, decode: Decoder) -> Row {
    Row {
        two_octet_only: true,
        ..plain(code, flags, effect, decode)
    }
}

use Effect::{AttributeDiscard, SessionReset, TreatAsWithdraw};

/// Effects: RFC 7606 section 7.1 to 7.14, RFC 6793 section 6, RFC 8092 section 5, RFC 9234 section 5.
static ROWS: [Row; 17] = [
    plain(1, WELL_KNOWN, TreatAsWithdraw, origin),
    plain(2, WELL_KNOWN, TreatAsWithdraw, as_path),
    plain(3, WELL_KNOWN, TreatAsWithdraw, next_hop),
    plain(4, OPTIONAL, TreatAsWithdraw, med),
    internal(5, WELL_KNOWN, TreatAsWithdraw, local_pref),
    plain(6, WELL_KNOWN, AttributeDiscard, atomic_aggregate),
    plain(7, OPTIONAL_TRANSITIVE, AttributeDiscard, aggregator),
    plain(8, OPTIONAL_TRANSITIVE, TreatAsWithdraw, communities),
    internal(9, OPTIONAL, TreatAsWithdraw, originator_id),
    internal(10, OPTIONAL, TreatAsWithdraw, cluster_list),
    plain(14, OPTIONAL, SessionReset, mp_reach),
    plain(15, OPTIONAL, SessionReset, mp_unreach),
    plain(16, OPTIONAL_TRANSITIVE, TreatAsWithdraw, extended_communities),
    two_octet(17, OPTIONAL_TRANSITIVE, AttributeDiscard, as4_path),
    two_octet(18, OPTIONAL_TRANSITIVE, AttributeDiscard, as4_aggregator),
    plain(32, OPTIONAL_TRANSITIVE, TreatAsWithdraw, large_communities),
    plain(35, OPTIONAL_TRANSITIVE, TreatAsWithdraw, only_to_customer),
];

pub(super) fn row(code: u8) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.code == code)
}

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

fn origin(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    match exactly(reader, value, 1)?.u8()? {
        0 => Ok(Attribute::Origin(Origin::Igp)),
        1 => Ok(Attribute::Origin(Origin::Egp)),
        2 => Ok(Attribute::Origin(Origin::Incomplete)),
        undefined => Err(reader.error(ErrorKind::Origin(undefined))),
    }
}

fn as_path(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    segments(reader, value.context.four_octet).map(Attribute::AsPath)
}

fn as4_path(reader: Reader<'_>, _value: Value) -> Result<Attribute, DecodeError> {
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

fn next_hop(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.ipv4().map(Attribute::NextHop)
}

fn med(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.u32().map(Attribute::Med)
}

fn local_pref(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.u32().map(Attribute::LocalPref)
}

fn atomic_aggregate(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 0).map(|_| Attribute::AtomicAggregate)
}

fn aggregator(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let length = if value.context.four_octet { 8 } else { 6 };
    read_aggregator(exactly(reader, value, length)?, value.context.four_octet).map(Attribute::Aggregator)
}

fn as4_aggregator(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
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

fn communities(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let list = items::<4>(reader, value)?;
    Ok(Attribute::Communities(
        list.into_iter().map(u32::from_be_bytes).collect(),
    ))
}

fn originator_id(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.ipv4().map(Attribute::OriginatorId)
}

fn cluster_list(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let list = items::<4>(reader, value)?;
    Ok(Attribute::ClusterList(
        list.into_iter().map(Ipv4Addr::from).collect(),
    ))
}

fn extended_communities(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    items::<8>(reader, value).map(Attribute::ExtendedCommunities)
}

fn large_communities(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    let mut list = Vec::new();
    for item in items::<12>(reader, value)? {
        let mut parts = Reader::new(&item, reader.offset(), None);
        list.push([parts.u32()?, parts.u32()?, parts.u32()?]);
    }
    Ok(Attribute::LargeCommunities(list))
}

fn only_to_customer(reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
    exactly(reader, value, 4)?.u32().map(Attribute::OnlyToCustomer)
}

fn mp_reach(mut reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
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

fn mp_unreach(mut reader: Reader<'_>, value: Value) -> Result<Attribute, DecodeError> {
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

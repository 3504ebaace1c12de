//! Path attributes as values, and how they are written.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::capability::{SAFI_UNICAST, afi};
use super::context::Encoding;
use super::open::AS_TRANS;
use super::prefix::{self, Nlri};
use super::table;
use crate::config::Family;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    Igp,
    Egp,
    Incomplete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    Set,
    Sequence,
    ConfederationSequence,
    ConfederationSet,
}

/// At most 255 AS numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPathSegment {
    pub kind: SegmentKind,
    pub asns: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregator {
    pub asn: u32,
    pub identifier: Ipv4Addr,
}

/// RFC 4760 section 3.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MpReach {
    pub family: Family,
    /// Also of IPv4 prefixes possibly IPv6 (RFC 8950 section 3).
    pub next_hop: IpAddr,
    /// RFC 2545 section 3.
    pub link_local: Option<Ipv6Addr>,
    pub prefixes: Vec<Nlri>,
}

/// RFC 4760 section 4.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MpUnreach {
    pub family: Family,
    pub prefixes: Vec<Nlri>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    Origin(Origin),
    AsPath(Vec<AsPathSegment>),
    NextHop(Ipv4Addr),
    Med(u32),
    LocalPref(u32),
    AtomicAggregate,
    Aggregator(Aggregator),
    Communities(Vec<u32>),
    OriginatorId(Ipv4Addr),
    ClusterList(Vec<Ipv4Addr>),
    MpReach(MpReach),
    MpUnreach(MpUnreach),
    ExtendedCommunities(Vec<[u8; 8]>),
    As4Path(Vec<AsPathSegment>),
    As4Aggregator(Aggregator),
    LargeCommunities(Vec<[u32; 3]>),
    /// RFC 9234 section 5.
    OnlyToCustomer(u32),
    /// Unknown to this speaker, or of a family it does not know.
    Other {
        code: u8,
        flags: u8,
        value: Vec<u8>,
    },
}

impl Attribute {
    pub fn code(&self) -> u8 {
        match self {
            Attribute::Origin(_) => 1,
            Attribute::AsPath(_) => 2,
            Attribute::NextHop(_) => 3,
            Attribute::Med(_) => 4,
            Attribute::LocalPref(_) => 5,
            Attribute::AtomicAggregate => 6,
            Attribute::Aggregator(_) => 7,
            Attribute::Communities(_) => 8,
            Attribute::OriginatorId(_) => 9,
            Attribute::ClusterList(_) => 10,
            Attribute::MpReach(_) => 14,
            Attribute::MpUnreach(_) => 15,
            Attribute::ExtendedCommunities(_) => 16,
            Attribute::As4Path(_) => 17,
            Attribute::As4Aggregator(_) => 18,
            Attribute::LargeCommunities(_) => 32,
            Attribute::OnlyToCustomer(_) => 35,
            Attribute::Other { code, .. } => *code,
        }
    }

    fn flags(&self) -> u8 {
        match self {
            Attribute::Other { flags, .. } => *flags & table::FLAGS,
            Attribute::Origin(_)
            | Attribute::AsPath(_)
            | Attribute::NextHop(_)
            | Attribute::Med(_)
            | Attribute::LocalPref(_)
            | Attribute::AtomicAggregate
            | Attribute::Aggregator(_)
            | Attribute::Communities(_)
            | Attribute::OriginatorId(_)
            | Attribute::ClusterList(_)
            | Attribute::MpReach(_)
            | Attribute::MpUnreach(_)
            | Attribute::ExtendedCommunities(_)
            | Attribute::As4Path(_)
            | Attribute::As4Aggregator(_)
            | Attribute::LargeCommunities(_)
            | Attribute::OnlyToCustomer(_) => {
                table::row(self.code()).map_or(table::FLAG_OPTIONAL, |row| row.flags)
            }
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, encoding: Encoding) {
        let start = out.len();
        out.extend_from_slice(&[self.flags(), self.code(), 0]);
        let value_at = out.len();
        self.encode_value(out, encoding);
        let length = out.len() - value_at;
        match u8::try_from(length) {
            Ok(length) => {
                if let Some(slot) = out.get_mut(value_at - 1) {
                    *slot = length;
                }
            }
            Err(_) => {
                // Longer than 65535 cannot be said; the message is refused for its length anyway.
                let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
                let flags = self.flags() | table::FLAG_EXTENDED;
                out.splice(start..value_at, [flags, self.code(), high, low]);
            }
        }
    }

    fn encode_value(&self, out: &mut Vec<u8>, encoding: Encoding) {
        let four_octet = encoding.four_octet;
        match self {
            Attribute::Origin(origin) => out.push(match origin {
                Origin::Igp => 0,
                Origin::Egp => 1,
                Origin::Incomplete => 2,
            }),
            Attribute::AsPath(segments) => encode_path(segments, out, four_octet),
            Attribute::As4Path(segments) => encode_path(segments, out, true),
            Attribute::NextHop(address) | Attribute::OriginatorId(address) => {
                out.extend_from_slice(&address.octets());
            }
            Attribute::Med(value) | Attribute::LocalPref(value) | Attribute::OnlyToCustomer(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Attribute::AtomicAggregate => {}
            Attribute::Aggregator(aggregator) => encode_aggregator(aggregator, out, four_octet),
            Attribute::As4Aggregator(aggregator) => encode_aggregator(aggregator, out, true),
            Attribute::Communities(values) => out.extend(values.iter().flat_map(|value| value.to_be_bytes())),
            Attribute::ClusterList(values) => out.extend(values.iter().flat_map(|value| value.octets())),
            Attribute::ExtendedCommunities(values) => out.extend(values.iter().flatten()),
            Attribute::LargeCommunities(values) => {
                out.extend(values.iter().flatten().flat_map(|value| value.to_be_bytes()));
            }
            Attribute::MpReach(reach) => encode_reach(reach, out, encoding),
            Attribute::MpUnreach(unreach) => {
                out.extend_from_slice(&afi(unreach.family).to_be_bytes());
                out.push(SAFI_UNICAST);
                prefix::encode_all(&unreach.prefixes, out, encoding.add_path);
            }
            Attribute::Other { value, .. } => out.extend_from_slice(value),
        }
    }
}

/// RFC 6793 section 4.2.2: to a neighbour of two octets, AS_TRANS stands for what does not fit.
fn encode_asn(asn: u32, out: &mut Vec<u8>, four_octet: bool) {
    if four_octet {
        out.extend_from_slice(&asn.to_be_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes());
    }
}

fn encode_path(segments: &[AsPathSegment], out: &mut Vec<u8>, four_octet: bool) {
    for segment in segments {
        out.push(match segment.kind {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => 2,
            SegmentKind::ConfederationSequence => 3,
            SegmentKind::ConfederationSet => 4,
        });
        let asns = segment.asns.get(..255).unwrap_or(&segment.asns);
        out.push(u8::try_from(asns.len()).unwrap_or(u8::MAX));
        asns.iter().for_each(|asn| encode_asn(*asn, out, four_octet));
    }
}

fn encode_aggregator(aggregator: &Aggregator, out: &mut Vec<u8>, four_octet: bool) {
    encode_asn(aggregator.asn, out, four_octet);
    out.extend_from_slice(&aggregator.identifier.octets());
}

fn encode_reach(reach: &MpReach, out: &mut Vec<u8>, encoding: Encoding) {
    out.extend_from_slice(&afi(reach.family).to_be_bytes());
    out.push(SAFI_UNICAST);
    match (reach.next_hop, reach.link_local) {
        (IpAddr::V4(address), _) => {
            out.push(4);
            out.extend_from_slice(&address.octets());
        }
        (IpAddr::V6(address), None) => {
            out.push(16);
            out.extend_from_slice(&address.octets());
        }
        (IpAddr::V6(address), Some(link_local)) => {
            out.push(32);
            out.extend_from_slice(&address.octets());
            out.extend_from_slice(&link_local.octets());
        }
    }
    // Reserved (RFC 4760 section 3).
    out.push(0);
    prefix::encode_all(&reach.prefixes, out, encoding.add_path);
}

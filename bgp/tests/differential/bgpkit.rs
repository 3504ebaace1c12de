//! What bgpkit-parser reads, in our types.
use std::net::{IpAddr, Ipv6Addr};

use bgp::wire::{
    Aggregator, AsPathSegment, Attribute, Context, MpReach, MpUnreach, Nlri, Origin, SegmentKind, Update,
};
use bgpkit_parser::models::{self, AttributeValue, NetworkPrefix, NextHopAddress};
use bgpkit_parser::parser::bgp::parse_bgp_message;
use bytes::Bytes;

/// It reads all families with path identifiers, or none.
pub(crate) fn understands(context: Context) -> bool {
    context.add_path.ipv4 == context.add_path.ipv6
}

/// `Err`: what it finds wrong.
pub(crate) fn read(bytes: &[u8], context: Context) -> Result<models::BgpMessage, String> {
    let length = if context.four_octet {
        models::AsnLength::Bits32
    } else {
        models::AsnLength::Bits16
    };
    let mut bytes = Bytes::copy_from_slice(bytes);
    let message =
        parse_bgp_message(&mut bytes, context.add_path.ipv4, &length).map_err(|error| error.to_string())?;
    if let models::BgpMessage::Update(update) = &message
        && let [warning, ..] = update.attributes.validation_warnings()
    {
        return Err(format!("{warning:?}"));
    }
    Ok(message)
}

/// Its UPDATE as ours. Extended communities it takes apart beyond recognition; they are counted only.
pub(crate) fn update(update: &models::BgpUpdateMessage) -> Update {
    Update {
        withdrawn: prefixes(&update.withdrawn_prefixes),
        attributes: update
            .attributes
            .clone()
            .into_attributes_iter()
            .map(|one| attribute(&one))
            .collect(),
        nlri: prefixes(&update.announced_prefixes),
    }
}

/// Ours, reduced to what [`update`] can tell.
pub(crate) fn comparable(update: &Update) -> Update {
    let mut update = update.clone();
    for attribute in &mut update.attributes {
        if let Attribute::ExtendedCommunities(list) = attribute {
            list.iter_mut().for_each(|community| *community = [0; 8]);
        }
    }
    update
}

fn prefixes(list: &[NetworkPrefix]) -> Vec<Nlri> {
    let nlri = |prefix: &NetworkPrefix| Nlri {
        prefix: prefix.prefix,
        path_id: prefix.path_id.unwrap_or(0),
    };
    list.iter().map(nlri).collect()
}

fn path(path: &models::AsPath) -> Vec<AsPathSegment> {
    use models::AsPathSegment::{AsSequence, AsSet, ConfedSequence, ConfedSet};
    let segment = |segment: &models::AsPathSegment| {
        let (kind, asns) = match segment {
            AsSequence(asns) => (SegmentKind::Sequence, asns),
            AsSet(asns) => (SegmentKind::Set, asns),
            ConfedSequence(asns) => (SegmentKind::ConfederationSequence, asns),
            ConfedSet(asns) => (SegmentKind::ConfederationSet, asns),
        };
        let asns = asns.iter().map(|asn| asn.to_u32()).collect();
        AsPathSegment { kind, asns }
    };
    path.segments.iter().map(segment).collect()
}

fn family(afi: models::Afi) -> bgp::Family {
    match afi {
        models::Afi::Ipv4 => bgp::Family::Ipv4,
        models::Afi::Ipv6 => bgp::Family::Ipv6,
        other => panic!("{other:?}"),
    }
}

fn next_hop(hop: Option<NextHopAddress>) -> (IpAddr, Option<Ipv6Addr>) {
    match hop {
        Some(NextHopAddress::Ipv4(address)) => (address.into(), None),
        Some(NextHopAddress::Ipv6(address)) => (address.into(), None),
        Some(NextHopAddress::Ipv6LinkLocal(address, link_local)) => (address.into(), Some(link_local)),
        other => panic!("{other:?}"),
    }
}

fn community(community: &models::Community) -> u32 {
    match community {
        models::Community::NoExport => 0xffff_ff01,
        models::Community::NoAdvertise => 0xffff_ff02,
        models::Community::NoExportSubConfed => 0xffff_ff03,
        models::Community::Custom(asn, value) => asn.to_u32() << 16 | u32::from(*value),
    }
}

fn attribute(attribute: &models::Attribute) -> Attribute {
    let aggregator = |asn: &models::Asn, id: &std::net::Ipv4Addr| Aggregator {
        asn: asn.to_u32(),
        identifier: *id,
    };
    match &attribute.value {
        AttributeValue::Origin(models::Origin::IGP) => Attribute::Origin(Origin::Igp),
        AttributeValue::Origin(models::Origin::EGP) => Attribute::Origin(Origin::Egp),
        AttributeValue::Origin(models::Origin::INCOMPLETE) => Attribute::Origin(Origin::Incomplete),
        AttributeValue::AsPath(segments) => Attribute::AsPath(path(segments)),
        AttributeValue::As4Path(segments) => Attribute::As4Path(path(segments)),
        AttributeValue::NextHop(IpAddr::V4(address)) => Attribute::NextHop(*address),
        AttributeValue::MultiExitDiscriminator(med) => Attribute::Med(*med),
        AttributeValue::LocalPreference(value) => Attribute::LocalPref(*value),
        AttributeValue::OnlyToCustomer(asn) => Attribute::OnlyToCustomer(asn.to_u32()),
        AttributeValue::AtomicAggregate => Attribute::AtomicAggregate,
        AttributeValue::Aggregator { asn, id } => Attribute::Aggregator(aggregator(asn, id)),
        AttributeValue::As4Aggregator { asn, id } => Attribute::As4Aggregator(aggregator(asn, id)),
        AttributeValue::Communities(list) => Attribute::Communities(list.iter().map(community).collect()),
        AttributeValue::ExtendedCommunities(list) => Attribute::ExtendedCommunities(vec![[0; 8]; list.len()]),
        AttributeValue::LargeCommunities(list) => {
            let large =
                |one: &models::LargeCommunity| [one.global_admin, one.local_data[0], one.local_data[1]];
            Attribute::LargeCommunities(list.iter().map(large).collect())
        }
        AttributeValue::OriginatorId(id) => Attribute::OriginatorId(*id),
        AttributeValue::Clusters(list) => {
            Attribute::ClusterList(list.iter().map(|id| (*id).into()).collect())
        }
        AttributeValue::MpReachNlri(nlri) => {
            let (next_hop, link_local) = next_hop(nlri.next_hop);
            Attribute::MpReach(MpReach {
                family: family(nlri.afi),
                next_hop,
                link_local,
                prefixes: prefixes(&nlri.prefixes),
            })
        }
        AttributeValue::MpUnreachNlri(nlri) => Attribute::MpUnreach(MpUnreach {
            family: family(nlri.afi),
            prefixes: prefixes(&nlri.prefixes),
        }),
        AttributeValue::Unknown(raw) => Attribute::Other {
            code: raw.code,
            flags: attribute.flag.bits() & 0xe0,
            value: raw.bytes.to_vec(),
        },
        other => panic!("not generated: {other:?}"),
    }
}

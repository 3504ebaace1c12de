//! Changes to UPDATE messages: as few as the limit of 4096 bytes allows.
//!
//! IPv4 travels in the classic fields, IPv6 in MP_REACH_NLRI and MP_UNREACH_NLRI. Announcements come before
//! withdrawals: what attracts traffic is sent first.
use std::net::IpAddr;

use ipnet::IpNet;

use super::adj_rib_out::{Changes, Route, family_of};
use crate::attributes::PathAttributes;
use crate::config::Family;
use crate::wire::{
    Attribute, EncodeError, Encoding, MAX_MESSAGE, Message, MpReach, MpUnreach, Nlri, Update, prefix_length,
};

/// Whole messages, one after the other, and their number.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: usize,
}

pub(crate) fn pack(changes: &Changes, four_octet: bool) -> Result<Packed, EncodeError> {
    let mut packed = Packed::default();
    for (route, prefixes) in &changes.announce {
        packed.fill(prefixes, four_octet, |prefixes| {
            announcement(route, prefixes, four_octet)
        })?;
    }
    for family in Family::ALL {
        let prefixes: Vec<IpNet> = changes
            .withdraw
            .iter()
            .filter(|prefix| family_of(prefix) == family)
            .copied()
            .collect();
        packed.fill(&prefixes, four_octet, |prefixes| withdrawal(family, prefixes))?;
    }
    Ok(packed)
}

impl Packed {
    fn fill(
        &mut self,
        prefixes: &[IpNet],
        four_octet: bool,
        build: impl Fn(Vec<Nlri>) -> Update,
    ) -> Result<(), EncodeError> {
        if prefixes.is_empty() {
            return Ok(());
        }
        let empty = Message::Update(build(Vec::new()).into()).encode(encoding(four_octet))?;
        // One more, because the length of a multiprotocol attribute may need a second octet.
        let room = MAX_MESSAGE.saturating_sub(empty.len() + 1);
        let mut chunk = Vec::new();
        let mut used = 0;
        for prefix in prefixes {
            let length = prefix_length(prefix);
            if used + length > room && !chunk.is_empty() {
                self.push(build(std::mem::take(&mut chunk)), four_octet)?;
                used = 0;
            }
            used += length;
            chunk.push(Nlri::from(*prefix));
        }
        self.push(build(chunk), four_octet)
    }

    fn push(&mut self, update: Update, four_octet: bool) -> Result<(), EncodeError> {
        Message::Update(update.into()).encode_to(&mut self.bytes, encoding(four_octet))?;
        self.messages += 1;
        Ok(())
    }
}

fn encoding(four_octet: bool) -> Encoding {
    Encoding {
        four_octet,
        ..Encoding::default()
    }
}

fn announcement(route: &Route, prefixes: Vec<Nlri>, four_octet: bool) -> Update {
    let mut attributes = Vec::new();
    let mut nlri = Vec::new();
    let mut classic_next_hop = None;
    match route.next_hop.address {
        IpAddr::V4(address) => {
            classic_next_hop = Some(Attribute::NextHop(address));
            nlri = prefixes;
        }
        // RFC 7606 section 5.1: first, so that an error further on still finds the prefixes.
        IpAddr::V6(_) => attributes.push(Attribute::MpReach(MpReach {
            family: Family::Ipv6,
            next_hop: route.next_hop.address,
            link_local: route.next_hop.link_local,
            prefixes,
        })),
    }
    let told: &PathAttributes = &route.attributes;
    attributes.push(Attribute::Origin(told.origin));
    attributes.push(Attribute::AsPath(told.as_path.0.clone()));
    attributes.extend(classic_next_hop);
    attributes.extend(told.med.map(Attribute::Med));
    attributes.extend(told.local_pref.map(Attribute::LocalPref));
    if !told.communities.is_empty() {
        attributes.push(Attribute::Communities(told.communities.clone()));
    }
    // RFC 6793 section 4.2.2: what AS_TRANS hides travels in AS4_PATH.
    if !four_octet && told.as_path.asns().any(|asn| asn > u32::from(u16::MAX)) {
        attributes.push(Attribute::As4Path(told.as_path.0.clone()));
    }
    Update {
        withdrawn: Vec::new(),
        attributes,
        nlri,
    }
}

fn withdrawal(family: Family, prefixes: Vec<Nlri>) -> Update {
    match family {
        Family::Ipv4 => Update {
            withdrawn: prefixes,
            ..Update::default()
        },
        Family::Ipv6 => Update {
            attributes: vec![Attribute::MpUnreach(MpUnreach { family, prefixes })],
            ..Update::default()
        },
    }
}

#[cfg(test)]
mod tests;

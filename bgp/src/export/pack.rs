//! Changes to UPDATE messages: as few as the limit of the session allows, one at a time.
//!
//! IPv4 travels in the classic fields unless its next hop is IPv6; everything else in MP_REACH_NLRI and
//! MP_UNREACH_NLRI. Announcements come before withdrawals: what attracts traffic is sent first. The attributes of
//! a group are encoded once, and its prefixes are copied in the form in which they are kept. Messages come into
//! being when they are asked for, so that the first one is on the wire before the last one exists.
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::audience::Route;
use super::changes::Changes;
use super::prefix_list::PrefixList;
use crate::attributes::PathAttributes;
use crate::config::Family;
use crate::wire::{Attribute, Encoding, HEADER_LENGTH, SAFI_UNICAST, afi, message_limit};

const UPDATE: u8 = 2;
const OPTIONAL: u8 = 0x80;
const EXTENDED_LENGTH: u8 = 0x10;
const MP_REACH: u8 = 14;
const MP_UNREACH: u8 = 15;

/// Messages still to be written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    groups: VecDeque<Group>,
    limit: usize,
}

impl Batch {
    pub(crate) fn new(changes: &Changes, encoding: Encoding) -> Self {
        let announce = changes.announce.iter().map(|((family, route), lists)| Group {
            form: announcement(*family, route, encoding),
            pending: Pending::new(lists),
        });
        let withdraw = changes.withdraw.iter().map(|(family, lists)| Group {
            form: withdrawal(*family),
            pending: Pending::new(lists),
        });
        Batch {
            groups: announce.chain(withdraw).collect(),
            limit: message_limit(encoding.extended),
        }
    }

    /// Messages and octets that there will be, without writing them.
    pub(crate) fn size(&self) -> (usize, usize) {
        let (mut messages, mut bytes) = (0, 0);
        for group in &self.groups {
            let mut pending = group.pending.clone();
            while let Some(prefixes) = pending.take(group.form.room(self.limit), |_| {}) {
                messages += 1;
                bytes += group.form.length(prefixes);
            }
        }
        (messages, bytes)
    }

    /// Appends the next message to `out`; false: there is none.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) -> bool {
        while let Some(group) = self.groups.front_mut() {
            if group.write(self.limit, out) {
                return true;
            }
            self.groups.pop_front();
        }
        false
    }
}

/// Prefixes that share all their attributes, and how a message with some of them looks.
#[derive(Debug)]
struct Group {
    form: Form,
    pending: Pending,
}

impl Group {
    fn write(&mut self, limit: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let mut pending = self.pending.clone();
        let Some(prefixes) = pending.take(self.form.room(limit), |_| {}) else {
            return false;
        };
        out.reserve(self.form.length(prefixes));
        self.form.write_head(prefixes, out);
        self.pending
            .take(self.form.room(limit), |bytes| out.extend_from_slice(bytes));
        self.form.write_tail(out);
        debug_assert_eq!(out.len() - start, self.form.length(prefixes));
        true
    }
}

/// A place in a sequence of lists.
#[derive(Clone, Debug)]
struct Pending {
    lists: Arc<[Arc<PrefixList>]>,
    index: usize,
    offset: usize,
}

impl Pending {
    fn new(lists: &[Arc<PrefixList>]) -> Self {
        Pending {
            lists: lists.into(),
            index: 0,
            offset: 0,
        }
    }

    /// Moves on by as many prefixes as fit `room`, over as many lists as that takes, and says how many octets it
    /// were; `None`: there are no more. The attributes are bounded, so that one always fits.
    fn take(&mut self, room: usize, mut each: impl FnMut(&[u8])) -> Option<usize> {
        let mut taken = 0;
        while let Some(list) = self.lists.get(self.index) {
            let length = list.fitting(self.offset, room - taken);
            let end = self.offset + length;
            each(list.bytes().get(self.offset..end).unwrap_or_default());
            taken += length;
            if end < list.bytes().len() {
                self.offset = end;
                break;
            }
            self.index += 1;
            self.offset = 0;
        }
        (taken > 0).then_some(taken)
    }
}

/// Where the prefixes go in a message, and what stands around them.
#[derive(Debug)]
enum Form {
    /// In the NLRI field, behind these attributes.
    Classic(Vec<u8>),
    /// In MP_REACH_NLRI, behind `fixed`; the other attributes follow.
    Reach { fixed: Vec<u8>, attributes: Vec<u8> },
    /// In the field of withdrawn routes.
    Withdrawn,
    /// In MP_UNREACH_NLRI, behind AFI and SAFI.
    Unreach([u8; 3]),
}

impl Form {
    /// Octets that a message with this many octets of prefixes has.
    fn length(&self, prefixes: usize) -> usize {
        let header = |value: usize| if value > 255 { 4 } else { 3 };
        let inside = match self {
            Form::Classic(attributes) => attributes.len() + prefixes,
            Form::Reach { fixed, attributes } => {
                let value = fixed.len() + prefixes;
                header(value) + value + attributes.len()
            }
            Form::Withdrawn => prefixes,
            Form::Unreach(fixed) => {
                let value = fixed.len() + prefixes;
                header(value) + value
            }
        };
        HEADER_LENGTH + 4 + inside
    }

    /// Octets of prefixes that a message holds.
    fn room(&self, limit: usize) -> usize {
        // The length of a multiprotocol attribute may need a second octet.
        let multiprotocol = match self {
            Form::Classic(_) | Form::Withdrawn => 0,
            Form::Reach { .. } | Form::Unreach(_) => 1,
        };
        limit.saturating_sub(self.length(0) + multiprotocol)
    }

    /// All that comes before the prefixes.
    fn write_head(&self, prefixes: usize, out: &mut Vec<u8>) {
        let total = self.length(prefixes);
        out.extend_from_slice(&[0xff; 16]);
        put_length(total, out);
        out.push(UPDATE);
        let rest = total - HEADER_LENGTH - 4;
        match self {
            Form::Classic(attributes) => {
                put_length(0, out);
                put_length(attributes.len(), out);
                out.extend_from_slice(attributes);
            }
            // RFC 7606 section 5.1: first, so that an error further on still finds the prefixes.
            Form::Reach { fixed, .. } => {
                put_length(0, out);
                put_length(rest, out);
                put_attribute(MP_REACH, fixed, prefixes, out);
            }
            Form::Withdrawn => put_length(prefixes, out),
            Form::Unreach(fixed) => {
                put_length(0, out);
                put_length(rest, out);
                put_attribute(MP_UNREACH, fixed, prefixes, out);
            }
        }
    }

    /// All that comes behind the prefixes.
    fn write_tail(&self, out: &mut Vec<u8>) {
        match self {
            Form::Classic(_) | Form::Unreach(_) => {}
            Form::Reach { attributes, .. } => out.extend_from_slice(attributes),
            Form::Withdrawn => put_length(0, out),
        }
    }
}

fn put_attribute(code: u8, fixed: &[u8], prefixes: usize, out: &mut Vec<u8>) {
    let length = fixed.len() + prefixes;
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[OPTIONAL, code, length]),
        Err(_) => {
            out.extend_from_slice(&[OPTIONAL | EXTENDED_LENGTH, code]);
            put_length(length, out);
        }
    }
    out.extend_from_slice(fixed);
}

/// Within the limit of a message, which is below 2^16.
fn put_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}

fn announcement(family: Family, route: &Route, encoding: Encoding) -> Form {
    let (told, next_hop) = (&route.attributes, route.next_hop);
    match (family, next_hop.address) {
        (Family::Ipv4, IpAddr::V4(address)) => {
            let next_hop = Some(Attribute::NextHop(address));
            Form::Classic(encoded(told, next_hop, encoding))
        }
        (Family::Ipv4 | Family::Ipv6, address) => Form::Reach {
            fixed: reach(family, address, next_hop.link_local),
            attributes: encoded(told, None, encoding),
        },
    }
}

/// RFC 4760 section 3, RFC 2545 section 3, RFC 8950 section 3.
fn reach(family: Family, next_hop: IpAddr, link_local: Option<std::net::Ipv6Addr>) -> Vec<u8> {
    let mut addresses = match next_hop {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if let (IpAddr::V6(_), Some(link_local)) = (next_hop, link_local) {
        addresses.extend_from_slice(&link_local.octets());
    }
    let mut fixed = afi(family).to_be_bytes().to_vec();
    fixed.push(SAFI_UNICAST);
    fixed.push(u8::try_from(addresses.len()).unwrap_or(u8::MAX));
    fixed.extend(addresses);
    // Reserved.
    fixed.push(0);
    fixed
}

/// In the order of their codes (RFC 4271 section 5).
fn encoded(told: &PathAttributes, next_hop: Option<Attribute>, encoding: Encoding) -> Vec<u8> {
    let mut attributes = vec![
        Attribute::Origin(told.origin),
        Attribute::AsPath(told.as_path.0.clone()),
    ];
    attributes.extend(next_hop);
    attributes.extend(told.med.map(Attribute::Med));
    attributes.extend(told.local_pref.map(Attribute::LocalPref));
    if !told.communities.is_empty() {
        attributes.push(Attribute::Communities(told.communities.clone()));
    }
    if !told.extended_communities.is_empty() {
        let communities = told.extended_communities.clone();
        attributes.push(Attribute::ExtendedCommunities(communities));
    }
    // RFC 6793 section 4.2.2: what AS_TRANS hides travels in AS4_PATH.
    if !encoding.four_octet && told.as_path.asns().any(|asn| asn > u32::from(u16::MAX)) {
        attributes.push(Attribute::As4Path(told.as_path.0.clone()));
    }
    if !told.large_communities.is_empty() {
        let communities = told.large_communities.clone();
        attributes.push(Attribute::LargeCommunities(communities));
    }
    attributes.extend(told.only_to_customer.map(Attribute::OnlyToCustomer));
    let mut bytes = Vec::new();
    attributes
        .iter()
        .for_each(|attribute| attribute.encode(&mut bytes, encoding));
    bytes
}

fn withdrawal(family: Family) -> Form {
    match family {
        Family::Ipv4 => Form::Withdrawn,
        Family::Ipv6 => {
            let [high, low] = afi(family).to_be_bytes();
            Form::Unreach([high, low, SAFI_UNICAST])
        }
    }
}

#[cfg(test)]
mod tests;

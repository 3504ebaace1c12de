//! Prefixes of one family, in order, in the form in which they travel.
//!
//! A host route of IPv4 takes five octets, filling a message is copying, and whoever wants to read them decodes
//! them on the way. Immutable once it is shared.
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::Family;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrefixList {
    family: Family,
    bytes: Vec<u8>,
    len: usize,
    /// All of them take equally many octets, so that a place among them is a matter of arithmetic.
    uniform: bool,
    /// Where each `STRIDE`th prefix begins, so that reading can begin in the middle.
    marks: Vec<usize>,
}

/// Few enough to be read in vain, and enough that marks are nothing beside the prefixes.
const STRIDE: usize = 128;

impl PrefixList {
    pub(crate) fn new(family: Family) -> Self {
        PrefixList {
            family,
            bytes: Vec::new(),
            len: 0,
            uniform: true,
            marks: Vec::new(),
        }
    }

    /// Of the family, without bits behind its length, and greater than the ones before.
    pub(crate) fn push(&mut self, prefix: &IpNet) {
        let bits = prefix.prefix_len();
        if let Some(first) = self.bytes.first() {
            self.uniform &= octets(*first) == octets(bits);
        }
        if self.len.is_multiple_of(STRIDE) {
            self.marks.push(self.bytes.len());
        }
        self.bytes.push(bits);
        let used = octets(bits) - 1;
        match prefix {
            IpNet::V4(prefix) => self.bytes.extend(prefix.addr().octets().iter().take(used)),
            IpNet::V6(prefix) => self.bytes.extend(prefix.addr().octets().iter().take(used)),
        }
        self.len += 1;
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn iter(&self) -> Prefixes<'_> {
        self.at(0)
    }

    /// Those from `first` on. Costs bisection and less than `STRIDE` prefixes, wherever that is.
    pub(crate) fn from(&self, first: Bound<IpNet>) -> impl Iterator<Item = IpNet> + use<'_> {
        self.near(first)
            .skip_while(move |prefix| is_before(prefix, first))
    }

    /// From the last mark that is not behind `first`.
    fn near(&self, first: Bound<IpNet>) -> Prefixes<'_> {
        let before = |mark: &usize| {
            let prefix = self.at(*mark).next();
            prefix.is_some_and(|prefix| is_before(&prefix, first))
        };
        let index = self.marks.partition_point(before).saturating_sub(1);
        self.at(self.marks.get(index).copied().unwrap_or_default())
    }

    fn at(&self, offset: usize) -> Prefixes<'_> {
        Prefixes {
            family: self.family,
            rest: self.bytes.get(offset..).unwrap_or_default(),
        }
    }

    /// Octets of the whole prefixes from `start` on that fit `room`.
    pub(crate) fn fitting(&self, start: usize, room: usize) -> usize {
        let rest = self.bytes.get(start..).unwrap_or_default();
        if rest.len() <= room {
            return rest.len();
        }
        let next = |at: usize| rest.get(at).map_or(usize::MAX, |bits| octets(*bits));
        if self.uniform {
            return room - room % next(0);
        }
        let mut end = 0;
        while next(end) <= room - end {
            end += next(end);
        }
        end
    }
}

fn is_before(prefix: &IpNet, first: Bound<IpNet>) -> bool {
    match first {
        Bound::Unbounded => false,
        Bound::Included(first) => *prefix < first,
        Bound::Excluded(first) => *prefix <= first,
    }
}

/// What a prefix of this length takes on the wire (RFC 4271 section 4.3).
fn octets(bits: u8) -> usize {
    1 + usize::from(bits).div_ceil(8)
}

pub(crate) struct Prefixes<'a> {
    family: Family,
    rest: &'a [u8],
}

impl Iterator for Prefixes<'_> {
    type Item = IpNet;

    fn next(&mut self) -> Option<IpNet> {
        let bits = *self.rest.first()?;
        let (prefix, rest) = self.rest.split_at_checked(octets(bits))?;
        self.rest = rest;
        let used = prefix.get(1..)?;
        match self.family {
            Family::Ipv4 => {
                let net = Ipv4Net::new(Ipv4Addr::from(padded(used)?), bits).ok()?;
                Some(IpNet::V4(net))
            }
            Family::Ipv6 => {
                let net = Ipv6Net::new(Ipv6Addr::from(padded(used)?), bits).ok()?;
                Some(IpNet::V6(net))
            }
        }
    }
}

fn padded<const N: usize>(used: &[u8]) -> Option<[u8; N]> {
    let mut address = [0; N];
    address.get_mut(..used.len())?.copy_from_slice(used);
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(family: Family, prefixes: &[&str]) -> PrefixList {
        let mut list = PrefixList::new(family);
        prefixes
            .iter()
            .for_each(|prefix| list.push(&prefix.parse().unwrap()));
        list
    }

    #[test]
    fn what_is_pushed_comes_back() {
        let ipv4 = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.128.0.0/9",
            "203.0.113.0/25",
            "203.0.113.7/32",
        ];
        let ipv6 = ["::/0", "2001:db8::/32", "2001:db8::/33", "2001:db8::7/128"];
        for (family, prefixes) in [(Family::Ipv4, &ipv4[..]), (Family::Ipv6, &ipv6[..])] {
            let list = list(family, prefixes);
            let back: Vec<String> = list.iter().map(|prefix| prefix.to_string()).collect();
            assert_eq!(back, prefixes);
            assert_eq!(list.len(), prefixes.len());
        }
    }

    #[test]
    fn reading_begins_anywhere_and_costs_a_stride_at_most() {
        let mut mixed = PrefixList::new(Family::Ipv4);
        let mut uniform = PrefixList::new(Family::Ipv4);
        for index in 0..20_000_u32 {
            let address = Ipv4Addr::from(0x0a00_0000 + index * 256);
            let length = 24 + u8::try_from(index % 3).unwrap() * 4;
            mixed.push(&Ipv4Net::new(address, length).unwrap().into());
            uniform.push(&Ipv4Net::new(address, 32).unwrap().into());
        }
        for list in [mixed, uniform] {
            let all: Vec<IpNet> = list.iter().collect();
            let ends = ["0.0.0.0/0", "255.0.0.0/8", "::/0"].map(|text| text.parse().unwrap());
            for first in all.iter().copied().step_by(61).chain(ends) {
                let index = all.partition_point(|prefix| *prefix < first);
                for (bound, index) in [
                    (Bound::Included(first), index),
                    (
                        Bound::Excluded(first),
                        index + usize::from(all.get(index) == Some(&first)),
                    ),
                ] {
                    assert!(list.from(bound).eq(all[index..].iter().copied()), "{bound:?}");
                    let in_vain = list.near(bound).take_while(|prefix| is_before(prefix, bound));
                    assert!(in_vain.count() <= STRIDE, "{bound:?}");
                }
            }
            assert!(list.from(Bound::Unbounded).eq(all));
        }
        let empty = PrefixList::new(Family::Ipv6);
        assert_eq!(empty.from(Bound::Unbounded).next(), None);
    }

    #[test]
    fn only_whole_prefixes_fit() {
        let uniform = list(Family::Ipv4, &["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"]);
        let mixed = list(Family::Ipv4, &["10.0.0.0/8", "10.1.0.0/16", "10.1.1.1/32"]);
        // Octets by room, from the first and from the second prefix on.
        let table = [
            (
                &uniform,
                [
                    (4, 0, 0),
                    (5, 5, 5),
                    (9, 5, 5),
                    (10, 10, 10),
                    (14, 10, 10),
                    (15, 15, 10),
                ],
            ),
            (
                &mixed,
                [(1, 0, 0), (2, 2, 0), (4, 2, 3), (5, 5, 3), (9, 5, 8), (10, 10, 8)],
            ),
        ];
        for (list, rows) in table {
            let second = list.fitting(0, if list == &mixed { 2 } else { 5 });
            for (room, from_first, from_second) in rows {
                assert_eq!(list.fitting(0, room), from_first, "room {room}");
                assert_eq!(list.fitting(second, room), from_second, "room {room}");
            }
        }
    }
}

//! Prefixes of one family, in order, in the form in which they travel.
//!
//! A host route of IPv4 takes five octets, filling a message is copying, and whoever wants to read them decodes
//! them on the way. Immutable once it is shared.
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::Family;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrefixList {
    family: Family,
    bytes: Vec<u8>,
    len: usize,
    /// All of them take equally many octets, so that a place among them is a matter of arithmetic.
    uniform: bool,
}

impl PrefixList {
    pub(crate) fn new(family: Family) -> Self {
        PrefixList {
            family,
            bytes: Vec::new(),
            len: 0,
            uniform: true,
        }
    }

    /// Of the family, without bits behind its length, and greater than the ones before.
    pub(crate) fn push(&mut self, prefix: &IpNet) {
        let bits = prefix.prefix_len();
        if let Some(first) = self.bytes.first() {
            self.uniform &= octets(*first) == octets(bits);
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
        Prefixes {
            family: self.family,
            rest: &self.bytes,
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

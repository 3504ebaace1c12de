//! Texts about routes: prefixes, AS paths, communities, next hops.

use std::net::{IpAddr, Ipv4Addr};

use bgp::Community;
use bgp::policy::{AsPathMatch, NextHopSet, PrefixMatch};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use super::text;

/// `"10.42.0.0/16"`; an address alone is a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct Prefix(pub(in crate::config) IpNet);

impl Prefix {
    fn parse(text: &str) -> Result<Self, String> {
        let prefix: IpNet = match text.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => text.parse().map_err(|_| no_prefix(text))?,
        };
        if prefix.trunc() != prefix {
            return Err(format!(
                "`{text}` has bits beyond its length: {} is meant, perhaps",
                prefix.trunc()
            ));
        }
        Ok(Prefix(prefix))
    }
}

fn no_prefix(text: &str) -> String {
    let Some((address, length)) = text.split_once('/') else {
        return format!("`{text}` is no prefix such as 10.42.0.0/16");
    };
    match address.parse::<IpAddr>() {
        Ok(address) => {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            format!("length `{length}` of {address} is not in 0..={longest}")
        }
        Err(_) => format!("`{text}` is no prefix such as 10.42.0.0/16"),
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::parse)
    }
}

/// `"10.42.0.0/16 ge 24 le 26"`: the prefix alone is exactly it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct PrefixText(pub(in crate::config) PrefixMatch);

impl PrefixText {
    fn parse(text: &str) -> Result<Self, String> {
        let shape =
            || format!("`{text}` is not of the form PREFIX, PREFIX ge N, PREFIX le N or PREFIX ge N le M");
        let words: Vec<&str> = text.split_whitespace().collect();
        let (prefix, ge, le) = match words.as_slice() {
            [prefix] => (prefix, None, None),
            [prefix, "ge", ge] => (prefix, Some(ge), None),
            [prefix, "le", le] => (prefix, None, Some(le)),
            [prefix, "ge", ge, "le", le] => (prefix, Some(ge), Some(le)),
            _ => return Err(shape()),
        };
        let prefix = Prefix::parse(prefix)?.0;
        let (own, longest) = (prefix.prefix_len(), prefix.max_prefix_len());
        let bound = |word: Option<&&str>, name: &str| {
            word.map(|word| {
                let number: u8 = word
                    .parse()
                    .map_err(|_| format!("`{name} {word}` of `{text}` is no length"))?;
                if number < own {
                    return Err(format!(
                        "`{name} {number}` is shorter than {prefix} itself: nothing would match"
                    ));
                }
                if number > longest {
                    return Err(format!(
                        "`{name} {number}` is beyond the {longest} bits of {prefix}"
                    ));
                }
                Ok(number)
            })
            .transpose()
        };
        let (ge, le) = (bound(ge, "ge")?, bound(le, "le")?);
        if let (Some(ge), Some(le)) = (ge, le)
            && ge > le
        {
            return Err(format!("`ge {ge} le {le}` of {prefix} matches nothing"));
        }
        let matched = match (ge, le) {
            (None, None) => (own, own),
            (Some(ge), None) => (ge, longest),
            (ge, Some(le)) => (ge.unwrap_or(own), le),
        };
        Ok(PrefixText(PrefixMatch {
            prefix,
            ge: matched.0,
            le: matched.1,
        }))
    }
}

impl<'de> Deserialize<'de> for PrefixText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::parse)
    }
}

/// `"empty"`, `"contains 65001"`, `"first 65000"`, `"origin 64512"`, `"length 1-5"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct AsPathText(pub(in crate::config) AsPathMatch);

impl AsPathText {
    fn parse(text: &str) -> Result<Self, String> {
        let number = |word: &str| {
            word.parse::<u32>()
                .map_err(|_| format!("`{word}` of `{text}` is no AS"))
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(AsPathText(match words.as_slice() {
            ["empty"] => AsPathMatch::Empty,
            ["contains", asn] => AsPathMatch::Contains(number(asn)?),
            ["first", asn] => AsPathMatch::First(number(asn)?),
            ["origin", asn] => AsPathMatch::Origin(number(asn)?),
            ["length", range] => {
                let (min, max) = range.split_once('-').unwrap_or((range, range));
                let length = |word: &str| {
                    word.parse::<u16>()
                        .map(usize::from)
                        .map_err(|_| format!("`{word}` of `{text}` is no length of a path"))
                };
                let (min, max) = (length(min)?, length(max)?);
                if min > max {
                    return Err(format!("`{text}` matches nothing"));
                }
                AsPathMatch::Length { min, max }
            }
            _ => {
                return Err(format!(
                    "`{text}` is none of: empty, contains AS, first AS, origin AS, length N-M"
                ));
            }
        }))
    }
}

impl<'de> Deserialize<'de> for AsPathText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::parse)
    }
}

/// Names of the IANA registry of well-known communities.
const WELL_KNOWN: [(&str, u32); 9] = [
    ("graceful-shutdown", 0xffff_0000),
    ("accept-own", 0xffff_0001),
    ("llgr-stale", 0xffff_0006),
    ("no-llgr", 0xffff_0007),
    ("blackhole", 0xffff_029a),
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("no-export-subconfed", 0xffff_ff03),
    ("no-peer", 0xffff_ff04),
];

/// `"65000:1"`, `"65000:1:2"`, `"rt:65000:1"`, `"ro:192.0.2.1:1"`, or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct CommunityText(pub(in crate::config) Community);

impl CommunityText {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Ok(CommunityText(Community::Standard(*value)));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let part = |part: &str, largest: u32| {
            part.parse::<u32>()
                .ok()
                .filter(|number| *number <= largest)
                .ok_or_else(|| format!("`{part}` of community `{text}` is not in 0..={largest}"))
        };
        Ok(CommunityText(match parts.as_slice() {
            [kind @ ("rt" | "ro"), global, local] => {
                Community::Extended(extended(kind, global, local, text)?)
            }
            [one, two] => {
                Community::Standard(part(one, u16::MAX.into())? << 16 | part(two, u16::MAX.into())?)
            }
            [one, two, three] => {
                Community::Large([part(one, u32::MAX)?, part(two, u32::MAX)?, part(three, u32::MAX)?])
            }
            _ => {
                let names: Vec<&str> = WELL_KNOWN.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "`{text}` is no community: write AS:N, AS:N:M, rt:AS:N, ro:AS:N, or one of {}",
                    names.join(", ")
                ));
            }
        }))
    }
}

/// RFC 4360 section 3 and RFC 5668: the width of the first number decides the type.
fn extended(kind: &str, global: &str, local: &str, text: &str) -> Result<[u8; 8], String> {
    let subtype = if kind == "rt" { 2 } else { 3 };
    let wrong = |part: &str| format!("`{part}` of community `{text}` does not fit");
    let small = |local: &str| local.parse::<u16>().map_err(|_| wrong(local));
    if let Ok(address) = global.parse::<Ipv4Addr>() {
        let ([a, b, c, d], [y, z]) = (address.octets(), small(local)?.to_be_bytes());
        return Ok([1, subtype, a, b, c, d, y, z]);
    }
    let number: u32 = global.parse().map_err(|_| wrong(global))?;
    if let Ok(number) = u16::try_from(number) {
        let [a, b] = number.to_be_bytes();
        let [w, x, y, z] = local.parse::<u32>().map_err(|_| wrong(local))?.to_be_bytes();
        return Ok([0, subtype, a, b, w, x, y, z]);
    }
    let ([a, b, c, d], [y, z]) = (number.to_be_bytes(), small(local)?.to_be_bytes());
    Ok([2, subtype, a, b, c, d, y, z])
}

impl<'de> Deserialize<'de> for CommunityText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::parse)
    }
}

/// `"self"`, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct NextHopText(pub(in crate::config) NextHopSet);

impl<'de> Deserialize<'de> for NextHopText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| match text {
            "self" => Ok(NextHopText(NextHopSet::Own)),
            _ => text
                .parse()
                .map(|address| NextHopText(NextHopSet::Address(address)))
                .map_err(|_| format!("`{text}` is neither \"self\" nor an IP address")),
        })
    }
}

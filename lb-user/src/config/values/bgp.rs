//! Texts of `[bgp]`: who a neighbour is, and what belongs to its session.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use bgp::Secret;
use serde::{Deserialize, Deserializer, de};

use super::{InterfaceName, Time, text};

/// `10.0.11.1`, `2001:db8::1`, `fe80::1%eth1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum NeighborAddress {
    Global(IpAddr),
    LinkLocal(Ipv6Addr, InterfaceName),
}

impl NeighborAddress {
    fn parse(text: &str) -> Result<Self, String> {
        let no_address = |text: &str| format!("`{text}` is no IP address");
        let Some((address, interface)) = text.split_once('%') else {
            return text
                .parse()
                .map(NeighborAddress::Global)
                .map_err(|_| no_address(text));
        };
        let address: Ipv6Addr = address.parse().map_err(|_| no_address(address))?;
        if !address.is_unicast_link_local() {
            return Err(format!(
                "{address} is not link-local: write it without `%{interface}`"
            ));
        }
        Ok(NeighborAddress::LinkLocal(
            address,
            InterfaceName::parse(interface)?,
        ))
    }
}

impl<'de> Deserialize<'de> for NeighborAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::parse)
    }
}

/// `65000`, `"65000"`, `"external"`, `"internal"`, `"64512-64999,65010"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct RemoteAs(pub(in crate::config) bgp::RemoteAs);

impl RemoteAs {
    pub(in crate::config) fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "external" => return Ok(RemoteAs(bgp::RemoteAs::External)),
            "internal" => return Ok(RemoteAs(bgp::RemoteAs::Internal)),
            _ => {}
        }
        let ranges: Result<Vec<RangeInclusive<u32>>, String> = text.split(',').map(as_range).collect();
        Ok(RemoteAs(match ranges?.as_slice() {
            [one] if one.start() == one.end() => bgp::RemoteAs::Is(*one.start()),
            ranges => bgp::RemoteAs::OneOf(ranges.to_vec()),
        }))
    }
}

fn as_range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let number = |text: &str| {
        text.trim().parse::<u32>().map_err(|_| {
            format!(
                "`{}` is no AS: write a number, \"external\", \"internal\" or ranges such as \"64512-64999,65010\"",
                text.trim()
            )
        })
    };
    let (start, end) = match text.split_once('-') {
        None => (number(text)?, number(text)?),
        Some((start, end)) => (number(start)?, number(end)?),
    };
    if start > end {
        return Err(format!("range {start}-{end} is upside down"));
    }
    Ok(start..=end)
}

struct RemoteAsVisitor;

impl de::Visitor<'_> for RemoteAsVisitor {
    type Value = RemoteAs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of an AS, or a text that names some")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<RemoteAs, E> {
        u32::try_from(number)
            .map(|number| RemoteAs(bgp::RemoteAs::Is(number)))
            .map_err(|_| E::custom(format!("{number} is no AS: it must be 1 to 4294967294")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RemoteAs, E> {
        RemoteAs::parse(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for RemoteAs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RemoteAsVisitor)
    }
}

/// `true`, `false`, `"strict"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct BfdWord(pub(in crate::config) bgp::BfdMode);

struct BfdVisitor;

impl de::Visitor<'_> for BfdVisitor {
    type Value = BfdWord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or \"strict\"")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<BfdWord, E> {
        Ok(BfdWord(if on { bgp::BfdMode::On } else { bgp::BfdMode::Off }))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<BfdWord, E> {
        match text {
            "strict" => Ok(BfdWord(bgp::BfdMode::Strict)),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for BfdWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BfdVisitor)
    }
}

/// A secret. No message about it repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Password(pub(in crate::config) Secret);

struct PasswordVisitor;

impl PasswordVisitor {
    fn refuse<T, E: de::Error>() -> Result<T, E> {
        Err(E::custom("a password is a text in quotes"))
    }
}

impl de::Visitor<'_> for PasswordVisitor {
    type Value = Password;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Password, E> {
        Ok(Password(Secret(text.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Password, E> {
        Self::refuse()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Password, E> {
        Self::refuse()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Password, E> {
        Self::refuse()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Password, E> {
        Self::refuse()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Password, E> {
        Self::refuse()
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PasswordVisitor)
    }
}

/// A duration, or `"forever"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Hold(pub(in crate::config) Option<Duration>);

impl Default for Hold {
    fn default() -> Self {
        Hold(Some(Duration::from_secs(300)))
    }
}

impl<'de> Deserialize<'de> for Hold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| match text {
            "forever" => Ok(Hold(None)),
            _ => Time::parse(text).map(|time| Hold(Some(time.0))),
        })
    }
}

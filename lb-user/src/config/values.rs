//! Texts with a grammar of their own inside the file.

mod bfd;
mod bgp;
mod route;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

pub(super) use self::bfd::OrOff;
pub(super) use self::bgp::{BfdWord, Hold, NeighborAddress, Password, RemoteAs};
pub(super) use self::route::{AsPathText, CommunityText, NextHopText, Prefix, PrefixText};

use crate::desired::FloatingAddress;

/// Longest name of an interface: IFNAMSIZ without its end.
const INTERFACE_NAME: usize = 15;

fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(de::Error::custom)
}

/// `"300ms"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) Duration);

impl Time {
    pub(super) fn seconds(seconds: u64) -> Self {
        Time(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Time)
            .map_err(|reason| format!("`{text}` is no duration such as \"300ms\": {reason}"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::parse)
    }
}

/// A name that the kernel would take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InterfaceName(pub(super) String);

impl InterfaceName {
    fn parse(name: &str) -> Result<Self, String> {
        if name.is_empty() || name.len() > INTERFACE_NAME {
            return Err(format!(
                "interface name `{name}` has {} bytes, but the kernel takes 1 to {INTERFACE_NAME}",
                name.len()
            ));
        }
        let refused = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if name == "." || name == ".." || name.contains(refused) {
            return Err(format!("`{name}` cannot be the name of an interface"));
        }
        Ok(InterfaceName(name.to_owned()))
    }
}

impl<'de> Deserialize<'de> for InterfaceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Self::parse)
    }
}

/// Name of a node, an instance or a service: it reaches metrics labels, certificates and tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |name| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || name.len() > 63 {
                return Err(format!(
                    "name `{name}` has {} bytes, but 1 to 63 are allowed",
                    name.len()
                ));
            }
            if !name.chars().all(allowed) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                return Err(format!(
                    "name `{name}` may consist of ASCII letters, digits, `-`, `_` and `.`, a letter or digit first"
                ));
            }
            Ok(Name(name.to_owned()))
        })
    }
}

/// `"10.0.2.1/24@eth2"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Floating(pub(super) FloatingAddress);

impl<'de> Deserialize<'de> for Floating {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| {
            let shape = || format!("`{text}` is not of the form ADDRESS/LENGTH@INTERFACE");
            let (prefix, interface) = text.split_once('@').ok_or_else(shape)?;
            let (address, length) = prefix.split_once('/').ok_or_else(shape)?;
            let address: IpAddr = address
                .parse()
                .map_err(|_| format!("`{address}` is no IP address"))?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let prefix_length = length
                .parse()
                .ok()
                .filter(|length: &u8| (1..=longest).contains(length))
                .ok_or_else(|| format!("prefix length `{length}` of {address} is not in 1..={longest}"))?;
            let interface = InterfaceName::parse(interface)?.0;
            Ok(Floating(FloatingAddress {
                address,
                prefix_length,
                interface,
            }))
        })
    }
}

/// `"0600"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketMode(pub(super) u32);

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |mode| match mode {
            "0600" => Ok(SocketMode(0o600)),
            "0660" => Ok(SocketMode(0o660)),
            _ => Err(format!("mode `{mode}` is neither \"0600\" nor \"0660\"")),
        })
    }
}

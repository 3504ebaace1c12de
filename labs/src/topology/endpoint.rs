//! One end of a link: `lb1:eth1` in the brief form, `{node, interface}` in the extended one.

use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub node: String,
    pub interface: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extended {
    node: String,
    interface: String,
}

impl Endpoint {
    /// What the kernel accepts as the name of an interface, less what would confuse the runner.
    pub(crate) fn check(&self) -> Result<(), String> {
        let name = &self.interface;
        let fits = (1..=15).contains(&name.len())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && !name.starts_with(['-', '.']);
        match name.as_str() {
            "lo" => Err(format!("{self}: `lo` exists already")),
            _ if fits => Ok(()),
            _ => Err(format!(
                "{self}: an interface name is 1 to 15 of a-z A-Z 0-9 - _ ."
            )),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node, self.interface)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((node, interface)) if !node.is_empty() && !interface.is_empty() => Ok(Self {
                node: node.to_owned(),
                interface: interface.to_owned(),
            }),
            _ => Err(format!("`{text}` is not an endpoint; write it as node:interface")),
        }
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Endpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an endpoint: \"node:interface\" or {node, interface}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Endpoint, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Endpoint, A::Error> {
                let Extended { node, interface } = Extended::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Endpoint { node, interface })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

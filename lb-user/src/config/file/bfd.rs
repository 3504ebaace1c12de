//! `[bfd]` as it is written.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::config::values::{InterfaceName, Name, NeighborAddress, OrOff, Password, Prefix, Time};

/// What a table says about a session; what is `None` is taken from the table below it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::config) struct Settings<'a> {
    pub(in crate::config) interval: Option<&'a Spanned<Time>>,
    pub(in crate::config) transmit_interval: Option<&'a Spanned<Time>>,
    pub(in crate::config) receive_interval: Option<&'a Spanned<Time>>,
    pub(in crate::config) multiplier: Option<&'a Spanned<u32>>,
    pub(in crate::config) hold_down: Option<&'a HoldDown>,
    pub(in crate::config) demand: Option<&'a Spanned<OrOff<Time>>>,
    pub(in crate::config) echo: Option<&'a Spanned<OrOff<Time>>>,
    pub(in crate::config) echo_receive: Option<&'a Spanned<OrOff<Time>>>,
    pub(in crate::config) passive: Option<&'a Spanned<bool>>,
    pub(in crate::config) minimum_ttl: Option<&'a Spanned<u32>>,
    pub(in crate::config) send_key: Option<&'a Spanned<u32>>,
    pub(in crate::config) key: &'a [Spanned<Key>],
}

/// A table with the keys of a session and some of its own. Not flattened: that would lose the positions.
macro_rules! table {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(in crate::config) struct $name {
            $($(#[$field_meta])* pub(in crate::config) $field: $type,)*
            interval: Option<Spanned<Time>>,
            transmit_interval: Option<Spanned<Time>>,
            receive_interval: Option<Spanned<Time>>,
            multiplier: Option<Spanned<u32>>,
            hold_down: Option<HoldDown>,
            demand: Option<Spanned<OrOff<Time>>>,
            echo: Option<Spanned<OrOff<Time>>>,
            echo_receive: Option<Spanned<OrOff<Time>>>,
            passive: Option<Spanned<bool>>,
            minimum_ttl: Option<Spanned<u32>>,
            send_key: Option<Spanned<u32>>,
            #[serde(default)]
            key: Vec<Spanned<Key>>,
        }

        impl $name {
            pub(in crate::config) fn settings(&self) -> Settings<'_> {
                Settings {
                    interval: self.interval.as_ref(),
                    transmit_interval: self.transmit_interval.as_ref(),
                    receive_interval: self.receive_interval.as_ref(),
                    multiplier: self.multiplier.as_ref(),
                    hold_down: self.hold_down.as_ref(),
                    demand: self.demand.as_ref(),
                    echo: self.echo.as_ref(),
                    echo_receive: self.echo_receive.as_ref(),
                    passive: self.passive.as_ref(),
                    minimum_ttl: self.minimum_ttl.as_ref(),
                    send_key: self.send_key.as_ref(),
                    key: &self.key,
                }
            }
        }
    };
}

table! {
    /// Parameters with a name.
    Profile {
        name: Spanned<Name>,
    }
}

table! {
    /// A session of its own, or another opinion about one that a neighbour or a peer has.
    Session {
        address: Spanned<NeighborAddress>,
        interface: Option<Spanned<InterfaceName>>,
        local: Option<Spanned<IpAddr>>,
        /// Without it, as the neighbour that has the session.
        multihop: Option<Spanned<bool>>,
        profile: Option<Spanned<Name>>,
    }
}

/// Defaults of every session, and the tables below.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct Bfd {
    interval: Option<Spanned<Time>>,
    transmit_interval: Option<Spanned<Time>>,
    receive_interval: Option<Spanned<Time>>,
    multiplier: Option<Spanned<u32>>,
    hold_down: Option<HoldDown>,
    demand: Option<Spanned<OrOff<Time>>>,
    echo: Option<Spanned<OrOff<Time>>>,
    echo_receive: Option<Spanned<OrOff<Time>>>,
    passive: Option<Spanned<bool>>,
    pub(in crate::config) profile: Vec<Profile>,
    pub(in crate::config) session: Vec<Session>,
    pub(in crate::config) unsolicited: Vec<Unsolicited>,
}

impl Bfd {
    pub(in crate::config) fn settings(&self) -> Settings<'_> {
        Settings {
            interval: self.interval.as_ref(),
            transmit_interval: self.transmit_interval.as_ref(),
            receive_interval: self.receive_interval.as_ref(),
            multiplier: self.multiplier.as_ref(),
            hold_down: self.hold_down.as_ref(),
            demand: self.demand.as_ref(),
            echo: self.echo.as_ref(),
            echo_receive: self.echo_receive.as_ref(),
            passive: self.passive.as_ref(),
            ..Settings::default()
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct HoldDown {
    pub(in crate::config) first: Option<Spanned<Time>>,
    pub(in crate::config) longest: Option<Spanned<Time>>,
}

/// Auth Type of RFC 5880 section 4.1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Algorithm {
    Simple,
    Md5,
    MeticulousMd5,
    Sha1,
    MeticulousSha1,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Key {
    pub(in crate::config) id: Spanned<u32>,
    pub(in crate::config) algorithm: Spanned<Algorithm>,
    pub(in crate::config) secret: Option<Spanned<Password>>,
    pub(in crate::config) secret_file: Option<Spanned<PathBuf>>,
}

/// Who may start a session without being known (RFC 9468).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Unsolicited {
    pub(in crate::config) interface: Spanned<InterfaceName>,
    #[serde(default)]
    pub(in crate::config) prefixes: Vec<Spanned<Prefix>>,
    pub(in crate::config) limit: Option<Spanned<u32>>,
    pub(in crate::config) profile: Option<Spanned<Name>>,
}

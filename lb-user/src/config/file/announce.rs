//! Attributes of the VIP of a service as they are written.

use std::net::IpAddr;

use serde::Deserialize;
use toml::Spanned;

use super::Origin;
use crate::config::values::CommunityText;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct Announce {
    pub(in crate::config) med: Option<Spanned<u32>>,
    pub(in crate::config) prepend: Option<Spanned<u32>>,
    pub(in crate::config) local_pref: Option<Spanned<u32>>,
    pub(in crate::config) origin: Option<Spanned<Origin>>,
    pub(in crate::config) communities: Vec<Spanned<CommunityText>>,
    pub(in crate::config) next_hop: Option<Spanned<IpAddr>>,
}

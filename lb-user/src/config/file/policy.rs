//! `[[bgp.policy]]` as it is written.

use serde::Deserialize;
use toml::Spanned;

use super::Family;
use crate::config::values::{AsPathText, CommunityText, Name, NextHopText, Prefix, PrefixText};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Policy {
    pub(in crate::config) name: Spanned<Name>,
    #[serde(default)]
    pub(in crate::config) rule: Vec<Spanned<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Rule {
    #[serde(default, rename = "match")]
    pub(in crate::config) matches: Matches,
    pub(in crate::config) set: Option<Spanned<Sets>>,
    #[serde(default)]
    pub(in crate::config) action: Action,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Action {
    #[default]
    Accept,
    Reject,
    Next,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Origin {
    Igp,
    Egp,
    Incomplete,
}

/// The role of this node for the instance.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum PreferenceName {
    Master,
    Backup,
    Joining,
    Draining,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct Matches {
    pub(in crate::config) prefix: Option<Spanned<Vec<PrefixText>>>,
    pub(in crate::config) as_path: Option<Spanned<Vec<AsPathText>>>,
    pub(in crate::config) community: Option<Spanned<Vec<CommunityText>>>,
    pub(in crate::config) next_hop: Option<Spanned<Vec<Prefix>>>,
    pub(in crate::config) family: Option<Spanned<Family>>,
    pub(in crate::config) origin: Option<Spanned<Origin>>,
    pub(in crate::config) instance: Option<Spanned<Name>>,
    pub(in crate::config) role: Option<Spanned<PreferenceName>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct Sets {
    pub(in crate::config) med: Option<u32>,
    pub(in crate::config) local_pref: Option<u32>,
    pub(in crate::config) prepend: Option<Spanned<u32>>,
    pub(in crate::config) origin: Option<Origin>,
    pub(in crate::config) next_hop: Option<Spanned<NextHopText>>,
    pub(in crate::config) communities: Vec<CommunityText>,
    pub(in crate::config) remove_communities: Vec<CommunityText>,
    pub(in crate::config) clear_communities: bool,
}

//! Attributes by role as they are written: every key may be left out.

use serde::Deserialize;
use toml::Spanned;

use crate::config::values::CommunityText;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct Ladder {
    pub(in crate::config) master: Rung,
    pub(in crate::config) backup: Rung,
    pub(in crate::config) joining: Rung,
    pub(in crate::config) draining: Rung,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(in crate::config) struct Rung {
    pub(in crate::config) med: Option<u32>,
    pub(in crate::config) prepend: Option<Spanned<u32>>,
    pub(in crate::config) local_pref: Option<u32>,
    pub(in crate::config) communities: Option<Vec<Spanned<CommunityText>>>,
    pub(in crate::config) graceful_shutdown: Option<bool>,
}

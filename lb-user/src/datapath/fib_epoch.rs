//! Tells the packet path that routes or neighbours have changed.

use std::io;
use std::sync::Arc;

use lb_common::Settings;

use super::maps::Maps;
use super::table::Expect;

/// A handle for the link monitor, the one writer of SETTINGS.
#[derive(Clone)]
pub struct FibEpoch(pub(super) Arc<Maps>);

impl FibEpoch {
    /// Makes every cached next hop invalid.
    pub fn bump(&self) -> io::Result<()> {
        let settings = self.0.settings.get(&0)?.unwrap_or_default();
        let settings = Settings {
            fib_epoch: settings.fib_epoch.wrapping_add(1),
            ..settings
        };
        self.0.settings.put(&0, &settings, Expect::Any)
    }
}

//! What a neighbour may make this speaker remember: not only how many routes, but how much they say.
//!
//! A limit of prefixes bounds no octets: an UPDATE with one prefix may have 64 KiB of communities.
use std::time::{Duration, Instant};

use crate::peer::Peer;
use crate::session::Failure;
use crate::speaker::Shared;
use crate::wire::Cease;

/// Octets of path attributes that are always granted. A table of the Internet has some 200,000 different sets of them
/// with 300 octets each; neighbours of a node have a thousandth of that.
const GRANTED: usize = 64 << 20;
/// Octets for each path where the operator expects more paths than fit `GRANTED`.
const PER_PATH: usize = 512;
/// As for a neighbour with too many prefixes by default; never for good, because nobody has configured this limit.
const IDLE_HOLD: Duration = Duration::from_secs(300);

impl Peer {
    /// After an UPDATE. Part of what is counted may be unused: the session ends when more than half of what is granted
    /// is in use, and never later than all of it is held.
    pub(super) fn check_memory(&mut self, now: Instant, shared: &mut Shared) {
        let limits = self.config.max_prefixes;
        let expected = usize::try_from(limits.limit).unwrap_or(usize::MAX);
        let granted = GRANTED.max(expected.saturating_mul(PER_PATH));
        if !self.adj_rib_in.is_heavy(granted) {
            return;
        }
        self.idle_hold = Some(now + limits.idle_hold.unwrap_or(IDLE_HOLD));
        self.retry.at = None;
        let detail = format!("its path attributes take more than {} MiB", (granted / 2) >> 20);
        // RFC 4486 section 4.
        let failure = Failure::detailed(Cease::OutOfResources.into(), &detail);
        self.close_all(now, shared, &failure);
    }
}

//! What a direction of a link does to frames, and the randomness it is done with.

use serde::{Deserialize, Serialize};

/// Shares are probabilities per frame, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Impairment {
    pub loss: f64,
    pub duplicate: f64,
    /// One bit somewhere in the frame is turned.
    pub corrupt: f64,
    /// The frame is held back by [`REORDER_GAP_NS`], so that those behind it overtake.
    pub reorder: f64,
    pub delay_us: u64,
    /// Added to the delay, evenly between 0 and this; it does not reorder by itself.
    pub jitter_us: u64,
}

pub(super) const REORDER_GAP_NS: u64 = 1_000_000;

impl Impairment {
    /// # Errors
    /// Names what is not a probability or longer than a minute.
    pub fn check(&self) -> Result<(), String> {
        let shares = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
            ("reorder", self.reorder),
        ];
        for (name, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{name} {share} is not a probability"));
            }
        }
        for (name, time) in [("delay", self.delay_us), ("jitter", self.jitter_us)] {
            if time > 60_000_000 {
                return Err(format!("{name} of more than a minute"));
            }
        }
        Ok(())
    }
}

/// SplitMix64: a few instructions, and the same sequence for a seed on every machine and forever.
#[derive(Clone, Debug)]
pub(super) struct Randomness(u64);

impl Randomness {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from 0 up to, but without, 1.
    pub(super) fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let numerator = (self.next() >> 11) as f64;
        numerator / 9_007_199_254_740_992.0
    }
}

//! Flow synchronisation.
#![warn(clippy::iter_over_hash_type, reason = "the order of outputs must not depend on a hasher")]

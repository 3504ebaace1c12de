//! BFD sessions (RFC 5880, RFC 5881).
#![warn(clippy::iter_over_hash_type, reason = "the order of outputs must not depend on a hasher")]

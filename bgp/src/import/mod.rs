//! What neighbours announce: kept as received, judged by policy, compared, and handed on to the kernel.
pub(crate) mod adj_rib_in;

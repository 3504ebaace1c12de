//! What neighbours are told: role and policy to attributes, difference, packing into messages.
pub(crate) mod adj_rib_out;
mod announce;
pub(crate) mod pack;

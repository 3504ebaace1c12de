//! What neighbours announce: kept as received, judged by policy, compared, and handed on to the kernel.
//!
//! The way of a path: `adj_rib_in` keeps it as received (one table for each neighbour), `judge` checks it and
//! applies the import policy, `loc_rib` holds what was accepted of all neighbours, `decision` picks the best,
//! `next_hops` knows how far they are, and the difference leaves as `Output::Routes`. `follow` is where a
//! neighbour's session calls in; the Loc-RIB is settled once for each input of the speaker, so a burst of UPDATEs
//! is one change of the kernel's table.
//!
//! Imported routes are never announced to anybody.
pub(crate) mod adj_rib_in;
mod decision;
mod follow;
mod intern;
mod judge;
pub(crate) mod loc_rib;
mod next_hops;
pub(crate) mod query;

pub(crate) use loc_rib::LocRib;

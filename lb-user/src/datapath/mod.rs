//! Loader, maps and flow table of the data path.

pub mod object;

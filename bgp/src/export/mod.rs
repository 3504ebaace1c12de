//! What neighbours are told: from announcements, roles and policy to UPDATE messages.
//!
//! Announcements become `classes` (equal claims), classes become a `partition` of cells (equal to the eyes of a
//! policy), and for every kind of `audience` the cells get their routes: a `table`. A neighbour's Adj-RIB-Out is
//! one of these tables; `changes` between two of them are written by `pack` when the driver asks for `outputs`.
mod announce;
mod audience;
mod changes;
mod classes;
mod exports;
mod outputs;
mod pack;
mod partition;
mod prefix_list;
mod table;

pub(crate) use announce::AdjRibOut;
pub(crate) use exports::Exports;
pub(crate) use outputs::Outputs;

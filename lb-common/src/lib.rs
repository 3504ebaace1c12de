//! Map layouts and the packet path.
//!
//! Purpose: one crate that the BPF programs, the daemon and the tests share, so that a packet means
//! the same thing everywhere. It holds the records that live in BPF maps (`repr(C)`, network byte
//! order, one layout for both address families) and [`forward`], the one function that decides about
//! a packet. `forward` is generic over the packet ([`Frame`]) and the maps ([`Tables`]); it is compiled
//! as XDP, as tc and for the host, and a differential test holds the three together.
//!
//! It is `no_std`, allocates nothing, never loops without a constant bound and never panics. It never
//! asks which role the node has: whoever receives a packet forwards it (invariant I3).
//!
//! Feature `std` adds what only user space needs: tables in ordinary maps and the Maglev table.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

mod address;
mod checksum;
mod counter;
mod create;
mod derive;
mod echo;
mod event;
mod flow;
mod forward;
mod frame;
mod hash;
mod header;
#[cfg(any(test, feature = "std"))]
mod host;
mod icmp;
mod layout;
#[cfg(any(test, feature = "std"))]
mod maglev;
#[cfg(feature = "aya")]
mod pod;
mod rewrite;
mod service;
mod state;
mod tables;
mod verdict;
mod word;

pub use address::{Address, Port};
pub use checksum::transport as update_transport_checksum;
pub use checksum::{difference, fold};
pub use counter::{Counter, DropReason};
pub use event::{EventKind, FlowEvent};
pub use flow::{Flow, FlowFlags, FlowKey, NextHop, Seen};
pub use forward::forward;
pub use frame::{Frame, Route, RouteQuery};
#[cfg(any(test, feature = "std"))]
pub use host::{HostFrame, HostTables};
pub use layout::{EchoPeerKey, Interface, LAYOUT_VERSION, Settings, map};
#[cfg(any(test, feature = "std"))]
pub use maglev::{maglev_size, maglev_table};
pub use service::{Backend, Endpoint, EndpointKey, Mode, Service, ServiceKey, ServiceStats};
pub use tables::{Scratch, Tables, Tier};
pub use verdict::Verdict;
pub use word::{load, store};

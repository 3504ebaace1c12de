//! Labs: topologies realised with network namespaces, without containers, in seconds.
//!
//! A lab is a folder: a genuine containerlab file, the real configuration of every node, `lab.toml`
//! (which links pass through the wire) and `expected.toml`. The same file runs under containerlab.
//!
//! ```no_run
//! let lab = labs::Lab::load("failover")?;
//! let mut running = labs::Running::up(&lab)?;           // taken down when dropped
//! running.node("lb1")?.exec(&["batonctl", "get", "ha"])?;
//! let cut = running.power_cut("lb1")?;                  // cut.cut_ns: CLOCK_MONOTONIC
//! running.revive("lb1")?;
//! running.wire()?.blackhole("router:eth2", true)?;
//! # Ok::<(), labs::Error>(())
//! ```
//!
//! The library starts the `lab` program for the two kinds of processes that must outlive it: first
//! processes of nodes and the relay of the wire. Everything it makes in the kernel hangs on named
//! namespaces `clab-<lab>-<node>`, so that whatever crashes can be found and removed later.

mod binaries;
mod capture;
mod certificates;
mod clock;
mod diagnostics;
mod error;
pub mod expected;
pub mod failover;
pub mod init;
mod lab;
mod link;
mod netns;
mod node;
mod process;
mod running;
pub mod topology;
mod trial;
pub mod wire;
mod words;

pub use clock::monotonic_ns;
pub use error::{Error, Result};
pub use lab::{Lab, Settings, folder_of, list};
pub use link::ethernet_address;
pub use netns::Netns;
pub use node::Node;
pub use process::Process;
pub use running::{PowerCut, Running, down};
pub use topology::Topology;
pub use trial::test;
pub use wire::{Direction, Impairment, Wire};

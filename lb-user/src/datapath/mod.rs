//! Loader, maps and flow table of the data path.
//!
//! Purpose: bring the programs of `lb-ebpf` into the kernel, keep their maps as the configuration wants them, and show
//! the flows to synchronisation and to the API. Programs, links and maps are pinned: when the daemon dies, packets go on
//! being forwarded, and the next daemon takes over what it finds (invariant I6).
//!
//! [`DataPath::start`] needs CAP_BPF and CAP_NET_ADMIN; nothing afterwards does. It must run before privileges are
//! dropped and before other threads start. Handles: [`Services`] and [`EchoPeers`] for the reconciler, [`FibEpoch`] for
//! the link monitor, [`FlowTable`] and a channel of [`FlowNews`] for synchronisation. One thread, `flows`, reads the
//! event ring and sweeps.
//!
//! It must never decide about a packet: that is `lb_common::forward`.

mod catalog;
mod echo_peers;
mod error;
mod fib_epoch;
mod figures;
mod flow_table;
mod hook;
mod loader;
mod maps;
pub mod object;
mod pins;
mod record;
mod services;
mod sweep;
pub mod table;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;

pub use echo_peers::EchoPeers;
pub use error::DataPathError;
pub use fib_epoch::FibEpoch;
pub use flow_table::{Applied, FlowTable, Walk};
pub use hook::Attached;
pub use services::Services;
pub use thread::FlowNews;
use tokio::sync::mpsc::Receiver;

use crate::desired;
use crate::status::StatusBoard;
use thread::FlowThread;

/// The loaded data path, in parts that go to those who use them.
pub struct DataPath {
    pub services: Services,
    pub echo_peers: EchoPeers,
    pub flows: FlowTable,
    pub epoch: FibEpoch,
    /// An earlier daemon's data path, taken over here, has forwarded until now.
    pub adopted: bool,
    thread: FlowThread,
}

impl DataPath {
    /// Loads, adopts, attaches and pins. Traffic flows from here on; what is for these VIPs never goes to the stack.
    pub fn start(
        config: &desired::DataPath,
        vips: &BTreeSet<IpAddr>,
        board: StatusBoard,
    ) -> Result<Self, DataPathError> {
        let (maps, streams, adopted) = loader::load(config, vips)?;
        let maps = Arc::new(maps);
        let catalog = Arc::new(RwLock::default());
        let flows = FlowTable::new(Arc::clone(&maps), Arc::clone(&catalog));
        Ok(DataPath {
            services: Services::adopt(Arc::clone(&maps), catalog)?,
            echo_peers: EchoPeers::new(Arc::clone(&maps)),
            epoch: FibEpoch(maps),
            adopted,
            thread: FlowThread {
                table: flows.clone(),
                streams,
                board,
            },
            flows,
        })
    }

    /// Starts the flow thread; what it learns of this node's own flows comes by the channel.
    pub fn spawn(self) -> Result<Running, DataPathError> {
        let (news, thread) = self.thread.spawn()?;
        Ok(Running {
            services: self.services,
            echo_peers: self.echo_peers,
            flows: self.flows,
            epoch: self.epoch,
            news,
            thread,
        })
    }
}

/// The parts of a data path whose thread runs.
pub struct Running {
    pub services: Services,
    pub echo_peers: EchoPeers,
    pub flows: FlowTable,
    pub epoch: FibEpoch,
    pub news: Receiver<FlowNews>,
    pub thread: JoinHandle<()>,
}

//! The way of imported routes into the kernel, and of answers about next hops back to the speaker.

use std::io;
use std::net::IpAddr;

use tokio::sync::mpsc;

use crate::kernel_routes::{self, KernelRoutes};

/// The way to a next hop, as the kernel has it now.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextHop {
    pub(super) address: IpAddr,
    pub(super) scope: u32,
    /// `None`: there is none.
    pub(super) metric: Option<u32>,
}

pub(super) struct Imported {
    pub(super) kernel: KernelRoutes,
    answers: mpsc::UnboundedReceiver<NextHop>,
}

impl Imported {
    /// Starts the threads that look after the routes, in the network namespace of the caller.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, answers) = mpsc::unbounded_channel();
        let sink = move |address, scope, metric| {
            // The driver is gone only when the daemon ends.
            let _ = sender.send(NextHop {
                address,
                scope,
                metric,
            });
        };
        let kernel = kernel_routes::spawn(kernel_routes::Setup::new(Box::new(sink)))?;
        Ok(Imported { kernel, answers })
    }
}

/// Waits for the next answer; for ever where there are no routes.
pub(super) async fn next(imported: &mut Option<Imported>) -> Option<NextHop> {
    match imported {
        Some(imported) => imported.answers.recv().await,
        None => std::future::pending().await,
    }
}

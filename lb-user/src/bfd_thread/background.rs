//! What may wait in the kernel, and so must not be done on the real-time thread.
//!
//! Closing a packet socket waits until no CPU uses it any more (an RCU grace period, tens of milliseconds), and older
//! kernels answer a question about a neighbour under a lock that any process may hold. A thread of ordinary priority does
//! both, in the order in which they are asked for, and ends with the real-time thread.

use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use bfd::SessionId;

use super::echo_socket::EchoSocket;
use super::handle::Handle;
use super::neighbor;

enum Work {
    Close(Vec<EchoSocket>),
    Resolve {
        session: SessionId,
        interface: u32,
        address: IpAddr,
    },
}

/// The way to the thread; sending never blocks.
pub(super) struct Background(Sender<Work>);

impl Background {
    pub(super) fn start(handle: Handle) -> io::Result<Self> {
        let (sender, work) = channel();
        Builder::new()
            .name("bfd-background".into())
            .spawn(move || run(&handle, &work))?;
        Ok(Self(sender))
    }

    pub(super) fn close(&self, sockets: Vec<EchoSocket>) {
        if !sockets.is_empty() {
            self.tell(Work::Close(sockets));
        }
    }

    /// The answer comes as a command; there is none while the kernel does not know.
    pub(super) fn resolve(&self, session: SessionId, interface: u32, address: IpAddr) {
        self.tell(Work::Resolve {
            session,
            interface,
            address,
        });
    }

    fn tell(&self, work: Work) {
        // It ends only with the daemon.
        let _ = self.0.send(work);
    }
}

fn run(handle: &Handle, work: &Receiver<Work>) {
    while let Ok(work) = work.recv() {
        match work {
            Work::Close(sockets) => drop(sockets),
            Work::Resolve {
                session,
                interface,
                address,
            } => match neighbor::link_layer_address(interface, address) {
                Ok(Some(peer)) => handle.resolved(session, peer),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, %address, "no answer about the neighbour for BFD echo");
                }
            },
        }
    }
}

//! Signals, and the end of the daemon that loses nothing.
//!
//! SIGTERM and SIGINT drain: announce worse, wait until a peer that has all flows holds every role (the election bounds the wait),
//! say Cease to the neighbours, take BFD down administratively, and exit 0. A second one skips the wait. SIGHUP reads the
//! configuration again. The data path stays pinned and goes on forwarding in every case.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::Running;
use crate::failover::Drained;
use crate::reconciler::Command;

/// Above the limits of the election, in case its thread is gone.
const DRAIN: Duration = Duration::from_secs(30);
/// A neighbour that does not take the Cease does not hold the daemon back.
const CEASE: Duration = Duration::from_secs(2);
/// Between two looks at the threads.
const WATCH: Duration = Duration::from_millis(500);

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Installs the handlers. Must run inside the runtime.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Serves until asked to stop; then drains. `Err` names a thread that ended by itself.
    pub(super) async fn serve(mut self, running: &Running) -> Result<(), &'static str> {
        let mut watch = tokio::time::interval(WATCH);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {
                    info!("SIGHUP: reading the configuration again");
                    running.reconciler.send(Command::Reload);
                }
                _ = watch.tick() => {
                    if let Some(ended) = running.ended_thread() {
                        return Err(ended);
                    }
                }
            }
        }
        notify(&[NotifyState::Stopping, NotifyState::Status("draining")]);
        self.drain(running).await;
        running.withdraw(CEASE).await;
        running.reconciler.send(Command::Stop);
        Ok(())
    }

    async fn drain(&mut self, running: &Running) {
        info!("draining: the roles go to the peer");
        tokio::select! {
            outcome = running.failover.drain_to_the_end() => match outcome {
                Drained::Complete => info!("drained: the peer holds every role and has all flows"),
                Drained::Alone => warn!("nobody could take over; stopping all the same"),
            },
            () = tokio::time::sleep(DRAIN) => warn!("the drain did not end in time"),
            _ = self.terminate.recv() => warn!("second signal: not waiting any longer"),
            _ = self.interrupt.recv() => warn!("second signal: not waiting any longer"),
        }
    }
}

/// Tells the service manager, where there is one.
pub(super) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot tell the service manager");
    }
}

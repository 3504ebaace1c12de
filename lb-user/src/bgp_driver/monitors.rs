//! The way to monitoring stations. Without any, nothing runs and the speaker tells nothing.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use bgp::{Monitored, Speaker};
use tokio::sync::mpsc;
use tracing::error;

use crate::bmp::{self, Request};

pub(super) struct Monitors {
    stations: Option<bmp::Handle>,
    sender: mpsc::UnboundedSender<Request>,
    requests: mpsc::UnboundedReceiver<Request>,
    wanted: bool,
}

impl Monitors {
    pub(super) fn none() -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        Self {
            stations: None,
            sender,
            requests,
            wanted: false,
        }
    }

    /// Takes the configured stations. Returns whether the speaker has to tell what happens, when that changes.
    pub(super) fn set(&mut self, stations: &[SocketAddr]) -> Option<bool> {
        if self.stations.is_none() && !stations.is_empty() {
            self.stations = self.start();
        }
        let handle = self.stations.as_ref()?;
        handle.set_stations(stations);
        let wanted = !stations.is_empty();
        (std::mem::replace(&mut self.wanted, wanted) != wanted).then_some(wanted)
    }

    fn start(&self) -> Option<bmp::Handle> {
        let sender = self.sender.clone();
        let setup = bmp::Setup {
            name: host_name(),
            ask: Arc::new(move |request| {
                // The driver is gone only when the daemon ends.
                let _ = sender.send(request);
            }),
        };
        bmp::spawn(setup)
            .inspect_err(|error| error!(%error, "monitoring stations are not connected to"))
            .ok()
    }

    pub(super) fn tell(&self, event: &Monitored) {
        if let Some(stations) = &self.stations {
            stations.tell(event);
        }
    }

    /// What a station has asked for.
    pub(super) async fn next(&mut self) -> Option<Request> {
        self.requests.recv().await
    }

    pub(super) fn answer(&self, request: Request, speaker: &Speaker) {
        if let Some(stations) = &self.stations {
            stations.answer(request, speaker);
        }
    }

    /// For the end.
    pub(super) fn stations(&self) -> Option<bmp::Handle> {
        self.stations.clone()
    }
}

/// `sysName` of RFC 7854 section 4.4.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

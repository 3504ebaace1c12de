//! The queue of outputs, in which UPDATEs are promises until they are asked for.
//!
//! A table of a hundred thousand routes for each of many neighbours costs a few numbers here, and the driver has
//! written the first message before the last one is made.
use std::collections::VecDeque;

use super::pack::Batch;
use crate::config::PeerId;
use crate::io::{ConnectionId, Monitored, Output};

/// Octets that are handed over at once, after the first message: every handful ends in a segment that is not full.
const AT_ONCE: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outputs {
    queue: VecDeque<Item>,
}

#[derive(Debug)]
enum Item {
    Ready(Output),
    Updates(Updates),
}

/// Messages for a connection.
#[derive(Debug)]
pub(crate) struct Updates {
    connection: ConnectionId,
    batch: Batch,
    /// The neighbour, when monitoring wants to hear of it (RFC 7854).
    monitored: Option<PeerId>,
    started: bool,
    echo: Option<Output>,
}

impl Outputs {
    pub(crate) fn push_back(&mut self, output: Output) {
        self.queue.push_back(Item::Ready(output));
    }

    pub(crate) fn push_updates(&mut self, connection: ConnectionId, batch: Batch, monitored: Option<PeerId>) {
        self.queue.push_back(Item::Updates(Updates {
            connection,
            batch,
            monitored,
            started: false,
            echo: None,
        }));
    }

    pub(crate) fn pop_front(&mut self) -> Option<Output> {
        loop {
            if let Item::Updates(updates) = self.queue.front_mut()? {
                let next = updates.next();
                if next.is_some() {
                    return next;
                }
            }
            if let Item::Ready(output) = self.queue.pop_front()? {
                return Some(output);
            }
        }
    }
}

impl Updates {
    fn next(&mut self) -> Option<Output> {
        if let Some(echo) = self.echo.take() {
            return Some(echo);
        }
        let mut bytes = Vec::new();
        let mut more = self.batch.write(&mut bytes);
        // The first message leaves alone: it is what everybody waits for.
        while more && self.started && bytes.len() < AT_ONCE {
            more = self.batch.write(&mut bytes);
        }
        self.started = true;
        if bytes.is_empty() {
            return None;
        }
        self.echo = self.monitored.map(|peer| {
            let messages = bytes.clone();
            Output::Monitor(Box::new(Monitored::Sent { peer, messages }))
        });
        Some(Output::Send {
            connection: self.connection,
            bytes,
        })
    }
}

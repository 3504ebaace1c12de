//! What the peer sends: every frame is checked for its form and for its place before it has any effect.

use std::collections::HashSet;
use std::time::Instant;

use crate::event::Output;
use crate::frame::{Frame, FrameError, Header, Kind, first_frame};
use crate::link::{Incoming, Phase};
use crate::message::{Hello, decode_number, decode_records};
use crate::peering::{MAX_VERSION, MIN_VERSION, Peering};
use crate::record::{Change, FlowRecord};

/// Past incarnations of the peer that are remembered and refused.
const PAST_BOOTS: usize = 8;

impl Peering {
    pub(crate) fn received(&mut self, now: Instant, bytes: &[u8]) {
        self.counters.bytes_received += u64::try_from(bytes.len()).unwrap_or(0);
        let Some(link) = self.link.as_mut().filter(|l| l.phase != Phase::Closed) else {
            return;
        };
        link.last_received = now;
        link.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut link.buffer);
        let mut rest = buffer.as_slice();
        loop {
            match first_frame(rest) {
                Ok(None) => break,
                Ok(Some(Frame {
                    header,
                    payload,
                    length,
                })) => {
                    rest = rest.get(length..).unwrap_or_default();
                    if let Err(error) = self.frame(now, &header, payload) {
                        return self.refuse(&error);
                    }
                }
                Err(error) => return self.refuse(&error),
            }
        }
        let (rest, mut buffer) = (buffer.len() - rest.len(), buffer);
        buffer.drain(..rest);
        if let Some(link) = &mut self.link {
            link.buffer = buffer;
        }
    }

    fn refuse(&mut self, error: &FrameError) {
        self.counters.bad_frames += 1;
        self.close(error.to_string());
    }

    fn frame(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Result<(), FrameError> {
        if header.cluster != self.config.cluster {
            return Err(FrameError::Cluster(header.cluster));
        }
        if header.node != self.peer {
            return Err(FrameError::Node(header.node));
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        link.check_place(header)?;
        link.received = header.sequence;
        self.counters.frames_received += 1;
        match header.kind {
            Kind::Hello => self.peer_hello(now, header, payload)?,
            Kind::SnapshotBegin => self.snapshot_begin(header),
            Kind::SnapshotChunk => self.snapshot_chunk(payload)?,
            Kind::SnapshotEnd => self.snapshot_end(payload)?,
            Kind::Batch => self.batch(payload)?,
            Kind::Ack => self.acknowledged(now, payload)?,
            Kind::Heartbeat => {}
            Kind::HaHello => self.outputs.push_back(Output::PeerHello(payload.to_vec())),
            Kind::Skippable => self.counters.unknown += 1,
        }
        let data = matches!(
            header.kind,
            Kind::SnapshotBegin | Kind::SnapshotChunk | Kind::SnapshotEnd | Kind::Batch
        );
        if let Some(link) = self.link.as_mut().filter(|_| data) {
            link.acknowledge = Some(header.sequence);
        }
        Ok(())
    }

    fn peer_hello(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Result<(), FrameError> {
        let hello = Hello::decode(payload)?;
        if hello.name != self.config.peer {
            return Err(FrameError::Name(hello.name));
        }
        let (min, max) = (hello.min_version, hello.max_version);
        let version = max.min(MAX_VERSION);
        if version < min.max(MIN_VERSION) {
            return Err(FrameError::NoCommonVersion { min, max });
        }
        let (boot, epoch) = (header.boot, header.epoch);
        if self.past.contains(&boot) {
            return Err(FrameError::PastBoot(boot));
        }
        let same = match self.known {
            Some((known, expected)) if known == boot && epoch < expected => {
                return Err(FrameError::Epoch { got: epoch, expected });
            }
            Some((known, _)) if known == boot => true,
            Some((known, _)) => {
                if self.past.len() >= PAST_BOOTS {
                    self.past.remove(0);
                }
                self.past.push(known);
                false
            }
            None => false,
        };
        self.known = Some((boot, epoch));
        if let Some(link) = &mut self.link {
            (link.version, link.peer_boot, link.peer_epoch) = (version, boot, epoch);
            link.phase = Phase::Established;
        }
        self.outputs.push_back(Output::Established);
        if !same {
            self.outputs.push_back(Output::AdoptPeerFlows);
        }
        if let Some(payload) = self.ha_hello.clone() {
            self.send(now, Kind::HaHello, &payload);
        }
        Ok(())
    }

    fn snapshot_begin(&mut self, header: &Header) {
        if let Some(link) = &mut self.link {
            link.peer_epoch = header.epoch;
            link.incoming = Some(Incoming {
                records: 0,
                named: Some(HashSet::new()),
            });
        }
        self.known = Some((header.boot, header.epoch));
        self.outputs.push_back(Output::PeerSnapshotBegin);
    }

    fn snapshot_chunk(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let (changes, unknown) = decode_records(Kind::SnapshotChunk, payload)?;
        let Some(link) = &mut self.link else { return Ok(()) };
        let incoming = link
            .incoming
            .as_mut()
            .ok_or(FrameError::OutOfPlace(Kind::SnapshotChunk))?;
        if changes.iter().any(|change| matches!(change, Change::Delete(_))) {
            return Err(FrameError::OutOfPlace(Kind::SnapshotChunk));
        }
        incoming.records += u64::try_from(changes.len()).unwrap_or(0) + unknown;
        self.counters.unknown += unknown;
        self.apply(changes);
        Ok(())
    }

    fn snapshot_end(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let expected = decode_number(Kind::SnapshotEnd, payload)?;
        let incoming = self.link.as_mut().and_then(|link| link.incoming.take());
        let incoming = incoming.ok_or(FrameError::OutOfPlace(Kind::SnapshotEnd))?;
        if incoming.records != expected {
            return Err(FrameError::SnapshotCount {
                got: incoming.records,
                expected,
            });
        }
        self.counters.snapshots_received += 1;
        self.outputs.push_back(Output::PeerSnapshotEnd {
            named: incoming.named,
        });
        Ok(())
    }

    fn batch(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let (changes, unknown) = decode_records(Kind::Batch, payload)?;
        self.counters.unknown += unknown;
        // A record of a flow that the peer has ended meanwhile must not follow in the snapshot.
        let ended: Vec<Change> = changes
            .iter()
            .filter(|c| matches!(c, Change::Delete(_)))
            .copied()
            .collect();
        if let Some(link) = &mut self.link
            && !link.outbound.touch(&ended)
        {
            link.peer_current = false;
            self.counters.resyncs += 1;
        }
        self.apply(changes);
        Ok(())
    }

    /// Hands on what the peer said.
    fn apply(&mut self, changes: Vec<Change>) {
        let most = self.config.limits.snapshot_flows;
        let Some(link) = &mut self.link else { return };
        if let Some(named) = link
            .incoming
            .as_mut()
            .and_then(|incoming| incoming.named.as_mut())
        {
            for change in &changes {
                match change {
                    Change::Upsert(FlowRecord { identity, .. }) => named.insert(*identity),
                    Change::Delete(identity) => named.remove(identity),
                };
            }
            if named.len() > most
                && let Some(incoming) = &mut link.incoming
            {
                incoming.named = None;
            }
        }
        self.counters.changes_applied += u64::try_from(changes.len()).unwrap_or(0);
        if !changes.is_empty() {
            self.outputs.push_back(Output::Apply(changes));
        }
    }

    fn acknowledged(&mut self, now: Instant, payload: &[u8]) -> Result<(), FrameError> {
        let sequence = decode_number(Kind::Ack, payload)?;
        let Some(link) = &mut self.link else { return Ok(()) };
        if sequence > link.sent {
            return Err(FrameError::Acknowledged(sequence));
        }
        let result = link.outbound.acknowledged(now, sequence);
        link.peer_current |= result.end;
        for (changes, lag) in result.changes {
            self.counters.changes_acknowledged += u64::from(changes);
            self.outputs.push_back(Output::Acked { changes, lag });
        }
        if result.end {
            self.outputs.push_back(Output::PeerCurrent);
        }
        Ok(())
    }
}

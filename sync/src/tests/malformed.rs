//! Frames that are wrong: each ends the connection with its reason, and none does anything else.

use crate::frame::{HEADER, Header, Kind, MAX_PAYLOAD};
use crate::message::{Hello, RecordWriter};
use crate::tests::world::{CLUSTER, NAMES, config, origin, record};
use crate::{Change, FlowState, Input, Limits, Output, Peering, Phase, name_hash};

fn hello_payload() -> Vec<u8> {
    Hello {
        min_version: 1,
        max_version: 1,
        name: NAMES[1].to_owned(),
    }
    .encode()
}

fn header(kind: Kind, sequence: u64, epoch: u32) -> Header {
    let node = name_hash(NAMES[1].as_bytes());
    Header {
        version: 1,
        kind,
        epoch,
        cluster: CLUSTER,
        node,
        boot: 9,
        sequence,
    }
}

fn batch() -> Vec<u8> {
    let mut writer = RecordWriter::new();
    writer.push(&Change::Upsert(record(1, 1, FlowState::Established)));
    writer.finish()
}

struct Victim(Peering);

impl Victim {
    fn new() -> Self {
        let mut peering = Peering::new(config(0, 1, Limits::default()));
        peering.handle(origin(), Input::Connected);
        while peering.poll_output().is_some() {}
        Self(peering)
    }

    /// After a hello and the begin of a snapshot.
    fn established() -> Self {
        let mut victim = Self::new();
        assert_eq!(
            victim.feed(&header(Kind::Hello, 1, 0).encode(&hello_payload())),
            None
        );
        assert_eq!(victim.feed(&header(Kind::SnapshotBegin, 2, 1).encode(&[])), None);
        assert_eq!(victim.0.status().phase, Phase::Established);
        victim
    }

    /// The reason why it closed, if it did.
    fn feed(&mut self, bytes: &[u8]) -> Option<String> {
        self.0.handle(origin(), Input::Received(bytes));
        let mut reason = None;
        while let Some(output) = self.0.poll_output() {
            if let Output::Close { reason: text } = output {
                assert_eq!(reason, None, "closed twice");
                reason = Some(text);
            }
        }
        reason
    }
}

#[test]
fn a_frame_out_of_place_is_named() {
    let other = |change: fn(&mut Header)| {
        let mut header = header(Kind::Batch, 3, 1);
        change(&mut header);
        header.encode(&batch())
    };
    let table: Vec<(Vec<u8>, &str)> = vec![
        (other(|h| h.cluster = 5), "other cluster 0x0000000000000005"),
        (other(|h| h.node = 5), "other node 0x0000000000000005"),
        (
            other(|h| h.boot = 5),
            "boot 0x0000000000000005 in a connection of another boot",
        ),
        (other(|h| h.epoch = 2), "epoch 2, expected 1"),
        (other(|h| h.epoch = 0), "epoch 0, expected 1"),
        (other(|h| h.sequence = 4), "sequence 4, expected 3"),
        (other(|h| h.sequence = 2), "sequence 2, expected 3"),
        (other(|h| h.version = 2), "version 2, agreed on 1"),
        (
            header(Kind::Hello, 3, 1).encode(&hello_payload()),
            "Hello out of place",
        ),
        (
            header(Kind::SnapshotBegin, 3, 1).encode(&[]),
            "epoch 1, expected 1",
        ),
        (header(Kind::SnapshotEnd, 3, 1).encode(&[0; 8]), ""),
        (
            header(Kind::SnapshotEnd, 3, 1).encode(&[1; 8]),
            "snapshot of 0 flows ends as one of 72340172838076673",
        ),
        (
            header(Kind::SnapshotEnd, 3, 1).encode(&[0; 7]),
            "SnapshotEnd ends early at byte 7 of its payload",
        ),
        (
            header(Kind::Ack, 3, 1).encode(&[0; 3]),
            "Ack ends early at byte 3 of its payload",
        ),
        (
            header(Kind::Ack, 3, 1).encode(&u64::MAX.to_be_bytes()),
            "acknowledged frame 18446744073709551615 was never sent",
        ),
        (
            header(Kind::Batch, 3, 1).encode(&[0]),
            "Batch ends early at byte 1 of its payload",
        ),
        (
            header(Kind::Batch, 3, 1).encode(&[0, 9]),
            "Batch ends early at byte 2 of its payload",
        ),
        (header(Kind::Skippable, 3, 1).encode(&[7; 9]), ""),
        (header(Kind::HaHello, 3, 1).encode(&[7; 9]), ""),
        (header(Kind::Batch, 3, 1).encode(&batch()), ""),
    ];
    for (bytes, expected) in table {
        let reason = Victim::established().feed(&bytes);
        assert_eq!(reason.as_deref().unwrap_or_default(), expected);
    }
}

#[test]
fn a_chunk_needs_a_snapshot() {
    let mut victim = Victim::new();
    assert_eq!(
        victim.feed(&header(Kind::Hello, 1, 0).encode(&hello_payload())),
        None
    );
    let reason = victim.feed(&header(Kind::SnapshotChunk, 2, 0).encode(&batch()));
    assert_eq!(reason.as_deref(), Some("SnapshotChunk out of place"));
    assert_eq!(
        victim.feed(&header(Kind::Heartbeat, 3, 0).encode(&[])),
        None,
        "closed is closed"
    );
}

#[test]
fn a_wrong_hello_is_named() {
    let hello = |min_version, max_version, name: &str| {
        let hello = Hello {
            min_version,
            max_version,
            name: name.to_owned(),
        };
        header(Kind::Hello, 1, 0).encode(&hello.encode())
    };
    let table = [
        (hello(2, 3, "lb2"), "no common version: the peer speaks 2 to 3"),
        (hello(0, 0, "lb2"), "no common version: the peer speaks 0 to 0"),
        (hello(1, 9, "lb3"), "node calls itself \"lb3\""),
        (hello(1, 9, "lb2"), ""),
        (
            header(Kind::Hello, 1, 0).encode(&[1]),
            "Hello ends early at byte 1 of its payload",
        ),
        (
            header(Kind::Hello, 2, 0).encode(&hello_payload()),
            "sequence 2, expected 1",
        ),
        (
            header(Kind::Batch, 1, 0).encode(&batch()),
            "Batch before the hello",
        ),
    ];
    for (bytes, expected) in table {
        let reason = Victim::new().feed(&bytes);
        assert_eq!(reason.as_deref().unwrap_or_default(), expected);
    }
}

#[test]
fn a_past_incarnation_is_refused() {
    let mut victim = Victim::established();
    let mut reconnect = |boot, epoch| {
        victim.0.handle(origin(), Input::Disconnected);
        victim.0.handle(origin(), Input::Connected);
        victim.feed(
            &Header {
                boot,
                ..header(Kind::Hello, 1, epoch)
            }
            .encode(&hello_payload()),
        )
    };
    assert_eq!(reconnect(9, 0).as_deref(), Some("epoch 0, expected 1"));
    assert_eq!(reconnect(9, 1), None);
    assert_eq!(reconnect(10, 0), None);
    assert_eq!(
        reconnect(9, 5).as_deref(),
        Some("boot 0x0000000000000009 is a past incarnation")
    );
    assert_eq!(reconnect(10, 0), None);
}

#[test]
fn truncated_frames_wait_and_do_nothing() {
    let frame = header(Kind::Batch, 3, 1).encode(&batch());
    for end in 0..frame.len() {
        let mut victim = Victim::established();
        assert_eq!(victim.feed(&frame[..end]), None);
        assert_eq!(victim.0.status().counters.changes_applied, 0);
        assert_eq!(victim.feed(&frame[end..]), None);
        assert_eq!(victim.0.status().counters.changes_applied, 1);
    }
}

#[test]
fn every_damaged_byte_is_noticed() {
    let frame = header(Kind::Batch, 3, 1).encode(&batch());
    for at in 0..frame.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = frame.clone();
            bytes[at] ^= flip;
            // A damaged length may ask for bytes that do not come; with them the checksum tells.
            bytes.resize(HEADER + MAX_PAYLOAD, 0);
            let mut victim = Victim::established();
            assert!(victim.feed(&bytes).is_some(), "byte {at}");
            assert_eq!(victim.0.status().counters.changes_applied, 0);
            assert_eq!(victim.0.status().counters.bad_frames, 1);
        }
    }
}

#[test]
fn a_long_frame_is_refused_before_it_is_read() {
    let mut bytes = header(Kind::Batch, 3, 1).encode(&[]);
    bytes[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    let reason = Victim::established().feed(&bytes);
    assert_eq!(
        reason.as_deref(),
        Some("frame of 4294967295 bytes, more than 32768")
    );
}

#[test]
fn text_is_not_a_frame() {
    let request = b"GET / HTTP/1.1\r\nHost: lb1\r\nUser-Agent: none in particular\r\n\r\n";
    assert_eq!(
        Victim::new().feed(request).as_deref(),
        Some("not a frame: magic 0x47455420")
    );
}

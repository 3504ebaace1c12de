//! Records and frames there and back.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use crate::frame::{FrameError, Header, Kind, MAX_PAYLOAD, first_frame};
use crate::message::{Hello, RecordWriter, decode_records};
use crate::{Change, Endpoint, FlowFlags, FlowIdentity, FlowRecord, FlowState};

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ];
    (address, any::<u16>()).prop_map(Endpoint::from)
}

fn state() -> impl Strategy<Value = FlowState> {
    prop_oneof![
        Just(FlowState::Opening),
        Just(FlowState::Established),
        Just(FlowState::ClientClosed),
        Just(FlowState::BackendClosed),
        Just(FlowState::Closing)
    ]
}

prop_compose! {
    fn upsert()(protocol: u8, client in endpoint(), vip in endpoint(), backend in endpoint(),
        snat in proptest::option::of(endpoint()), state in state(), age: u32, flags: u16) -> Change {
        let identity = FlowIdentity { protocol, client, vip };
        let (age, flags) = (Duration::from_millis(age.into()), FlowFlags(flags));
        Change::Upsert(FlowRecord { identity, backend, snat, state, age, flags })
    }
}

fn change() -> impl Strategy<Value = Change> {
    let delete = upsert().prop_map(|change| Change::Delete(*change.identity()));
    prop_oneof![upsert(), delete]
}

fn encode(changes: &[Change]) -> Vec<u8> {
    let mut writer = RecordWriter::new();
    for change in changes {
        assert!(!writer.is_full());
        writer.push(change);
    }
    writer.finish()
}

fn header(kind: Kind) -> Header {
    Header {
        version: 1,
        kind,
        epoch: 3,
        cluster: 4,
        node: 5,
        boot: 6,
        sequence: 7,
    }
}

proptest! {
    #[test]
    fn records_round_trip(changes in proptest::collection::vec(change(), 0..100)) {
        prop_assert_eq!(decode_records(Kind::Batch, &encode(&changes)), Ok((changes, 0)));
    }

    #[test]
    fn frames_round_trip(payload in proptest::collection::vec(any::<u8>(), 0..2000), rest in 0..100_usize) {
        let mut bytes = header(Kind::Batch).encode(&payload);
        let length = bytes.len();
        bytes.extend(vec![0xaa; rest]);
        let frame = first_frame(&bytes).unwrap().unwrap();
        prop_assert_eq!((frame.header, frame.payload, frame.length), (header(Kind::Batch), &payload[..], length));
    }

    #[test]
    fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_records(Kind::Batch, &payload);
        let _ = Hello::decode(&payload);
        let _ = first_frame(&payload);
    }

    #[test]
    fn no_damaged_record_panics(changes in proptest::collection::vec(change(), 1..5), at: prop::sample::Index, to: u8) {
        let mut payload = encode(&changes);
        let at = at.index(payload.len());
        payload[at] = to;
        let _ = decode_records(Kind::Batch, &payload);
    }

    #[test]
    fn a_full_writer_fits_a_frame(change in upsert()) {
        let mut writer = RecordWriter::new();
        while !writer.is_full() {
            writer.push(&change);
        }
        prop_assert!(writer.finish().len() <= MAX_PAYLOAD);
    }
}

#[test]
fn records_truncated_at_every_byte() {
    let record = super::world::record(0, 2, FlowState::Established);
    let payload = encode(&[Change::Upsert(record), Change::Delete(record.identity)]);
    for end in 0..payload.len() {
        let error = decode_records(Kind::Batch, &payload[..end]).unwrap_err();
        assert!(
            matches!(
                error,
                FrameError::Payload {
                    kind: Kind::Batch,
                    ..
                }
            ),
            "{end}: {error}"
        );
    }
}

#[test]
fn what_a_later_version_adds_is_skipped() {
    let record = super::world::record(0, 2, FlowState::Established);
    let known = encode(&[Change::Delete(record.identity)]);
    // A longer record, a kind of its own, and a family of its own.
    let mut payload = vec![0, 3];
    let length = known.len() - 4;
    payload.extend([0, u8::try_from(length + 2).unwrap()]);
    payload.extend(&known[4..]);
    payload.extend([9, 9]);
    payload.extend([0, 3, 77, 6, 1]);
    payload.extend([0, 4, 2, 6, 9, 9]);
    assert_eq!(
        decode_records(Kind::Batch, &payload),
        Ok((vec![Change::Delete(record.identity)], 2))
    );
}

//! Hellos on the wire.

use proptest::prelude::*;

use crate::{DecodeError, Hello, InstanceHello, MAX_HELLO, MAX_INSTANCES, Role, Standing};

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Joining),
        Just(Role::Backup),
        Just(Role::Master),
        Just(Role::Draining),
        Just(Role::Fault)
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Fresh),
        Just(Standing::Stale),
        Just(Standing::Current)
    ]
}

prop_compose! {
    fn instance()(name in "[a-z]{1,64}", role in role(), standing in standing(), holds: bool, priority: u32)
        -> InstanceHello {
        InstanceHello { name, role, holds, standing, priority }
    }
}

prop_compose! {
    fn hello()(node in "[a-z0-9.-]{1,64}", boot: u64, sequence: u64, draining: bool, uplink: bool, announces: bool,
        instances in proptest::collection::vec(instance(), 0..MAX_INSTANCES + 1)) -> Hello {
        Hello { node, boot, sequence, draining, uplink, announces, instances }
    }
}

fn sample() -> Hello {
    let instance = InstanceHello {
        name: "default".to_owned(),
        role: Role::Master,
        holds: true,
        standing: Standing::Current,
        priority: 200,
    };
    Hello {
        node: "lb1".to_owned(),
        boot: 0x0102_0304_0506_0708,
        sequence: 9,
        draining: false,
        uplink: true,
        announces: true,
        instances: vec![instance],
    }
}

#[test]
fn the_bytes_of_version_one() {
    let mut expected = vec![
        1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9, 3, b'l', b'b', b'1', 1,
    ];
    expected.extend([15, 3, 2, 1, 0, 0, 0, 200, 7]);
    expected.extend(b"default");
    assert_eq!(sample().encode(), expected);
}

#[test]
fn truncated_at_every_byte() {
    let bytes = sample().encode();
    for end in 0..bytes.len() {
        assert_eq!(Hello::decode(&bytes[..end]), Err(DecodeError::Truncated(end)));
    }
}

#[test]
fn wrong_fields_are_named() {
    let bytes = sample().encode();
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        Hello::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0), DecodeError::Version);
    assert_eq!(with(18, 0), DecodeError::Name(18));
    assert_eq!(with(19, b' '), DecodeError::Name(18));
    assert_eq!(with(19, 0xff), DecodeError::Name(18));
    assert_eq!(with(22, 65), DecodeError::TooMany(65));
    assert_eq!(with(24, 9), DecodeError::Code(24));
    assert_eq!(with(25, 3), DecodeError::Code(25));
    assert_eq!(with(23, 7), DecodeError::Truncated(31));
    assert_eq!(
        Hello::decode(&[1; MAX_HELLO + 1]),
        Err(DecodeError::TooLong(MAX_HELLO + 1))
    );
}

#[test]
fn what_a_later_version_appends_is_skipped() {
    let mut bytes = sample().encode();
    bytes[0] = 2;
    bytes[23] += 3;
    bytes.extend([1, 2, 3]);
    bytes.extend([9; 20]);
    assert_eq!(Hello::decode(&bytes), Ok(sample()));
}

proptest! {
    #[test]
    fn round_trip(hello in hello()) {
        let bytes = hello.encode();
        prop_assert!(bytes.len() <= MAX_HELLO);
        prop_assert_eq!(Hello::decode(&bytes), Ok(hello));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Hello::decode(&bytes);
    }

    #[test]
    fn no_damage_panics(hello in hello(), at: prop::sample::Index, value: u8) {
        let mut bytes = hello.encode();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = Hello::decode(&bytes);
    }
}

//! The bytes of a flow: a pure function of (flow, direction, offset).
//!
//! Both ends compute it, so nothing has to be stored to notice a byte that is lost, repeated, altered, or that belongs
//! to another flow.

/// Which way the bytes travel; the two directions of a flow carry different bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    const fn salt(self) -> u64 {
        match self {
            Self::ToServer => 0x5bf0_3635_dcd1_d867,
            Self::ToClient => 0xa24b_aed4_963e_e407,
        }
    }
}

/// Finaliser of splitmix64: neighbouring inputs give unrelated words.
const fn mix(value: u64) -> u64 {
    let a = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

/// The byte of a flow at an offset.
#[must_use]
pub fn byte(flow: u64, direction: Direction, offset: u64) -> u8 {
    let word = mix(mix(flow ^ direction.salt()).wrapping_add(offset >> 3));
    word.to_le_bytes()[(offset & 7) as usize]
}

/// Appends `length` bytes that start at `offset`.
pub fn append(out: &mut Vec<u8>, flow: u64, direction: Direction, offset: u64, length: usize) {
    out.extend((offset..).take(length).map(|at| byte(flow, direction, at)));
}

/// The offset of the first byte that is not what it has to be.
#[must_use]
pub fn first_difference(bytes: &[u8], flow: u64, direction: Direction, offset: u64) -> Option<u64> {
    (offset..)
        .zip(bytes)
        .find(|&(at, &found)| found != byte(flow, direction, at))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_verifies_and_any_change_is_located() {
        let mut bytes = Vec::new();
        append(&mut bytes, 7, Direction::ToServer, 13, 100);
        assert_eq!(first_difference(&bytes, 7, Direction::ToServer, 13), None);
        bytes[41] ^= 1;
        assert_eq!(
            first_difference(&bytes, 7, Direction::ToServer, 13),
            Some(13 + 41)
        );
    }

    #[test]
    fn another_flow_direction_or_offset_differs_within_a_few_bytes() {
        let mut bytes = Vec::new();
        append(&mut bytes, 7, Direction::ToServer, 0, 64);
        for (flow, direction, offset) in [
            (8, Direction::ToServer, 0),
            (7, Direction::ToClient, 0),
            (7, Direction::ToServer, 1),
        ] {
            let difference = first_difference(&bytes, flow, direction, offset);
            assert!(
                difference.is_some_and(|at| at < offset + 8),
                "{flow} {direction:?} {offset}"
            );
        }
    }
}

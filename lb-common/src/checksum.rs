//! One's complement arithmetic on words as they stand in the packet (RFC 1071 is independent of
//! byte order as long as nobody swaps).

use crate::Address;

/// Folds a sum of 16-bit words into one.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// What replacing `old` by `new` adds to a one's complement sum.
#[inline(always)]
pub const fn difference(old: u16, new: u16) -> u16 {
    fold((!old) as u32 + new as u32)
}

#[inline(always)]
const fn add(a: u16, b: u16) -> u16 {
    fold(a as u32 + b as u32)
}

/// Sum of an address; the constant part of a v4-mapped one cancels out in a difference.
#[inline(always)]
const fn sum(address: &Address) -> u16 {
    let mut sum = 0;
    let mut i = 0;
    while i < 4 {
        sum += (address.0[i] & 0xffff) + (address.0[i] >> 16);
        i += 1;
    }
    fold(sum)
}

/// What replacing a pair of addresses adds.
#[inline(always)]
pub(crate) const fn addresses(old: (&Address, &Address), new: (&Address, &Address)) -> u16 {
    add(
        difference(sum(old.0), sum(new.0)),
        difference(sum(old.1), sum(new.1)),
    )
}

/// What replacing a pair of ports adds.
#[inline(always)]
pub(crate) const fn ports(old: (u16, u16), new: (u16, u16)) -> u16 {
    add(difference(old.0, new.0), difference(old.1, new.1))
}

/// A checksum field after `delta` was added to what it covers (RFC 1624 equation 3).
#[inline(always)]
pub(crate) const fn updated(field: u16, delta: u16) -> u16 {
    !add(!field, delta)
}

/// The same for a transport checksum. RFC 768: in UDP 0 means "none" and is never a result.
#[inline(always)]
pub const fn transport(field: u16, addresses: u16, ports: u16, udp: bool) -> u16 {
    if udp && field == 0 {
        return 0;
    }
    match updated(field, add(addresses, ports)) {
        0 if udp => 0xffff,
        field => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(words: &[u16]) -> u16 {
        fold(words.iter().map(|&word| u32::from(word)).sum())
    }

    proptest! {
        #[test]
        fn an_updated_field_is_the_recomputed_one(mut words in prop::collection::vec(any::<u16>(), 8), new: u16) {
            let field = !whole(&words);
            let updated = updated(field, difference(words[3], new));
            words[3] = new;
            prop_assert_eq!(whole(&[whole(&words), updated]), 0xffff);
        }

        #[test]
        fn udp_never_turns_none_into_some_nor_back(field: u16, a: u16, b: u16) {
            prop_assert_eq!(transport(field, a, b, true) == 0, field == 0);
        }
    }
}

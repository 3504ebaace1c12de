//! The Maglev table of a service (Eisenbud et al., NSDI 2016, section 3.4), with weights.
//!
//! Both nodes of a pair must build the same table from the same service: the caller passes backends in
//! canonical order, the seeds are fixed, and everything is integer arithmetic.

use crate::Backend;
use crate::hash::mix;

/// Prime sizes; about a hundred rows a backend keep the shares within a percent.
const SIZES: [u32; 6] = [251, 1021, 4093, 16381, 65521, 131_071];

/// Rows for this many backends.
pub fn maglev_size(backends: usize) -> u32 {
    let wanted = backends.saturating_mul(100);
    SIZES
        .into_iter()
        .find(|&size| size as usize >= wanted)
        .unwrap_or(SIZES[5])
}

fn permutation(backend: &Backend, size: u64) -> (u64, u64) {
    let words = backend.address.0.map(|word| u64::from(u32::from_be(word)));
    let hash = words
        .into_iter()
        .chain([u64::from(backend.port.get())])
        .fold(0x6d61_676c, mix);
    (mix(hash, 1) % size, mix(hash, 2) % (size - 1) + 1)
}

/// Rows that hold indices into `backends`. Weight 0 takes no rows. Empty when nobody can.
pub fn maglev_table(backends: &[(Backend, u16)], size: u32) -> Vec<u32> {
    let heaviest = backends.iter().map(|&(_, weight)| weight).max().unwrap_or(0);
    if heaviest == 0 || size < 2 {
        return Vec::new();
    }
    let size = u64::from(size);
    let mut turns: Vec<(u64, u64, u64)> = backends
        .iter()
        .map(|(backend, _)| permutation(backend, size))
        .map(|(offset, skip)| (offset, skip, 0))
        .collect();
    let mut rows = vec![u32::MAX; size as usize];
    let mut filled = 0;
    loop {
        for (index, (row, skip, credit)) in turns.iter_mut().enumerate() {
            // A backend of a third of the heaviest weight takes a row every third turn.
            *credit += u64::from(backends.get(index).map_or(0, |&(_, weight)| weight));
            if *credit < u64::from(heaviest) {
                continue;
            }
            *credit -= u64::from(heaviest);
            while rows.get(*row as usize).is_some_and(|&taken| taken != u32::MAX) {
                *row = (*row + *skip) % size;
            }
            if let Some(slot) = rows.get_mut(*row as usize) {
                *slot = index as u32;
            }
            filled += 1;
            if filled == size {
                return rows;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Port;
    use std::net::Ipv4Addr;

    fn backends(count: u8) -> Vec<(Backend, u16)> {
        (1..=count)
            .map(|n| {
                let address = Ipv4Addr::new(10, 0, 2, n).into();
                (
                    Backend {
                        address,
                        port: Port::new(8080),
                        used: 1,
                    },
                    1,
                )
            })
            .collect()
    }

    fn share(rows: &[u32], index: u32) -> f64 {
        rows.iter().filter(|&&row| row == index).count() as f64 / rows.len() as f64
    }

    #[test]
    fn shares_follow_the_weights() {
        let mut backends = backends(3);
        backends[1].1 = 2;
        backends[2].1 = 0;
        let rows = maglev_table(&backends, 4093);
        assert!((share(&rows, 0) - 1.0 / 3.0).abs() < 0.01, "{}", share(&rows, 0));
        assert!((share(&rows, 1) - 2.0 / 3.0).abs() < 0.01, "{}", share(&rows, 1));
        assert_eq!(share(&rows, 2), 0.0);
    }

    #[test]
    fn removing_one_of_ten_moves_little_else() {
        let size = maglev_size(10);
        let before = maglev_table(&backends(10), size);
        let after = maglev_table(&backends(9), size);
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(b, a)| **b != 9 && a != b)
            .count();
        assert!(
            moved * 20 < before.len(),
            "{moved} of {} rows moved needlessly",
            before.len()
        );
    }

    #[test]
    fn nobody_to_choose_from_gives_no_rows() {
        assert!(maglev_table(&[], 251).is_empty());
        let mut one = backends(1);
        one[0].1 = 0;
        assert!(maglev_table(&one, 251).is_empty());
    }
}

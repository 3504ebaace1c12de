//! What of the peer's flows found no place here, since its snapshot began.
//!
//! A flow that the table has no room for is missing: whoever lacks it has not caught up. A flow of a service that is
//! unknown here could not be served with it either; that is for the configuration to put right.

use tracing::warn;

use crate::datapath::Applied;

#[derive(Debug, Default)]
pub(super) struct Misfits {
    full: u64,
    unknown: u64,
}

impl Misfits {
    /// Takes what became of some changes. Returns what is wrong, once for each snapshot and kind.
    pub(super) fn note(&mut self, peer: &str, applied: &Applied) -> Option<String> {
        let first = |sum: &mut u64, count: u64| {
            *sum += count;
            count > 0 && *sum == count
        };
        let unknown = first(&mut self.unknown, applied.unknown);
        if unknown {
            warn!(
                peer,
                "the peer has flows of services that are unknown here: are the services of both nodes the same?"
            );
        }
        if first(&mut self.full, applied.full) {
            let reason = "the flow table is full: flows of the peer are missing here (max-flows)";
            warn!(peer, reason);
            return Some(reason.to_owned());
        }
        unknown.then(|| "flows of services that are unknown here were refused".to_owned())
    }

    /// Flows that are missing for want of room.
    pub(super) fn missing(&self) -> u64 {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once() {
        let full = Applied {
            full: 2,
            ..Applied::default()
        };
        let unknown = Applied {
            refused: 1,
            unknown: 1,
            ..Applied::default()
        };
        let mut misfits = Misfits::default();
        assert_eq!(misfits.note("lb2", &Applied::default()), None);
        assert!(misfits.note("lb2", &unknown).unwrap().contains("unknown"));
        assert_eq!((misfits.note("lb2", &unknown), misfits.missing()), (None, 0));
        assert!(misfits.note("lb2", &full).unwrap().contains("max-flows"));
        assert_eq!((misfits.note("lb2", &full), misfits.missing()), (None, 4));
    }
}

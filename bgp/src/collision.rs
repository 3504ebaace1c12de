//! Which of two connections with the same neighbour lives (RFC 4271 section 6.8).
//!
//! A pure function that both speakers evaluate with the roles exchanged; it must never make them disagree while
//! both connections are in the same phase on both sides.
use std::net::Ipv4Addr;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initiator {
    Local,
    Remote,
}

/// How far the other connection is when an OPEN arrives on this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No OPEN received: whose it is, is not known yet.
    Opening,
    Confirmed,
    Established,
}

/// Ordered by BGP identifier, then by AS (RFC 6286 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) identifier: Ipv4Addr,
    pub(crate) asn: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    KeepBoth,
    CloseExisting,
    CloseNew,
}

/// `new` is the connection on which an OPEN has just arrived.
pub(crate) fn resolve(
    local: Identity,
    remote: Identity,
    existing: (Initiator, Phase),
    new: Initiator,
) -> Verdict {
    match existing {
        (_, Phase::Opening) => Verdict::KeepBoth,
        (_, Phase::Established) => Verdict::CloseNew,
        // The initiator has given the older one up, or it would not have opened another.
        (initiator, Phase::Confirmed) if initiator == new => Verdict::CloseExisting,
        // The connection opened by the greater speaker survives.
        (initiator, Phase::Confirmed) => {
            let survivor = if local < remote {
                Initiator::Remote
            } else {
                Initiator::Local
            };
            if initiator == survivor {
                Verdict::CloseNew
            } else {
                Verdict::CloseExisting
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Initiator::{Local, Remote};
    use Phase::{Confirmed, Established, Opening};
    use Verdict::{CloseExisting, CloseNew, KeepBoth};

    fn identity(last: u8, asn: u32) -> Identity {
        Identity {
            identifier: Ipv4Addr::new(10, 0, 0, last),
            asn,
        }
    }

    #[test]
    fn matrix() {
        let (low, high) = (identity(1, 65001), identity(2, 65000));
        let (low_as, high_as) = (identity(1, 65001), identity(1, 65002));
        let greater = [(high, low), (high_as, low_as)];
        for (local, remote) in greater {
            let rows = [
                ((Remote, Confirmed), Local, CloseExisting),
                ((Local, Confirmed), Remote, CloseNew),
                ((Remote, Opening), Local, KeepBoth),
                ((Local, Opening), Remote, KeepBoth),
                ((Remote, Established), Local, CloseNew),
                ((Local, Established), Remote, CloseNew),
                ((Remote, Confirmed), Remote, CloseExisting),
                ((Local, Confirmed), Local, CloseExisting),
            ];
            for (existing, new, verdict) in rows {
                assert_eq!(
                    resolve(local, remote, existing, new),
                    verdict,
                    "{existing:?} {new:?}"
                );
            }
        }
        for (remote, local) in greater {
            let rows = [
                ((Remote, Confirmed), Local, CloseNew),
                ((Local, Confirmed), Remote, CloseExisting),
                ((Remote, Opening), Local, KeepBoth),
                ((Local, Opening), Remote, KeepBoth),
                ((Remote, Established), Local, CloseNew),
                ((Local, Established), Remote, CloseNew),
            ];
            for (existing, new, verdict) in rows {
                assert_eq!(
                    resolve(local, remote, existing, new),
                    verdict,
                    "{existing:?} {new:?}"
                );
            }
        }
    }

    #[test]
    fn both_speakers_close_the_same_connection() {
        let (a, b) = (identity(1, 65001), identity(2, 65000));
        // Seen from a, connection 1 is Local; seen from b it is Remote.
        for new_is_first in [false, true] {
            let (a_existing, a_new) = if new_is_first {
                (Remote, Local)
            } else {
                (Local, Remote)
            };
            let (b_existing, b_new) = (a_new, a_existing);
            assert_eq!(
                resolve(a, b, (a_existing, Confirmed), a_new),
                resolve(b, a, (b_existing, Confirmed), b_new)
            );
        }
    }
}

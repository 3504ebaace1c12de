//! What news of a session mean for those who depend on it.

use bfd::State;

use super::News;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Up,
    /// Up, but it has failed before and has to stay for a while before it counts ([`bfd::HoldDown`]).
    Held,
    /// The path has failed.
    Down,
    /// The peer has ended the session on purpose, which says nothing about the path (RFC 5882 section 4.2).
    TakenDown,
    /// The same, by an operator here: whoever depends on it goes on without it.
    Disabled,
    /// There is no such session any more.
    Gone,
}

impl News {
    /// `None`: nothing that anybody has to act upon.
    pub fn verdict(&self) -> Option<Verdict> {
        let change = match self {
            Self::Usable => return Some(Verdict::Up),
            Self::Gone => return Some(Verdict::Gone),
            Self::State(change) => change,
        };
        match (change.from, change.to) {
            (_, State::Up) if change.usable => Some(Verdict::Up),
            (_, State::Up) => Some(Verdict::Held),
            (_, State::AdminDown) => Some(Verdict::Disabled),
            (State::Up, _) if change.is_planned() => Some(Verdict::TakenDown),
            (State::Up, _) => Some(Verdict::Down),
            (State::AdminDown | State::Down | State::Init, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Instant;

    use bfd::{Diagnostic, Hops, Path, SessionId};

    use super::*;

    fn change(from: State, to: State) -> bfd::Change {
        bfd::Change {
            session: SessionId(1),
            path: Path {
                local: IpAddr::from([10, 0, 0, 1]),
                remote: IpAddr::from([10, 0, 0, 2]),
                interface: None,
                hops: Hops::Single,
            },
            from,
            to,
            usable: to == State::Up,
            diagnostic: Diagnostic::DetectionTimeExpired,
            remote_state: State::Up,
            remote_diagnostic: Diagnostic::None,
            remote_independent: false,
            last_packet: Some(Instant::now()),
            detection_time: None,
        }
    }

    #[test]
    fn what_each_change_means() {
        use State::{AdminDown, Down, Init, Up};
        let verdict = |change| News::State(change).verdict();
        let up = change(Init, Up);
        let down = change(Up, Down);
        let told = bfd::Change {
            diagnostic: Diagnostic::NeighborSignaledDown,
            remote_state: AdminDown,
            ..down
        };
        assert_eq!(verdict(up), Some(Verdict::Up));
        assert_eq!(verdict(bfd::Change { usable: false, ..up }), Some(Verdict::Held));
        assert_eq!(verdict(down), Some(Verdict::Down));
        assert_eq!(verdict(told), Some(Verdict::TakenDown));
        for from in [Down, Init, Up] {
            assert_eq!(
                verdict(change(from, AdminDown)),
                Some(Verdict::Disabled),
                "{from}"
            );
        }
        for (from, to) in [(Down, Init), (Init, Down), (AdminDown, Down)] {
            assert_eq!(verdict(change(from, to)), None, "{from} {to}");
        }
        assert_eq!(News::Usable.verdict(), Some(Verdict::Up));
        assert_eq!(News::Gone.verdict(), Some(Verdict::Gone));
    }
}

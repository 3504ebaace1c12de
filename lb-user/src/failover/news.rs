//! What BFD tells, and what it means for those who depend on a session.
//!
//! A session counts from when it is usable, which may be later than Up ([`bfd::HoldDown`]), until it leaves Up.

use api::Value;
use bfd::State;

use super::uplink::Verdict;
use crate::bfd_thread::News;
use crate::desired::SessionKey;
use crate::timeline::moment_of;

/// What it means for those who depend on the session. `None`: nothing that anybody has to act upon.
pub(super) fn verdict(news: &News) -> Option<Verdict> {
    match news {
        News::Usable => Some(Verdict::Up),
        News::State(change) if change.to == State::Up => change.usable.then_some(Verdict::Up),
        News::State(change) if change.from == State::Up => Some(match change.is_planned() {
            // RFC 5882 section 4.2: what is taken down on purpose says nothing about the path.
            true => Verdict::TakenDown,
            false => Verdict::Down,
        }),
        News::State(_) => None,
    }
}

/// Up, but it does not count yet because it has failed before.
pub(super) fn is_held(change: &bfd::Change) -> bool {
    change.to == State::Up && !change.usable
}

/// Fields of every event of a session.
pub(super) fn session_fields(session: &SessionKey) -> Vec<(&'static str, Value)> {
    vec![
        ("session", session.to_string().into()),
        ("remote", session.remote.to_string().into()),
        ("interface", session.interface.clone().into()),
    ]
}

/// Fields of the event `bfd-state`.
pub(super) fn state_fields(session: &SessionKey, change: &bfd::Change) -> Vec<(&'static str, Value)> {
    let mut fields = session_fields(session);
    fields.extend([
        ("local", change.path.local.to_string().into()),
        ("from", word(change.from).into()),
        ("to", word(change.to).into()),
        ("usable", change.usable.into()),
        ("diagnostic", change.diagnostic.to_string().into()),
        ("remote_diagnostic", change.remote_diagnostic.to_string().into()),
        ("last_packet_ns", change.last_packet.map(moment_of).into()),
    ]);
    let silence = change
        .detection_time
        .and_then(|silence| u64::try_from(silence.as_micros()).ok());
    fields.extend(silence.map(|micros| ("detection_time_us", micros.into())));
    fields
}

pub(super) fn word(state: State) -> String {
    state.to_string().to_ascii_lowercase()
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
    fn a_session_counts_while_it_is_usable() {
        let up = change(State::Init, State::Up);
        let held = bfd::Change { usable: false, ..up };
        let down = change(State::Up, State::Down);
        let told = bfd::Change {
            diagnostic: Diagnostic::NeighborSignaledDown,
            remote_state: State::AdminDown,
            ..down
        };
        let state = |change| verdict(&News::State(change));
        assert_eq!(state(up), Some(Verdict::Up));
        assert_eq!(state(held), None, "it has failed before");
        assert!(is_held(&held) && !is_held(&up) && !is_held(&down));
        assert_eq!(verdict(&News::Usable), Some(Verdict::Up));
        assert_eq!(state(down), Some(Verdict::Down));
        assert_eq!(state(told), Some(Verdict::TakenDown));
        assert_eq!(
            state(change(State::Up, State::AdminDown)),
            Some(Verdict::TakenDown)
        );
        assert_eq!(state(change(State::Down, State::Init)), None);
    }
}

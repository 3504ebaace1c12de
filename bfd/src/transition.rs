//! The state machine of RFC 5880 section 6.2 and 6.8.6 as one pure function: no timers, no packets.

use std::time::Duration;

use crate::{Diagnostic, State};

/// What can move a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A valid packet that carries this state of the peer.
    Received(State),
    /// After so long without a packet, or without an answer to a Poll Sequence.
    DetectionTimeExpired(Duration),
    /// Echo packets no longer come back.
    EchoFailed,
    /// The link below lost its carrier.
    PathDown,
    AdminDown,
    AdminUp,
}

/// The new state and its diagnostic, or `None` where nothing changes.
pub(crate) fn next(state: State, event: Event) -> Option<(State, Diagnostic)> {
    use State::{AdminDown, Down, Init, Up};
    match (state, event) {
        (AdminDown, Event::AdminUp) => Some((Down, Diagnostic::None)),
        // Nothing but the administrator ends AdminDown (RFC 5880 section 6.8.16).
        (AdminDown, _) | (Down | Init | Up, Event::AdminUp) => None,
        (Down | Init | Up, Event::AdminDown) => Some((AdminDown, Diagnostic::AdministrativelyDown)),
        (Down, Event::Received(Down)) => Some((Init, Diagnostic::None)),
        (Down, Event::Received(Init)) => Some((Up, Diagnostic::None)),
        // A peer that still is Up has not noticed our Down yet.
        (
            Down,
            Event::Received(Up | AdminDown)
            | Event::DetectionTimeExpired(_)
            | Event::EchoFailed
            | Event::PathDown,
        ) => None,
        (Init, Event::Received(Init | Up)) => Some((Up, Diagnostic::None)),
        (Init, Event::Received(Down)) => None,
        (Up, Event::Received(Down)) => Some((Down, Diagnostic::NeighborSignaledDown)),
        (Up, Event::Received(Init | Up)) => None,
        (Init | Up, Event::Received(AdminDown)) => Some((Down, Diagnostic::NeighborSignaledDown)),
        // RFC 5880 section 6.8.4.
        (Init | Up, Event::DetectionTimeExpired(_)) => Some((Down, Diagnostic::DetectionTimeExpired)),
        // RFC 5880 section 6.8.5.
        (Init | Up, Event::EchoFailed) => Some((Down, Diagnostic::EchoFailed)),
        (Init | Up, Event::PathDown) => Some((Down, Diagnostic::PathDown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{AdminDown, Down, Init, Up};

    const EVENTS: [Event; 9] = [
        Event::Received(AdminDown),
        Event::Received(Down),
        Event::Received(Init),
        Event::Received(Up),
        Event::DetectionTimeExpired(Duration::ZERO),
        Event::EchoFailed,
        Event::PathDown,
        Event::AdminDown,
        Event::AdminUp,
    ];

    /// Row: state. Column: event, in the order of `EVENTS`. Written from the figure in RFC 5880 section
    /// 6.2 and the procedure in 6.8.6, independently of the function.
    #[test]
    fn every_state_and_event() {
        let stay = None;
        let neighbor = Some((Down, Diagnostic::NeighborSignaledDown));
        let expired = Some((Down, Diagnostic::DetectionTimeExpired));
        let echo = Some((Down, Diagnostic::EchoFailed));
        let path = Some((Down, Diagnostic::PathDown));
        let admin = Some((AdminDown, Diagnostic::AdministrativelyDown));
        let to = |state| Some((state, Diagnostic::None));
        let table = [
            (
                AdminDown,
                [stay, stay, stay, stay, stay, stay, stay, stay, to(Down)],
            ),
            (
                Down,
                [stay, to(Init), to(Up), stay, stay, stay, stay, admin, stay],
            ),
            (
                Init,
                [neighbor, stay, to(Up), to(Up), expired, echo, path, admin, stay],
            ),
            (
                Up,
                [neighbor, neighbor, stay, stay, expired, echo, path, admin, stay],
            ),
        ];
        assert_eq!(table.map(|(state, _)| state), State::ALL);
        for (state, row) in table {
            for (event, expected) in EVENTS.into_iter().zip(row) {
                assert_eq!(next(state, event), expected, "{state} on {event:?}");
            }
        }
    }

    #[test]
    fn a_change_never_stays_in_the_same_state() {
        for state in State::ALL {
            for event in EVENTS {
                assert!(
                    next(state, event).is_none_or(|(to, _)| to != state),
                    "{state} on {event:?}"
                );
            }
        }
    }
}

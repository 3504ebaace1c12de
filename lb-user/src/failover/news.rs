//! What BFD tells, as the timeline shows it.

use api::Value;
use bfd::State;

use crate::desired::SessionKey;
use crate::timeline::moment_of;

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

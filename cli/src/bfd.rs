//! `batonctl get bfd`, `describe bfd`, `set bfd` and `bfd enable|disable`.

mod change;
mod describe;
mod interval;

use api::{BfdSession, Delays, path};

use self::change::named;
pub(crate) use self::change::{Change, Order};
pub(crate) use self::describe::Describe;
use self::interval::short;
use crate::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Format, age, or_dash, show, table};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Address of the peer (`fe80::1%eth1` on an interface); all sessions without it.
    session: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let sessions: Vec<BfdSession> = match &self.session {
            // The daemon knows which one is meant.
            Some(session) => vec![one(client, session)?],
            None => client.get(path::BFD)?,
        };
        let format = self.output.output;
        show(format, &sessions, |sessions| match format {
            Format::Wide => wide(sessions),
            Format::Table | Format::Json => narrow(sessions),
        })
    }
}

fn one(client: &Client, session: &str) -> Result<BfdSession, Failure> {
    let session = client.get(&named(path::BFD_SESSION, session));
    session.map_err(|failure| failure.absent("bfd"))
}

fn narrow(sessions: &[BfdSession]) -> String {
    table(
        [
            "REMOTE",
            "LOCAL",
            "STATE",
            "SINCE",
            "TX",
            "DETECTION",
            "SENT",
            "RECEIVED",
            "DOWNS",
            "DIAGNOSTIC",
        ],
        sessions.iter().map(row),
    )
}

fn row(session: &BfdSession) -> [String; 10] {
    [
        session.name().to_owned(),
        or_dash(&session.local),
        state(session),
        age(session.since_ms),
        short(session.transmit_interval_us),
        short(session.detection_time_us),
        session.transmitted.to_string(),
        session.received.to_string(),
        session.downs.to_string(),
        or_dash(&session.diagnostic),
    ]
}

fn wide(sessions: &[BfdSession]) -> String {
    table(
        [
            "REMOTE",
            "LOCAL",
            "INTERFACE",
            "STATE",
            "SINCE",
            "HOPS",
            "TX/RX-WANTED",
            "TX/RX",
            "DETECTION",
            "MULT/REMOTE",
            "AUTH",
            "ECHO",
            "DEMAND",
            "HOLD-DOWN",
            "LAST-DOWN",
            "JITTER-P50/P99/MAX",
            "SENT",
            "RECEIVED",
            "DISCARDED",
            "UPS/DOWNS",
            "USED-BY",
        ],
        sessions.iter().map(wide_row),
    )
}

fn wide_row(session: &BfdSession) -> [String; 21] {
    [
        session.name().to_owned(),
        or_dash(&session.local),
        or_dash(&session.interface),
        state(session),
        age(session.since_ms),
        hops(session),
        pair(
            session.desired_transmit_interval_us,
            session.required_receive_interval_us,
        ) + if session.overridden.is_some() { "*" } else { "" },
        pair(session.transmit_interval_us, session.receive_interval_us),
        short(session.detection_time_us),
        format!("{}/{}", session.multiplier, session.remote_multiplier),
        authentication(session),
        echo(session),
        demand(session),
        hold_down(session),
        last_down(session),
        jitter(&session.receive_jitter),
        session.transmitted.to_string(),
        session.received.to_string(),
        session.discarded.to_string(),
        format!("{}/{}", session.ups, session.downs),
        or_dash(&session.users.join(",")),
    ]
}

/// Held back is another kind of up, and an operator's word says more than `admin-down`.
fn state(session: &BfdSession) -> String {
    match (session.state.as_str(), session.hold_down_left_ms) {
        ("up", Some(_)) => "held".to_owned(),
        ("admin-down", _) if !session.enabled => "disabled".to_owned(),
        (state, _) => state.to_owned(),
    }
}

fn pair(one: u64, other: u64) -> String {
    format!("{}/{}", short(one), short(other))
}

fn hops(session: &BfdSession) -> String {
    match session.multihop {
        true => format!("multi,ttl>={}", session.minimum_ttl),
        false => "single".to_owned(),
    }
}

fn authentication(session: &BfdSession) -> String {
    match (session.key_id, &session.key_algorithm) {
        (Some(id), Some(algorithm)) => format!("{id}:{algorithm}"),
        (None | Some(_), _) => "-".to_owned(),
    }
}

fn echo(session: &BfdSession) -> String {
    match (session.echo_interval_us, session.echo_proven) {
        (Some(interval), true) => short(interval),
        (Some(interval), false) => format!("{},unproven", short(interval)),
        (None, _) if session.echo_transmit_interval_us.is_some() => "waiting".to_owned(),
        (None, _) => "-".to_owned(),
    }
}

fn demand(session: &BfdSession) -> String {
    match (session.demand, session.remote_demand) {
        (true, true) => "both",
        (true, false) => "ours",
        (false, true) => "remote",
        (false, false) => "-",
    }
    .to_owned()
}

fn hold_down(session: &BfdSession) -> String {
    session.hold_down_left_ms.map_or("-".to_owned(), age)
}

fn last_down(session: &BfdSession) -> String {
    match &session.last_down {
        Some(down) => format!("{} ago: {}", age(down.age_ms), down.diagnostic),
        None => "-".to_owned(),
    }
}

fn jitter(delays: &Delays) -> String {
    if delays.count == 0 {
        return "-".to_owned();
    }
    [delays.p50_us, delays.p99_us, delays.max_us].map(short).join("/")
}

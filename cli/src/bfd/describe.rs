//! Everything about one session.

use api::BfdSession;

use super::interval::short;
use super::{authentication, demand, echo, hops, jitter, one, state};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Format, age, line, or_dash, show, yes};

#[derive(clap::Args)]
pub(crate) struct Describe {
    /// Address of the peer (`fe80::1%eth1` on an interface).
    session: String,
}

impl Describe {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let session = one(client, &self.session)?;
        show(Format::Table, &session, described)
    }
}

/// Sections of `name  value` lines.
fn described(session: &BfdSession) -> String {
    let mut lines = vec![
        line("session", session.name()),
        line("used by", &or_dash(&session.users.join(", "))),
        line(
            "state",
            &format!(
                "{} for {}, peer {}",
                state(session),
                age(session.since_ms),
                or_dash(&session.remote_state)
            ),
        ),
        line("usable", &usable(session)),
        line("last down", &last_down(session)),
        line(
            "diagnostic",
            &diagnostics(&session.diagnostic, &session.remote_diagnostic),
        ),
        line(
            "ends",
            &format!("{} -> {}", or_dash(&session.local), session.remote),
        ),
        line("interface", &or_dash(&session.interface)),
        line("hops", &hops(session)),
        line(
            "role",
            &format!(
                "{}, unsolicited {}",
                if session.passive { "passive" } else { "active" },
                yes(session.unsolicited)
            ),
        ),
        line(
            "discriminators",
            &format!(
                "{:#010x}, peer {:#010x}",
                session.local_discriminator, session.remote_discriminator
            ),
        ),
        line("authentication", &authentication(session)),
    ];
    lines.extend(timing(session));
    lines.extend(functions(session));
    lines.extend(counters(session));
    lines.join("\n")
}

fn usable(session: &BfdSession) -> String {
    match session.hold_down_left_ms {
        Some(left) => format!("in {}, because it has failed before", age(left)),
        None => yes(session.usable),
    }
}

fn last_down(session: &BfdSession) -> String {
    match &session.last_down {
        Some(down) => format!(
            "{} ago{}: {}",
            age(down.age_ms),
            if down.planned { ", as planned" } else { "" },
            diagnostics(&down.diagnostic, &down.remote_diagnostic)
        ),
        None => "never".to_owned(),
    }
}

fn diagnostics(ours: &str, remote: &str) -> String {
    format!("{}, peer {}", or_dash(ours), or_dash(remote))
}

fn timing(session: &BfdSession) -> Vec<String> {
    let wanted = |transmit, receive, multiplier| {
        format!(
            "transmit {}, receive {}, multiplier {multiplier}",
            short(transmit),
            short(receive)
        )
    };
    let ours = wanted(
        session.desired_transmit_interval_us,
        session.required_receive_interval_us,
        session.multiplier,
    );
    let remote = wanted(
        session.remote_desired_transmit_interval_us,
        session.remote_required_receive_interval_us,
        session.remote_multiplier,
    );
    let mut lines = vec![
        String::new(),
        "timing".to_owned(),
        line("  this node wants", &ours),
        line("  the peer wants", &remote),
        line(
            "  agreed",
            &format!(
                "transmit {}, receive {}, detection {}{}",
                short(session.transmit_interval_us),
                short(session.receive_interval_us),
                short(session.detection_time_us),
                if session.polling { ", polling" } else { "" }
            ),
        ),
        line(
            "  receive jitter",
            &format!("{} (p50/p99/max)", jitter(&session.receive_jitter)),
        ),
    ];
    if let Some(change) = &session.overridden {
        let part = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
        let parts = [
            part("transmit", change.transmit_interval_us.map(short)),
            part("receive", change.receive_interval_us.map(short)),
            part(
                "multiplier",
                change.multiplier.map(|multiplier| multiplier.to_string()),
            ),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        lines.push(line(
            "  by an operator",
            &format!(
                "{}; `batonctl set bfd {} --reset` takes it back",
                parts.join(", "),
                session.name()
            ),
        ));
    }
    lines
}

fn functions(session: &BfdSession) -> Vec<String> {
    let time = |time: Option<u64>| time.map_or("-".to_owned(), short);
    vec![
        String::new(),
        "functions".to_owned(),
        line(
            "  hold-down",
            &format!(
                "first {}, longest {}, held returns {}",
                age(session.hold_down_first_ms),
                age(session.hold_down_longest_ms),
                session.held
            ),
        ),
        line(
            "  demand",
            &format!(
                "{}, verified every {}",
                demand(session),
                time(session.demand_interval_us)
            ),
        ),
        line(
            "  echo",
            &format!(
                "{}, round trip {}, sent {}, returned {}",
                echo(session),
                time(session.echo_round_trip_us),
                session.echo_transmitted,
                session.echo_returned
            ),
        ),
        line(
            "  echo of the peer",
            &format!("at most every {}", time(session.echo_receive_interval_us)),
        ),
        line("  independent peer", &yes(session.remote_independent)),
    ]
}

fn counters(session: &BfdSession) -> Vec<String> {
    let reasons: Vec<String> = session
        .discards
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    vec![
        String::new(),
        "counters".to_owned(),
        line(
            "  packets",
            &format!("sent {}, received {}", session.transmitted, session.received),
        ),
        line(
            "  sessions",
            &format!("up {}, down {}", session.ups, session.downs),
        ),
        line(
            "  last packet",
            &session
                .last_packet_ms
                .map_or("-".to_owned(), |ms| format!("{} ago", age(ms))),
        ),
        line(
            "  discarded",
            &format!("{}: {}", session.discarded, or_dash(&reasons.join(", "))),
        ),
        line("  polls unanswered", &session.polls_unanswered.to_string()),
    ]
}

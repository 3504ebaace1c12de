//! `batonctl timeline`.

use api::{Event, Value, path};

use crate::Output;
use crate::client::{Client, encoded};
use crate::failure::Failure;
use crate::output::{show, table};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Only events that are not older, for example 10m.
    #[arg(long, value_name = "AGE")]
    last: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let path = match &self.last {
            None => path::TIMELINE.to_owned(),
            Some(last) => format!("{}?last={}", path::TIMELINE, encoded(last)),
        };
        let events: Vec<Event> = client.get(&path)?;
        show(self.output.output, &events, |events| text(events))
    }
}

/// Milliseconds before the newest event tell a failover at a glance.
fn text(events: &[Event]) -> String {
    let newest = events.last().map_or(0, |event| event.monotonic_ns);
    let rows = events.iter().map(|event| {
        [
            seconds(event.monotonic_ns),
            before(newest - event.monotonic_ns.min(newest)),
            event.kind.clone(),
            fields(event),
        ]
    });
    table(["MONOTONIC", "BEFORE-LAST", "EVENT", "FIELDS"], rows)
}

fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns / 1000 % 1_000_000)
}

fn before(ns: u64) -> String {
    format!("-{}.{:03}ms", ns / 1_000_000, ns / 1000 % 1000)
}

fn fields(event: &Event) -> String {
    let fields: Vec<String> = event
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    fields.join(" ")
}

/// A text without quotes where that is unambiguous; on one line in any case.
fn shown(value: &Value) -> String {
    let ambiguous = |c: char| c.is_whitespace() || c.is_control() || c == '"';
    match value.as_str() {
        Some(text) if !text.is_empty() && !text.contains(ambiguous) => text.to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_apart_and_on_one_line() {
        let fields_of = |values: &[(&str, Value)]| {
            let named = values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()));
            super::fields(&Event {
                fields: named.collect(),
                ..Event::default()
            })
        };
        let shown = fields_of(&[
            ("cause", "lone start".into()),
            ("n", 3.into()),
            ("to", "master".into()),
            ("why", "a\nb".into()),
        ]);
        assert_eq!(shown, r#"cause="lone start" n=3 to=master why="a\nb""#);
    }

    #[test]
    fn ages_cannot_change_the_query() {
        assert_eq!(encoded("10m"), "10m");
        assert_eq!(encoded("1 h&x=1"), "1%20h%26x%3D1");
    }
}

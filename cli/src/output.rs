//! Tables and JSON on standard output.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    /// A table with more columns, where there are more.
    Wide,
    Json,
}

/// Writes `value` as JSON, or as the table that `table` makes of it.
pub(crate) fn show<T: Serialize + ?Sized>(
    format: Format,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let mut text = match format {
        Format::Table | Format::Wide => table(value),
        Format::Json => serde_json::to_string_pretty(value).map_err(|error| Failure::Output(error.into()))?,
    };
    text.push('\n');
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Failure::Output)
}

/// Columns without borders, as kubectl has them; every row on one line.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// `1d4h`, `3h12m`, `5m30s`, `12s`, `250ms`: two units are enough to read.
pub(crate) fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds) {
        (0, 0, 0, 0) => format!("{milliseconds}ms"),
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{}s", seconds % 60),
        (0, hours, minutes, _) => format!("{hours}h{minutes}m"),
        (days, hours, _, _) => format!("{days}d{hours}h"),
    }
}

/// A cell that may be empty.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}

/// A line of a description.
pub(crate) fn line(name: &str, value: &str) -> String {
    format!("{name:<18}  {value}")
}

pub(crate) fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// Those that `wanted` names, all without one; none is a negative answer.
pub(crate) fn select<T>(
    rows: Vec<T>,
    noun: &str,
    wanted: Option<&String>,
    names: impl Fn(&T, &str) -> bool,
) -> Result<Vec<T>, Failure> {
    let Some(wanted) = wanted else { return Ok(rows) };
    let rows: Vec<T> = rows.into_iter().filter(|row| names(row, wanted)).collect();
    if rows.is_empty() {
        return Err(Failure::Negative(format!(
            "there is no {noun} `{wanted}`; `batonctl get {noun}` lists all"
        )));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        let shown = [0, 999, 59_000, 61_000, 3_720_000, 90_000_000].map(age);
        assert_eq!(shown, ["0ms", "999ms", "59s", "1m1s", "1h2m", "1d1h"]);
    }

    #[test]
    fn tables_are_aligned_and_end_without_blanks() {
        let text = table(["NAME", "PORT"], [["a-long-name".to_owned(), "80".to_owned()]]);
        assert_eq!(text, "NAME         PORT\na-long-name  80");
    }
}

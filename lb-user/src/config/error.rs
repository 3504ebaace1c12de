//! Errors of a configuration, shown where they are.

use std::fmt;
use std::ops::Range;

use super::secrets;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Bytes of the text that are at fault.
    pub span: Option<Range<usize>>,
    /// For example `bgp.neighbor.hold-time`; empty where the text itself is not understood.
    pub key: String,
    pub reason: String,
}

/// Everything that was found, with the lines it was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    shown: String,
    findings: Vec<Finding>,
}

impl ConfigError {
    pub(super) fn new(name: &str, text: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
        let shown: Vec<String> = findings.iter().map(|finding| show(name, text, finding)).collect();
        ConfigError {
            shown: shown.join("\n"),
            findings,
        }
    }

    pub(super) fn unreadable(name: &str, reason: &str) -> Self {
        let finding = Finding {
            span: None,
            key: String::new(),
            reason: reason.to_owned(),
        };
        ConfigError {
            shown: format!("{name}: {reason}"),
            findings: vec![finding],
        }
    }

    /// By position in the file.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::error::Error for ConfigError {}

/// Each finding on one line, by position.
pub(super) fn lines(name: &str, text: &str, mut findings: Vec<Finding>) -> Vec<String> {
    findings.sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
    findings
        .iter()
        .map(|finding| place(name, text, finding).headline)
        .collect()
}

/// Where a finding is.
struct Place<'a> {
    /// `name:line:column: key: reason`.
    headline: String,
    line: &'a str,
    /// Byte of the text at which the line starts.
    start: usize,
    number: usize,
    column: usize,
}

fn place<'a>(name: &str, text: &'a str, finding: &Finding) -> Place<'a> {
    let what = match finding.key.as_str() {
        "" => finding.reason.clone(),
        key => format!("{key}: {}", finding.reason),
    };
    let Some(span) = &finding.span else {
        return Place {
            headline: format!("{name}: {what}"),
            line: "",
            start: 0,
            number: 0,
            column: 0,
        };
    };
    let before = text.get(..span.start).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let number = before.matches('\n').count() + 1;
    let column = before.get(start..).map_or(0, |prefix| prefix.chars().count());
    Place {
        headline: format!("{name}:{number}:{}: {what}", column + 1),
        line: text
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or(""),
        start,
        number,
        column,
    }
}

/// The headline, the line, and carets below the span.
fn show(name: &str, text: &str, finding: &Finding) -> String {
    let Place {
        headline,
        line,
        start,
        number,
        column,
    } = place(name, text, finding);
    let Some(span) = finding.span.clone() else {
        return headline;
    };
    let end = span.end.min(start + line.len());
    let width = text
        .get(span.start..end)
        .map_or(0, |marked| marked.chars().count())
        .max(1);
    let margin = " ".repeat(number.to_string().len());
    // Tabs stay tabs below the line, so that the carets stand where the eye expects them.
    let indent: String = line
        .chars()
        .take(column)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let carets = "^".repeat(width);
    let line = secrets::masked(text, start, line);
    format!("{headline}\n{margin} |\n{number} | {line}\n{margin} | {indent}{carets}")
}

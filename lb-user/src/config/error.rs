//! Errors of a configuration, shown where they are.

use std::fmt;
use std::ops::Range;

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

/// `name:line:column: key: reason`, the line, and carets below the span.
fn show(name: &str, text: &str, finding: &Finding) -> String {
    let what = match finding.key.as_str() {
        "" => finding.reason.clone(),
        key => format!("{key}: {}", finding.reason),
    };
    let Some(span) = finding.span.clone() else {
        return format!("{name}: {what}");
    };
    let before = text.get(..span.start).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let number = before.matches('\n').count() + 1;
    let line = text
        .get(start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or("");
    let column = before.get(start..).map_or(0, |prefix| prefix.chars().count());
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
    format!(
        "{name}:{number}:{}: {what}\n{margin} |\n{number} | {line}\n{margin} | {indent}{carets}",
        column + 1
    )
}

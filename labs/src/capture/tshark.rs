//! Questions to tshark about a capture file.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::lab::Protocol;

/// Between the values of a field within a frame: occurs in none of them.
const AGGREGATOR: char = ';';

/// The protocols under test. Marks that tshark puts on others are not ours: on TCP, for instance, it marks the reset
/// that follows a SIGKILL, which is what a lab wants to see.
const JUDGED: &str = "bgp || bmp || bfd";

/// Severity of an expert mark from which on tshark means an error.
const ERROR: u64 = 8_388_608;

/// A display filter, and a field of the frames that pass it.
pub(crate) struct Question<'a> {
    pub(crate) filter: &'a str,
    pub(crate) field: Option<&'a str>,
}

/// Numbers of the frames that pass the filter, with the values of the field.
pub(super) fn ask(
    file: &Path,
    decode: &[String],
    question: &Question<'_>,
    since: u64,
) -> Result<Vec<(u64, Vec<String>)>> {
    let filter = format!("frame.number > {since} && ({})", question.filter);
    let fields = ["frame.number", question.field.unwrap_or("frame.len")];
    let rows = run(file, decode, &filter, &fields)?;
    let values = |text: &String| {
        text.split(AGGREGATOR)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect()
    };
    rows.iter()
        .map(|row| match row.as_slice() {
            [number, text] => Ok((number.parse().unwrap_or(0), values(text))),
            _ => Err(Error::Missing(format!("tshark printed {row:?}"))),
        })
        .collect()
}

/// See [`super::Capture::check`].
pub(super) fn check(file: &Path, decode: &[String], spoken: Protocol) -> Result<()> {
    let fields = [
        "frame.number",
        "_ws.malformed",
        "_ws.expert.severity",
        "_ws.expert.message",
        spoken.field(),
    ];
    let rows = run(file, decode, JUDGED, &fields)?;
    let mut marked = String::new();
    let mut speaks = false;
    for row in &rows {
        let [number, malformed, severities, messages, heard] = row.as_slice() else {
            return Err(Error::Missing(format!("tshark printed {row:?}")));
        };
        speaks |= !heard.is_empty();
        let severe = severities
            .split(AGGREGATOR)
            .filter(|severity| severity.parse::<u64>().is_ok_and(|severity| severity >= ERROR))
            .count();
        let extended = messages
            .split(AGGREGATOR)
            .filter(|message| is_extended(message))
            .count();
        if severe > extended || (severe == 0 && !malformed.is_empty()) {
            let _ = write!(marked, "\nframe {number}: {malformed} {messages}");
        }
    }
    if !marked.is_empty() {
        return Err(Error::Expectation(format!(
            "tshark finds malformed frames:{marked}"
        )));
    }
    if speaks {
        Ok(())
    } else {
        Err(Error::Expectation(format!("holds nothing of {spoken:?}")))
    }
}

/// What tshark 4.0, which does not know extended messages (RFC 8654), says of a message that is one. It does not look
/// into it any further.
fn is_extended(message: &str) -> bool {
    message
        .strip_prefix("Length is invalid ")
        .and_then(|length| length.parse::<u32>().ok())
        .is_some_and(|length| (4097..=65_535).contains(&length))
}

fn run(file: &Path, decode: &[String], filter: &str, fields: &[&str]) -> Result<Vec<Vec<String>>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(file).args(["-Y", filter]);
    for rule in decode {
        tshark.args(["-d", rule]);
    }
    tshark.args(["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"]);
    tshark.args(["-E", &format!("aggregator={AGGREGATOR}")]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().context(|| "tshark".into())?;
    if !output.status.success() {
        return Err(Error::Command {
            command: format!("tshark -r {} -Y '{filter}'", file.display()),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let row = |line: &str| line.split('\t').map(str::to_owned).collect();
    Ok(text.lines().map(row).collect())
}

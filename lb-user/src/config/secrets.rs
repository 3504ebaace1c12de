//! Keeps passwords out of what is shown of a configuration.
//!
//! Works on the bare text, because the lines that are shown are often those that TOML does not understand.

use std::ops::Range;

/// Parts of the names of keys whose values are secret; also misspelt ones are.
const SECRET: [&str; 4] = ["pass", "secret", "md5", "pasw"];

/// `line`, which starts at byte `start` of `text`, with asterisks instead of secrets.
pub(super) fn masked(text: &str, start: usize, line: &str) -> String {
    let ranges = ranges(text);
    line.char_indices()
        .map(|(at, c)| {
            let hidden = ranges.iter().any(|range| range.contains(&(start + at)));
            if hidden { '*' } else { c }
        })
        .collect()
}

/// Values of the keys that look like those of secrets.
fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = text
            .get(..at)
            .unwrap_or_default()
            .trim_end_matches([' ', '\t', '"', '\'']);
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let name = before.rsplit(|c| !is_part(c)).next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        if name.ends_with("-file") || !SECRET.iter().any(|part| name.contains(part)) {
            continue;
        }
        let rest = text.get(at + 1..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let value = rest.get(blank..).unwrap_or_default();
        found.push(at + 1 + blank..at + 1 + blank + length(value));
    }
    found
}

/// Of the value that `text` begins with; to the end of the line when its end is not found.
fn length(text: &str) -> usize {
    let line = text.find('\n').unwrap_or(text.len());
    for quotes in ["\"\"\"", "\'\'\'"] {
        if let Some(inner) = text.strip_prefix(quotes) {
            return inner
                .find(quotes)
                .map_or(text.len(), |end| end + 2 * quotes.len());
        }
    }
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return line;
    };
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return line,
            '\\' if quote == '"' && !escaped => {
                escaped = true;
                continue;
            }
            _ if c == quote && !escaped => return at + 1,
            _ => {}
        }
        escaped = false;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn secrets_are_not_shown_however_they_are_written() {
        for (line, shown) in [
            ("password = \"s3cret\" # note", "password = ******** # note"),
            (
                "{ a = 1, password=\"s\\\"x\", b = 2 }",
                "{ a = 1, password=******, b = 2 }",
            ),
            ("\"password\" = 's3'", "\"password\" = ****"),
            ("pasword = \"s3cret", "pasword = *******"),
            ("password = s3cret", "password = ******"),
            ("password-file = \"/etc/x\"", "password-file = \"/etc/x\""),
            ("as = 65000", "as = 65000"),
        ] {
            assert_eq!(masked(line, 0, line), shown);
        }
        let text = "password = \"\"\"\ns3cret\n\"\"\"\nas = 1";
        assert_eq!(masked(text, 15, "s3cret"), "******");
    }
}

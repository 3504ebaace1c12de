//! Tests over the tree itself: what a reviewer would otherwise have to look for by hand.
//!
//! Each rule names the file and the line, and says what to do about it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking; the lint exempts only the functions marked as tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest file of non-test code, in lines.
const LONGEST_FILE: usize = 500;
/// A polling loop of a test begins at most so many lines above its pause.
const POLLING_LOOP: usize = 12;
/// Crates that may know neither the runtime nor sockets nor the kernel.
const PURE: [&str; 5] = ["bfd", "bgp", "ha", "lb-common", "sync"];
/// What a pure crate must not depend on, directly or through others.
const IMPURE: [&str; 8] = [
    "aya",
    "axum",
    "mio",
    "nix",
    "rtnetlink",
    "rustls",
    "socket2",
    "tokio",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every file git would commit, relative to the root.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files of the tree");
    assert!(
        output.status.success(),
        "git ls-files failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut files: Vec<PathBuf> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(PathBuf::from)
        .collect();
    files.retain(|file| root().join(file).is_file());
    assert!(!files.is_empty(), "no file found below {}", root().display());
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    tracked()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "rs"))
        .map(|file| {
            let text = fs::read_to_string(root().join(&file)).unwrap();
            (file, text)
        })
        .collect()
}

fn is_test_file(file: &Path) -> bool {
    file.components()
        .any(|part| ["tests", "benches"].iter().any(|name| part.as_os_str() == *name))
        || file.file_name().is_some_and(|name| name == "tests.rs")
}

/// Lines before the unit tests of a file.
fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].starts_with("mod "));
    tests.unwrap_or(lines.len())
}

fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn files_hold_one_noun() {
    let findings: Vec<String> = sources()
        .iter()
        .filter(|(file, _)| !is_test_file(file))
        .map(|(file, text)| (file, code_lines(text)))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(file, lines)| format!("{} has {lines} lines", file.display()))
        .collect();
    report(
        "a file has at most 500 lines of non-test code: split it by noun",
        &findings,
    );
}

#[test]
fn every_file_says_what_it_is() {
    let findings: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(file, _)| file.display().to_string())
        .collect();
    report("a file starts with a //! header", &findings);
}

/// `RFC 5880 section 6.8.6` -> ("5880", "6.8.6").
fn citations(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("RFC ") {
        let rest = &text[at + 4..];
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let Some(tail) = rest[number.len()..]
            .trim_start_matches(',')
            .strip_prefix(" section ")
        else {
            continue;
        };
        let section: String = tail
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '.')
            .collect();
        let section = section.trim_end_matches('.').to_owned();
        if !number.is_empty() && section.starts_with(|c: char| c.is_ascii_digit()) {
            found.push((number, section));
        }
    }
    found
}

/// The first cell of each row, `4271 4.1, 4271 6.1`, as ("4271", "4.1") and ("4271", "6.1").
fn matrix_rows(matrix: &str) -> BTreeSet<(String, String)> {
    let cells = matrix
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let entries = cells.flat_map(|cell| cell.split(", "));
    entries
        .filter_map(|entry| entry.split_once(' '))
        .map(|(a, b)| (a.to_owned(), b.trim().to_owned()))
        .collect()
}

#[test]
fn every_cited_section_is_in_the_matrix() {
    let matrix = fs::read_to_string(root().join("docs/rfc-matrix.md")).expect("docs/rfc-matrix.md exists");
    let listed = matrix_rows(&matrix);
    let mut findings = BTreeSet::new();
    for (file, text) in sources() {
        if !PURE.iter().any(|name| file.starts_with(name)) {
            continue;
        }
        for citation in citations(&text) {
            if !listed.contains(&citation) {
                findings.insert(format!(
                    "RFC {} section {} ({})",
                    citation.0,
                    citation.1,
                    file.display()
                ));
            }
        }
    }
    let findings: Vec<String> = findings.into_iter().collect();
    report(
        "a cited section has a row in docs/rfc-matrix.md, with its test",
        &findings,
    );
}

#[test]
fn dependencies_point_one_way() {
    let mut findings = Vec::new();
    for name in PURE {
        for dependency in dependencies(name) {
            if IMPURE.contains(&dependency.as_str())
                || (PURE.contains(&dependency.as_str()) && dependency != name)
            {
                findings.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    for name in ["cli"] {
        for dependency in dependencies(name) {
            if PURE.contains(&dependency.as_str()) || dependency == "lb-user" {
                findings.push(format!("{name} depends on {dependency}: it may know api only"));
            }
        }
    }
    report(
        "cores know neither each other nor the runtime, sockets, kernel",
        &findings,
    );
}

/// All packages that `name` is built from, itself excluded.
fn dependencies(name: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--package",
            name,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .expect("cargo tree runs");
    assert!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|found| *found != name)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_lab_is_complete() {
    let mut findings = Vec::new();
    let mut labs = 0;
    for file in tracked() {
        let Some(name) = file
            .to_string_lossy()
            .strip_suffix(".clab.yml")
            .map(str::to_owned)
        else {
            continue;
        };
        let folder = file.parent().unwrap();
        labs += 1;
        if Path::new(&name).file_name() != folder.file_name() {
            findings.push(format!("{}: a lab's folder has the lab's name", file.display()));
        }
        for needed in ["README.md", "lab.toml"] {
            if !root().join(folder).join(needed).is_file() {
                findings.push(format!("{} lacks {needed}", folder.display()));
            }
        }
    }
    assert!(labs > 0, "no *.clab.yml found");
    report("a lab has a README and expected results", &findings);
}

#[test]
fn every_exception_has_a_reason() {
    let mut findings = Vec::new();
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let attribute = line.starts_with("#[allow(") || line.starts_with("#![allow(");
            if attribute && line.ends_with(")]") && !line.contains("reason") {
                findings.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    report("an allow attribute says why", &findings);
}

#[test]
fn tests_wait_on_conditions() {
    // A pause belongs inside a loop that tests a condition; anywhere else it is a guess.
    let mut findings = Vec::new();
    for (file, text) in sources() {
        if !is_test_file(&file) || file.ends_with("tidy.rs") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let before = &lines[number.saturating_sub(POLLING_LOOP)..number];
            let polls = before
                .iter()
                .any(|line| line.contains("while ") || line.contains("loop {"));
            if line.contains("sleep(") && !polls {
                findings.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    report(
        "a test waits on a condition with a deadline: a pause stands inside a polling loop",
        &findings,
    );
}

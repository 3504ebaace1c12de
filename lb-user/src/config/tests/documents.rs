//! What the documents tell people to write is valid.

use std::path::{Path, PathBuf};

use super::super::parse;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The snippets between "```toml" and "```", with the line they begin at.
fn snippets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim() != "```toml" {
            continue;
        }
        let inside: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| line.trim() != "```")
            .collect();
        found.push((number + 1, inside.join("\n")));
    }
    found
}

/// A snippet as a whole file: what every file needs, and what the snippet takes for granted, is added.
fn whole(snippet: &str) -> String {
    let mut text = String::new();
    if !snippet.contains("[node]") {
        text.push_str("[node]\nname = \"lb1\"\nrouter-id = \"10.255.0.1\"\n");
    }
    if !snippet.contains("[datapath]") {
        text.push_str("[datapath]\ninterfaces = [\"eth1\", \"eth2\"]\n");
    }
    if snippet.contains("[[bgp.") && !snippet.lines().any(|line| line.trim() == "[bgp]") {
        text.push_str("[bgp]\nas = 65001\nlisten = [\"0.0.0.0\", \"::\"]\n");
    }
    if snippet.contains("[[bgp.aggregate]]") && !snippet.contains("[[service]]") {
        text.push_str("[[service]]\nname = \"w\"\nvip = \"203.0.113.10\"\nport = 80\nprotocol = \"tcp\"\nendpoints = []\n");
    }
    text.push_str(snippet);
    text
}

#[test]
fn every_snippet_of_the_documents_is_valid() {
    let mut checked = 0;
    let mut wrong = Vec::new();
    let documents = [
        "README.md",
        "docs/operations.md",
        "docs/architecture.md",
        "labs/README.md",
    ];
    for document in documents {
        let Ok(text) = std::fs::read_to_string(root().join(document)) else {
            continue;
        };
        for (line, snippet) in snippets(&text) {
            // Topologies and expectations of labs have a format of their own.
            if snippet.contains("[[step]]") {
                continue;
            }
            // Files with secrets exist on the machine of the reader.
            let directory = tempfile::tempdir().unwrap();
            let secret = directory.path().join("secret");
            std::fs::write(&secret, "of the test\n").unwrap();
            let text =
                whole(&snippet).replace("/etc/baton/secrets/", &format!("{}/", directory.path().display()));
            for name in ["tor", "tor-old", "tor-new", "bfd", "bfd-old", "bfd-new"] {
                std::fs::copy(&secret, directory.path().join(name)).unwrap();
            }
            checked += 1;
            if let Err(error) = parse("snippet", &text) {
                wrong.push(format!("{document}:{line}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 10, "only {checked} snippets were found");
}

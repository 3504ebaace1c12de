//! Checked-in inputs: malformed messages with what they have to lead to (`malformed/`), and what the fuzzer has found
//! worth keeping (`fuzz/corpus/`), through the same functions that it calls.
//!
//! A malformed message is a file of `name: value` lines, then `bytes:` and the message in hexadecimal. `context` says
//! how it is read, `offset` where the error is, `notification` and `data` what is sent for a session reset.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bgp::Families;
use bgp::wire::{Context, DecodeError, Decoded, Effect, Message, frame_length};

#[path = "../../fuzz/harness/message.rs"]
mod message;
#[path = "../../fuzz/harness/session.rs"]
mod session;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

struct Case {
    name: String,
    fields: BTreeMap<String, String>,
    bytes: Vec<u8>,
}

fn octets(text: &str) -> Vec<u8> {
    let digits = text.split_whitespace();
    digits
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect()
}

impl Case {
    fn read(file: &Path) -> Case {
        let text = fs::read_to_string(file).unwrap();
        let (fields, bytes) = text.split_once("bytes:\n").unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        };
        Case {
            name: file.file_stem().unwrap().to_string_lossy().into_owned(),
            fields: fields.lines().map(field).collect(),
            bytes: octets(bytes),
        }
    }

    fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    fn context(&self) -> Context {
        let words: BTreeSet<&str> = self.get("context").unwrap().split_whitespace().collect();
        let known = ["four-octet", "external", "add-path", "extended"];
        assert!(words.iter().all(|word| known.contains(word)), "{words:?}");
        let add_path = words.contains("add-path");
        Context {
            four_octet: words.contains("four-octet"),
            external: words.contains("external"),
            add_path: Families {
                ipv4: add_path,
                ipv6: add_path,
            },
            extended: words.contains("extended"),
        }
    }

    /// What is expected and what is found, in the same words.
    fn check(&self) {
        let context = self.context();
        let read =
            frame_length(&self.bytes, context.extended).and_then(|_| Message::decode(&self.bytes, context));
        let (effect, error) = match &read {
            Err(error) => (Some(Effect::SessionReset), Some(error)),
            Ok(Message::Update(decoded)) => (decoded.effect(), strongest(decoded)),
            Ok(_) => (None, None),
        };
        let found = effect.map_or("none", Effect::name);
        assert_eq!(Some(found), self.get("effect"), "{read:?}");
        let offset = error.map(|error| error.offset.to_string());
        assert_eq!(offset.as_deref(), self.get("offset"), "{read:?}");
        if let (Some(expected), Some(error)) = (self.get("error"), error) {
            assert_eq!(error.kind.to_string(), expected);
        }
        if let Err(error) = &read {
            let notification = error.notification();
            let code = format!("{}/{}", notification.code, notification.subcode);
            assert_eq!(Some(code.as_str()), self.get("notification"), "{error}");
            if let Some(data) = self.get("data") {
                assert_eq!(notification.data, octets(data), "{error}");
            }
        }
        if let Ok(Message::Update(decoded)) = &read {
            let announced = decoded.announced().count().to_string();
            let withdrawn = decoded.withdrawn().count().to_string();
            assert_eq!(
                (Some(announced.as_str()), Some(withdrawn.as_str())),
                (self.get("announced"), self.get("withdrawn"))
            );
        }
    }
}

/// The first of the errors that decide.
fn strongest(decoded: &Decoded) -> Option<&DecodeError> {
    let effect = decoded.effect()?;
    let fault = decoded.faults.iter().find(|fault| fault.effect == effect)?;
    Some(&fault.error)
}

#[test]
fn malformed_messages_have_the_effect_they_should_have() {
    let cases: Vec<Case> = files("tests/malformed")
        .iter()
        .map(|file| Case::read(file))
        .collect();
    let failed: Vec<&str> = cases
        .iter()
        .filter(|case| catch_unwind(|| case.check()).is_err())
        .map(|case| case.name.as_str())
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(cases.len() >= 180, "{} cases", cases.len());
}

/// Every attribute that this speaker knows, each of its effects included.
#[test]
fn the_malformed_messages_cover_the_table() {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for file in files("tests/malformed") {
        let case = Case::read(&file);
        if let (Some(attribute), Some(effect)) = (case.get("attribute"), case.get("effect")) {
            seen.insert((attribute.to_owned(), effect.to_owned()));
        }
        assert!(
            case.get("what").is_some() && case.get("rule").is_some(),
            "{}",
            case.name
        );
    }
    let withdraw = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 32, 35];
    let discard = [1, 5, 6, 7, 9, 10, 17, 18];
    let reset = [14, 15];
    let wanted = [
        ("treat as withdraw", &withdraw[..]),
        ("attribute discard", &discard[..]),
        ("session reset", &reset[..]),
    ];
    for (effect, codes) in wanted {
        for code in codes {
            let row = (code.to_string(), effect.to_owned());
            assert!(seen.contains(&row), "{row:?}");
        }
    }
}

/// Runs every file of a corpus through the function the fuzzer calls.
fn replay(folder: &str, run: fn(&[u8])) {
    let files = files(folder);
    assert!(!files.is_empty(), "{folder} is empty");
    let mut failed = Vec::new();
    for file in &files {
        let data = fs::read(file).unwrap();
        if catch_unwind(|| run(&data)).is_err() {
            failed.push(file.display().to_string());
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_corpus_of_messages_runs_clean() {
    replay("../fuzz/corpus/bgp_message", message::run);
}

#[test]
fn the_corpus_of_sessions_runs_clean() {
    replay("../fuzz/corpus/bgp_session", session::run);
}

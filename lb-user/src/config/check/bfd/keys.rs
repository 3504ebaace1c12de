//! Keys that protect a session (RFC 5880 section 6.7). No message repeats a secret.

use std::sync::Arc;

use ::bfd::{Algorithm, Key, Keys, MAXIMUM_KEYS};
use toml::Spanned;

use super::super::{Findings, secrets};
use super::table::Table;
use crate::config::file;

/// The keys of one table, with their ids.
pub(super) fn keys(
    place: &str,
    written: &[Spanned<file::BfdKey>],
    findings: &mut Findings,
) -> Vec<(u8, Key)> {
    let place = format!("{place}.key");
    let mut keys: Vec<(u8, Key)> = Vec::new();
    for at in written {
        let Some((id, key)) = key(&place, at, findings) else {
            continue;
        };
        if keys.iter().any(|(other, _)| *other == id) {
            let reason = format!("{id} is the id of two keys");
            findings.refuse(&at.get_ref().id, &format!("{place}.id"), reason);
            continue;
        }
        keys.push((id, key));
    }
    if let Some(excess) = written.get(MAXIMUM_KEYS) {
        let reason = format!("a session has {MAXIMUM_KEYS} keys at most, and this is one more");
        findings.refuse(excess, &place, reason);
    }
    keys
}

fn key(place: &str, at: &Spanned<file::BfdKey>, findings: &mut Findings) -> Option<(u8, Key)> {
    let written = at.get_ref();
    let id = *written.id.get_ref();
    let narrow = u8::try_from(id).ok();
    if narrow.is_none() {
        // RFC 5880 section 4.2: eight bits.
        findings.refuse(
            &written.id,
            &format!("{place}.id"),
            format!("must be 0 to 255, not {id}"),
        );
    }
    let algorithm = match written.algorithm.get_ref() {
        file::BfdAlgorithm::Simple => Algorithm::SimplePassword,
        file::BfdAlgorithm::Md5 => Algorithm::KeyedMd5,
        file::BfdAlgorithm::MeticulousMd5 => Algorithm::MeticulousKeyedMd5,
        file::BfdAlgorithm::Sha1 => Algorithm::KeyedSha1,
        file::BfdAlgorithm::MeticulousSha1 => Algorithm::MeticulousKeyedSha1,
    };
    if algorithm == Algorithm::SimplePassword {
        let reason =
            "is sent in the clear: whoever sees one packet can forge the next; meticulous-sha1 is safer";
        findings.warn(&written.algorithm, &format!("{place}.algorithm"), reason);
    }
    let (secret, refused) = match (&written.secret, &written.secret_file) {
        (Some(at), None) => (at.get_ref().0.clone(), (at.span(), format!("{place}.secret"))),
        (None, Some(at)) => {
            let key = format!("{place}.secret-file");
            (secrets::read(at, &key, findings)?, (at.span(), key))
        }
        (Some(at), Some(_)) => {
            findings.refuse(at, &format!("{place}.secret"), "and secret-file are one too many");
            return None;
        }
        (None, None) => {
            findings.refuse(at, place, "needs a secret, or a secret-file");
            return None;
        }
    };
    match Key::new(narrow?, algorithm, secret.0.as_bytes()) {
        Ok(key) => Some((narrow?, key)),
        Err(error) => {
            findings.refuse(&Spanned::new(refused.0, ()), &refused.1, error.to_string());
            None
        }
    }
}

/// The keys of a session out of its tables: all those of the uppermost that has some.
pub(super) fn chosen(tables: &[&Table<'_>], findings: &mut Findings) -> Option<Arc<Keys>> {
    let level = tables.iter().rposition(|table| !table.settings.key.is_empty());
    // What a table below says about sending is about its own keys.
    let above = tables.get(level.unwrap_or(0)..).unwrap_or(tables);
    let send = above
        .iter()
        .rev()
        .find_map(|table| Some((table.place, table.settings.send_key?)));
    let Some(table) = level.and_then(|level| tables.get(level)) else {
        if let Some((place, at)) = send {
            findings.refuse(at, &format!("{place}.send-key"), "needs a key");
        }
        return None;
    };
    let first = u32::from(table.keys.first()?.0);
    let id = send.map_or(first, |(_, at)| *at.get_ref());
    let keys = || table.keys.iter().map(|(_, key)| *key).collect();
    let made = u8::try_from(id).ok().map(|id| Keys::new(keys(), id));
    if let Some(Ok(keys)) = made {
        return Some(Arc::new(keys));
    }
    // One that is written and not here has been refused where it is.
    let written = table
        .settings
        .key
        .iter()
        .any(|key| *key.get_ref().id.get_ref() == id);
    if let Some((place, at)) = send.filter(|_| !written) {
        findings.refuse(at, &format!("{place}.send-key"), format!("there is no key {id}"));
    }
    None
}

//! Passwords and keys. No message repeats one.

use std::path::PathBuf;

use bgp::{AoKey, Authentication, Secret};
use toml::Spanned;

use super::super::{Findings, secrets};
use crate::config::file;

/// TCP_MD5SIG_MAXKEYLEN and TCP_AO_MAXKEYLEN of the kernel.
const LONGEST: usize = 80;
/// What the kernel knows as a MAC for TCP-AO; the first two are those of RFC 5926.
const ALGORITHMS: [&str; 5] = [
    "hmac(sha1)",
    "cmac(aes128)",
    "hmac(sha256)",
    "hmac(sha384)",
    "hmac(sha512)",
];

pub(super) fn authentication(
    key: &str,
    written: &file::Neighbor,
    findings: &mut Findings,
) -> Option<Authentication> {
    let given = [
        written.password.is_some(),
        written.password_file.is_some(),
        written.ao.is_some(),
    ];
    if given.into_iter().filter(|given| *given).count() > 1 {
        let reason = "only one of password, password-file and ao can protect a session";
        findings.refuse(&written.remote_as, &format!("{key}.password"), reason);
    }
    if let Some(at) = &written.password {
        let secret = at.get_ref().0.clone();
        length(at, &secret, &format!("{key}.password"), findings);
        return Some(Authentication::Md5(secret));
    }
    if let Some(at) = &written.password_file {
        return read(at, &format!("{key}.password-file"), findings).map(Authentication::Md5);
    }
    let at = written.ao.as_ref()?;
    Some(Authentication::Ao(ao(at, &format!("{key}.ao"), findings)))
}

fn length<T>(at: &Spanned<T>, secret: &Secret, key: &str, findings: &mut Findings) {
    let length = secret.0.len();
    if !(1..=LONGEST).contains(&length) {
        let reason = format!("has {length} bytes, but the kernel takes 1 to {LONGEST}");
        findings.refuse(at, key, reason);
    }
}

/// The first line of the file.
fn read(at: &Spanned<PathBuf>, key: &str, findings: &mut Findings) -> Option<Secret> {
    let secret = secrets::read(at, key, findings)?;
    length(at, &secret, key, findings);
    Some(secret)
}

fn ao(at: &Spanned<Vec<file::AoKey>>, key: &str, findings: &mut Findings) -> Vec<AoKey> {
    if at.get_ref().is_empty() {
        findings.refuse(at, key, "is empty: a session needs at least one key");
    }
    let mut keys: Vec<AoKey> = Vec::new();
    for written in at.get_ref() {
        let (send_id, receive_id) = (*written.send_id.get_ref(), *written.receive_id.get_ref());
        // RFC 5925 section 3.1: the identifiers of a connection are unique in each direction.
        if keys.iter().any(|other| other.send_id == send_id) {
            let reason = format!("{send_id} is the send-id of two keys");
            findings.refuse(&written.send_id, &format!("{key}.send-id"), reason);
        }
        if keys.iter().any(|other| other.receive_id == receive_id) {
            let reason = format!("{receive_id} is the receive-id of two keys");
            findings.refuse(&written.receive_id, &format!("{key}.receive-id"), reason);
        }
        let algorithm = written.algorithm.get_ref();
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            let reason = format!("`{algorithm}` is none of {}", ALGORITHMS.join(", "));
            findings.refuse(&written.algorithm, &format!("{key}.algorithm"), reason);
        }
        let Some(secret) = read(&written.secret_file, &format!("{key}.secret-file"), findings) else {
            continue;
        };
        keys.push(AoKey {
            send_id,
            receive_id,
            algorithm: algorithm.clone(),
            secret,
        });
    }
    keys
}

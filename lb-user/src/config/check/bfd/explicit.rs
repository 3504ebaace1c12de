//! `[[bfd.session]]`: a session of its own, or another opinion about one that others have.

use super::super::{Findings, is_link_local};
use super::table::Table;
use crate::config::file;
use crate::config::values::NeighborAddress;
use crate::desired::SessionKey;

pub(super) struct Explicit<'a> {
    pub(super) key: SessionKey,
    pub(super) written: &'a file::BfdSession,
    pub(super) table: Table<'a>,
}

pub(super) fn sessions<'a>(file: &'a file::File, findings: &mut Findings) -> Vec<Explicit<'a>> {
    let mut sessions: Vec<Explicit<'a>> = Vec::new();
    for written in &file.bfd.session {
        let table = Table::new("bfd.session", written.settings(), findings);
        let Some(key) = key(written, findings) else {
            continue;
        };
        if let Some(other) = sessions.iter().find(|other| other.key.serves(&key)) {
            let reason = match other.key == key {
                true => format!("session {key} is defined twice"),
                false => format!(
                    "{} and {key} would be one session: name the interface of both",
                    other.key
                ),
            };
            findings.refuse(&written.address, "bfd.session.address", reason);
            continue;
        }
        sessions.push(Explicit { key, written, table });
    }
    sessions
}

fn key(written: &file::BfdSession, findings: &mut Findings) -> Option<SessionKey> {
    const KEY: &str = "bfd.session.address";
    let at = &written.address;
    let interface = written.interface.as_ref().map(|at| at.get_ref().0.as_str());
    match (at.get_ref(), interface) {
        (NeighborAddress::LinkLocal(..), Some(_)) => {
            findings.refuse(at, KEY, "names its interface already: leave out interface");
            None
        }
        (NeighborAddress::LinkLocal(address, interface), None) => {
            Some(SessionKey::new((*address).into(), Some(&interface.0)))
        }
        (NeighborAddress::Global(address), interface) => {
            if !super::super::is_unicast(*address) {
                findings.refuse(at, KEY, format!("{address} is no unicast address"));
                return None;
            }
            if interface.is_none() && address.is_ipv6() && is_link_local(*address) {
                let reason =
                    format!("{address} is link-local: name its interface as well, \"{address}%eth1\"");
                findings.refuse(at, KEY, reason);
                return None;
            }
            Some(SessionKey::new(*address, interface))
        }
    }
}

//! `[[bfd.unsolicited]]`: who may start sessions without being configured (RFC 9468).

use super::super::Findings;
use super::Profiles;
use super::table::Tables;
use crate::config::file;
use crate::desired::Unsolicited;

const LIMIT: u32 = 100;
const LIMITS: std::ops::RangeInclusive<u32> = 1..=1000;

pub(super) fn unsolicited(
    file: &file::File,
    profiles: &Profiles<'_>,
    findings: &mut Findings,
) -> Vec<Unsolicited> {
    let mut links: Vec<Unsolicited> = Vec::new();
    for written in &file.bfd.unsolicited {
        let interface = written.interface.get_ref().0.clone();
        if links.iter().any(|link| link.interface == interface) {
            let reason = format!("`{interface}` is listed twice");
            findings.refuse(&written.interface, "bfd.unsolicited.interface", reason);
        }
        links.push(link(written, interface, profiles, findings));
    }
    links.sort_by(|one, other| one.interface.cmp(&other.interface));
    links
}

fn link(
    written: &file::BfdUnsolicited,
    interface: String,
    profiles: &Profiles<'_>,
    findings: &mut Findings,
) -> Unsolicited {
    let limit = written.limit.as_ref().map_or(LIMIT, |at| {
        let limit = *at.get_ref();
        if !LIMITS.contains(&limit) {
            let reason = format!("must be {} to {}, not {limit}", LIMITS.start(), LIMITS.end());
            findings.refuse(at, "bfd.unsolicited.limit", reason);
        }
        limit
    });
    let profile = written.profile.as_ref();
    let profile = profile.and_then(|at| profiles.find(at, "bfd.unsolicited.profile", findings));
    let tables = Tables(std::iter::once(&profiles.defaults).chain(profile).collect());
    let mut parameters = tables.parameters(findings);
    // The data path would have to learn of each stranger first.
    if parameters.echo.required_min_rx.take().is_some() {
        let reason =
            format!("Echo packets of strangers on {interface} are not returned: echo-receive has no effect");
        findings.warn(&written.interface, "bfd.unsolicited.profile", reason);
    }
    Unsolicited {
        interface,
        prefixes: written.prefixes.iter().map(|at| at.get_ref().0).collect(),
        limit,
        parameters,
    }
}

//! Attributes by role.

use bgp::{Ladder, Rung};
use toml::Spanned;

use super::super::Findings;
use crate::config::file;

/// The keys that are written, over `base`.
pub(super) fn ladder(
    base: &Ladder,
    at: &Spanned<file::Ladder>,
    key: &str,
    findings: &mut Findings,
) -> Ladder {
    let written = at.get_ref();
    // What is left out is never better than the rung above: a longer path of the BACKUP makes that of the
    // draining node longer as well.
    let mut rung = |base: &Rung, above: Option<&Rung>, written: &file::Rung, name: &str| Rung {
        med: written
            .med
            .unwrap_or(above.map_or(base.med, |above| above.med.max(base.med))),
        prepend: match &written.prepend {
            Some(at) => super::prepend(at, &format!("{key}.{name}.prepend"), findings),
            None => above.map_or(base.prepend, |above| above.prepend.max(base.prepend)),
        },
        local_pref: written
            .local_pref
            .unwrap_or(above.map_or(base.local_pref, |above| above.local_pref.min(base.local_pref))),
        graceful_shutdown: written.graceful_shutdown.unwrap_or(base.graceful_shutdown),
        communities: match &written.communities {
            Some(listed) => listed.iter().map(|text| text.get_ref().0).collect(),
            None => base.communities.clone(),
        },
    };
    let master = rung(&base.master, None, &written.master, "master");
    let backup = rung(&base.backup, Some(&master), &written.backup, "backup");
    let joining = rung(&base.joining, Some(&backup), &written.joining, "joining");
    let draining = rung(&base.draining, Some(&joining), &written.draining, "draining");
    let ladder = Ladder {
        master,
        backup,
        joining,
        draining,
    };
    order(&ladder, at, key, findings);
    ladder
}

/// A neighbour must never prefer the lower rung: it would send the traffic to the wrong node. Equal rungs are
/// anycast, which somebody may want.
fn order(ladder: &Ladder, at: &Spanned<file::Ladder>, key: &str, findings: &mut Findings) {
    let rungs = [
        ("master", &ladder.master),
        ("backup", &ladder.backup),
        ("joining", &ladder.joining),
        ("draining", &ladder.draining),
    ];
    // RFC 4271 section 9.1.2.2: the shorter path first, then the lower MED. Section 9.1.1: the higher LOCAL_PREF
    // before both.
    let external = |rung: &Rung| (rung.prepend, rung.med);
    let internal = |rung: &Rung| (std::cmp::Reverse(rung.local_pref), rung.med);
    for pair in rungs.windows(2) {
        let [(better, high), (worse, low)] = pair else {
            continue;
        };
        let inverted = if external(high) > external(low) {
            Some("eBGP (prepend, then med)")
        } else if internal(high) > internal(low) {
            Some("iBGP (local-pref, then med)")
        } else {
            None
        };
        if let Some(kind) = inverted {
            findings.refuse(at, key, format!("{kind} would prefer {worse} to {better}"));
        }
        if external(high) == external(low) || internal(high) == internal(low) {
            let reason = format!("{better} and {worse} are equal: neighbours will use both nodes at once");
            findings.warn(at, key, reason);
        }
    }
}

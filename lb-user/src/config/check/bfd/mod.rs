//! BFD: who has a session, and what it is.
//!
//! Tables lie over each other: `[bfd]`, the profile, `[[bfd.session]]`. Neighbours and peers wish for sessions; those
//! that mean the same one share it, and have to agree unless a `[[bfd.session]]` decides over them.

mod explicit;
mod group;
mod keys;
mod table;
mod unsolicited;
mod wish;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use toml::Spanned;

use self::explicit::Explicit;
use self::group::Group;
use self::table::Table;
use self::wish::{Wish, With, wishes};
use super::Findings;
use crate::config::file;
use crate::config::values::Name;
use crate::desired::{Awaited, Session, SessionKey, Unsolicited};

/// Everything that concerns BFD.
pub(super) struct Bfd {
    pub(super) sessions: BTreeMap<SessionKey, Session>,
    pub(super) awaited: Awaited,
    pub(super) unsolicited: Vec<Unsolicited>,
}

/// `[bfd]` and the profiles over it.
struct Profiles<'a> {
    defaults: Table<'a>,
    named: BTreeMap<&'a str, Table<'a>>,
}

impl<'a> Profiles<'a> {
    fn new(file: &'a file::File, findings: &mut Findings) -> Self {
        let mut named = BTreeMap::new();
        for written in &file.bfd.profile {
            let name = written.name.get_ref().0.as_str();
            let table = Table::new("bfd.profile", written.settings(), findings);
            if named.insert(name, table).is_some() {
                let reason = format!("profile `{name}` is defined twice");
                findings.refuse(&written.name, "bfd.profile.name", reason);
            }
        }
        Profiles {
            defaults: Table::new("bfd", file.bfd.settings(), findings),
            named,
        }
    }

    fn find(&self, at: &Spanned<Name>, key: &str, findings: &mut Findings) -> Option<&Table<'a>> {
        let name = &at.get_ref().0;
        let found = self.named.get(name.as_str());
        if found.is_none() {
            findings.refuse(at, key, format!("no [[bfd.profile]] is called `{name}`"));
        }
        found
    }
}

pub(super) fn settings(file: &file::File, findings: &mut Findings) -> Bfd {
    let profiles = Profiles::new(file, findings);
    let explicit = explicit::sessions(file, findings);
    let wishes = wishes(file, findings);
    let interfaces = file.datapath.interfaces.get_ref().iter();
    let interfaces: Vec<String> = interfaces.map(|at| at.get_ref().0.clone()).collect();
    let mut sessions = BTreeMap::new();
    for group in groups(&explicit, &wishes, findings) {
        if let Some(session) = group.session(&profiles, &interfaces, findings) {
            sessions.insert(session.key.clone(), session);
        }
    }
    Bfd {
        sessions,
        awaited: awaited(file, &wishes, &profiles, &interfaces, findings),
        unsolicited: unsolicited::unsolicited(file, &profiles, findings),
    }
}

/// Who means which session. Those that name an interface come first, so that the others find them.
fn groups<'g, 'a>(
    explicit: &'g [Explicit<'a>],
    wishes: &'g [(With, Wish<'a>)],
    findings: &mut Findings,
) -> Vec<Group<'g, 'a>> {
    let mut groups: Vec<Group<'g, 'a>> = explicit
        .iter()
        .map(|explicit| Group {
            key: explicit.key.clone(),
            explicit: Some(explicit),
            wishes: Vec::new(),
        })
        .collect();
    let known = wishes.iter().filter_map(|(with, wish)| match with {
        With::Known(key) => Some((key, wish)),
        With::Router(_) | With::Guests(_) => None,
    });
    let (named, unnamed): (Vec<_>, Vec<_>) = known.partition(|(key, _)| key.interface.is_some());
    for (key, wish) in named.into_iter().chain(unnamed) {
        let mut serving = groups.iter_mut().filter(|group| group.key.serves(key));
        match (serving.next(), serving.next()) {
            (Some(group), None) => group.wishes.push(wish),
            (Some(one), Some(other)) => {
                let reason = format!(
                    "{} may mean the session {} or {}: name the interface",
                    wish.user, one.key, other.key
                );
                findings.refuse(&wish.at, wish.key, reason);
            }
            (None, _) => groups.push(Group {
                key: key.clone(),
                explicit: None,
                wishes: vec![wish],
            }),
        }
    }
    groups
}

/// Sessions with neighbours that are yet to be found.
fn awaited<'a>(
    file: &file::File,
    wishes: &[(With, Wish<'a>)],
    profiles: &Profiles<'a>,
    interfaces: &[String],
    findings: &mut Findings,
) -> Awaited {
    let mut awaited = Awaited::default();
    let mut template = |wish, interface: Option<&str>| {
        let group = Group {
            key: SessionKey::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), interface),
            explicit: None,
            wishes: vec![wish],
        };
        group.template(profiles, interfaces, findings)
    };
    for (with, wish) in wishes {
        match with {
            With::Router(interface) => {
                if let Some(template) = template(wish, Some(interface)) {
                    awaited.unnumbered.insert(interface.clone(), template);
                }
            }
            With::Guests(prefix) => awaited.dynamic.push((*prefix, template(wish, None))),
            With::Known(_) => {}
        }
    }
    // A range without BFD inside one that has it.
    let ranges = file.bgp.iter().flat_map(|bgp| &bgp.dynamic);
    let prefixes = ranges.filter_map(|at| Some(at.get_ref().prefix.as_ref()?.get_ref().0));
    for prefix in prefixes {
        if !awaited.dynamic.iter().any(|(other, _)| *other == prefix) {
            awaited.dynamic.push((prefix, None));
        }
    }
    awaited
}

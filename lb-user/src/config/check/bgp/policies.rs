//! `[[bgp.policy]]`: names to rules, and which direction they suit.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bgp::policy::{Action, AsPathMatch, Matches, NextHopSet, Policy, PrefixMatch, Rule, Sets};
use bgp::{Community, Direction, Family, Preference};
use toml::Spanned;

use super::super::Findings;
use crate::config::file;
use crate::desired::Instance;

struct Entry {
    policy: Arc<Policy>,
    /// The key that makes it useless for import, and why.
    export_only: Option<(&'static str, &'static str)>,
}

pub(super) struct Policies {
    entries: BTreeMap<String, Entry>,
    used: RefCell<BTreeSet<String>>,
}

impl Policies {
    pub(super) fn new(
        written: &file::Bgp,
        instances: &BTreeMap<String, Instance>,
        findings: &mut Findings,
    ) -> Self {
        let built_in = |policy: Policy| {
            let entry = Entry {
                policy: Arc::new(policy),
                export_only: None,
            };
            (entry.policy.name.clone(), entry)
        };
        let mut entries = BTreeMap::from([built_in(Policy::all()), built_in(Policy::none())]);
        for policy in &written.policy {
            let name = policy.name.get_ref().0.clone();
            if [Policy::ALL, Policy::NONE].contains(&name.as_str()) {
                let reason = format!("`{name}` is built in: choose another name");
                findings.refuse(&policy.name, "bgp.policy.name", reason);
                continue;
            }
            let rules = rules(policy, instances, findings);
            let export_only = policy.rule.iter().find_map(|rule| export_only(rule.get_ref()));
            let entry = Entry {
                policy: Arc::new(Policy {
                    name: name.clone(),
                    rules,
                }),
                export_only,
            };
            if entries.insert(name.clone(), entry).is_some() {
                let reason = format!("policy `{name}` is defined twice");
                findings.refuse(&policy.name, "bgp.policy.name", reason);
            }
        }
        Policies {
            entries,
            used: RefCell::default(),
        }
    }

    /// The policy that a neighbour names, or the one of `[bgp]`.
    pub(super) fn find(
        &self,
        at: Option<&Spanned<String>>,
        direction: Direction,
        key: &str,
        findings: &mut Findings,
    ) -> Option<Arc<Policy>> {
        let at = at?;
        let name = at.get_ref();
        let Some(entry) = self.entries.get(name) else {
            let known: Vec<&str> = self.entries.keys().map(String::as_str).collect();
            let reason = format!(
                "no [[bgp.policy]] is called `{name}`; there are {}",
                known.join(", ")
            );
            findings.refuse(at, key, reason);
            return None;
        };
        self.used.borrow_mut().insert(name.clone());
        if let (Direction::In, Some((used, why))) = (direction, entry.export_only) {
            let reason = format!("policy `{name}` is for export only: it uses {used}, {why}");
            findings.refuse(at, key, reason);
        }
        Some(Arc::clone(&entry.policy))
    }

    pub(super) fn warn_of_unused(&self, written: &file::Bgp, findings: &mut Findings) {
        let used = self.used.borrow();
        for policy in &written.policy {
            let name = &policy.name.get_ref().0;
            if !used.contains(name) {
                let reason = format!("policy `{name}` is used by nobody");
                findings.warn(&policy.name, "bgp.policy.name", reason);
            }
        }
    }
}

fn export_only(rule: &file::PolicyRule) -> Option<(&'static str, &'static str)> {
    const OWN: &str = "which only routes of this node have";
    let next_hop = rule.set.as_ref().and_then(|set| set.get_ref().next_hop.as_ref());
    let itself = next_hop.is_some_and(|at| at.get_ref().0 == NextHopSet::Own);
    match (&rule.matches.instance, &rule.matches.role) {
        (Some(_), _) => Some(("match.instance", OWN)),
        (None, Some(_)) => Some(("match.role", OWN)),
        // Installed, such a route would lead from this node to itself.
        (None, None) => itself.then_some(("set.next-hop = \"self\"", "and this node is not on its own way")),
    }
}

fn rules(
    policy: &file::Policy,
    instances: &BTreeMap<String, Instance>,
    findings: &mut Findings,
) -> Vec<Rule> {
    const KEY: &str = "bgp.policy.rule";
    let name = &policy.name.get_ref().0;
    if policy.rule.is_empty() {
        let reason = format!("`{name}` has no rule and would reject everything: \"none\" says so");
        findings.refuse(&policy.name, "bgp.policy", reason);
    }
    let mut rules = Vec::new();
    let mut decided = false;
    for (index, at) in policy.rule.iter().enumerate() {
        let written = at.get_ref();
        let rule = Rule {
            matches: matches(&written.matches, instances, findings),
            sets: written
                .set
                .as_ref()
                .map(|sets| self::sets(sets.get_ref(), findings))
                .unwrap_or_default(),
            action: match written.action {
                file::Action::Accept => Action::Accept,
                file::Action::Reject => Action::Reject,
                file::Action::Next => Action::Next,
            },
        };
        if decided {
            let reason = format!(
                "rule {} of `{name}` is never reached: the one before it matches every route",
                index + 1
            );
            findings.refuse(at, KEY, reason);
        }
        decided = rule.matches == Matches::default() && rule.action != Action::Next;
        if let (Action::Reject, Some(set)) = (rule.action, &written.set) {
            findings.refuse(
                set,
                "bgp.policy.rule.set",
                "a rejected route keeps nothing of what is set",
            );
        }
        if rule.action == Action::Next {
            if index + 1 == policy.rule.len() {
                let reason =
                    format!("the last rule of `{name}` says next, and after it every route is rejected");
                findings.refuse(at, KEY, reason);
            } else if rule.sets == Sets::default() {
                findings.refuse(at, KEY, "sets nothing and goes on: it has no effect");
            }
        }
        rules.push(rule);
    }
    rules
}

/// An empty list would match everything, and whoever writes it means nothing.
fn listed<'a, T>(at: Option<&'a Spanned<Vec<T>>>, key: &str, findings: &mut Findings) -> &'a [T] {
    let Some(at) = at else { return &[] };
    if at.get_ref().is_empty() {
        findings.refuse(at, key, "is empty: leave it out to match every route");
    }
    at.get_ref()
}

fn matches(
    written: &file::Matches,
    instances: &BTreeMap<String, Instance>,
    findings: &mut Findings,
) -> Matches {
    let prefixes: Vec<PrefixMatch> =
        listed(written.prefix.as_ref(), "bgp.policy.rule.match.prefix", findings)
            .iter()
            .map(|text| text.0)
            .collect();
    let family = written.family.as_ref().map(|at| match at.get_ref() {
        file::Family::Ipv4 => Family::Ipv4,
        file::Family::Ipv6 => Family::Ipv6,
    });
    if let (Some(at), Some(family)) = (&written.prefix, family) {
        let of_family = |prefix: &PrefixMatch| prefix.prefix.addr().is_ipv4() == (family == Family::Ipv4);
        if let Some(other) = prefixes.iter().find(|prefix| !of_family(prefix)) {
            let reason = format!("{} is not of family {family}: nothing would match", other.prefix);
            findings.refuse(at, "bgp.policy.rule.match.prefix", reason);
        }
    }
    let as_path: Vec<AsPathMatch> = listed(
        written.as_path.as_ref(),
        "bgp.policy.rule.match.as-path",
        findings,
    )
    .iter()
    .map(|text| text.0)
    .collect();
    if let Some(at) = &written.as_path
        && as_path.len() > 1
        && as_path.contains(&AsPathMatch::Empty)
    {
        let reason = "\"empty\" beside another condition: all of them have to hold, and nothing would match";
        findings.refuse(at, "bgp.policy.rule.match.as-path", reason);
    }
    let instance = written.instance.as_ref().and_then(|at| {
        let name = &at.get_ref().0;
        let found = instances.get(name);
        if found.is_none() {
            let reason = format!("no [[ha.instance]] is called `{name}`");
            findings.refuse(at, "bgp.policy.rule.match.instance", reason);
        }
        found.map(|instance| instance.id)
    });
    let communities = listed(
        written.community.as_ref(),
        "bgp.policy.rule.match.community",
        findings,
    );
    let next_hops = listed(
        written.next_hop.as_ref(),
        "bgp.policy.rule.match.next-hop",
        findings,
    );
    Matches {
        family,
        prefixes,
        as_path,
        communities: communities.iter().map(|text| text.0).collect(),
        next_hops: next_hops.iter().map(|prefix| prefix.0).collect(),
        origin: written.origin.as_ref().map(|at| super::origin(*at.get_ref())),
        instance,
        preference: written.role.as_ref().map(|at| match at.get_ref() {
            file::PreferenceName::Master => Preference::Master,
            file::PreferenceName::Backup => Preference::Backup,
            file::PreferenceName::Joining => Preference::Joining,
            file::PreferenceName::Draining => Preference::Draining,
        }),
    }
}

fn sets(written: &file::Sets, findings: &mut Findings) -> Sets {
    let communities = |texts: &[crate::config::values::CommunityText]| -> Vec<Community> {
        texts.iter().map(|text| text.0).collect()
    };
    if let Some(at) = &written.next_hop
        && let NextHopSet::Address(address) = at.get_ref().0
    {
        next_hop(at, address, "bgp.policy.rule.set.next-hop", findings);
    }
    Sets {
        origin: written.origin.map(super::origin),
        med: written.med,
        local_pref: written.local_pref,
        prepend: match &written.prepend {
            Some(at) => super::prepend(at, "bgp.policy.rule.set.prepend", findings),
            None => 0,
        },
        next_hop: written.next_hop.as_ref().map(|at| at.get_ref().0),
        clear_communities: written.clear_communities,
        remove: communities(&written.remove_communities),
        add: communities(&written.communities),
    }
}

fn next_hop<T>(at: &Spanned<T>, address: IpAddr, key: &str, findings: &mut Findings) {
    if !super::super::is_unicast(address) || address.is_loopback() {
        findings.refuse(at, key, format!("{address} cannot be a next hop"));
    }
}

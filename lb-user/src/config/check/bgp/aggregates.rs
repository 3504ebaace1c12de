//! Prefixes that are announced for the VIPs inside them.

use std::collections::BTreeMap;

use super::super::Findings;
use crate::config::file;
use crate::desired::{Aggregate, Instance, Service, ServiceKey};

pub(in crate::config::check) fn aggregates(
    file: &file::File,
    instances: &BTreeMap<String, Instance>,
    services: &BTreeMap<ServiceKey, Service>,
    findings: &mut Findings,
) -> Vec<Aggregate> {
    const KEY: &str = "bgp.aggregate.prefix";
    let mut aggregates: Vec<Aggregate> = Vec::new();
    for written in file.bgp.iter().flat_map(|bgp| &bgp.aggregate) {
        let prefix = written.prefix();
        let instance = written
            .instance
            .as_ref()
            .map_or("default", |name| &name.get_ref().0)
            .to_owned();
        let Some(known) = instances.get(&instance) else {
            if let Some(at) = &written.instance {
                let reason = format!("no [[ha.instance]] is called `{instance}`");
                findings.refuse(at, "bgp.aggregate.instance", reason);
            }
            continue;
        };
        if aggregates.iter().any(|other| other.prefix == prefix) {
            findings.refuse(&written.prefix, KEY, format!("{prefix} is defined twice"));
        }
        if prefix.prefix_len() == prefix.max_prefix_len() {
            let reason = format!("{prefix} is one address, which is announced anyway");
            findings.refuse(&written.prefix, KEY, reason);
        }
        if prefix.addr().is_multicast() || prefix.addr().is_loopback() {
            findings.refuse(&written.prefix, KEY, format!("{prefix} cannot be announced"));
        }
        let inside = |service: &&Service| prefix.contains(&service.key.vip) && service.instance == instance;
        if !services.values().any(|service| inside(&service)) {
            let reason = format!("no service of instance `{instance}` has a VIP inside {prefix}");
            findings.refuse(&written.prefix, KEY, reason);
        }
        aggregates.push(Aggregate {
            prefix,
            instance: known.name.clone(),
            summary_only: written.summary_only,
        });
    }
    aggregates
}

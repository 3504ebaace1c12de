//! Neighbours that are not named: whoever connects from a prefix.

use std::collections::BTreeMap;

use bgp::DynamicPeers;
use toml::Spanned;

use super::super::Findings;
use super::{Context, peer};
use crate::config::file;
use crate::desired::{Neighbor, NeighborKey};

const LIMIT: u32 = 100;
const LIMITS: std::ops::RangeInclusive<u32> = 1..=10_000;

pub(super) fn ranges(
    context: &Context<'_>,
    neighbors: &BTreeMap<NeighborKey, Neighbor>,
    findings: &mut Findings,
) -> Vec<DynamicPeers> {
    let mut ranges: Vec<DynamicPeers> = Vec::new();
    for at in &context.written.dynamic {
        let Some(range) = range(at, context, findings) else {
            continue;
        };
        if ranges.iter().any(|other| other.prefix == range.prefix) {
            let reason = format!("{} is defined twice", range.prefix);
            findings.refuse(at, "bgp.dynamic.prefix", reason);
        }
        shadowed(at, &range, neighbors, findings);
        ranges.push(range);
    }
    ranges
}

/// A named neighbour comes before a range around it, but the kernel would apply the password of the range to it.
fn shadowed(
    at: &Spanned<file::Neighbor>,
    range: &DynamicPeers,
    neighbors: &BTreeMap<NeighborKey, Neighbor>,
    findings: &mut Findings,
) {
    let inside = neighbors.values().filter(
        |neighbor| matches!(&neighbor.key, NeighborKey::Address(address) if range.prefix.contains(address)),
    );
    let protected = range.template.transport.authentication.is_some();
    for neighbor in inside.filter(|neighbor| protected && neighbor.peer.transport.authentication.is_none()) {
        let reason = format!(
            "neighbour {} lies inside {} and has no password, but the kernel would ask it for the one of the range: \
             give it one of its own",
            neighbor.key, range.prefix
        );
        findings.refuse(at, "bgp.dynamic.prefix", reason);
    }
}

fn range(
    at: &Spanned<file::Neighbor>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<DynamicPeers> {
    let written = at.get_ref();
    foreign_keys(written, findings);
    let Some(prefix) = &written.prefix else {
        findings.refuse(at, "bgp.dynamic", "needs a prefix: from where may they connect?");
        return None;
    };
    let place = prefix;
    let prefix = prefix.get_ref().0;
    if prefix.addr().is_multicast() || (prefix.prefix_len() > 8 && prefix.addr().is_loopback()) {
        findings.refuse(
            place,
            "bgp.dynamic.prefix",
            format!("{prefix} holds no neighbours"),
        );
    }
    if context.written.listen.is_empty() {
        let reason = format!("{prefix} may connect, but bgp.listen is empty: nobody would ever be heard");
        findings.refuse(place, "bgp.dynamic.prefix", reason);
    }
    let limit = written.limit.as_ref().map_or(LIMIT, |at| {
        let limit = *at.get_ref();
        if !LIMITS.contains(&limit) {
            let reason = format!("must be {} to {}, not {limit}", LIMITS.start(), LIMITS.end());
            findings.refuse(at, "bgp.dynamic.limit", reason);
        }
        limit
    });
    let subject = peer::Subject {
        key: "bgp.dynamic",
        name: prefix.to_string(),
        address: prefix.addr(),
        both_families: false,
    };
    let mut template = peer::peer(&subject, written, context, findings);
    template.passive = true;
    Some(DynamicPeers {
        prefix,
        limit,
        template,
    })
}

/// Keys of `[[bgp.neighbor]]`, and what a neighbour that is not known before it comes cannot have.
fn foreign_keys(written: &file::Neighbor, findings: &mut Findings) {
    let reason = "belongs to [[bgp.neighbor]]: dynamic neighbours are those that connect from `prefix`";
    if let Some(at) = &written.address {
        findings.refuse(at, "bgp.dynamic.address", reason);
    }
    if let Some(at) = &written.interface {
        findings.refuse(at, "bgp.dynamic.interface", reason);
    }
    if let Some(at) = &written.local_port {
        findings.refuse(at, "bgp.dynamic.local-port", reason);
    }
    if let Some(at) = &written.passive {
        findings.refuse(at, "bgp.dynamic.passive", reason);
    }
}

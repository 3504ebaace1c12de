//! The BGP speaker, its neighbours and what they are told.

mod aggregates;
mod announce;
mod authentication;
mod dynamic;
mod ladders;
mod neighbors;
mod peer;
mod policies;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bgp::Ladders;
use toml::Spanned;

pub(super) use self::aggregates::aggregates;
pub(super) use self::announce::overrides;
use self::policies::Policies;
use super::Findings;
use crate::config::file;
use crate::desired::{Bgp, Instance, Neighbor, NeighborKey, SpeakerSettings};

/// Longer paths are refused by many routers; nobody needs more to make a path the worse one.
const LONGEST_PREPEND: u32 = 50;
/// Paths of equal cost that the kernel is given for a prefix.
const MULTIPATH: std::ops::RangeInclusive<u32> = 1..=64;

pub(super) fn speaker(file: &file::File, findings: &mut Findings) -> Option<Bgp> {
    let bgp = file.bgp.as_ref()?;
    autonomous_system(&bgp.local_as, *bgp.local_as.get_ref(), "bgp.as", findings);
    let mut listen = Vec::new();
    for address in &bgp.listen {
        if listen.contains(address.get_ref()) {
            findings.refuse(
                address,
                "bgp.listen",
                format!("{} is listed twice", address.get_ref()),
            );
        }
        listen.push(*address.get_ref());
    }
    let multipath = *bgp.multipath.get_ref();
    if !MULTIPATH.contains(&multipath) {
        let reason = format!("must be 1 (off) to {}, not {multipath}", MULTIPATH.end());
        findings.refuse(&bgp.multipath, "bgp.multipath", reason);
    }
    Some(Bgp {
        local_as: *bgp.local_as.get_ref(),
        listen,
        listen_port: findings.port(&bgp.listen_port, "bgp.listen-port"),
        multipath: u8::try_from(multipath).unwrap_or(1),
    })
}

/// What the keys of a neighbour are looked up in.
struct Context<'a> {
    written: &'a file::Bgp,
    local_as: u32,
    /// Of `[bgp.ladder]`.
    ladder: bgp::Ladder,
    policies: &'a Policies,
}

/// The neighbours, and what concerns all of them.
pub(super) fn settings(
    file: &file::File,
    instances: &BTreeMap<String, Instance>,
    findings: &mut Findings,
) -> (BTreeMap<NeighborKey, Neighbor>, SpeakerSettings) {
    let written = file.bgp.as_ref();
    let all = match written.and_then(|bgp| bgp.ladder.as_ref()) {
        Some(at) => ladders::ladder(&bgp::Ladder::default(), at, "bgp.ladder", findings),
        None => bgp::Ladder::default(),
    };
    let by_instance = file.ha.instance.iter().filter_map(|instance| {
        let at = instance.ladder.as_ref()?;
        let id = instances.get(&instance.name.get_ref().0)?.id;
        let ladder = ladders::ladder(&all, at, "ha.instance.ladder", findings);
        Some((id, ladder))
    });
    let ladders = Ladders {
        by_instance: by_instance.collect(),
        all,
    };
    let Some(written) = written else {
        let settings = SpeakerSettings {
            ladders,
            ..SpeakerSettings::default()
        };
        return (BTreeMap::new(), settings);
    };
    let policies = Policies::new(written, instances, findings);
    let context = Context {
        written,
        local_as: *written.local_as.get_ref(),
        ladder: ladders.all.clone(),
        policies: &policies,
    };
    let neighbors = neighbors::neighbors(&context, findings);
    let settings = SpeakerSettings {
        dynamic: dynamic::ranges(&context, &neighbors, findings),
        monitors: monitors(written, findings),
        ladders,
    };
    policies.warn_of_unused(written, findings);
    (neighbors, settings)
}

fn monitors(written: &file::Bgp, findings: &mut Findings) -> Vec<SocketAddr> {
    let mut monitors = Vec::new();
    for monitor in &written.monitor {
        let address = findings.socket_address(&monitor.address, "bgp.monitor.address");
        if !super::is_unicast(address.ip()) {
            let reason = format!("{} is no unicast address", address.ip());
            findings.refuse(&monitor.address, "bgp.monitor.address", reason);
        }
        if monitors.contains(&address) {
            findings.refuse(
                &monitor.address,
                "bgp.monitor.address",
                format!("{address} is listed twice"),
            );
        }
        monitors.push(address);
    }
    monitors
}

fn autonomous_system<T>(at: &Spanned<T>, number: u32, key: &str, findings: &mut Findings) {
    // RFC 7607 (0), RFC 6793 section 9 (AS_TRANS), RFC 7300 (the last of each size).
    if [0, 23_456, 65_535, u32::MAX].contains(&number) {
        findings.refuse(at, key, format!("AS {number} is reserved"));
    }
}

fn prepend(at: &Spanned<u32>, key: &str, findings: &mut Findings) -> u8 {
    let times = *at.get_ref();
    if times > LONGEST_PREPEND {
        findings.refuse(at, key, format!("must be 0 to {LONGEST_PREPEND}, not {times}"));
    }
    u8::try_from(times).unwrap_or(u8::MAX)
}

fn origin(written: file::Origin) -> bgp::wire::Origin {
    match written {
        file::Origin::Igp => bgp::wire::Origin::Igp,
        file::Origin::Egp => bgp::wire::Origin::Egp,
        file::Origin::Incomplete => bgp::wire::Origin::Incomplete,
    }
}

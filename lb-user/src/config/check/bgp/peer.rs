//! What a named neighbour and a range of unnamed ones have in common.

use std::net::IpAddr;
use std::time::Duration;

use bgp::{
    Direction, Families, GracefulRestart, Hops, MaxPrefixes, NextHops, PeerConfig, RemoteAs, Role, Transport,
};
use toml::Spanned;

use super::super::{Findings, family, is_unicast};
use super::{Context, authentication, autonomous_system, ladders};
use crate::config::file;
use crate::config::values::Time;

/// Whom the keys are about.
pub(super) struct Subject {
    /// `bgp.neighbor` or `bgp.dynamic`.
    pub(super) key: &'static str,
    pub(super) name: String,
    pub(super) address: IpAddr,
    /// Neither family is the natural one.
    pub(super) both_families: bool,
}

impl Subject {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }
}

pub(super) fn peer(
    subject: &Subject,
    written: &file::Neighbor,
    context: &Context<'_>,
    findings: &mut Findings,
) -> PeerConfig {
    let remote_as = remote_as(subject, written, findings);
    let external = match &remote_as {
        RemoteAs::Is(number) => *number != context.local_as,
        RemoteAs::External => true,
        RemoteAs::Internal => false,
        // One AS of the range may be ours: the stricter rules hold.
        RemoteAs::OneOf(_) => true,
    };
    let retry = written.connect_retry.get_ref();
    if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&retry.0) {
        let reason = format!("must be 100ms to 1h, not {retry}");
        findings.refuse(&written.connect_retry, &subject.key("connect-retry"), reason);
    }
    if let Some(local) = &written.local {
        local_address(subject, local, findings);
    }
    let families = families(subject, written, findings);
    let (import, export) = policies(subject, written, external, context, findings);
    let default = PeerConfig::new(subject.address, 0);
    PeerConfig {
        remote_as,
        port: findings.port(&written.port, &subject.key("port")),
        transport: Transport {
            local_address: written.local.as_ref().map(|local| *local.get_ref()),
            local_port: None,
            interface: None,
            hops: hops(subject, written, external, findings),
            authentication: authentication::authentication(subject.key, written, findings),
        },
        bfd: written.bfd.get_ref().0,
        hold_time: hold_time(subject, &written.hold_time, findings),
        connect_retry: retry.0,
        families,
        next_hops: next_hops(subject, written, families, findings),
        ladder: written
            .ladder
            .as_ref()
            .map(|at| ladders::ladder(&context.ladder, at, &subject.key("ladder"), findings)),
        import,
        export,
        role: role(subject, written, external, findings),
        role_strict: written
            .role_strict
            .as_ref()
            .is_some_and(|strict| *strict.get_ref()),
        graceful_restart: graceful_restart(subject, &written.graceful_restart, findings),
        add_path: written.add_path,
        extended_messages: written.extended_messages,
        graceful_shutdown: written.graceful_shutdown,
        max_prefixes: max_prefixes(subject, &written.max_prefixes, findings),
        description: written.description.clone(),
        ..default
    }
}

fn remote_as(subject: &Subject, written: &file::Neighbor, findings: &mut Findings) -> RemoteAs {
    let remote_as = written.remote_as.get_ref().0.clone();
    if let RemoteAs::Is(number) = remote_as {
        autonomous_system(&written.remote_as, number, &subject.key("as"), findings);
    }
    remote_as
}

/// RFC 8212: without a policy nothing is announced on eBGP. It is the most frequent surprise, so it is said.
fn policies(
    subject: &Subject,
    written: &file::Neighbor,
    external: bool,
    context: &Context<'_>,
    findings: &mut Findings,
) -> (
    Option<std::sync::Arc<bgp::Policy>>,
    Option<std::sync::Arc<bgp::Policy>>,
) {
    let (import, import_key) = match &written.import {
        Some(at) => (Some(at), subject.key("import")),
        None => (context.written.import.as_ref(), "bgp.import".to_owned()),
    };
    let (export, export_key) = match &written.export {
        Some(at) => (Some(at), subject.key("export")),
        None => (context.written.export.as_ref(), "bgp.export".to_owned()),
    };
    if external && export.is_none() {
        let reason = format!(
            "{} has no export policy: nothing is announced to it (RFC 8212); export = \"all\" announces every VIP",
            subject.name
        );
        findings.warn(&written.remote_as, &subject.key("export"), reason);
    }
    (
        context
            .policies
            .find(import, Direction::In, &import_key, findings),
        context
            .policies
            .find(export, Direction::Out, &export_key, findings),
    )
}

/// RFC 5082: on by default for neighbours of other ASes on the link.
fn hops(subject: &Subject, written: &file::Neighbor, external: bool, findings: &mut Findings) -> Hops {
    let multihop = written.multihop.as_ref().map(|at| {
        let hops = *at.get_ref();
        let narrow = u8::try_from(hops).ok().filter(|hops| *hops > 0);
        if narrow.is_none() {
            findings.refuse(
                at,
                &subject.key("multihop"),
                format!("must be 1 to 255, not {hops}"),
            );
        }
        narrow.unwrap_or(1)
    });
    let gtsm = match &written.gtsm {
        Some(at) => *at.get_ref(),
        None => external && multihop.is_none(),
    };
    match (gtsm, multihop) {
        (false, None) => Hops::Limit(if external { 1 } else { 64 }),
        (false, Some(hops)) => Hops::Limit(hops),
        (true, hops) => {
            if let (Some(u8::MAX), Some(at)) = (hops, &written.multihop) {
                let reason = "gtsm over 255 hops would accept every packet: set gtsm = false, or fewer hops";
                findings.refuse(at, &subject.key("multihop"), reason);
            }
            Hops::Security(hops.unwrap_or(1))
        }
    }
}

fn role(
    subject: &Subject,
    written: &file::Neighbor,
    external: bool,
    findings: &mut Findings,
) -> Option<Role> {
    if let (Some(at), None) = (&written.role_strict, &written.role) {
        findings.refuse(at, &subject.key("role-strict"), "needs a role");
    }
    let at = written.role.as_ref()?;
    // RFC 9234 section 4.1: roles are those between ASes.
    if !external {
        findings.refuse(
            at,
            &subject.key("role"),
            "is for eBGP, and this neighbour is of the own AS",
        );
    }
    Some(match at.get_ref() {
        file::Role::Provider => Role::Provider,
        file::Role::RouteServer => Role::RouteServer,
        file::Role::RouteServerClient => Role::RouteServerClient,
        file::Role::Customer => Role::Customer,
        file::Role::Peer => Role::Peer,
    })
}

fn graceful_restart(
    subject: &Subject,
    written: &file::GracefulRestart,
    findings: &mut Findings,
) -> GracefulRestart {
    let mut seconds = |at: &Spanned<Time>, name: &str, most: u64| {
        let time = at.get_ref().0;
        if time.as_secs() > most || time.subsec_nanos() != 0 {
            let reason = format!("must be 0s to {most}s in whole seconds, not {}", at.get_ref());
            findings.refuse(at, &subject.key(&format!("graceful-restart.{name}")), reason);
        }
        time
    };
    // RFC 4724 section 3 has 12 bits for it, RFC 9494 section 3 has 24.
    GracefulRestart {
        restart_time: seconds(&written.restart_time, "restart-time", 4095),
        long_lived_time: seconds(&written.long_lived_time, "long-lived-time", (1 << 24) - 1),
        helper: written.helper,
        restarter: written.restarter,
    }
}

fn max_prefixes(subject: &Subject, written: &file::MaxPrefixes, findings: &mut Findings) -> MaxPrefixes {
    let (limit, warning) = (*written.limit.get_ref(), *written.warning.get_ref());
    if limit == 0 {
        let reason = "must be at least 1; import = \"none\" imports nothing";
        findings.refuse(&written.limit, &subject.key("max-prefixes.limit"), reason);
    }
    let percent = u8::try_from(warning)
        .ok()
        .filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        let reason = format!("is a percentage, 1 to 100, not {warning}");
        findings.refuse(&written.warning, &subject.key("max-prefixes.warning"), reason);
    }
    let idle_hold = written.idle_hold.get_ref().0;
    if idle_hold.is_some_and(|hold| hold < Duration::from_secs(1)) {
        let reason = "must be at least 1s, or \"forever\"";
        findings.refuse(&written.idle_hold, &subject.key("max-prefixes.idle-hold"), reason);
    }
    MaxPrefixes {
        limit,
        warning: percent.unwrap_or(100),
        warn_only: written.warn_only,
        idle_hold,
    }
}

fn hold_time(subject: &Subject, time: &Spanned<Time>, findings: &mut Findings) -> Duration {
    let hold = time.get_ref().0;
    // RFC 4271 section 4.2: zero or at least three seconds, in whole seconds.
    let valid = hold.is_zero() || (3..=65_535).contains(&hold.as_secs());
    if !valid || hold.subsec_nanos() != 0 {
        let reason = format!(
            "must be 0s or 3s to 65535s in whole seconds, not {}",
            time.get_ref()
        );
        findings.refuse(time, &subject.key("hold-time"), reason);
    }
    hold
}

fn local_address(subject: &Subject, local: &Spanned<IpAddr>, findings: &mut Findings) {
    let key = subject.key("local");
    let address = findings.unicast(local, &key);
    if address.is_ipv4() != subject.address.is_ipv4() {
        let reason = format!(
            "{address} is {}, but the neighbour {} is {}",
            family(address),
            subject.name,
            family(subject.address)
        );
        findings.refuse(local, &key, reason);
    }
    if address == subject.address {
        findings.refuse(local, &key, format!("{address} is the neighbour's own address"));
    }
}

fn families(subject: &Subject, written: &file::Neighbor, findings: &mut Findings) -> Families {
    let Some(listed) = &written.families else {
        return match subject.address {
            _ if subject.both_families => Families::BOTH,
            IpAddr::V4(_) => Families::IPV4,
            IpAddr::V6(_) => Families::IPV6,
        };
    };
    if listed.get_ref().is_empty() {
        findings.refuse(
            listed,
            &subject.key("families"),
            "is empty: nothing could be announced",
        );
    }
    let mut families = Families::default();
    for listed in listed.get_ref() {
        families.insert(match listed {
            file::Family::Ipv4 => bgp::Family::Ipv4,
            file::Family::Ipv6 => bgp::Family::Ipv6,
        });
    }
    families
}

fn next_hops(
    subject: &Subject,
    written: &file::Neighbor,
    families: Families,
    findings: &mut Findings,
) -> NextHops {
    let hops = &written.next_hop;
    if let Some(at) = &hops.ipv4 {
        let address = IpAddr::V4(*at.get_ref());
        next_hop(
            at,
            address,
            families.ipv4,
            &subject.key("next-hop.ipv4"),
            findings,
        );
    }
    if let Some(at) = &hops.ipv6 {
        let address = IpAddr::V6(*at.get_ref());
        // An IPv4 route may have one as well (RFC 8950).
        next_hop(at, address, true, &subject.key("next-hop.ipv6"), findings);
        if at.get_ref().is_unicast_link_local() {
            let reason = format!("{address} is link-local: it belongs to next-hop.ipv6-link-local");
            findings.refuse(at, &subject.key("next-hop.ipv6"), reason);
        }
    }
    if let Some(at) = &hops.ipv6_link_local
        && !at.get_ref().is_unicast_link_local()
    {
        let reason = format!("{} is not link-local", at.get_ref());
        findings.refuse(at, &subject.key("next-hop.ipv6-link-local"), reason);
    }
    NextHops {
        ipv4: hops.ipv4.as_ref().map(|hop| *hop.get_ref()),
        ipv6: hops.ipv6.as_ref().map(|hop| *hop.get_ref()),
        ipv6_link_local: hops.ipv6_link_local.as_ref().map(|hop| *hop.get_ref()),
    }
}

fn next_hop<T>(at: &Spanned<T>, address: IpAddr, used: bool, key: &str, findings: &mut Findings) {
    if !is_unicast(address) {
        findings.refuse(at, key, format!("{address} is no unicast address"));
    }
    if !used {
        findings.refuse(
            at,
            key,
            format!("families does not list {}", family(address).to_lowercase()),
        );
    }
}

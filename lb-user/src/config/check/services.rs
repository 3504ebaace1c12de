//! Services and their endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lb_common::{maglev_size, map};

use super::{Findings, family, is_link_local};
use crate::config::file;
use crate::desired::{Endpoint, Instance, Mode, Protocol, Select, Service, ServiceKey};

/// Flow ages are 32-bit ticks of a millisecond; a week stays far from their wrap-around.
const IDLE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
/// Endpoints of one service.
const ENDPOINTS: usize = 1024;

pub(super) fn services(
    file: &file::File,
    instances: &BTreeMap<String, Instance>,
    findings: &mut Findings,
) -> BTreeMap<ServiceKey, Service> {
    let mut services: BTreeMap<ServiceKey, Service> = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut instance_of: BTreeMap<IpAddr, String> = BTreeMap::new();
    let vips: BTreeSet<IpAddr> = file
        .service
        .iter()
        .map(|service| *service.vip.get_ref())
        .collect();
    for written in &file.service {
        let service = service(written, &vips, findings);
        if !names.insert(service.name.clone()) {
            findings.refuse(
                &written.name,
                "service.name",
                format!("service `{}` is defined twice", service.name),
            );
        }
        if let Some(other) = services.get(&service.key) {
            let reason = format!(
                "`{}` and `{}` both serve {}",
                other.name, service.name, service.key
            );
            findings.refuse(&written.vip, "service.vip", reason);
        }
        vip(written, instances, findings);
        let instance = instance_of
            .entry(service.key.vip)
            .or_insert_with(|| service.instance.clone());
        if *instance != service.instance {
            let reason = format!(
                "{} belongs to instance `{instance}` already, and an address has one MASTER only",
                service.key.vip
            );
            findings.refuse(
                written.instance.as_ref().unwrap_or(&written.name),
                "service.instance",
                reason,
            );
        }
        if let Some(at) = &written.instance
            && !instances.contains_key(&service.instance)
        {
            let reason = format!("no [[ha.instance]] is called `{}`", service.instance);
            findings.refuse(at, "service.instance", reason);
        }
        services.insert(service.key, service);
    }
    limits(file, &services, findings);
    services
}

/// What the maps of the data path hold, all services together.
fn limits(file: &file::File, services: &BTreeMap<ServiceKey, Service>, findings: &mut Findings) {
    let Some(last) = file.service.last() else { return };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let backends: BTreeSet<(IpAddr, u16)> = services
        .values()
        .flat_map(|service| &service.endpoints)
        .map(|endpoint| (endpoint.address, endpoint.port))
        .collect();
    let sizes = || {
        services
            .values()
            .map(|service| maglev_size(service.endpoints.len()))
    };
    // A changed table is written beside the old one.
    let rows = sizes().fold(sizes().max().unwrap_or(0), u32::saturating_add);
    for (noun, used, limit) in [
        ("services", count(services.len()), map::SERVICES_SIZE - 1),
        ("endpoints", count(backends.len()), map::BACKENDS_SIZE),
        (
            "rows of selection tables (about 100 an endpoint)",
            rows,
            map::MAGLEV_SIZE,
        ),
    ] {
        if used > limit {
            findings.refuse(
                &last.name,
                "service",
                format!("{used} {noun} in all are more than fit ({limit})"),
            );
        }
    }
}

fn vip(written: &file::Service, instances: &BTreeMap<String, Instance>, findings: &mut Findings) {
    let vip = findings.unicast(&written.vip, "service.vip");
    if vip.is_loopback() || is_link_local(vip) {
        findings.refuse(&written.vip, "service.vip", format!("{vip} cannot be announced"));
    }
    let floating = instances.values().flat_map(|instance| &instance.addresses);
    for address in floating.filter(|address| address.address == vip) {
        let reason = format!(
            "{vip} is a floating address too (ha.instance.addresses {address}); VIPs are not listed there"
        );
        findings.refuse(&written.vip, "service.vip", reason);
    }
}

fn service(written: &file::Service, vips: &BTreeSet<IpAddr>, findings: &mut Findings) -> Service {
    let protocol = match written.protocol {
        file::Protocol::Tcp => Protocol::Tcp,
        file::Protocol::Udp => Protocol::Udp,
    };
    let key = ServiceKey {
        vip: *written.vip.get_ref(),
        port: findings.port(&written.port, "service.port"),
        protocol,
    };
    let idle_timeout = match &written.idle_timeout {
        None => Duration::from_secs(if protocol == Protocol::Tcp { 1800 } else { 60 }),
        Some(time) => {
            if !IDLE.contains(&time.get_ref().0) {
                findings.refuse(
                    time,
                    "service.idle-timeout",
                    format!("must be 1s to 7days, not {}", time.get_ref()),
                );
            }
            time.get_ref().0
        }
    };
    Service {
        name: written.name.get_ref().0.clone(),
        key,
        mode: match written.mode {
            file::Mode::Default => Mode::Default,
            file::Mode::Fullnat => Mode::FullNat,
        },
        select: match written.select {
            file::Select::Hash => Select::Hash,
        },
        instance: written
            .instance
            .as_ref()
            .map_or("default", |name| &name.get_ref().0)
            .to_owned(),
        idle_timeout,
        endpoints: endpoints(written, vips, findings),
    }
}

fn endpoints(written: &file::Service, vips: &BTreeSet<IpAddr>, findings: &mut Findings) -> Vec<Endpoint> {
    let vip = *written.vip.get_ref();
    let mut endpoints: BTreeMap<(IpAddr, u16), Endpoint> = BTreeMap::new();
    for entry in &written.endpoints {
        let address = findings.unicast(&entry.address, "service.endpoints.address");
        let port = findings.port(&entry.port, "service.endpoints.port");
        let mut refuse =
            |reason: String| findings.refuse(&entry.address, "service.endpoints.address", reason);
        if address.is_ipv4() != vip.is_ipv4() {
            refuse(format!(
                "{address} is {}, but the VIP {vip} is {}",
                family(address),
                family(vip)
            ));
        }
        if address.is_loopback() {
            refuse(format!(
                "{address} is this node itself; packets are forwarded to other hosts only"
            ));
        }
        if vips.contains(&address) {
            refuse(format!("{address} is a VIP: packets would go in circles"));
        }
        let endpoint = Endpoint {
            address,
            port,
            weight: *entry.weight.get_ref(),
        };
        if endpoints.insert((address, port), endpoint).is_some() {
            refuse(format!("{} is listed twice", SocketAddr::new(address, port)));
        }
    }
    if endpoints.len() > ENDPOINTS {
        let reason = format!(
            "{} endpoints are more than a service can have ({ENDPOINTS})",
            endpoints.len()
        );
        findings.refuse(&written.name, "service.endpoints", reason);
    }
    endpoints.into_values().collect()
}

//! What only makes sense together: from the file as written to [`Desired`], or everything that is wrong.

mod bfd;
mod bgp;
mod ha;
mod secrets;
mod services;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use toml::Spanned;

use super::error::Finding;
use super::file;
use crate::desired::{Api, DataPath, Desired, Fixed, Hook, Live, Node};

/// Smallest and largest flow table.
const FLOWS: std::ops::RangeInclusive<u32> = 1024..=1 << 24;
/// `sun_path` without its terminating zero.
const SOCKET_PATH: usize = 107;

/// What has been found so far.
#[derive(Default)]
struct Findings {
    refused: Vec<Finding>,
    /// What is allowed, but probably not meant.
    warnings: Vec<Finding>,
}

impl Findings {
    fn refuse<T>(&mut self, at: &Spanned<T>, key: &str, reason: impl Into<String>) {
        let refusal = finding(at, key, reason);
        if !self.refused.contains(&refusal) {
            self.refused.push(refusal);
        }
    }

    fn warn<T>(&mut self, at: &Spanned<T>, key: &str, reason: impl Into<String>) {
        // Several sessions may share what is written once.
        let warning = finding(at, key, reason);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn port(&mut self, port: &Spanned<u16>, key: &str) -> u16 {
        if *port.get_ref() == 0 {
            self.refuse(port, key, "must be 1 to 65535");
        }
        *port.get_ref()
    }

    fn socket_address(&mut self, address: &Spanned<SocketAddr>, key: &str) -> SocketAddr {
        if address.get_ref().port() == 0 {
            self.refuse(address, key, "the port must be 1 to 65535");
        }
        *address.get_ref()
    }

    fn absolute(&mut self, path: &Spanned<PathBuf>, key: &str) -> PathBuf {
        if !path.get_ref().is_absolute() {
            self.refuse(
                path,
                key,
                "must be an absolute path: the daemon has no directory of its own",
            );
        }
        path.get_ref().clone()
    }

    /// An address that one host can have.
    fn unicast(&mut self, address: &Spanned<IpAddr>, key: &str) -> IpAddr {
        if !is_unicast(*address.get_ref()) {
            self.refuse(
                address,
                key,
                format!("{} is no unicast address", address.get_ref()),
            );
        }
        *address.get_ref()
    }
}

fn finding<T>(at: &Spanned<T>, key: &str, reason: impl Into<String>) -> Finding {
    // A default has no place in the file.
    let span = Some(at.span()).filter(|span| !span.is_empty());
    Finding {
        span,
        key: key.to_owned(),
        reason: reason.into(),
    }
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !broadcast
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// What the file asks for and what is probably not meant, or everything that is wrong.
pub(super) fn desired(file: &file::File) -> Result<(Desired, Vec<Finding>), Vec<Finding>> {
    let mut findings = Findings::default();
    let node = node(file, &mut findings);
    let peers = ha::peers(file, &mut findings);
    let instances = ha::instances(file, &mut findings);
    let (neighbors, speaker) = bgp::settings(file, &instances, &mut findings);
    let bfd = bfd::settings(file, &mut findings);
    let services = services::services(file, &instances, &mut findings);
    let aggregates = bgp::aggregates(file, &instances, &services, &mut findings);
    let overrides = bgp::overrides(file, &aggregates, &mut findings);
    let fixed = Fixed {
        datapath: datapath(file, &mut findings),
        bgp: bgp::speaker(file, &mut findings),
        sync: ha::sync(file, &peers, &mut findings),
        api: api(file, &node, &mut findings),
        metrics: metrics(file, &mut findings),
        peers,
        node,
    };
    if !findings.refused.is_empty() {
        return Err(findings.refused);
    }
    let desired = Desired {
        generation: 0,
        warnings: Vec::new(),
        fixed,
        services,
        overrides,
        aggregates,
        speaker,
        neighbors,
        sessions: bfd.sessions,
        awaited: bfd.awaited,
        unsolicited: bfd.unsolicited,
        live: Live::default(),
        instances,
    };
    Ok((desired, findings.warnings))
}

fn node(file: &file::File, findings: &mut Findings) -> Node {
    let router_id = *file.node.router_id.get_ref();
    // RFC 6286 section 2.1: the identifier is any non-zero four octets; the other refused ones are typing errors.
    if !is_unicast(router_id.into()) {
        findings.refuse(
            &file.node.router_id,
            "node.router-id",
            format!("{router_id} cannot identify a router"),
        );
    }
    Node {
        name: file.node.name.get_ref().0.clone(),
        router_id,
        run_dir: findings.absolute(&file.node.run_dir, "node.run-dir"),
    }
}

fn datapath(file: &file::File, findings: &mut Findings) -> DataPath {
    let mut interfaces: Vec<String> = Vec::new();
    for interface in file.datapath.interfaces.get_ref() {
        let name = &interface.get_ref().0;
        if interfaces.contains(name) {
            findings.refuse(
                interface,
                "datapath.interfaces",
                format!("`{name}` is listed twice"),
            );
        }
        interfaces.push(name.clone());
    }
    if interfaces.is_empty() {
        findings.refuse(
            &file.datapath.interfaces,
            "datapath.interfaces",
            "names no interface: nothing would be forwarded",
        );
    }
    let max_flows = *file.datapath.max_flows.get_ref();
    if !FLOWS.contains(&max_flows) {
        let reason = format!("must be {} to {}, not {max_flows}", FLOWS.start(), FLOWS.end());
        findings.refuse(&file.datapath.max_flows, "datapath.max-flows", reason);
    }
    DataPath {
        interfaces,
        hook: match file.datapath.hook {
            file::Hook::Auto => Hook::Auto,
            file::Hook::Xdp => Hook::Xdp,
            file::Hook::XdpGeneric => Hook::XdpGeneric,
            file::Hook::Tcx => Hook::Tcx,
        },
        max_flows,
        pin_dir: findings.absolute(&file.datapath.pin_dir, "datapath.pin-dir"),
    }
}

fn api(file: &file::File, node: &Node, findings: &mut Findings) -> Api {
    let socket = match &file.api.socket {
        Some(socket) => findings.absolute(socket, "api.socket"),
        None => node.run_dir.join("batond.sock"),
    };
    let length = socket.as_os_str().len();
    if length > SOCKET_PATH {
        let reason = format!("{length} bytes are too long for a unix socket, which takes {SOCKET_PATH}");
        match &file.api.socket {
            Some(at) => findings.refuse(at, "api.socket", reason),
            None => findings.refuse(&file.node.run_dir, "node.run-dir", reason),
        }
    }
    Api {
        socket,
        mode: file.api.mode.0,
    }
}

fn metrics(file: &file::File, findings: &mut Findings) -> Option<SocketAddr> {
    let metrics = file.metrics.as_ref()?;
    let listen = metrics.listen.as_ref()?;
    let address = findings.socket_address(listen, "metrics.listen");
    if !address.ip().is_loopback() && !metrics.allow_remote {
        let reason = format!(
            "{} is reachable by others and metrics are neither encrypted nor authenticated: listen on 127.0.0.1, \
             or set allow-remote = true",
            address.ip()
        );
        findings.refuse(listen, "metrics.listen", reason);
    }
    Some(address)
}

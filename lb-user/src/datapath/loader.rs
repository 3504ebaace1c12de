//! Loads the programs, adopts or makes the maps, attaches.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use aya::programs::{Program, ProgramError, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfLoader};
use caps::{CapSet, Capability};
use lb_common::{Interface, map};
use tracing::{info, warn};

use super::error::DataPathError;
use super::hook::{Attached, Hooks};
use super::maps::{self, Maps, RECORDS, Streams, fits};
use super::object;
use super::pins::{Pins, remove};
use super::table::Expect;
use crate::desired::DataPath as Config;

/// Loads and attaches everything. What a former daemon left is taken over; traffic does not notice.
/// The addresses are known to the packet path before its first packet: those of a VIP that it does not know go to the
/// local stack, which resets them (invariant I1).
/// Says whether an earlier daemon's data path has forwarded until now.
pub(super) fn load(config: &Config, vips: &BTreeSet<IpAddr>) -> Result<(Maps, Streams, bool), DataPathError> {
    check_capabilities()?;
    let pins = Pins::open(&config.pin_dir)?;
    check_layout(&pins)?;
    let forwarding = has_forwarded(&pins.maps(), &pins.links(), &config.interfaces);
    let mut ebpf = open(&pins, config)?;
    // Before the maps are taken out: the instructions name them by descriptors of `ebpf`.
    load_programs(&mut ebpf)?;
    let (maps, mut streams) = maps::take(&mut ebpf)?;
    if maps.established.capacity() != config.max_flows.saturating_mul(2) {
        let kept = maps.established.capacity() / 2;
        warn!(
            kept,
            wanted = config.max_flows,
            "max-flows is that of the adopted table until its pin is removed"
        );
    }
    for vip in vips {
        maps.vips
            .put(&(*vip).into(), &1, Expect::Any)
            .map_err(|source| DataPathError::Map {
                map: map::VIPS,
                source,
            })?;
    }
    let (xdp, tc) = programs(&mut ebpf)?;
    let mut hooks = Hooks { pins: &pins, xdp, tc };
    for interface in &config.interfaces {
        let ifindex = index(interface)?;
        let record = Interface {
            ifindex,
            mac: address(interface),
            pad: [0; 2],
        };
        maps.interfaces
            .put(&(ifindex % map::INTERFACES_SIZE), &record, Expect::Any)
            .map_err(|source| DataPathError::Map {
                map: map::INTERFACES,
                source,
            })?;
        let attached = hooks.attach(interface, config.hook)?;
        register_port(&mut streams, ifindex, attached)?;
        enable_forwarding(interface);
        if attached != Attached::Tcx {
            accept_own_source(interface);
        }
    }
    hooks.remove_others(&config.interfaces)?;
    pin_programs(&pins, &mut ebpf)?;
    pins.remove_other_layouts();
    Ok((maps, streams, forwarding))
}

/// Every map is there, and on every interface a link that kept a program attached: nothing was missed while no
/// daemon ran. Pins do not outlive a reboot.
fn has_forwarded(maps: &Path, links: &Path, interfaces: &[String]) -> bool {
    let attached = |interface: &String| {
        Attached::ALL
            .iter()
            .any(|hook| links.join(format!("{interface}-{}", hook.name())).exists())
    };
    RECORDS.iter().all(|(name, _, _)| maps.join(name).exists()) && interfaces.iter().all(attached)
}

fn check_capabilities() -> Result<(), DataPathError> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    // CAP_SYS_ADMIN stands for CAP_BPF on kernels before 5.8.
    if !has(Capability::CAP_BPF) && !has(Capability::CAP_SYS_ADMIN) {
        return Err(DataPathError::Capability("CAP_BPF"));
    }
    if !has(Capability::CAP_NET_ADMIN) {
        return Err(DataPathError::Capability("CAP_NET_ADMIN"));
    }
    Ok(())
}

fn check_layout(pins: &Pins) -> Result<(), DataPathError> {
    for (name, key, value) in RECORDS {
        let path = pins.maps().join(name);
        if fits(&path, key, value) == Some(false) {
            return Err(DataPathError::Layout { path });
        }
    }
    Ok(())
}

fn open(pins: &Pins, config: &Config) -> Result<Ebpf, DataPathError> {
    let mut loader = EbpfLoader::new();
    loader.map_max_entries(map::ESTABLISHED, config.max_flows.saturating_mul(2));
    for (name, _, _) in RECORDS {
        let path = pins.maps().join(name);
        if path.exists() {
            info!(map = name, "adopted");
        }
        loader.map_pin_path(name, path);
    }
    Ok(loader.load(object::PROGRAMS)?)
}

fn load_programs(ebpf: &mut Ebpf) -> Result<(), DataPathError> {
    let (xdp, tc) = programs(ebpf)?;
    let refused = |program, source| DataPathError::Program { program, source };
    xdp.load().map_err(|source| refused(object::XDP, source))?;
    tc.load().map_err(|source| refused(object::TC, source))
}

/// The two programs.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the object has programs of two kinds"
)]
fn programs(ebpf: &mut Ebpf) -> Result<(&mut Xdp, &mut SchedClassifier), DataPathError> {
    let (mut xdp, mut tc) = (None, None);
    for (_, program) in ebpf.programs_mut() {
        match program {
            Program::Xdp(program) => xdp = Some(program),
            Program::SchedClassifier(program) => tc = Some(program),
            _ => {}
        }
    }
    let refused = |program, source| DataPathError::Program { program, source };
    let xdp = xdp.ok_or_else(|| refused(object::XDP, ProgramError::NotLoaded))?;
    let tc = tc.ok_or_else(|| refused(object::TC, ProgramError::NotLoaded))?;
    Ok((xdp, tc))
}

/// Pins show which programs are in use; the links hold them as well.
fn pin_programs(pins: &Pins, ebpf: &mut Ebpf) -> Result<(), DataPathError> {
    for (name, program) in ebpf.programs_mut() {
        let path = pins.programs().join(name);
        remove(&path)?;
        program.pin(&path).map_err(|error| DataPathError::Pin {
            action: "pin",
            path,
            source: io::Error::other(error),
        })?;
    }
    Ok(())
}

fn index(interface: &str) -> Result<u32, DataPathError> {
    nix::net::if_::if_nametoindex(interface).map_err(|_| DataPathError::Interface(interface.to_owned()))
}

/// All zero when it has none: the check for foreign frames then does not apply.
fn address(interface: &str) -> [u8; 6] {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let mut link = addresses
        .filter(|entry| entry.interface_name == interface)
        .filter_map(|entry| entry.address);
    link.find_map(|address| address.as_link_addr().and_then(nix::sys::socket::LinkAddr::addr))
        .unwrap_or_default()
}

/// XDP redirects only to interfaces that have it as well.
fn register_port(streams: &mut Streams, ifindex: u32, attached: Attached) -> Result<(), DataPathError> {
    let result = if attached.is_native_xdp() {
        streams
            .ports
            .insert(ifindex, ifindex, None, 0)
            .map_err(io::Error::other)
    } else {
        // Not being there is what is wanted.
        let _ = streams.ports.remove(ifindex);
        Ok(())
    };
    result.map_err(|source| DataPathError::Map {
        map: map::PORTS,
        source,
    })
}

/// The routing table is only asked for interfaces that forward.
fn enable_forwarding(interface: &str) {
    for family in ["ipv4", "ipv6"] {
        let path = format!("/proc/sys/net/{family}/conf/{interface}/forwarding");
        if fs::read_to_string(&path).is_ok_and(|value| value.trim() == "0") {
            match fs::write(&path, "1") {
                Ok(()) => info!(interface, family, "forwarding switched on"),
                Err(error) => warn!(interface, family, %error, "forwarding is off: packets will be dropped"),
            }
        }
    }
}

/// What XDP cannot send goes up, rewritten, for the kernel to forward. Where the VIP is an address of this node (L2
/// mode) it then comes in by an interface with a source of the node's own, or by another one than the way back to its
/// source: a martian to the kernel, unless it is told otherwise.
fn accept_own_source(interface: &str) {
    for (name, wanted) in [("accept_local", "1"), ("rp_filter", "0")] {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/{name}");
        if fs::read_to_string(&path).is_ok_and(|value| value.trim() == wanted) {
            continue;
        }
        match fs::write(&path, wanted) {
            Ok(()) => info!(interface, setting = name, value = wanted, "set for XDP"),
            Err(error) => warn!(
                interface, setting = name, wanted, %error,
                "packets to neighbours that are not resolved may be dropped"
            ),
        }
    }
    // The stricter of the two counts.
    if fs::read_to_string("/proc/sys/net/ipv4/conf/all/rp_filter").is_ok_and(|value| value.trim() != "0") {
        warn!(
            interface,
            "net.ipv4.conf.all.rp_filter is on: packets to neighbours that are not resolved may be dropped"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_whole_data_path_has_forwarded() {
        let (maps, links) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let interfaces = ["eth1".to_owned(), "eth2".to_owned()];
        let forwarded = || has_forwarded(maps.path(), links.path(), &interfaces);
        assert!(!forwarded(), "a first start");
        for (name, _, _) in RECORDS {
            fs::write(maps.path().join(name), "").unwrap();
        }
        assert!(!forwarded(), "maps without programs");
        fs::write(links.path().join("eth1-xdp"), "").unwrap();
        assert!(!forwarded(), "one interface is new");
        fs::write(links.path().join("eth2-tcx"), "").unwrap();
        assert!(forwarded());
        fs::remove_file(maps.path().join(RECORDS[0].0)).unwrap();
        assert!(!forwarded(), "a map is new");
    }
}

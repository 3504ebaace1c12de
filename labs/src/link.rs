//! Links: veth pairs between two namespaces, with the offloads as containerlab sets them.
//!
//! TX checksum offload is off on every end: a frame that leaves a node carries a real checksum, as
//! on a wire, so it does not matter whether XDP, a relay or a kernel reads it next. The ends of the
//! relay lose segmentation and GRO too: it carries frames, never more than an MTU.

use std::os::fd::AsRawFd;

use crate::error::{Context, Result};
use crate::netns::{Netns, run};
use crate::topology::Endpoint;

/// One end of a veth pair.
#[derive(Clone, Debug)]
pub(crate) struct VethEnd {
    pub(crate) netns: Netns,
    pub(crate) interface: String,
    pub(crate) address: Option<String>,
}

/// Ethernet address of a node's end: the same in every run and after a reboot of the node, in the
/// range that containerlab uses.
#[must_use]
pub fn ethernet_address(lab: &str, end: &Endpoint) -> String {
    // FNV-1a: stable across versions of the compiler, unlike the standard hasher.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in lab.bytes().chain([0]).chain(end.to_string().bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    let [a, b, c, ..] = hash.to_be_bytes();
    format!("aa:c1:ab:{a:02x}:{b:02x}:{c:02x}")
}

pub(crate) fn create(ends: [&VethEnd; 2], mtu: u32) -> Result<()> {
    let mtu = mtu.to_string();
    let [a, b] = ends;
    let mut arguments = vec![
        "link",
        "add",
        a.interface.as_str(),
        "netns",
        a.netns.name(),
        "mtu",
        &mtu,
    ];
    if let Some(address) = &a.address {
        arguments.extend(["address", address]);
    }
    arguments.extend([
        "type",
        "veth",
        "peer",
        "name",
        &b.interface,
        "netns",
        b.netns.name(),
        "mtu",
        &mtu,
    ]);
    if let Some(address) = &b.address {
        arguments.extend(["address", address]);
    }
    run("ip", &arguments)
}

pub(crate) fn up(end: &VethEnd) -> Result<()> {
    run(
        "ip",
        &["-n", end.netns.name(), "link", "set", &end.interface, "up"],
    )
}

const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// `struct ethtool_value` of the kernel.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// The offloads of `ethtool -K` that we turn off, by their ioctl.
#[derive(Clone, Copy)]
pub(crate) enum Offload {
    TxChecksum = 0x17,
    Segmentation = 0x1f,
    GenericSegmentation = 0x24,
    GenericReceive = 0x2c,
}

pub(crate) const NODE_OFFLOADS: &[Offload] = &[Offload::TxChecksum];
pub(crate) const WIRE_OFFLOADS: &[Offload] = &[
    Offload::TxChecksum,
    Offload::Segmentation,
    Offload::GenericSegmentation,
    Offload::GenericReceive,
];

pub(crate) fn offloads_off(netns: &Netns, interface: &str, offloads: &'static [Offload]) -> Result<()> {
    netns
        .run(|| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
            offloads
                .iter()
                .try_for_each(|&offload| switch_off(&socket, interface, offload))
        })?
        .context(|| format!("offloads of {interface} in {}", netns.name()))
}

fn switch_off(socket: &socket2::Socket, interface: &str, offload: Offload) -> std::io::Result<()> {
    let mut value = EthtoolValue {
        command: offload as u32,
        data: 0,
    };
    // SAFETY: `ifreq` is plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(15)) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut value).cast();
    // SAFETY: SIOCETHTOOL reads and writes the `ethtool_value` behind `ifru_data`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

//! The interfaces of this namespace: index and Ethernet address by name.
//!
//! Read at start and after a link change, so that a claim has no look-up left to do.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

use super::frames::Mac;

/// What a frame needs to know of the interface it leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub mac: Mac,
}

/// Interfaces by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces(BTreeMap<String, Interface>);

impl Interfaces {
    /// Reads the kernel's present list.
    pub fn read() -> io::Result<Self> {
        let mut found = BTreeMap::new();
        for entry in getifaddrs()? {
            let Some(link) = entry.address.as_ref().and_then(|address| address.as_link_addr()) else {
                continue;
            };
            let Ok(index) = u32::try_from(link.ifindex()) else {
                continue;
            };
            found.insert(
                entry.interface_name,
                Interface {
                    index,
                    mac: link.addr().unwrap_or_default(),
                },
            );
        }
        Ok(Self(found))
    }

    /// The interface with this name, if it exists.
    pub fn get(&self, name: &str) -> Option<Interface> {
        self.0.get(name).copied()
    }
}

/// The name of the interface that has this address.
pub fn holding(address: IpAddr) -> Option<String> {
    getifaddrs().ok()?.find_map(|entry| {
        let found = entry.address?;
        let v4 = found.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
        let v6 = found.as_sockaddr_in6().map(|found| IpAddr::V6(found.ip()));
        (v4.or(v6) == Some(address)).then_some(entry.interface_name)
    })
}

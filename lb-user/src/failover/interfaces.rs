//! The interfaces of this namespace: index and Ethernet address by name.
//!
//! Read at start and after a link change, so that a claim has no look-up left to do.

use std::collections::BTreeMap;
use std::io;

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

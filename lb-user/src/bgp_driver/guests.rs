//! Who may connect, and what the sockets of each need.

use std::net::{IpAddr, SocketAddr};

use bgp::{Authentication, Hops, Transport};
use ipnet::IpNet;

/// A neighbour, or a prefix of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) net: IpNet,
    /// Index of the interface of a link-local address; 0: any.
    pub(super) scope: u32,
    pub(super) transport: Transport,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guests(pub(super) Vec<Guest>);

impl Guests {
    /// The narrowest entry for whoever is at `remote`.
    pub(super) fn find(&self, remote: SocketAddr) -> Option<&Guest> {
        let address = remote.ip();
        let scope = scope(remote);
        self.0
            .iter()
            .filter(|guest| guest.net.contains(&address) && (guest.scope == 0 || guest.scope == scope))
            .max_by_key(|guest| guest.net.prefix_len())
    }

    fn of(&self, ipv4: bool) -> impl Iterator<Item = &Guest> + Clone {
        self.0
            .iter()
            .filter(move |guest| matches!(guest.net, IpNet::V4(_)) == ipv4)
    }

    pub(super) fn hops(&self, ipv4: bool) -> impl Iterator<Item = Hops> + Clone {
        self.of(ipv4).map(|guest| guest.transport.hops)
    }

    pub(super) fn keys(&self, ipv4: bool) -> impl Iterator<Item = (IpNet, &Authentication)> {
        self.of(ipv4)
            .filter_map(|guest| Some((guest.net, guest.transport.authentication.as_ref()?)))
    }
}

/// Index of the interface; 0 without one.
pub(super) fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

/// One address as a prefix.
pub(super) fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(net: &str, scope: u32, port: u16) -> Guest {
        Guest {
            net: net.parse().unwrap(),
            scope,
            transport: Transport {
                local_port: Some(port),
                ..Transport::default()
            },
        }
    }

    #[test]
    fn the_narrowest_entry_counts_and_a_link_local_one_on_its_link() {
        let guests = Guests(vec![
            guest("192.0.2.0/24", 0, 1),
            guest("192.0.2.7/32", 0, 2),
            guest("192.0.2.0/25", 0, 3),
            guest("fe80::1/128", 4, 4),
        ]);
        let found = |remote: &str| {
            let remote: SocketAddr = remote.parse().unwrap();
            guests.find(remote).and_then(|guest| guest.transport.local_port)
        };
        assert_eq!(found("192.0.2.7:1"), Some(2));
        assert_eq!(found("192.0.2.8:1"), Some(3));
        assert_eq!(found("192.0.2.200:1"), Some(1));
        assert_eq!(found("198.51.100.1:1"), None);
        assert_eq!(found("[fe80::1%4]:1"), Some(4));
        assert_eq!(found("[fe80::1%5]:1"), None);
    }
}

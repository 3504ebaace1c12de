//! BFD sessions: how one is named, what it shall be, and those whose peer is found out while the daemon runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bfd::{Hops, Parameters, Role};
use ipnet::IpNet;

/// How a session is named in the configuration, the API and the CLI: one neighbour, on one link if it is said which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    pub remote: IpAddr,
    /// `None`: whichever its packets come from.
    pub interface: Option<String>,
}

impl SessionKey {
    pub fn new(remote: IpAddr, interface: Option<&str>) -> Self {
        SessionKey {
            remote,
            interface: interface.map(str::to_owned),
        }
    }

    /// Whether both may mean the same session: who names no interface takes any.
    pub fn serves(&self, other: &SessionKey) -> bool {
        let same_link = match (&self.interface, &other.interface) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.remote == other.remote && same_link
    }

    /// Which of `known` is meant by this name: that very one, or without the interface the only one with the peer.
    pub fn among<'a>(&self, known: impl Iterator<Item = &'a SessionKey> + Clone) -> Option<&'a SessionKey> {
        let exact = known.clone().find(|key| *key == self);
        let mut serving = known.filter(|key| self.interface.is_none() && key.serves(self));
        exact.or_else(|| match (serving.next(), serving.next()) {
            (Some(only), None) => Some(only),
            (None | Some(_), _) => None,
        })
    }
}

impl From<IpAddr> for SessionKey {
    fn from(remote: IpAddr) -> Self {
        SessionKey {
            remote,
            interface: None,
        }
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{}%{interface}", self.remote),
            None => write!(f, "{}", self.remote),
        }
    }
}

/// A name that is that of no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a BFD session is named by its address, as 10.0.0.1, 2001:db8::1 or fe80::1%eth1")]
pub struct NoSessionKey;

impl FromStr for SessionKey {
    type Err = NoSessionKey;

    fn from_str(name: &str) -> Result<Self, NoSessionKey> {
        let (address, interface) = match name.split_once('%') {
            Some((_, "")) => return Err(NoSessionKey),
            Some((address, interface)) => (address, Some(interface)),
            None => (name, None),
        };
        let remote = address.parse().map_err(|_| NoSessionKey)?;
        Ok(SessionKey::new(remote, interface))
    }
}

/// Who needs a session; for people, and for the order in which things may be switched off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// `[[bfd.session]]`: it is wanted for its own sake.
    Configuration,
    /// A BGP neighbour, by its name.
    Neighbor(String),
    /// A node of the cluster, by its name.
    Peer(String),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Configuration => f.write_str("bfd.session"),
            User::Neighbor(name) => write!(f, "neighbor {name}"),
            User::Peer(name) => write!(f, "peer {name}"),
        }
    }
}

/// What a session is, whoever is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `None`: the address that the kernel would use towards the peer.
    pub local: Option<IpAddr>,
    pub hops: Hops,
    pub role: Role,
    pub parameters: Parameters,
}

/// A BFD session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub key: SessionKey,
    /// `None`: the address that the kernel would use towards the peer.
    pub local: Option<IpAddr>,
    pub hops: Hops,
    pub role: Role,
    pub parameters: Parameters,
    /// Never empty.
    pub users: BTreeSet<User>,
}

impl Session {
    pub fn new(key: SessionKey, template: &Template, user: User) -> Self {
        Session {
            key,
            local: template.local,
            hops: template.hops,
            role: template.role,
            parameters: template.parameters.clone(),
            users: BTreeSet::from([user]),
        }
    }

    /// The peer may send Echo packets, which somebody has to return.
    pub fn returns_echo(&self) -> bool {
        // RFC 5883 section 3: there is no Echo over several hops.
        self.parameters.echo.required_min_rx.is_some() && !self.hops.is_multi()
    }

    /// Tells the peer not to send Echo packets.
    #[must_use]
    pub fn without_echo(mut self) -> Self {
        self.parameters.echo.required_min_rx = None;
        self
    }
}

/// Sessions with neighbours that have no address before they are heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Of unnumbered neighbours, by their interface.
    pub unnumbered: BTreeMap<String, Template>,
    /// Of the ranges of neighbours that may connect. `None`: that range has no BFD, and hides those around it.
    pub dynamic: Vec<(IpNet, Option<Template>)>,
}

impl Awaited {
    /// The session with a neighbour that has been found.
    pub fn session(&self, found: &Found) -> Option<Session> {
        match found {
            Found::Router { interface, .. } => {
                let template = self.unnumbered.get(interface)?;
                Some(Session::new(
                    found.session(),
                    template,
                    User::Neighbor(interface.clone()),
                ))
            }
            // Where it is nobody knows: BFD could not send it anything.
            Found::Guest(IpAddr::V6(address)) if address.is_unicast_link_local() => None,
            Found::Guest(address) => {
                let around = self.dynamic.iter().filter(|(prefix, _)| prefix.contains(address));
                let (_, template) = around.max_by_key(|(prefix, _)| prefix.prefix_len())?;
                let user = User::Neighbor(address.to_string());
                Some(Session::new(found.session(), template.as_ref()?, user))
            }
        }
    }
}

/// A neighbour whose address is not in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// The router at the other end of the interface of an unnumbered neighbour.
    Router { interface: String, address: IpAddr },
    /// Somebody who has connected from a range.
    Guest(IpAddr),
}

impl Found {
    /// How the session is named.
    pub fn session(&self) -> SessionKey {
        match self {
            Found::Router { interface, address } => SessionKey::new(*address, Some(interface)),
            Found::Guest(address) => (*address).into(),
        }
    }
}

/// Whom the node answers without knowing them before (RFC 9468).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsolicited {
    pub interface: String,
    /// Empty: whoever is on the link.
    pub prefixes: Vec<IpNet>,
    /// Sessions at a time.
    pub limit: u32,
    pub parameters: Parameters,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> SessionKey {
        name.parse().unwrap()
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["10.0.0.1", "2001:db8::1", "fe80::1%eth1", "10.0.0.1%eth1.7"] {
            assert_eq!(key(name).to_string(), name);
        }
        for name in ["", "eth1", "fe80::1%", "10.0.0.1/32", "10.0.0"] {
            assert_eq!(name.parse::<SessionKey>(), Err(NoSessionKey), "{name}");
        }
    }

    #[test]
    fn who_names_no_interface_takes_any() {
        assert!(key("10.0.0.1").serves(&key("10.0.0.1%eth1")));
        assert!(key("10.0.0.1%eth1").serves(&key("10.0.0.1")));
        assert!(!key("10.0.0.1%eth1").serves(&key("10.0.0.1%eth2")));
        assert!(!key("10.0.0.1").serves(&key("10.0.0.2")));
    }

    #[test]
    fn a_name_without_the_interface_will_do_where_it_is_clear() {
        let known = ["10.0.0.1%eth1", "10.0.0.2%eth1", "10.0.0.2%eth2", "10.0.0.3"].map(key);
        let meant = |name: &str| key(name).among(known.iter()).map(ToString::to_string);
        assert_eq!(meant("10.0.0.1").as_deref(), Some("10.0.0.1%eth1"));
        assert_eq!(meant("10.0.0.2"), None, "one of two");
        assert_eq!(meant("10.0.0.2%eth2").as_deref(), Some("10.0.0.2%eth2"));
        assert_eq!(meant("10.0.0.3").as_deref(), Some("10.0.0.3"));
        assert_eq!(meant("10.0.0.3%eth1"), None);
        assert_eq!(meant("10.0.0.4"), None);
    }

    #[test]
    fn the_narrowest_range_makes_the_session() {
        let template = |multiplier| Template {
            local: None,
            hops: Hops::Single,
            role: Role::Active,
            parameters: Parameters::new(bfd::Timing::symmetric(Duration::from_millis(30), multiplier)),
        };
        let awaited = Awaited {
            unnumbered: [("eth1".to_owned(), template(3))].into(),
            dynamic: vec![
                ("10.0.0.0/8".parse().unwrap(), Some(template(4))),
                ("10.1.0.0/16".parse().unwrap(), Some(template(5))),
                ("10.1.1.0/24".parse().unwrap(), None),
                ("::/0".parse().unwrap(), Some(template(6))),
            ],
        };
        let guest = |address: &str| {
            let session = awaited.session(&Found::Guest(address.parse().unwrap()))?;
            Some((
                session.key.to_string(),
                session.parameters.timing.detect_multiplier,
            ))
        };
        assert_eq!(guest("10.2.0.1"), Some(("10.2.0.1".to_owned(), 4)));
        assert_eq!(guest("10.1.2.1"), Some(("10.1.2.1".to_owned(), 5)));
        assert_eq!(guest("10.1.1.1"), None);
        assert_eq!(guest("192.0.2.1"), None);
        assert_eq!(guest("2001:db8::1"), Some(("2001:db8::1".to_owned(), 6)));
        assert_eq!(guest("fe80::1"), None, "on an interface that nobody knows");
        let router = Found::Router {
            interface: "eth1".to_owned(),
            address: "fe80::1".parse().unwrap(),
        };
        let session = awaited.session(&router).unwrap();
        assert_eq!(session.key.to_string(), "fe80::1%eth1");
        assert_eq!(session.users, [User::Neighbor("eth1".to_owned())].into());
    }
}

//! Each reason to keep a path out, what is attached on the way in, and where packets go.
use proptest::prelude::*;

use super::*;
use crate::policy::{Action, Matches, Policy, PrefixMatch, Rule, Sets};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A path of AS 65001 to us, 65000, and what it is judged by.
#[derive(Clone, Debug)]
struct Case {
    prefix: IpNet,
    neighbor: Neighbor,
    peer: PeerConfig,
    attributes: PathAttributes,
    next_hop: IpAddr,
    link_local: Option<Ipv6Addr>,
    stale: Option<Stale>,
}

fn case() -> Case {
    let mut peer = PeerConfig::new(address("10.0.0.1"), 65001);
    peer.import = Some(Arc::new(Policy::all()));
    Case {
        prefix: net("10.42.0.0/24"),
        neighbor: Neighbor {
            peer: PeerId(1),
            internal: false,
            asn: 65001,
            router_id: Ipv4Addr::new(1, 1, 1, 1),
            address: address("10.0.0.1"),
            scope: 0,
            local: Some(address("10.0.0.254")),
        },
        peer,
        attributes: PathAttributes {
            as_path: AsPath::sequence(&[65001, 65002]),
            ..PathAttributes::default()
        },
        next_hop: address("10.0.0.1"),
        link_local: None,
        stale: None,
    }
}

impl Case {
    fn internal(&mut self) {
        self.neighbor.internal = true;
        self.neighbor.asn = 65000;
    }

    fn verdict(&self) -> Result<Accepted, Rejection> {
        let judge = Judge {
            neighbor: &self.neighbor,
            peer: &self.peer,
            speaker: &SpeakerConfig::new(65000, Ipv4Addr::new(9, 9, 9, 9), 1),
        };
        let path = Path {
            received: Arc::new(Received {
                attributes: Arc::new(self.attributes.clone()),
                next_hop: self.next_hop,
                link_local: self.link_local,
            }),
            stale: self.stale,
            rejection: None,
            accepted: false,
        };
        judge.verdict(self.prefix, &path, &mut Interner::default())
    }
}

fn changed(change: impl FnOnce(&mut Case)) -> Result<Accepted, Rejection> {
    let mut case = case();
    change(&mut case);
    case.verdict()
}

type Change = fn(&mut Case);

fn check(cases: &[(&str, Option<Rejection>, Change)]) {
    for (name, expected, change) in cases {
        assert_eq!(changed(change).err(), *expected, "{name}");
    }
}

#[test]
fn reasons_to_keep_a_path_out() {
    check(&[
        ("sound", None, |_| {}),
        ("RFC 8212", Some(Rejection::NoPolicy), |case| {
            case.peer.import = None
        }),
        ("no policy inside", Some(Rejection::NoPolicy), |case| {
            case.internal();
            case.peer.import = None;
        }),
        ("policy", Some(Rejection::Policy), |case| {
            case.peer.import = Some(Arc::new(Policy::none()));
        }),
        ("loop", Some(Rejection::OwnAs), |case| {
            case.attributes.as_path.prepend(65000, 1)
        }),
        ("loop inside", Some(Rejection::OwnAs), |case| {
            case.internal();
            case.attributes.as_path = AsPath::sequence(&[65001, 65000]);
        }),
        ("own originator", Some(Rejection::OwnOriginator), |case| {
            case.internal();
            case.attributes.originator_id = Some(Ipv4Addr::new(9, 9, 9, 9));
        }),
        ("another originator", None, |case| {
            case.internal();
            case.attributes.originator_id = Some(Ipv4Addr::new(9, 9, 9, 8));
        }),
        ("own cluster", Some(Rejection::OwnCluster), |case| {
            case.internal();
            case.attributes.cluster_list = vec![Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(9, 9, 9, 9)];
        }),
        ("first AS", Some(Rejection::FirstAs), |case| {
            case.attributes.as_path = AsPath::sequence(&[65002, 65001]);
        }),
        ("no path outside", Some(Rejection::FirstAs), |case| {
            case.attributes.as_path = AsPath::default();
        }),
        ("no path inside", None, |case| {
            case.internal();
            case.attributes.as_path = AsPath::default();
        }),
        ("confederation", Some(Rejection::Confederation), |case| {
            case.attributes.as_path.0.insert(
                0,
                AsPathSegment {
                    kind: SegmentKind::ConfederationSequence,
                    asns: vec![64512],
                },
            );
        }),
        ("route server", None, |case| {
            case.peer.role = Some(Role::RouteServerClient);
            case.attributes.as_path = AsPath::sequence(&[65002, 65001]);
        }),
    ]);
}

#[test]
fn prefixes_and_next_hops_that_are_none() {
    check(&[
        ("martian", Some(Rejection::Martian), |case| {
            case.prefix = net("127.0.0.0/8")
        }),
        ("inside a martian", Some(Rejection::Martian), |case| {
            case.prefix = net("224.1.2.0/24")
        }),
        ("around a martian", None, |case| case.prefix = net("126.0.0.0/7")),
        ("link-local", Some(Rejection::Martian), |case| {
            case.prefix = net("fe80::/64")
        }),
        ("mapped", Some(Rejection::Martian), |case| {
            case.prefix = net("::ffff:10.0.0.0/104")
        }),
        ("loopback", Some(Rejection::Martian), |case| {
            case.prefix = net("::1/128")
        }),
        ("default", Some(Rejection::DefaultRoute), |case| {
            case.prefix = net("0.0.0.0/0")
        }),
        ("default of IPv6", Some(Rejection::DefaultRoute), |case| {
            case.prefix = net("::/0")
        }),
        ("own next hop", Some(Rejection::NextHopOwn), |case| {
            case.next_hop = address("10.0.0.254")
        }),
        ("no next hop", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("0.0.0.0")
        }),
        ("loopback", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("127.0.0.1")
        }),
        ("multicast", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("224.0.0.5")
        }),
        ("broadcast", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("255.255.255.255");
        }),
        ("unspecified", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("::")
        }),
        ("multicast", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("ff02::1")
        }),
        ("mapped", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("::ffff:1.2.3.4")
        }),
        ("no such link", Some(Rejection::NextHopMartian), |case| {
            case.next_hop = address("fe80::1")
        }),
        ("set by policy", Some(Rejection::NextHopOwn), |case| {
            case.peer.import = Some(Arc::new(next_hop_policy("10.0.0.254")));
        }),
    ]);
}

fn next_hop_policy(next_hop: &str) -> Policy {
    Policy {
        name: "test".to_owned(),
        rules: vec![Rule {
            sets: Sets {
                next_hop: Some(NextHopSet::Address(address(next_hop))),
                ..Sets::default()
            },
            ..Rule::default()
        }],
    }
}

#[test]
fn a_default_route_has_to_be_named() {
    let named = Rule {
        matches: Matches {
            prefixes: vec![PrefixMatch {
                prefix: net("0.0.0.0/0"),
                ge: 0,
                le: 0,
            }],
            ..Matches::default()
        },
        action: Action::Accept,
        ..Rule::default()
    };
    let accepted = changed(|case| {
        case.prefix = net("0.0.0.0/0");
        case.peer.import = Some(Arc::new(Policy {
            name: "default".to_owned(),
            rules: vec![named],
        }));
    });
    assert!(accepted.is_ok());
}

/// RFC 9234 section 5: (own role, attribute received, attribute afterwards or a leak).
#[test]
fn only_to_customer() {
    let own = 65001;
    for (role, received, expected) in [
        (None, None, Ok(None)),
        (None, Some(7), Ok(Some(7))),
        (Some(Role::Provider), None, Ok(None)),
        (Some(Role::Provider), Some(own), Err(Rejection::RouteLeak)),
        (Some(Role::RouteServer), None, Ok(None)),
        (Some(Role::RouteServer), Some(7), Err(Rejection::RouteLeak)),
        (Some(Role::Peer), None, Ok(Some(own))),
        (Some(Role::Peer), Some(own), Ok(Some(own))),
        (Some(Role::Peer), Some(7), Err(Rejection::RouteLeak)),
        (Some(Role::Customer), None, Ok(Some(own))),
        (Some(Role::Customer), Some(7), Ok(Some(7))),
        (Some(Role::RouteServerClient), None, Ok(Some(own))),
        (Some(Role::RouteServerClient), Some(7), Ok(Some(7))),
    ] {
        let verdict = changed(|case| {
            case.peer.role = role;
            case.attributes.only_to_customer = received;
        });
        let found = verdict.map(|accepted| accepted.attributes.only_to_customer);
        assert_eq!(found, expected, "{role:?} {received:?}");
    }
    let inside = changed(|case| {
        case.internal();
        case.peer.role = Some(Role::Provider);
        case.attributes.only_to_customer = Some(7);
    });
    assert!(inside.is_ok(), "roles are for neighbours of other ASes");
}

/// RFC 8326 section 4: also against a policy that prefers the neighbour.
#[test]
fn graceful_shutdown_is_least_preferred() {
    let prefer = Policy {
        name: "prefer".to_owned(),
        rules: vec![Rule {
            sets: Sets {
                local_pref: Some(500),
                clear_communities: true,
                ..Sets::default()
            },
            ..Rule::default()
        }],
    };
    let prefer = Arc::new(prefer);
    let local_pref = |change: fn(&mut Case)| {
        let verdict = changed(|case| {
            case.peer.import = Some(Arc::clone(&prefer));
            change(case);
        });
        verdict.unwrap().attributes.local_pref
    };
    assert_eq!(local_pref(|_| {}), Some(500));
    assert_eq!(
        local_pref(|case| case.attributes.communities = vec![GRACEFUL_SHUTDOWN]),
        Some(0)
    );
    assert_eq!(local_pref(|case| case.peer.graceful_shutdown = true), Some(0));
    let inside = |case: &mut Case| {
        case.internal();
        case.attributes.communities = vec![GRACEFUL_SHUTDOWN];
    };
    assert_eq!(local_pref(inside), Some(500), "inside, LOCAL_PREF says it");
}

#[test]
fn long_lived_stale_is_attached_before_the_policy() {
    let only_stale = Policy {
        name: "stale".to_owned(),
        rules: vec![Rule {
            matches: Matches {
                communities: vec![Community::Standard(LLGR_STALE)],
                ..Matches::default()
            },
            ..Rule::default()
        }],
    };
    let verdict = |stale| {
        changed(|case| {
            case.peer.import = Some(Arc::new(only_stale.clone()));
            case.stale = stale;
        })
    };
    assert_eq!(verdict(Some(Stale::Restart)).err(), Some(Rejection::Policy));
    let accepted = verdict(Some(Stale::LongLived)).unwrap();
    assert_eq!(accepted.attributes.communities, [LLGR_STALE]);
}

#[test]
fn what_is_not_changed_is_not_copied() {
    let case = case();
    let received = Arc::new(Received {
        attributes: Arc::new(case.attributes.clone()),
        next_hop: case.next_hop,
        link_local: None,
    });
    let path = Path {
        received: Arc::clone(&received),
        stale: None,
        rejection: None,
        accepted: false,
    };
    let speaker = SpeakerConfig::new(65000, Ipv4Addr::new(9, 9, 9, 9), 1);
    let judge = Judge {
        neighbor: &case.neighbor,
        peer: &case.peer,
        speaker: &speaker,
    };
    let accepted = judge
        .verdict(case.prefix, &path, &mut Interner::default())
        .unwrap();
    assert!(Arc::ptr_eq(&accepted.attributes, &received.attributes));
    assert_eq!(accepted.neighbor_as, Some(65001));
}

/// (scope of the neighbour, next hop, link-local beside it) -> gateway.
#[test]
fn gateways() {
    for (scope, next_hop, link_local, expected) in [
        (0, "10.0.0.7", None, ("10.0.0.7", 0)),
        (0, "fd00::7", Some("fe80::7"), ("fd00::7", 0)),
        (4, "fd00::7", Some("fe80::7"), ("fe80::7", 4)),
        (4, "fd00::7", None, ("fd00::7", 0)),
        (4, "fe80::7", None, ("fe80::7", 4)),
        (4, "::", Some("fe80::7"), ("fe80::7", 4)),
    ] {
        let accepted = changed(|case| {
            case.neighbor.scope = scope;
            case.next_hop = address(next_hop);
            case.link_local = link_local.map(|address| address.parse().unwrap());
        });
        let expected = Gateway {
            address: address(expected.0),
            scope: expected.1,
        };
        assert_eq!(
            accepted.unwrap().gateway,
            expected,
            "{scope} {next_hop} {link_local:?}"
        );
    }
    let by_policy = changed(|case| {
        case.neighbor.scope = 4;
        case.link_local = Some("fe80::7".parse().unwrap());
        case.peer.import = Some(Arc::new(next_hop_policy("10.9.9.9")));
    });
    assert_eq!(by_policy.unwrap().gateway.address, address("10.9.9.9"));
}

proptest! {
    /// The table of martians against what the standard library knows of single addresses.
    #[test]
    fn hosts_that_are_no_hosts_are_martians(octets in any::<[u8; 4]>(), groups in any::<[u16; 8]>()) {
        let ipv4 = Ipv4Addr::from(octets);
        let known = ipv4.is_loopback() || ipv4.is_link_local() || ipv4.is_multicast() || ipv4.is_broadcast();
        prop_assert!(!known || is_martian(&IpNet::from(IpAddr::V4(ipv4))));
        let ipv6 = Ipv6Addr::from(groups);
        let known = ipv6.is_loopback() || ipv6.is_unicast_link_local() || ipv6.is_multicast();
        prop_assert_eq!(known || groups[..4] == [0x100, 0, 0, 0], is_martian(&IpNet::from(IpAddr::V6(ipv6))));
    }
}

/// RFC 4271 section 6.3.
#[test]
fn whose_next_hop_has_to_be_on_a_link() {
    type Row<'a> = (&'a str, bool, &'a dyn Fn(&mut Case));
    let by_policy = |next_hop| {
        let sets = Sets {
            next_hop: Some(next_hop),
            ..Sets::default()
        };
        let rules = vec![Rule {
            sets,
            ..Rule::default()
        }];
        let name = String::new();
        Some(Arc::new(Policy { name, rules }))
    };
    let elsewhere = |case: &mut Case| case.next_hop = address("10.9.9.9");
    let rows: [Row<'_>; 10] = [
        ("the neighbour itself", false, &|_| {}),
        ("another one", true, &elsewhere),
        ("another one, no GTSM", true, &|case| {
            elsewhere(case);
            case.peer.transport.hops = Hops::Limit(1);
        }),
        ("multihop", false, &|case| {
            elsewhere(case);
            case.peer.transport.hops = Hops::Limit(2);
        }),
        ("multihop with GTSM", false, &|case| {
            elsewhere(case);
            case.peer.transport.hops = Hops::Security(2);
        }),
        ("inside the AS", false, &|case| {
            case.internal();
            elsewhere(case);
        }),
        ("the other family", true, &|case| {
            case.prefix = net("2001:db8:42::/64");
            case.next_hop = address("2001:db8::11");
        }),
        ("unnumbered", false, &|case| {
            case.neighbor.scope = 7;
            case.next_hop = address("fe80::9");
        }),
        ("unnumbered, a global address alone", true, &|case| {
            case.neighbor.scope = 7;
            case.next_hop = address("2001:db8::11");
        }),
        ("set by the operator", false, &|case| {
            case.peer.import = by_policy(NextHopSet::Address(address("10.9.9.9")));
        }),
    ];
    for (name, expected, change) in rows {
        assert_eq!(changed(change).unwrap().on_link, expected, "{name}");
    }
}

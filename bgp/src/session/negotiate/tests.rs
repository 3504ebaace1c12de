//! What two OPENs agree on, capability by capability.
use super::*;
use crate::config::GracefulRestart;
use crate::wire::{AFI_IPV4, AFI_IPV6};

fn speaker() -> SpeakerConfig {
    SpeakerConfig::new(65001, Ipv4Addr::new(10, 0, 0, 1), 1)
}

fn config() -> PeerConfig {
    PeerConfig::new("10.0.0.2".parse().unwrap(), 65000)
}

fn open(capabilities: Vec<Capability>) -> Open {
    let mut open = Open::new(65000, 30, Ipv4Addr::new(10, 0, 0, 2), Families::BOTH);
    open.capabilities.extend(capabilities);
    open
}

fn agree(peer: &PeerConfig, theirs: Vec<Capability>) -> Negotiated {
    let sent = offer(&speaker(), peer, Restarted::default());
    negotiate(&sent, open(theirs), &speaker(), peer).unwrap()
}

fn names(peer: &PeerConfig) -> Vec<String> {
    let sent = offer(&speaker(), peer, Restarted::default());
    sent.capabilities.iter().map(Capability::name).collect()
}

#[test]
fn what_is_offered_follows_the_configuration() {
    let plain = PeerConfig {
        extended_messages: false,
        graceful_restart: GracefulRestart {
            helper: false,
            ..GracefulRestart::default()
        },
        ..config()
    };
    let always = [
        "ipv4-unicast",
        "ipv6-unicast",
        "route-refresh",
        "four-octet-as",
        "enhanced-route-refresh",
    ];
    assert_eq!(names(&plain), always);
    let everything = PeerConfig {
        address: "fe80::2".parse().unwrap(),
        add_path: true,
        role: Some(Role::Customer),
        bfd: BfdMode::Strict,
        graceful_restart: GracefulRestart {
            restarter: true,
            long_lived_time: Duration::from_secs(60),
            ..GracefulRestart::default()
        },
        ..config()
    };
    let names = names(&everything);
    for wanted in [
        "extended-message",
        "extended-next-hop",
        "add-path",
        "role",
        "bfd-strict-mode",
        "graceful-restart",
        "long-lived-graceful-restart",
    ] {
        assert!(names.iter().any(|name| name == wanted), "{wanted}: {names:?}");
    }
    let internal = PeerConfig {
        remote_as: RemoteAs::Internal,
        ..everything
    };
    assert!(!super::tests::names(&internal).contains(&"role".to_owned()));
}

#[test]
fn long_messages_need_both() {
    let off = PeerConfig {
        extended_messages: false,
        ..config()
    };
    for (ours, theirs, taken, sent) in [
        (true, true, true, true),
        (true, false, true, false),
        (false, true, false, false),
    ] {
        let peer = if ours { config() } else { off.clone() };
        let capability = theirs.then_some(Capability::ExtendedMessage);
        let agreed = agree(&peer, capability.into_iter().collect());
        assert_eq!(
            (agreed.context().extended, agreed.encoding().extended),
            (taken, sent)
        );
    }
}

#[test]
fn path_identifiers_are_read_where_the_neighbour_sends_them_and_we_want_them() {
    let item = |afi, receive, send| AddPath {
        afi,
        safi: SAFI_UNICAST,
        receive,
        send,
    };
    let theirs = vec![Capability::AddPath(vec![
        item(AFI_IPV4, false, true),
        item(AFI_IPV6, true, false),
    ])];
    let wanted = PeerConfig {
        add_path: true,
        ..config()
    };
    assert_eq!(agree(&wanted, theirs.clone()).add_path, Families::IPV4);
    assert!(agree(&config(), theirs).add_path.is_empty());
    assert!(agree(&wanted, Vec::new()).add_path.is_empty());
    assert!(agree(&wanted, Vec::new()).encoding().add_path.is_empty());
}

#[test]
fn ipv6_next_hops_of_ipv4_prefixes_need_both_and_an_ipv6_transport() {
    let theirs = vec![Capability::ExtendedNextHop(vec![ExtendedNextHop {
        afi: AFI_IPV4,
        safi: 1,
        next_hop_afi: AFI_IPV6,
    }])];
    let link_local = PeerConfig {
        address: "fe80::2".parse().unwrap(),
        ..config()
    };
    assert!(agree(&link_local, theirs.clone()).extended_next_hop);
    assert!(!agree(&link_local, Vec::new()).extended_next_hop);
    assert!(!agree(&config(), theirs).extended_next_hop);
}

#[test]
fn roles_have_to_match() {
    // Provider 0, route server 1, its client 2, customer 3, peer 4.
    let pairs = [
        (Role::Provider, 3),
        (Role::Customer, 0),
        (Role::RouteServer, 2),
        (Role::RouteServerClient, 1),
        (Role::Peer, 4),
    ];
    for (ours, right) in pairs {
        for code in 0..=5 {
            let peer = PeerConfig {
                role: Some(ours),
                ..config()
            };
            let sent = offer(&speaker(), &peer, Restarted::default());
            let result = negotiate(&sent, open(vec![Capability::Role(code)]), &speaker(), &peer);
            assert_eq!(result.is_ok(), code == right, "{ours:?} and {code}");
            if let Err(failure) = result {
                assert_eq!(failure.notification, Some(Notification::ROLE_MISMATCH));
            }
        }
    }
}

#[test]
fn a_role_that_is_missing_or_told_twice() {
    let judge = |strict, role, theirs: Vec<Capability>| {
        let peer = PeerConfig {
            role,
            role_strict: strict,
            ..config()
        };
        let sent = offer(&speaker(), &peer, Restarted::default());
        negotiate(&sent, open(theirs), &speaker(), &peer).map_err(|failure| failure.reason)
    };
    let customer = Some(Role::Customer);
    assert!(judge(false, customer, Vec::new()).is_ok());
    let missing = judge(true, customer, Vec::new()).unwrap_err();
    assert!(
        missing.ends_with("the neighbour does not tell its role"),
        "{missing}"
    );
    let twice = vec![Capability::Role(0), Capability::Role(0)];
    assert!(judge(true, customer, twice).is_ok());
    let torn = judge(false, customer, vec![Capability::Role(0), Capability::Role(4)]).unwrap_err();
    assert!(
        torn.ends_with("the neighbour is provider and peer, and we are customer"),
        "{torn}"
    );
    assert!(
        judge(true, None, vec![Capability::Role(4)]).is_ok(),
        "we have none"
    );
}

#[test]
fn what_is_said_of_a_restart() {
    let restarter = PeerConfig {
        graceful_restart: GracefulRestart {
            restarter: true,
            restart_time: Duration::from_secs(5000),
            long_lived_time: Duration::from_secs(1 << 30),
            ..GracefulRestart::default()
        },
        ..config()
    };
    for (restarting, forwarding) in [(false, false), (false, true), (true, true)] {
        let restarted = Restarted {
            restarting,
            forwarding,
        };
        let sent = offer(&speaker(), &restarter, restarted);
        let restart = sent.graceful_restart().unwrap();
        assert_eq!(
            (restart.restarting, restart.notification, restart.time),
            (restarting, true, 4095)
        );
        assert_eq!(restart.families.len(), 2);
        assert!(restart.families.iter().all(|item| item.forwarding == forwarding));
        let long_lived = sent.long_lived();
        assert!(
            long_lived
                .iter()
                .all(|item| item.forwarding == forwarding && item.time == 0x00ff_ffff)
        );
        assert_eq!(long_lived.len(), 2);
    }
    // A helper only keeps; nobody has to keep anything for it.
    let restarted = Restarted {
        restarting: true,
        forwarding: true,
    };
    let sent = offer(&speaker(), &config(), restarted);
    let restart = sent.graceful_restart().unwrap();
    assert!(!restart.restarting && restart.families.is_empty());
    assert!(sent.long_lived().is_empty());
}

#[test]
fn long_lived_means_nothing_without_graceful_restart() {
    let long_lived = Capability::LongLivedGracefulRestart(vec![LongLived {
        afi: AFI_IPV4,
        safi: 1,
        forwarding: true,
        time: 60,
    }]);
    assert_eq!(
        agree(&config(), vec![long_lived.clone()]).long_lived_family(Family::Ipv4),
        None
    );
    let both = vec![long_lived, Capability::GracefulRestart(Restart::default())];
    assert!(agree(&config(), both).long_lived_family(Family::Ipv4).is_some());
}

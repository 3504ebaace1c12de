//! The BGP driver against bird2: a session, VIPs with the attributes of the role, a role change, BFD down.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::Event;
use bgp::{
    Announcement, BfdMode, Families, Hops, NextHops, PeerConfig, Policy, Preference, SpeakerConfig, Transport,
};
use lb_user::apply::Speaker as _;
use lb_user::bfd_thread::Verdict;
use lb_user::bgp_driver::{self, BgpHandle, Command};
use lb_user::desired::Neighbor;
use lb_user::status::StatusBoard;
use lb_user::timeline::Timeline;
use support::{LEFT, Pair, RIGHT, until};

const ROUTER: &str = "192.0.2.2";
const VIPS: [&str; 3] = ["203.0.113.10/32", "203.0.113.11/32", "2001:db8:1::10/128"];

struct Bird {
    pair: Pair,
    /// Holds the configuration and the control socket.
    folder: tempfile::TempDir,
}

impl Bird {
    /// bird in the right namespace; `passive`: it only waits for us.
    fn start(test: &str, local_as: u32, passive: bool) -> Self {
        let mut pair = Pair::new(test);
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bird.conf");
        let passive = if passive { "passive on;" } else { "" };
        // What an external neighbour on the link expects (RFC 5082); inside an AS we do not use it.
        let security = if local_as == 65001 { "" } else { "ttl security on;" };
        let text = format!(
            "router id 10.0.0.2;
             protocol device {{}}
             protocol bgp lb {{
                 local {ROUTER} as {local_as}; neighbor 192.0.2.1 as 65001; {passive} {security}
                 hold time 9; connect delay time 1; error wait time 1,2; connect retry time 1;
                 ipv4 {{ import all; export none; }};
                 ipv6 {{ import all; export none; }};
             }}"
        );
        std::fs::write(&config, text).unwrap();
        let control = folder.path().join("bird.ctl");
        let [config, control] = [&config, &control].map(|path| path.to_str().unwrap().to_owned());
        pair.start(RIGHT, &["bird", "-f", "-c", &config, "-s", &control]);
        Bird { pair, folder }
    }

    fn ask(&self, question: &str) -> String {
        let control = self.folder.path().join("bird.ctl");
        let mut command = vec!["birdc", "-s", control.to_str().unwrap()];
        command.extend(question.split(' '));
        self.pair.output(RIGHT, &command)
    }

    fn wait_for(&self, question: &str, met: impl Fn(&str) -> bool) {
        until(question, || {
            let answer = self.ask(question);
            (met(&answer), answer)
        });
    }

    /// The block of `show route all` that belongs to one prefix.
    fn route(&self, prefix: &str) -> String {
        self.ask(&format!("show route {prefix} all"))
    }
}

struct Speaker {
    handle: BgpHandle,
    board: StatusBoard,
    timeline: Timeline,
}

fn start_speaker(bird: &Bird, listen: bool) -> Speaker {
    bird.pair.enter(LEFT);
    let (handle, commands) = bgp_driver::channel();
    let (board, timeline) = (StatusBoard::new(), Timeline::new());
    let setup = bgp_driver::Setup {
        speaker: SpeakerConfig::new(65001, "10.0.0.1".parse().unwrap(), 1),
        listen: listen
            .then(|| SocketAddr::new("192.0.2.1".parse().unwrap(), 179))
            .into_iter()
            .collect(),
        established: Box::new(|_, _| ()),
        found: Box::new(|_, _| ()),
        timeline: timeline.clone(),
        board: board.clone(),
    };
    bgp_driver::spawn(setup, commands).unwrap();
    Speaker {
        handle,
        board,
        timeline,
    }
}

fn neighbor(remote_as: u32, passive: bool) -> Neighbor {
    let router: IpAddr = ROUTER.parse().unwrap();
    let next_hops = NextHops {
        ipv6: Some("2001:db8::1".parse().unwrap()),
        ..NextHops::default()
    };
    let hops = if remote_as == 65001 {
        Hops::Limit(64)
    } else {
        Hops::Security(1)
    };
    let peer = PeerConfig {
        passive,
        transport: Transport {
            hops,
            ..Transport::default()
        },
        families: Families::BOTH,
        next_hops,
        bfd: BfdMode::On,
        export: Some(Arc::new(Policy::all())),
        ..PeerConfig::new(router, remote_as)
    };
    Neighbor {
        key: router.into(),
        peer,
    }
}

fn announcements(prefixes: &[&str]) -> Vec<Announcement> {
    let announcement = |prefix: &&str| Announcement {
        prefix: prefix.parse().unwrap(),
        instance: 0,
        healthy: true,
        overrides: None,
    };
    prefixes.iter().map(announcement).collect()
}

impl Speaker {
    fn role(&self, preference: Preference) {
        self.handle.send(Command::SetRole {
            instance: 0,
            preference,
        });
    }

    fn bfd(&self, up: bool) {
        self.handle.send(Command::Bfd {
            session: ROUTER.parse().unwrap(),
            verdict: if up { Verdict::Up } else { Verdict::Down },
        });
    }

    fn events(&self, kind: &str) -> Vec<Event> {
        self.timeline
            .events(None)
            .into_iter()
            .filter(|event| event.kind == kind)
            .collect()
    }

    fn updates_out(&self) -> u64 {
        self.board
            .neighbors
            .newest()
            .first()
            .map_or(0, |neighbor| neighbor.updates_out)
    }
}

#[test]
fn a_role_change_is_one_update_per_family_and_bfd_ends_the_session() {
    let bird = Bird::start("roles", 65000, true);
    let mut speaker = start_speaker(&bird, false);
    speaker.role(Preference::Backup);
    speaker.handle.set_announcements(&announcements(&VIPS)).unwrap();
    speaker.handle.put_neighbor(&neighbor(65000, false)).unwrap();
    bird.wait_for("show protocols lb", |text| text.contains("Established"));
    speaker.bfd(true);

    // As backup: all VIPs, MED 20, the own AS twice, next hop of each family.
    for vip in VIPS {
        until(vip, || {
            let route = bird.route(vip);
            let as_backup = route.contains("BGP.med: 20\n") && route.contains("BGP.as_path: 65001 65001\n");
            (as_backup, route)
        });
    }
    assert!(bird.route(VIPS[0]).contains("BGP.next_hop: 192.0.2.1\n"));
    assert!(
        bird.route(VIPS[2]).contains("BGP.next_hop: 2001:db8::1"),
        "{}",
        bird.route(VIPS[2])
    );

    // The role changes: one UPDATE per family, and the best attributes at once.
    let before = speaker.events("update-sent").len();
    until("the status has counted the updates", || {
        let updates = speaker.updates_out();
        (updates >= 2, updates)
    });
    let counted = speaker.updates_out();
    speaker.role(Preference::Master);
    for vip in VIPS {
        until(vip, || {
            let route = bird.route(vip);
            let as_master = route.contains("BGP.med: 10\n") && route.contains("BGP.as_path: 65001\n");
            (as_master, route)
        });
    }
    let sent = speaker.events("update-sent");
    let changes: Vec<&Event> = sent.iter().skip(before).collect();
    let messages: u64 = changes
        .iter()
        .filter_map(|event| event.fields["messages"].as_u64())
        .sum();
    assert_eq!(messages, 2, "one UPDATE for IPv4 and one for IPv6: {changes:#?}");
    assert!(
        changes.iter().all(|event| event.fields["cause"] == "role master"),
        "{changes:#?}"
    );
    until("the status counts them", || {
        (speaker.updates_out() == counted + 2, speaker.updates_out())
    });

    // BFD says down: the session ends at once, without waiting for the hold time, and stays down.
    speaker.bfd(false);
    bird.wait_for("show protocols lb", |text| !text.contains("Established"));
    assert!(
        bird.ask("show route count").contains("0 of 0 routes"),
        "{}",
        bird.ask("show route count")
    );
    until("the timeline has the end of the session", || {
        let downs = speaker.events("bgp-down");
        (downs.len() == 1, downs)
    });

    // And up: the session returns with the present role.
    speaker.bfd(true);
    until("the VIP is back", || {
        let route = bird.route(VIPS[0]);
        (route.contains("BGP.med: 10\n"), route)
    });
}

#[test]
fn a_neighbour_may_connect_and_a_shutdown_withdraws() {
    let bird = Bird::start("accept", 65001, false);
    let mut speaker = start_speaker(&bird, true);
    speaker.role(Preference::Master);
    speaker.handle.set_announcements(&announcements(&VIPS)).unwrap();
    speaker.handle.put_neighbor(&neighbor(65001, true)).unwrap();
    until("iBGP carries LOCAL_PREF", || {
        let route = bird.route(VIPS[0]);
        (route.contains("BGP.local_pref: 5000\n"), route)
    });

    // A VIP without healthy endpoint is withdrawn, the others stay.
    let mut fewer = announcements(&VIPS);
    fewer[0].healthy = false;
    speaker.handle.set_announcements(&fewer).unwrap();
    until("the unhealthy VIP is withdrawn", || {
        let route = bird.route(VIPS[0]);
        (!route.contains("local_pref"), route)
    });
    assert!(bird.route(VIPS[1]).contains("BGP.local_pref: 5000\n"));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let ended = runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), speaker.handle.shutdown()).await });
    assert!(ended.is_ok(), "the shutdown is answered");
    bird.wait_for("show protocols all lb", |text| {
        text.contains("Received: Administrative shutdown") && !text.contains("Established")
    });
}

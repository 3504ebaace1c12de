//! The BGP driver between bird2, the kernel and monitoring stations: what bird announces is routed and monitored.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use bgp::{Announcement, Families, PeerConfig, Policy, Preference, SpeakerConfig};
use lb_user::apply::Speaker as _;
use lb_user::bgp_driver::{self, BgpHandle, Command};
use lb_user::desired::{Neighbor, SpeakerSettings};
use lb_user::status::StatusBoard;
use lb_user::timeline::Timeline;
use support::{LEFT, Pair, RIGHT, until};

const ROUTER: &str = "192.0.2.2";
const PODS: [&str; 2] = ["10.42.0.0/26", "10.42.0.64/26"];
const VIP: &str = "203.0.113.10/32";

struct Lab {
    pair: Pair,
    handle: BgpHandle,
    /// Holds the configuration of bird, its control socket, and what was captured.
    folder: tempfile::TempDir,
}

impl Lab {
    fn new(test: &str) -> Self {
        let mut pair = Pair::new(test);
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bird.conf");
        let routes: String = PODS
            .iter()
            .map(|prefix| format!("route {prefix} blackhole; "))
            .collect();
        let text = format!(
            "router id 10.0.0.2;
             protocol device {{}}
             protocol static pods {{ ipv4; {routes} }}
             protocol bgp lb {{
                 local {ROUTER} as 65000; neighbor 192.0.2.1 as 65001; passive on; ttl security on;
                 hold time 9;
                 ipv4 {{ import all; export all; next hop self; }};
             }}"
        );
        std::fs::write(&config, text).unwrap();
        let control = folder.path().join("bird.ctl");
        let [config, control] = [&config, &control].map(|path| path.to_str().unwrap().to_owned());
        pair.start(RIGHT, &["bird", "-f", "-c", &config, "-s", &control]);
        pair.enter(LEFT);
        let (handle, commands) = bgp_driver::channel();
        let setup = bgp_driver::Setup {
            speaker: SpeakerConfig::new(65001, "10.0.0.1".parse().unwrap(), 1),
            listen: Vec::new(),
            established: Box::new(|_, _| ()),
            found: Box::new(|_, _| ()),
            timeline: Timeline::new(),
            board: StatusBoard::new(),
        };
        bgp_driver::spawn(setup, commands).unwrap();
        Lab { pair, handle, folder }
    }

    fn begin(&mut self) {
        let router: IpAddr = ROUTER.parse().unwrap();
        let peer = PeerConfig {
            families: Families::IPV4,
            import: Some(Arc::new(Policy::all())),
            export: Some(Arc::new(Policy::all())),
            ..PeerConfig::new(router, 65000)
        };
        let neighbor = Neighbor {
            key: router.into(),
            peer,
        };
        self.handle.send(Command::SetRole {
            instance: 0,
            preference: Preference::Master,
        });
        let announcement = Announcement {
            prefix: VIP.parse().unwrap(),
            instance: 0,
            healthy: true,
            overrides: None,
        };
        self.handle.set_announcements(&[announcement]).unwrap();
        self.handle.put_neighbor(&neighbor).unwrap();
    }

    fn monitors(&mut self, stations: &[SocketAddr]) {
        let settings = SpeakerSettings {
            monitors: stations.to_vec(),
            ..SpeakerSettings::default()
        };
        self.handle.put_settings(&settings).unwrap();
    }

    fn kernel(&self) -> String {
        self.pair
            .output(LEFT, &["ip", "-o", "route", "show", "proto", "179"])
    }

    fn expect_routes(&self, prefixes: &[&str]) {
        until(&format!("{prefixes:?} in the kernel"), || {
            let shown = self.kernel();
            let all = prefixes.iter().all(|prefix| {
                let wanted = format!("{prefix} via {ROUTER} dev eth0");
                shown.lines().any(|line| line.starts_with(&wanted))
            });
            (all && shown.lines().count() == prefixes.len(), shown)
        });
    }

    fn shutdown(&self) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(self.handle.shutdown());
    }
}

/// Accepts one connection and keeps what comes.
struct Station {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Station {
    fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Station {
            stream,
            bytes: Vec::new(),
        }
    }

    /// Whole messages so far.
    fn messages(&mut self) -> Vec<&[u8]> {
        let mut buffer = [0; 65_536];
        if let Ok(length) = self.stream.read(&mut buffer) {
            self.bytes.extend_from_slice(&buffer[..length]);
        }
        let (mut rest, mut messages) = (&self.bytes[..], Vec::new());
        while let Some(length) = rest
            .get(1..5)
            .map(|raw| u32::from_be_bytes(raw.try_into().unwrap()) as usize)
        {
            let Some((message, after)) = rest.split_at_checked(length) else {
                break;
            };
            messages.push(message);
            rest = after;
        }
        messages
    }

    /// What the messages are, in the order in which they came.
    fn summary(&mut self) -> Vec<String> {
        self.messages().into_iter().map(summary).collect()
    }

    fn wait_for(&mut self, what: &str, wanted: &[&str]) {
        until(what, || {
            let summary = self.summary();
            let all = wanted.iter().all(|part| summary.iter().any(|line| line == part));
            (all, summary)
        });
    }
}

/// Kind, direction of route monitoring, and the IPv4 prefixes, recognised by their bytes.
fn summary(message: &[u8]) -> String {
    let contains = |bytes: &[u8]| message.windows(bytes.len()).any(|window| window == bytes);
    match message[5] {
        0 => {
            let direction = if message[7] & 0x10 == 0 { "in" } else { "out" };
            let mut text = format!("routes {direction}");
            for (name, bytes) in [
                (PODS[0], &[26, 10, 42, 0, 0][..]),
                (PODS[1], &[26, 10, 42, 0, 64]),
                (VIP, &[32, 203, 0, 113, 10]),
            ] {
                if contains(bytes) {
                    text = format!("{text} {name}");
                }
            }
            if message.len() == 48 + 23 {
                text.push_str(" end");
            }
            text
        }
        1 => "statistics".to_owned(),
        2 => "down".to_owned(),
        3 => "up".to_owned(),
        4 => "initiation".to_owned(),
        5 => "termination".to_owned(),
        other => format!("kind {other}"),
    }
}

/// tshark finds nothing wrong with the messages, and as many as there are.
fn judge(lab: &Lab, station: &mut Station) {
    let messages = station.messages();
    let count = messages.len();
    let mut hex = String::new();
    for message in messages {
        for (line, bytes) in message.chunks(16).enumerate() {
            let bytes: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
            hex.push_str(&format!("{:06x}{bytes}\n", line * 16));
        }
    }
    let [text, capture] = ["bmp.txt", "bmp.pcap"].map(|name| lab.folder.path().join(name));
    std::fs::write(&text, hex).unwrap();
    let made = Process::new("text2pcap")
        .args(["-q", "-T", "40000,11019"])
        .args([&text, &capture])
        .output()
        .expect("text2pcap runs");
    assert!(made.status.success(), "{made:?}");
    let tshark = |filter: &str| {
        let output = Process::new("tshark")
            .args(["-d", "tcp.port==11019,bmp", "-Y", filter, "-V", "-r"])
            .arg(&capture)
            .output()
            .expect("tshark runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(tshark("_ws.malformed || _ws.expert.severity >= 8388608"), "");
    let read = tshark("bmp").matches("BGP Monitoring Protocol,").count();
    assert_eq!(read, count, "messages that tshark recognises");
}

#[test]
fn what_bird_announces_is_routed_by_the_kernel_and_monitored() {
    let mut lab = Lab::new("monitor");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    lab.monitors(&[listener.local_addr().unwrap()]);
    let mut early = Station::accept(&listener);
    lab.begin();
    lab.expect_routes(&PODS);
    let both = format!("routes in {} {}", PODS[0], PODS[1]);
    let told = format!("routes out {VIP}");
    early.wait_for(
        "the early one follows",
        &[
            "initiation",
            "up",
            &both,
            &told,
            "routes in end",
            "routes out end",
        ],
    );

    // One that connects late gets the same picture.
    let late_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stations = [&listener, &late_listener].map(|listener| listener.local_addr().unwrap());
    lab.monitors(&stations);
    let mut late = Station::accept(&late_listener);
    late.wait_for(
        "the late one gets everything",
        &[
            "initiation",
            "up",
            &both,
            &told,
            "routes in end",
            "routes out end",
        ],
    );
    assert_eq!(late.summary()[..2], ["initiation", "up"]);

    // Administratively down: the neighbour is gone from both, its routes from the kernel.
    lab.shutdown();
    assert_eq!(lab.kernel(), "");
    for station in [&mut early, &mut late] {
        station.wait_for("the end", &["down", "termination"]);
        assert_eq!(station.summary().last().unwrap(), "termination");
        judge(&lab, station);
    }
}

#[test]
fn routes_go_with_the_neighbour_that_announced_them() {
    let mut lab = Lab::new("gone");
    lab.begin();
    lab.expect_routes(&PODS);
    let control = lab.folder.path().join("bird.ctl");
    let birdc = ["birdc", "-s", control.to_str().unwrap()];
    lab.pair
        .output(RIGHT, &[&birdc[..], &["disable", "pods"]].concat());
    lab.expect_routes(&[]);
    lab.pair
        .output(RIGHT, &[&birdc[..], &["enable", "pods"]].concat());
    lab.expect_routes(&PODS);
    lab.pair.output(RIGHT, &[&birdc[..], &["down"]].concat());
    lab.expect_routes(&[]);
}

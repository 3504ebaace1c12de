//! The speakers that are compared. Each holds the routes before it is asked to announce them, so that what is
//! measured is the way from the decision to the neighbour's table, and each is asked over a connection that is
//! open already wherever it has one.
use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::bird::Bird;
use crate::gobgp::Gobgp;
use crate::network::{Network, RECEIVER, SENDER, end, spawn};
use crate::speaker::Speaker;

/// What is asked of a sender, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Announce,
    /// Another MED for every prefix.
    Change,
    Withdraw,
}

impl Step {
    pub(crate) const ALL: [Step; 3] = [Step::Announce, Step::Change, Step::Withdraw];
}

pub(crate) trait Sender {
    /// What has to be done before, and is not measured.
    fn prepare(&mut self, step: Step);
    fn go(&mut self, step: Step);
}

/// The name, the most prefixes it is tried with, and how it is started with a number of prefixes.
pub(crate) type Kind = (&'static str, u32, fn(&Network, u32) -> Box<dyn Sender>);

pub(crate) const KINDS: [Kind; 5] = [
    ("baton", u32::MAX, |network, count| {
        Box::new(Baton::start(network, count))
    }),
    ("bird", u32::MAX, |network, count| {
        Box::new(BirdSender::start(network, count))
    }),
    ("gobgp", u32::MAX, |network, count| {
        Box::new(Gobgp::start(network, count))
    }),
    ("frr", u32::MAX, |network, count| {
        Box::new(Frr::start(network, count))
    }),
    ("exabgp", 10_000, |network, count| {
        Box::new(Exabgp::start(network, count))
    }),
];

pub(crate) fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x1400_0000 + index)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The driver of the daemon in a process of its own.
struct Baton {
    speaker: Speaker,
    count: u32,
}

impl Baton {
    fn start(network: &Network, count: u32) -> Self {
        let speaker = Speaker::start(&network.sender, &["sender"]);
        Baton { speaker, count }
    }
}

impl Sender for Baton {
    fn prepare(&mut self, step: Step) {
        let (count, med) = match step {
            Step::Announce => (self.count, 20),
            Step::Change => (self.count, 10),
            Step::Withdraw => (0, 0),
        };
        self.speaker.ask(&format!("prepare {count} {med}"));
    }

    fn go(&mut self, _step: Step) {
        self.speaker.tell("go");
    }
}

/// Two static protocols: the second one is better and has another MED.
struct BirdSender {
    bird: Bird,
}

impl BirdSender {
    fn start(network: &Network, count: u32) -> Self {
        let routes = network.path("routes.conf");
        let lines: String = (0..count)
            .map(|index| format!("route {}/32 blackhole;\n", address(index)))
            .collect();
        std::fs::write(&routes, lines).unwrap();
        let routes = text(&routes);
        let config = format!(
            "router id {SENDER};
             protocol device {{}}
             protocol static worse {{ disabled; ipv4 {{ preference 100; }};
                 include \"{routes}\";
             }}
             protocol static better {{ disabled; ipv4 {{ preference 200; }};
                 include \"{routes}\";
             }}
             filter choice {{ bgp_med = 20; if proto = \"better\" then bgp_med = 10; accept; }}
             protocol bgp peer {{
                 local {SENDER} as 65001; neighbor {RECEIVER} as 65000; hold time 90;
                 connect delay time 1; error wait time 1,1; connect retry time 1;
                 ipv4 {{ import none; export filter choice; next hop self; }};
             }}"
        );
        let bird = Bird::start(&network.sender, network.folder.path(), "sender", &config);
        BirdSender { bird }
    }
}

impl Sender for BirdSender {
    fn prepare(&mut self, step: Step) {
        if step == Step::Withdraw {
            // Nobody hears of this one.
            self.bird.ask("disable worse");
            let down = |bird: &mut Bird| bird.ask("show protocols worse").contains("down");
            self.bird.when(Duration::from_secs(60), down).unwrap();
        }
    }

    fn go(&mut self, step: Step) {
        self.bird.ask(match step {
            Step::Announce => "enable worse",
            Step::Change => "enable better",
            Step::Withdraw => "disable better",
        });
    }
}

/// Network statements; what leaves is decided by the route map of the neighbour.
struct Frr {
    children: Vec<Child>,
    vty: UnixStream,
}

impl Frr {
    fn start(network: &Network, count: u32) -> Self {
        let folder = network.path("frr");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let config = folder.join("frr.conf");
        let networks: String = (0..count)
            .map(|index| format!("  network {}/32\n", address(index)))
            .collect();
        let config_text = format!(
            "route-map none deny 10\nroute-map worse permit 10\n set metric 20\nroute-map better permit 10\n set metric 10\n\
             router bgp 65001\n bgp router-id {SENDER}\n no bgp network import-check\n \
             neighbor {RECEIVER} remote-as 65000\n neighbor {RECEIVER} timers connect 1\n \
             address-family ipv4 unicast\n{networks}  neighbor {RECEIVER} route-map none out\n exit-address-family\n"
        );
        std::fs::write(&config, config_text).unwrap();
        std::fs::write(folder.join("zebra.conf"), "").unwrap();
        let readable = Command::new("chmod")
            .args(["755", text(network.folder.path())])
            .status();
        let owned = Command::new("chown")
            .args(["-R", "frr:frr", text(&folder)])
            .status();
        assert!(readable.unwrap().success() && owned.unwrap().success());
        let file = |name: &str| text(&folder.join(name)).to_owned();
        let daemon = |program: &str, config: &str, more: &[&str]| {
            let api = file("zserv.api");
            let (program_path, pid) = (format!("/usr/lib/frr/{program}"), file(&format!("{program}.pid")));
            let config = file(config);
            let mut words = vec![
                &*program_path,
                "-u",
                "frr",
                "-g",
                "frr",
                "--vty_socket",
                text(&folder),
            ];
            words.extend(["-z", &api, "-f", &config, "-i", &pid, "-P", "0"]);
            words.extend(more);
            spawn(&network.sender, &network.path(&format!("{program}.log")), &words)
        };
        let zebra = daemon("zebra", "zebra.conf", &[]);
        wait_for(&folder.join("zserv.api"));
        let bgpd = daemon("bgpd", "frr.conf", &["-n", "-l", SENDER]);
        wait_for(&folder.join("bgpd.vty"));
        let vty = UnixStream::connect(folder.join("bgpd.vty")).unwrap();
        let children = vec![zebra, bgpd];
        let mut frr = Frr { children, vty };
        for command in [
            "enable",
            "configure terminal",
            "router bgp 65001",
            "address-family ipv4 unicast",
        ] {
            frr.tell(command);
        }
        frr
    }

    /// As vtysh does it: the command ends with a zero, the answer with three and a status.
    fn tell(&mut self, command: &str) {
        self.vty.write_all(&[command.as_bytes(), &[0]].concat()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0; 1];
        while answer.len() < 4 || answer[answer.len() - 4..answer.len() - 1] != [0; 3] {
            self.vty.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert_eq!(
            answer.last(),
            Some(&0),
            "{command}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Sender for Frr {
    fn prepare(&mut self, _step: Step) {}

    fn go(&mut self, step: Step) {
        let map = match step {
            Step::Announce => "worse",
            Step::Change => "better",
            Step::Withdraw => "none",
        };
        self.tell(&format!("neighbor {RECEIVER} route-map {map} out"));
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        self.children.iter_mut().rev().for_each(end);
    }
}

/// Commands through the pipe of its API, a thousand prefixes to the line.
struct Exabgp {
    child: Child,
    pipe: File,
    count: u32,
}

impl Exabgp {
    fn start(network: &Network, count: u32) -> Self {
        let (config, fifo): (PathBuf, PathBuf) = (network.path("exabgp.conf"), network.path("exabgp.fifo"));
        let _ = std::fs::remove_file(&fifo);
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let config_text = format!(
            "process feed {{\n run /bin/cat {};\n encoder text;\n}}\n\
             neighbor {RECEIVER} {{\n router-id {SENDER};\n local-address {SENDER};\n local-as 65001;\n \
             peer-as 65000;\n hold-time 90;\n family {{\n ipv4 unicast;\n }}\n \
             api {{\n processes [ feed ];\n }}\n}}\n",
            fifo.display()
        );
        std::fs::write(&config, config_text).unwrap();
        let settings = "exabgp.daemon.drop=false exabgp.daemon.user=root exabgp.tcp.bind= exabgp.api.cli=false \
                        exabgp.api.ack=false exabgp.log.level=ERR";
        let mut words = vec!["env"];
        words.extend(settings.split_whitespace());
        words.extend(["exabgp", text(&config)]);
        let child = spawn(&network.sender, &network.path("exabgp.log"), &words);
        // For reading as well, so that it does not wait for the other side.
        let pipe = File::options().read(true).write(true).open(&fifo).unwrap();
        Exabgp { child, pipe, count }
    }
}

impl Sender for Exabgp {
    fn prepare(&mut self, _step: Step) {}

    fn go(&mut self, step: Step) {
        let (verb, med) = match step {
            Step::Announce => ("announce", 20),
            Step::Change => ("announce", 10),
            Step::Withdraw => ("withdraw", 10),
        };
        let indices: Vec<u32> = (0..self.count).collect();
        for chunk in indices.chunks(1000) {
            let prefixes: Vec<String> = chunk
                .iter()
                .map(|index| format!("{}/32", address(*index)))
                .collect();
            let prefixes = prefixes.join(" ");
            let line = format!("{verb} attributes next-hop self med {med} nlri {prefixes}\n");
            self.pipe.write_all(line.as_bytes()).unwrap();
        }
    }
}

impl Drop for Exabgp {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

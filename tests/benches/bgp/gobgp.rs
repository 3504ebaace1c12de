//! gobgpd: routes come from a file of routes (RFC 6396), because its client takes one at a time from the command
//! line. What leaves is decided by the export policy; the start of the client, which is the only way to
//! command it, is part of what is measured.
//!
//! A policy that comes to reject what was announced withdraws nothing, hence routes are deleted for that.
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::network::{Network, RECEIVER, SENDER, end, spawn};
use crate::senders::{Sender, Step, address, text};

/// `TABLE_DUMP_V2`, and of it the table of peers and routes of IPv4.
const TABLE_DUMP_V2: u16 = 13;
const PEER_INDEX_TABLE: u16 = 1;
const RIB_IPV4_UNICAST: u16 = 2;
/// The client ends before it has sent what it has queued, which is up to 1024 routes.
const LOST: usize = 4096;

pub(crate) struct Gobgp {
    child: Child,
    netns: String,
    routes: PathBuf,
    count: u32,
}

impl Gobgp {
    pub(crate) fn start(network: &Network, count: u32) -> Self {
        let config = network.path("gobgpd.toml");
        let policy = |name: &str, med: &str| {
            format!(
                "[[policy-definitions]]\nname = \"{name}\"\n[[policy-definitions.statements]]\nname = \"{name}\"\n\
                 [policy-definitions.statements.actions]\nroute-disposition = \"accept-route\"\n\
                 [policy-definitions.statements.actions.bgp-actions]\nset-med = \"{med}\"\n"
            )
        };
        let config_text = format!(
            "[global.config]\nas = 65001\nrouter-id = \"{SENDER}\"\nport = -1\n\
             [global.apply-policy.config]\ndefault-export-policy = \"reject-route\"\n\
             [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{RECEIVER}\"\npeer-as = 65000\n\
             [neighbors.timers.config]\nconnect-retry = 1\nhold-time = 90\n{}{}",
            policy("worse", "20"),
            policy("better", "10")
        );
        std::fs::write(&config, config_text).unwrap();
        let routes = network.path("routes.mrt");
        std::fs::write(&routes, file_of_routes(count)).unwrap();
        let words = ["gobgpd", "-f", text(&config), "--api-hosts", "127.0.0.1:50051"];
        let child = spawn(&network.sender, &network.path("gobgpd.log"), &words);
        let gobgp = Gobgp {
            child,
            netns: network.sender.name().to_owned(),
            routes,
            count,
        };
        gobgp.until("it answers", |gobgp| gobgp.tell("global"));
        gobgp
    }

    fn client(&self, words: &str) -> std::process::Output {
        Command::new("ip")
            .args(["netns", "exec", &self.netns, "gobgp"])
            .args(words.split(' '))
            .output()
            .unwrap()
    }

    fn tell(&self, words: &str) -> bool {
        self.client(words).status.success()
    }

    fn has_all(&self) -> bool {
        let output = self.client("global rib summary");
        let words = format!("Destination: {}, Path: {}", self.count, self.count);
        String::from_utf8_lossy(&output.stdout).contains(&words)
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < deadline, "gobgpd: not yet that {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Sender for Gobgp {
    fn prepare(&mut self, step: Step) {
        if step == Step::Announce {
            // There is one from the second round on.
            self.tell("global policy export del better");
            assert!(self.tell(&format!("mrt inject global {}", text(&self.routes))));
            self.until("all routes are there", Gobgp::has_all);
        }
    }

    fn go(&mut self, step: Step) {
        let policy = match step {
            Step::Announce => "worse",
            Step::Change => "better",
            Step::Withdraw => return assert!(self.tell("global rib del all")),
        };
        let words = format!("global policy export set {policy} default reject");
        assert!(self.tell(&words), "{words}");
        assert!(self.tell(&format!("neighbor {RECEIVER} softresetout")));
    }
}

impl Drop for Gobgp {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// RFC 6396 sections 4.3.1 and 4.3.2: one peer, which is the sender itself, and its routes.
fn file_of_routes(count: u32) -> Vec<u8> {
    let own: std::net::Ipv4Addr = SENDER.parse().unwrap();
    let mut file = Vec::new();
    // No name of a view; one peer, with four octets of AS.
    let mut peers = own.octets().to_vec();
    peers.extend([0, 0, 0, 1, 2]);
    peers.extend([own.octets(), own.octets(), 65001_u32.to_be_bytes()].concat());
    record(PEER_INDEX_TABLE, &peers, &mut file);
    // Of the IGP, along no path, by the sender.
    let attributes = [&[0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4][..], &own.octets()].concat();
    for index in (0..count).chain(std::iter::repeat_n(0, LOST)) {
        let mut route = index.to_be_bytes().to_vec();
        route.push(32);
        route.extend(address(index).octets());
        // One entry: peer 0, at no time.
        route.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        route.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
        route.extend(&attributes);
        record(RIB_IPV4_UNICAST, &route, &mut file);
    }
    file
}

fn record(subtype: u16, body: &[u8], file: &mut Vec<u8>) {
    file.extend([0; 4]);
    file.extend(TABLE_DUMP_V2.to_be_bytes());
    file.extend(subtype.to_be_bytes());
    file.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    file.extend(body);
}

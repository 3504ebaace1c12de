//! The lab under test: up, watched, and asked for its state.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::bfd::BfdTimes;
use super::outcome::Protection;
use super::routes::RouteWatch;
use super::tap::Tap;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::running::Running;

pub(super) const BALANCERS: [&str; 2] = ["lb1", "lb2"];
/// Nodes on which a flow ends; a RST that one of them sends has broken a flow or hit a stranger.
pub(super) const ENDS: [&str; 3] = ["client", "be1", "be2"];
/// The route whose change is timed.
pub(super) const PROBE_VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 12));
const POLL: Duration = Duration::from_millis(20);

/// `GET /v1/ha`, as far as the scenario reads it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ha {
    pub(super) caught_up: bool,
    pub(super) drained: bool,
    pub(super) instances: Vec<HaInstance>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HaInstance {
    pub(super) role: String,
}

/// An entry of a daemon's timeline.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) monotonic_ns: u64,
    pub(super) kind: String,
    pub(super) fields: BTreeMap<String, Value>,
}

/// `GET /v1/sync`, as far as the scenario reads it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct SyncPeer {
    acknowledged_records: u64,
    lag_p50_us: u64,
    lag_p99_us: u64,
    lag_max_us: u64,
}

pub(super) struct Bed {
    pub(super) running: Running,
    pub(super) routes: RouteWatch,
    pub(super) tap: Tap,
}

impl Bed {
    /// Brings the lab up and begins to watch the router.
    pub(super) fn up(bfd: BfdTimes, keep: bool) -> Result<Self> {
        let mut lab = Lab::load("failover")?;
        let copies = lab.run_folder().with_file_name("failover-files");
        bfd.apply(&mut lab, &copies)?;
        let mut running = Running::up(&lab)?;
        if keep {
            running.keep();
        }
        let router = running.node("router")?.netns().clone();
        Ok(Self {
            routes: RouteWatch::start(&router)?,
            tap: Tap::start(&router)?,
            running,
        })
    }

    /// Asks a daemon; `None` while it does not answer, as when it is starting.
    fn ask<T: for<'a> Deserialize<'a>>(&self, node: &str, words: &[&str]) -> Option<T> {
        let output = self
            .running
            .node(node)
            .ok()?
            .output(words, Duration::from_secs(5))
            .ok()?;
        serde_json::from_slice(&output.stdout)
            .ok()
            .filter(|_| output.status.success())
    }

    pub(super) fn ha(&self, node: &str) -> Option<Ha> {
        self.ask(node, &["batonctl", "get", "ha", "-o", "json"])
    }

    /// Role of the one instance; empty while the daemon does not answer.
    pub(super) fn role(&self, node: &str) -> String {
        let ha = self.ha(node).unwrap_or_default();
        ha.instances
            .into_iter()
            .next()
            .map(|instance| instance.role)
            .unwrap_or_default()
    }

    /// How long this node's changes were not on the peer, over all since it started; `None` while it does not answer.
    pub(super) fn protection(&self, node: &str) -> Option<Protection> {
        let peers: Vec<SyncPeer> = self.ask(node, &["batonctl", "get", "sync", "-o", "json"])?;
        let peer = peers.first()?;
        let ms = |us: u64| us as f64 / 1000.0;
        Some(Protection {
            records: peer.acknowledged_records,
            p50_ms: ms(peer.lag_p50_us),
            p99_ms: ms(peer.lag_p99_us),
            max_ms: ms(peer.lag_max_us),
        })
    }

    pub(super) fn timeline(&self, node: &str) -> Vec<Event> {
        self.ask(node, &["batonctl", "timeline", "-o", "json"])
            .unwrap_or_default()
    }

    /// The BGP session of the router with a balancer is established.
    pub(super) fn peered(&self, balancer: &str) -> Result<bool> {
        let text =
            self.running
                .node("router")?
                .exec(&["birdc", "-s", "/run/bird.ctl", "show", "protocols"])?;
        Ok(text
            .lines()
            .any(|line| line.starts_with(balancer) && line.contains("Established")))
    }

    /// The router watches a balancer by BFD. A session that nobody watches falls back to the hold time.
    fn watched(&self, balancer: &str) -> Result<bool> {
        let words = ["birdc", "-s", "/run/bird.ctl", "show", "bfd", "sessions"];
        let text = self.running.node("router")?.exec(&words)?;
        let address = uplink(balancer).to_string();
        Ok(text
            .lines()
            .any(|line| line.starts_with(&address) && line.contains(" Up ")))
    }

    /// Both nodes run, talk to the router and to each other, and one is MASTER of what the other has copied.
    pub(super) fn is_redundant(&self, master: &str) -> Result<bool> {
        for node in BALANCERS {
            let wanted = if node == master { "master" } else { "backup" };
            let caught_up = self.ha(node).is_some_and(|ha| ha.caught_up);
            if self.role(node) != wanted || !caught_up || !self.peered(node)? || !self.watched(node)? {
                return Ok(false);
            }
        }
        Ok(self.routed_via(master))
    }

    /// The router's kernel sends the probes to this balancer.
    pub(super) fn routed_via(&self, balancer: &str) -> bool {
        let words = ["ip", "route", "get", "203.0.113.12"];
        let gateway = uplink(balancer).to_string();
        let text = self
            .running
            .node("router")
            .and_then(|node| node.exec(&words))
            .unwrap_or_default();
        text.split_whitespace().any(|word| word == gateway)
    }

    /// Silences the synchronisation and nothing else: BFD and traffic between the nodes go on.
    pub(super) fn cut_sync(&self) -> Result<()> {
        let rules = "table inet cut { chain in { type filter hook input priority 0; tcp sport 4785 drop; \
                     tcp dport 4785 drop; }; }";
        self.running.node("lb2")?.exec(&["nft", rules]).map(drop)
    }

    pub(super) fn heal_sync(&self) -> Result<()> {
        self.running
            .node("lb2")?
            .exec(&["nft", "delete", "table", "inet", "cut"])
            .map(drop)
    }

    /// Segments with RST sent by each end of the flows since it booted.
    pub(super) fn resets_sent(&self) -> Result<BTreeMap<String, u64>> {
        ENDS.into_iter()
            .map(|end| {
                let text = self.running.node(end)?.exec(&["cat", "/proc/net/snmp"])?;
                let count = tcp_counter(&text, "OutRsts")
                    .ok_or_else(|| Error::Missing(format!("no OutRsts in /proc/net/snmp of {end}")))?;
                Ok((end.to_owned(), count))
            })
            .collect()
    }

    /// What an operator would look at first when a wait has failed.
    pub(super) fn describe(&self) -> String {
        let mut text = String::new();
        for (node, words) in [
            (
                "router",
                vec!["birdc", "-s", "/run/bird.ctl", "show", "protocols"],
            ),
            (
                "router",
                vec!["birdc", "-s", "/run/bird.ctl", "show", "bfd", "sessions"],
            ),
            ("router", vec!["ip", "route"]),
            ("lb1", vec!["batonctl", "get", "ha"]),
            ("lb2", vec!["batonctl", "get", "ha"]),
        ] {
            let Ok(node) = self.running.node(node) else {
                continue;
            };
            let output = node.output(&words, Duration::from_secs(5));
            let said = output
                .map(|output| [output.stdout, output.stderr].concat())
                .unwrap_or_default();
            text += &format!(
                "--- {}: {}\n{}",
                node.name(),
                words.join(" "),
                String::from_utf8_lossy(&said)
            );
        }
        for node in BALANCERS {
            if let Ok(node) = self.running.node(node) {
                text += &format!("--- {}: log\n{}\n", node.name(), node.log_tail(15));
            }
        }
        text
    }
}

/// Address of a balancer on its link to the router.
pub(super) fn uplink(balancer: &str) -> IpAddr {
    let third = if balancer == "lb1" { 11 } else { 12 };
    IpAddr::from([10, 0, third, 2])
}

pub(super) fn other(balancer: &str) -> &'static str {
    if balancer == "lb1" { "lb2" } else { "lb1" }
}

/// Waits until a condition holds.
pub(super) fn until(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !condition()? {
        if Instant::now() >= deadline {
            return Err(Error::Expectation(format!("not within {patience:?}: {what}")));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// A counter of the `Tcp:` lines of /proc/net/snmp: names on the first, values on the second.
fn tcp_counter(snmp: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let at = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_column() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm OutSegs OutRsts\nTcp: 1 17 4\nUdp: x\nUdp: 1\n";
        assert_eq!(tcp_counter(snmp, "OutRsts"), Some(4));
        assert_eq!(tcp_counter(snmp, "NoSuch"), None);
        assert_eq!(tcp_counter("", "OutRsts"), None);
    }

    #[test]
    fn a_wait_ends_with_the_condition_or_names_what_did_not_come() {
        let mut rounds = 0;
        until("three rounds", Duration::from_secs(5), || {
            rounds += 1;
            Ok(rounds == 3)
        })
        .unwrap();
        let error = until("the impossible", Duration::ZERO, || Ok(false))
            .unwrap_err()
            .to_string();
        assert!(error.contains("the impossible"), "{error}");
    }
}

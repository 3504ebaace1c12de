//! Every rule of the configuration: what is refused, where, and with which words.

mod bfd;
mod bgp;
mod documents;

use std::path::Path;
use std::time::Duration;

use super::{ConfigError, parse};
use crate::desired::{Desired, Mode};

const GOOD: &str = r#"
[node]
name = "lb1"
router-id = "10.255.0.1"

[datapath]
interfaces = ["eth1", "eth2"]

[bfd]
interval = "30ms"
multiplier = 5

[bgp]
as = 65001
listen = ["10.0.11.2"]

[[bgp.neighbor]]
address = "10.0.11.1"
as = 65000
export = "all"
hold-time = "9s"
bfd = true
families = ["ipv4"]
next-hop = { ipv4 = "10.0.11.2" }

[[ha.peer]]
name = "lb2"
address = "10.0.2.12"
local = "10.0.2.11"

[[ha.instance]]
name = "blue"
priority = 200
addresses = ["10.0.2.1/24@eth2"]

[sync]
listen = "10.0.2.11:4785"
certificate = "/etc/baton/lb1.crt"
key = "/etc/baton/lb1.key"
ca = "/etc/baton/ca.crt"

[[sync.peer]]
name = "lb2"
address = "10.0.2.12:4785"

[metrics]
listen = "127.0.0.1:9469"

[[service]]
name = "web"
vip = "203.0.113.10"
port = 80
protocol = "tcp"
mode = "fullnat"
instance = "blue"
idle-timeout = "1800s"
endpoints = [ { address = "10.0.2.21", port = 8080 }, { address = "10.0.2.22", port = 8080, weight = 3 } ]
"#;

fn good() -> Desired {
    parse("good.toml", GOOD).unwrap_or_else(|error| panic!("{error}"))
}

/// The good file with one line replaced.
fn changed(line: &str, by: &str) -> Result<Desired, ConfigError> {
    assert_eq!(
        GOOD.matches(line).count(),
        1,
        "`{line}` is not one place of the good file"
    );
    parse("bad.toml", &GOOD.replace(line, by))
}

/// Line of the first finding, the key and the reason.
fn refusal(result: Result<Desired, ConfigError>) -> (usize, String) {
    let error = result.expect_err("must be refused");
    let shown = error.to_string();
    let first = shown.lines().next().unwrap_or_default().to_owned();
    let line = first.split(':').nth(1).and_then(|line| line.parse().ok());
    (line.unwrap_or_else(|| panic!("no line in {shown}")), first)
}

#[test]
fn the_good_file_means_what_it_says() {
    let desired = good();
    let service = desired.services.values().next().unwrap();
    assert_eq!(service.key.to_string(), "203.0.113.10:80/tcp");
    assert_eq!(
        (service.mode, service.endpoints.len(), service.endpoints[1].weight),
        (Mode::FullNat, 2, 3)
    );
    assert_eq!(service.idle_timeout, Duration::from_secs(1800));
    let instances: Vec<&str> = desired.instances.keys().map(String::as_str).collect();
    assert_eq!(instances, ["blue", "default"], "default always exists");
    assert_eq!(
        desired.instances["blue"].addresses[0].to_string(),
        "10.0.2.1/24@eth2"
    );
    let sessions: Vec<String> = desired.sessions.keys().map(ToString::to_string).collect();
    assert_eq!(
        sessions,
        ["10.0.2.12", "10.0.11.1"],
        "of the peer and of the neighbour"
    );
    assert_eq!(desired.fixed.api.socket, Path::new("/run/baton/batond.sock"));
    assert_eq!(desired.fixed.api.mode, 0o600);
    let announcements = desired.announcements();
    assert_eq!(announcements[0].prefix.to_string(), "203.0.113.10/32");
    assert_eq!(announcements[0].instance, desired.instances["blue"].id);
    assert!(announcements[0].healthy);
}

#[test]
fn the_sample_is_valid_and_so_are_its_comments() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/baton.toml");
    let sample = super::load(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sample.services.len(), 2);
    // Every commented key is a real one: with the comment signs taken away the file is still valid.
    let text = std::fs::read_to_string(&path).unwrap();
    let is_key = |line: &str| {
        let Some(rest) = line.strip_prefix("# ") else {
            return false;
        };
        let name = rest.split_once(" = ").map(|(name, _)| name);
        rest.starts_with("[[")
            || name.is_some_and(|name| {
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '.'))
            })
    };
    let all: Vec<&str> = text
        .lines()
        .map(|line| if is_key(line) { &line[2..] } else { line })
        .collect();
    assert!(all.len() > 50 && text.lines().filter(|line| is_key(line)).count() > 15);
    let uncommented = parse("sample", &all.join("\n")).unwrap_or_else(|error| panic!("{error}"));
    // Comments show defaults, but for the few that have none.
    assert_eq!(uncommented.fixed.datapath, sample.fixed.datapath);
    let peer = "10.0.2.12".parse().unwrap();
    let (shown, plain) = (&uncommented.sessions[&peer], &sample.sessions[&peer]);
    let mut parameters = shown.parameters.clone();
    // Of a profile that the sample only shows.
    assert!(parameters.keys.take().is_some());
    (parameters.demand, parameters.echo) = (None, plain.parameters.echo);
    assert_eq!(parameters, plain.parameters);
    assert_eq!(
        (shown.local, shown.hops, shown.role),
        (plain.local, plain.hops, plain.role)
    );
    assert_eq!(
        (
            uncommented.sessions.len(),
            uncommented.unsolicited.len(),
            uncommented.awaited.dynamic.len()
        ),
        (sample.sessions.len() + 1, 1, 1)
    );
    assert_eq!(uncommented.services, sample.services);
    let key = crate::desired::NeighborKey::named("10.0.11.1");
    let (mut shown, plain) = (
        uncommented.neighbors[&key].clone(),
        sample.neighbors[&key].clone(),
    );
    assert_eq!(shown.peer.transport.interface.take().as_deref(), Some("eth1"));
    assert_eq!(shown.peer.ladder.take().unwrap().backup.med, 50);
    shown.peer.transport.local_address = None;
    shown.peer.transport.authentication = None;
    shown.peer.transport.hops = plain.peer.transport.hops;
    (shown.peer.description, shown.peer.role) = (String::new(), None);
    // Naming the policy that imports nothing is not the same value as none.
    assert_eq!(shown.peer.import.take().unwrap().name, "none");
    assert_eq!(shown, plain);
    assert_eq!(uncommented.speaker.ladders.all, sample.speaker.ladders.all);
    assert_eq!(uncommented.fixed.api, sample.fixed.api);
}

#[test]
fn the_configurations_of_the_labs_are_valid() {
    let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs");
    let mut checked = 0;
    for lab in std::fs::read_dir(labs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        for file in std::fs::read_dir(lab).unwrap().map(|entry| entry.unwrap().path()) {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if file.extension().is_some_and(|ending| ending == "toml") && text.contains("\n[datapath]") {
                super::load(&file).unwrap_or_else(|error| panic!("{error}"));
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "no lab has a node of ours");
}

#[test]
fn more_than_the_maps_hold_is_refused() {
    let service = |number: u32| {
        let vip = std::net::Ipv4Addr::from(0xc612_0000 + number);
        format!(
            "[[service]]\nname = \"s{number}\"\nvip = \"{vip}\"\nport = 80\nprotocol = \"tcp\"\nendpoints = []\n"
        )
    };
    let base = crate::plan::tests::MINIMAL;
    let (fits, many): (String, String) = ((0..4095).map(service).collect(), (0..4096).map(service).collect());
    let desired = parse("fits", &format!("{base}{fits}")).map(|desired| desired.services.len());
    // So many services without endpoints still have the smallest table each.
    assert_eq!(desired.unwrap_or_else(|error| panic!("{error}")), 4095);
    let (_, first) = refusal(parse("many", &format!("{base}{many}")));
    assert!(
        first.contains("service: 4096 services in all are more than fit (4095)"),
        "{first}"
    );
}

/// (line of the good file, what replaces it, line of the finding within the replacement, words of the error).
type Row = (&'static str, &'static str, usize, &'static str);

const REFUSED: &[Row] = &[
    // Names and types.
    ("[metrics]", "[metric]", 0, "unknown field `metric`"),
    (
        "interval = \"30ms\"",
        "intervall = \"30ms\"",
        0,
        "unknown field `intervall`, expected one of `interval`, `transmit-interval`",
    ),
    (
        "multiplier = 5",
        "multiplier = \"5\"",
        0,
        "invalid type: string \"5\"",
    ),
    (
        "multiplier = 5",
        "multiplier = 5\nmultiplier = 6",
        1,
        "duplicate key",
    ),
    (
        "mode = \"fullnat\"",
        "mode = \"dsr\"",
        0,
        "unknown variant `dsr`, expected `default` or `fullnat`",
    ),
    (
        "protocol = \"tcp\"",
        "protocol = \"sctp\"",
        0,
        "unknown variant `sctp`",
    ),
    (
        "port = 80\n",
        "port = 70000\n",
        0,
        "invalid value: integer `70000`",
    ),
    (
        "router-id = \"10.255.0.1\"",
        "router-id = \"10.255.0\"",
        0,
        "invalid IPv4 address",
    ),
    ("as = 65001", "as = 65001 x", 0, "string values must be quoted"),
    // Texts with a grammar.
    (
        "interval = \"30ms\"",
        "interval = \"30\"",
        0,
        "`30` is no duration such as \"300ms\"",
    ),
    (
        "interfaces = [\"eth1\", \"eth2\"]",
        "interfaces = [\"sixteen-bytes-xx\"]",
        0,
        "has 16 bytes, but the kernel takes 1 to 15",
    ),
    (
        "interfaces = [\"eth1\", \"eth2\"]",
        "interfaces = [\"a/b\"]",
        0,
        "`a/b` cannot be the name of an interface",
    ),
    (
        "addresses = [\"10.0.2.1/24@eth2\"]",
        "addresses = [\"10.0.2.1/24\"]",
        0,
        "is not of the form ADDRESS/LENGTH@INTERFACE",
    ),
    (
        "addresses = [\"10.0.2.1/24@eth2\"]",
        "addresses = [\"10.0.2.1/33@eth2\"]",
        0,
        "prefix length `33` of 10.0.2.1 is not in 1..=32",
    ),
    (
        "name = \"web\"",
        "name = \"w b\"",
        0,
        "may consist of ASCII letters",
    ),
    (
        "[metrics]",
        "[api]\nmode = \"0666\"\n[metrics]",
        1,
        "neither \"0600\" nor \"0660\"",
    ),
    // Ranges.
    (
        "router-id = \"10.255.0.1\"",
        "router-id = \"0.0.0.0\"",
        0,
        "node.router-id: 0.0.0.0 cannot identify a router",
    ),
    (
        "router-id = \"10.255.0.1\"",
        "router-id = \"10.255.0.1\"\nrun-dir = \"run\"",
        1,
        "node.run-dir: must be an absolute path",
    ),
    (
        "interval = \"30ms\"",
        "interval = \"500us\"",
        0,
        "bfd.interval: must be 1ms to 60s, not 500us",
    ),
    (
        "multiplier = 5",
        "multiplier = 0",
        0,
        "bfd.multiplier: must be 1 to 255, not 0",
    ),
    (
        "multiplier = 5",
        "multiplier = 256",
        0,
        "bfd.multiplier: must be 1 to 255, not 256",
    ),
    (
        "hold-time = \"9s\"",
        "hold-time = \"2s\"",
        0,
        "bgp.neighbor.hold-time: must be 0s or 3s to 65535s in whole seconds, not 2s",
    ),
    (
        "hold-time = \"9s\"",
        "hold-time = \"3500ms\"",
        0,
        "bgp.neighbor.hold-time: must be",
    ),
    ("as = 65001", "as = 0", 0, "bgp.as: AS 0 is reserved"),
    (
        "as = 65000",
        "as = 23456",
        0,
        "bgp.neighbor.as: AS 23456 is reserved",
    ),
    (
        "priority = 200",
        "priority = 0",
        0,
        "ha.instance.priority: must be 1 to 255, not 0",
    ),
    (
        "idle-timeout = \"1800s\"",
        "idle-timeout = \"10ms\"",
        0,
        "service.idle-timeout: must be 1s to 7days, not 10ms",
    ),
    ("port = 80\n", "port = 0\n", 0, "service.port: must be 1 to 65535"),
    (
        "address = \"10.0.2.12:4785\"",
        "address = \"10.0.2.12:0\"",
        0,
        "sync.peer.address: the port must be 1 to 65535",
    ),
    // Duplicates.
    (
        "interfaces = [\"eth1\", \"eth2\"]",
        "interfaces = [\"eth1\", \"eth1\"]",
        0,
        "datapath.interfaces: `eth1` is listed twice",
    ),
    (
        "interfaces = [\"eth1\", \"eth2\"]",
        "interfaces = []",
        0,
        "datapath.interfaces: names no interface",
    ),
    (
        "listen = [\"10.0.11.2\"]",
        "listen = [\"10.0.11.2\", \"10.0.11.2\"]",
        0,
        "bgp.listen: 10.0.11.2 is listed twice",
    ),
    (
        "[[ha.peer]]",
        "[[bgp.neighbor]]\naddress = \"10.0.11.1\"\nas = 65000\n[[ha.peer]]",
        1,
        "neighbour 10.0.11.1 is defined twice",
    ),
    (
        "[sync]",
        "[[ha.instance]]\nname = \"blue\"\n[sync]",
        1,
        "ha.instance.name: instance `blue` is defined twice",
    ),
    (
        "[sync]",
        "[[ha.instance]]\nname = \"red\"\naddresses = [\"10.0.2.1/24@eth1\"]\n[sync]",
        2,
        "10.0.2.1 is held by two instances",
    ),
    (
        ", weight = 3 }",
        " }, { address = \"10.0.2.21\", port = 8080 }",
        0,
        "10.0.2.21:8080 is listed twice",
    ),
    // References and families.
    (
        "instance = \"blue\"",
        "instance = \"green\"",
        0,
        "service.instance: no [[ha.instance]] is called `green`",
    ),
    (
        "vip = \"203.0.113.10\"",
        "vip = \"2001:db8::10\"",
        6,
        "10.0.2.21 is IPv4, but the VIP 2001:db8::10 is IPv6",
    ),
    (
        "vip = \"203.0.113.10\"",
        "vip = \"224.0.0.1\"",
        0,
        "service.vip: 224.0.0.1 is no unicast address",
    ),
    (
        "vip = \"203.0.113.10\"",
        "vip = \"127.0.0.1\"",
        0,
        "service.vip: 127.0.0.1 cannot be announced",
    ),
    (
        "vip = \"203.0.113.10\"",
        "vip = \"10.0.2.1\"",
        0,
        "service.vip: 10.0.2.1 is a floating address too",
    ),
    (
        "vip = \"203.0.113.10\"",
        "vip = \"10.0.2.21\"",
        6,
        "10.0.2.21 is a VIP: packets would go in circles",
    ),
    (
        "local = \"10.0.2.11\"",
        "local = \"2001:db8::1\"",
        0,
        "ha.peer.local: 2001:db8::1 is IPv6, but the peer's 10.0.2.12 is IPv4",
    ),
    (
        "local = \"10.0.2.11\"",
        "local = \"10.0.2.12\"",
        0,
        "ha.peer.local: 10.0.2.12 is the peer's own address",
    ),
    (
        "families = [\"ipv4\"]",
        "families = []",
        0,
        "bgp.neighbor.families: is empty",
    ),
    (
        "families = [\"ipv4\"]",
        "families = [\"ipv6\"]",
        1,
        "bgp.neighbor.next-hop.ipv4: families does not list ipv4",
    ),
    (
        "families = [\"ipv4\"]",
        "local = \"2001:db8::1\"",
        0,
        "bgp.neighbor.local: 2001:db8::1 is IPv6, but the neighbour 10.0.11.1 is IPv4",
    ),
    (
        "listen = \"127.0.0.1:9469\"",
        "listen = \"10.0.2.11:9469\"",
        0,
        "metrics.listen: 10.0.2.11 is reachable by others",
    ),
    (
        "certificate = \"/etc/baton/lb1.crt\"",
        "certificate = \"lb1.crt\"",
        0,
        "sync.certificate: must be an absolute path",
    ),
];

#[test]
fn wrong_files_are_refused_with_line_and_reason() {
    let mut wrong = Vec::new();
    for (line, by, offset, words) in REFUSED {
        let at = GOOD[..GOOD.find(line).unwrap()].matches('\n').count() + 1 + offset;
        let (found, first) = refusal(changed(line, by));
        if !first.contains(words) || found != at {
            wrong.push(format!("`{by}`: {first} (expected in line {at}: {words})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_allows_remote_metrics_is_explicit() {
    let remote = "listen = \"10.0.2.11:9469\"\nallow-remote = true";
    let desired = changed("listen = \"127.0.0.1:9469\"", remote).unwrap();
    assert_eq!(desired.fixed.metrics.unwrap().to_string(), "10.0.2.11:9469");
}

#[test]
fn a_passive_neighbour_needs_a_listener() {
    let text = GOOD
        .replace("listen = [\"10.0.11.2\"]", "")
        .replace("bfd = true", "passive = true");
    let (_, first) = refusal(parse("bad.toml", &text));
    assert!(
        first.contains("bgp.neighbor.passive: 10.0.11.1 is passive, but bgp.listen is empty"),
        "{first}"
    );
}

#[test]
fn peers_and_synchronisation_need_each_other() {
    let cut = |from: &str, to: &str| {
        let (start, end) = (GOOD.find(from).unwrap(), GOOD.find(to).unwrap());
        format!("{}{}", &GOOD[..start], &GOOD[end..])
    };
    let (_, first) = refusal(parse("bad.toml", &cut("[sync]", "[metrics]")));
    assert!(
        first.contains("ha.peer: peer `lb2` needs a [sync] section"),
        "{first}"
    );
    let error = parse("bad.toml", &cut("[[ha.peer]]", "[[ha.instance]]")).unwrap_err();
    let keys: Vec<&str> = error
        .findings()
        .iter()
        .map(|finding| finding.key.as_str())
        .collect();
    assert_eq!(keys, ["sync", "sync.peer.name"], "{error}");
    let (_, first) = refusal(parse("bad.toml", &cut("[[sync.peer]]", "[metrics]")));
    assert!(
        first.contains("sync.peer: [[ha.peer]] `lb2` has no [[sync.peer]]"),
        "{first}"
    );
}

#[test]
fn one_vip_has_one_master() {
    let second = "\n[[service]]\nname = \"tls\"\nvip = \"203.0.113.10\"\nport = 443\nprotocol = \"tcp\"\nendpoints = []\n";
    let (_, first) = refusal(parse("bad.toml", &format!("{GOOD}{second}")));
    assert!(
        first.contains("203.0.113.10 belongs to instance `blue` already"),
        "{first}"
    );
    let twice = second
        .replace("443", "80\ninstance = \"blue\"")
        .replace("tls", "web");
    let error = parse("bad.toml", &format!("{GOOD}{twice}"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("service `web` is defined twice"), "{error}");
    assert!(
        error.contains("`web` and `web` both serve 203.0.113.10:80/tcp"),
        "{error}"
    );
}

#[test]
fn everything_wrong_is_reported_in_the_order_of_the_file() {
    let text = GOOD
        .replace("multiplier = 5", "multiplier = 0")
        .replace("priority = 200", "priority = 1000");
    let error = parse("bad.toml", &text).unwrap_err();
    let keys: Vec<&str> = error
        .findings()
        .iter()
        .map(|finding| finding.key.as_str())
        .collect();
    assert_eq!(keys, ["bfd.multiplier", "ha.instance.priority"]);
}

#[test]
fn carets_stand_below_what_is_wrong() {
    let error = changed("multiplier = 5", "multiplier = 0")
        .unwrap_err()
        .to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines[0],
        "bad.toml:11:14: bfd.multiplier: must be 1 to 255, not 0"
    );
    assert_eq!(lines[2], "11 | multiplier = 0");
    assert_eq!(lines[3], "   |              ^");
}

#[test]
fn a_service_without_endpoints_is_not_announced() {
    let text = GOOD.replace(
        "endpoints = [ { address = \"10.0.2.21\", port = 8080 }, { address = \"10.0.2.22\", port = 8080, weight = 3 } ]",
        "endpoints = []",
    );
    assert!(!parse("empty.toml", &text).unwrap().announcements()[0].healthy);
}

#[test]
fn identities_of_instances_do_not_depend_on_the_others() {
    assert_eq!(good().instances["default"].id, 0);
    let renamed = parse(
        "a",
        &GOOD.replace("[sync]", "[[ha.instance]]\nname = \"a\"\n[sync]"),
    )
    .unwrap();
    assert_eq!(renamed.instances["blue"].id, good().instances["blue"].id);
}

proptest::proptest! {
    /// No text makes it panic, wherever it is cut or damaged; an error is never empty.
    #[test]
    fn damaged_files_are_errors_and_not_panics(at in 0..GOOD.len(), byte in 0u8..128, cut in proptest::bool::ANY) {
        let mut bytes = GOOD.as_bytes().to_vec();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Err(error) = parse("damaged.toml", &String::from_utf8(bytes).unwrap()) {
            proptest::prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = parse("random.toml", &text);
    }
}

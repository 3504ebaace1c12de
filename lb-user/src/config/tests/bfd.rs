//! `[bfd]`: what every key means, who shares a session with whom, and what is refused, where, and with which words.

use std::time::Duration;

use bfd::{Algorithm, HoldDown, Hops, Role};

use super::super::parse;
use super::refusal;
use crate::desired::{Desired, Found, Session};

/// Every key, and every kind of neighbour.
const FULL: &str = r#"
[node]
name = "lb1"
router-id = "10.255.0.1"
[datapath]
interfaces = ["eth1"]

[bfd]
transmit-interval = "20ms"
receive-interval = "25ms"
multiplier = 4
hold-down = { first = "2s" }

[[bfd.profile]]
name = "fast"
interval = "10ms"
multiplier = 3
hold-down = { first = "0s", longest = "30s" }
demand = "1s"
echo = "15ms"
echo-receive = "12ms"
minimum-ttl = 250
send-key = 2
[[bfd.profile.key]]
id = 1
algorithm = "sha1"
secret = "an old one"
[[bfd.profile.key]]
id = 2
algorithm = "meticulous-sha1"
secret = "hush"

[[bfd.session]]
address = "10.0.0.9"
interface = "eth1"
local = "10.0.0.1"
profile = "fast"
multiplier = 9
demand = "off"
passive = true

[[bfd.session]]
address = "10.0.12.1"
multihop = true
minimum-ttl = 255

[[bfd.session]]
address = "fe80::9%eth1"

[[bfd.unsolicited]]
interface = "eth3"
prefixes = ["10.0.0.0/24", "2001:db8::/64"]
limit = 7
profile = "fast"

[bgp]
as = 65001
listen = ["0.0.0.0"]
export = "all"
[[bgp.neighbor]]
address = "10.0.11.1"
as = 65000
bfd = true
bfd-profile = "fast"
interface = "eth1"
[[bgp.neighbor]]
address = "192.0.2.1"
as = 65000
multihop = 3
bfd = true
[[bgp.neighbor]]
address = "10.0.12.1"
as = 65000
local = "10.0.12.2"
bfd = true
[[bgp.neighbor]]
address = "fe80::1%eth1"
as = 65000
bfd = "strict"
[[bgp.neighbor]]
interface = "eth2"
as = 65000
bfd = true
bfd-profile = "fast"
[[bgp.neighbor]]
address = "10.0.2.12"
as = "internal"
bfd = true
[[bgp.dynamic]]
prefix = "10.1.0.0/16"
as = "internal"
bfd = true
[[bgp.dynamic]]
prefix = "10.1.1.0/24"
as = "internal"

[[ha.peer]]
name = "lb2"
address = "10.0.2.12"
local = "10.0.2.11"
bfd-profile = "fast"
[sync]
listen = "10.0.2.11:4785"
certificate = "/etc/baton/lb1.crt"
key = "/etc/baton/lb1.key"
ca = "/etc/baton/ca.crt"
[[sync.peer]]
name = "lb2"
address = "10.0.2.12:4785"
"#;

fn full() -> Desired {
    parse("full.toml", FULL).unwrap_or_else(|error| panic!("{error}"))
}

fn session(desired: &Desired, name: &str) -> Session {
    desired.sessions[&name.parse().unwrap()].clone()
}

fn users(session: &Session) -> Vec<String> {
    session.users.iter().map(ToString::to_string).collect()
}

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

#[test]
fn tables_lie_over_each_other() {
    let desired = full();
    let explicit = session(&desired, "10.0.0.9%eth1");
    let parameters = &explicit.parameters;
    let timing = parameters.timing;
    assert_eq!(
        (
            timing.desired_min_tx,
            timing.required_min_rx,
            timing.detect_multiplier
        ),
        (milliseconds(10), milliseconds(10), 9)
    );
    assert_eq!(parameters.demand, None, "switched off over the profile");
    assert_eq!(
        (parameters.echo.transmit, parameters.echo.required_min_rx),
        (Some(milliseconds(15)), Some(milliseconds(12)))
    );
    let hold_down = HoldDown {
        first: Duration::ZERO,
        longest: Duration::from_secs(30),
    };
    assert_eq!(parameters.hold_down, hold_down);
    assert_eq!(
        parameters.keys.as_ref().unwrap().sends_with(),
        (2, Algorithm::MeticulousKeyedSha1)
    );
    assert_eq!((explicit.role, explicit.hops), (Role::Passive, Hops::Single));
    assert_eq!(explicit.local.unwrap().to_string(), "10.0.0.1");
    assert_eq!(users(&explicit), ["bfd.session"]);

    let plain = session(&desired, "fe80::9%eth1").parameters;
    assert_eq!(
        (
            plain.timing.desired_min_tx,
            plain.timing.required_min_rx,
            plain.timing.detect_multiplier
        ),
        (milliseconds(20), milliseconds(25), 4)
    );
    let hold_down = HoldDown {
        first: Duration::from_secs(2),
        longest: Duration::from_secs(60),
    };
    assert_eq!((plain.hold_down, plain.keys), (hold_down, None));
    assert!(
        !format!("{desired:?}").contains("hush"),
        "secrets are not for Debug"
    );
}

#[test]
fn without_a_word_the_defaults_hold() {
    let text = FULL
        .split_once("[bfd]")
        .and_then(|(head, rest)| Some(format!("{head}[bgp]\n{}", rest.split_once("[bgp]\n")?.1)));
    let text = text.unwrap().replace("bfd-profile = \"fast\"\n", "");
    let desired = parse("plain", &text).unwrap_or_else(|error| panic!("{error}"));
    let parameters = session(&desired, "10.0.2.12").parameters;
    assert_eq!(parameters.timing, bfd::Timing::symmetric(milliseconds(30), 5));
    let hold_down = HoldDown {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(60),
    };
    assert_eq!(parameters.hold_down, hold_down);
    assert_eq!((parameters.demand, parameters.echo), (None, bfd::Echo::default()));
    assert!(desired.unsolicited.is_empty());
}

#[test]
fn every_kind_of_neighbour_has_its_session() {
    let desired = full();
    let on_interface = session(&desired, "10.0.11.1%eth1");
    assert_eq!(users(&on_interface), ["neighbor 10.0.11.1"]);
    assert_eq!(
        on_interface.parameters.timing.detect_multiplier, 3,
        "of its profile"
    );
    // As far as BGP would accept: TTL 255 leaves 253 after two routers.
    let far = session(&desired, "192.0.2.1");
    assert_eq!(far.hops, Hops::Multi { minimum_ttl: 253 });
    let decided = session(&desired, "10.0.12.1");
    assert_eq!(decided.hops, Hops::Multi { minimum_ttl: 255 });
    assert_eq!(users(&decided), ["bfd.session", "neighbor 10.0.12.1"]);
    assert_eq!(
        decided.local.unwrap().to_string(),
        "10.0.12.2",
        "of the neighbour"
    );
    assert_eq!(
        users(&session(&desired, "fe80::1%eth1")),
        ["neighbor fe80::1%eth1"]
    );
    // BGP and HA share one, with the profile of the only one that names one.
    let shared = session(&desired, "10.0.2.12");
    assert_eq!(users(&shared), ["neighbor 10.0.2.12", "peer lb2"]);
    assert_eq!(shared.local.unwrap().to_string(), "10.0.2.11");
    assert_eq!(shared.parameters.timing.detect_multiplier, 3);
    assert_eq!(desired.sessions.len(), 7);

    let found = |found: Found| desired.awaited.session(&found);
    let router = found(Found::Router {
        interface: "eth2".to_owned(),
        address: "fe80::7".parse().unwrap(),
    });
    assert_eq!(router.unwrap().parameters.timing.detect_multiplier, 3);
    let guest = |address: &str| found(Found::Guest(address.parse().unwrap()));
    assert_eq!(guest("10.1.0.7").unwrap().parameters.timing.detect_multiplier, 4);
    assert_eq!(guest("10.1.1.7"), None, "its range has no BFD");

    let [strangers] = desired.unsolicited.as_slice() else {
        panic!("one interface")
    };
    assert_eq!((strangers.interface.as_str(), strangers.limit), ("eth3", 7));
    assert_eq!(strangers.prefixes.len(), 2);
    assert_eq!(strangers.parameters.timing.detect_multiplier, 3);
    assert_eq!(
        strangers.parameters.echo.required_min_rx, None,
        "nobody would return them"
    );
}

#[test]
fn all_but_the_nodes_of_the_cluster_may_be_waited_for() {
    let text = FULL
        .replace("multiplier = 4", "multiplier = 4\npassive = true")
        .replace(
            "echo-receive = \"12ms\"",
            "echo-receive = \"12ms\"\npassive = false",
        );
    let desired = parse("passive", &text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(session(&desired, "192.0.2.1").role, Role::Passive);
    assert_eq!(session(&desired, "10.0.2.12").role, Role::Active);
}

#[test]
fn a_session_without_an_interface_serves_who_names_one() {
    let text = FULL.replace(
        "address = \"10.0.12.1\"\nas = 65000\n",
        "address = \"10.0.12.1\"\nas = 65000\ninterface = \"eth1\"\n",
    );
    let desired = parse("named", &text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        users(&session(&desired, "10.0.12.1")),
        ["bfd.session", "neighbor 10.0.12.1"]
    );
    // And the other way round.
    let text = FULL.replace(
        "address = \"10.0.12.1\"\nmultihop",
        "address = \"10.0.12.1\"\ninterface = \"eth1\"\nmultihop",
    );
    let desired = parse("named", &text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        users(&session(&desired, "10.0.12.1%eth1")),
        ["bfd.session", "neighbor 10.0.12.1"]
    );
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let desired = full();
    for words in [
        "bgp.neighbor.bfd: the session with 192.0.2.1 is over several hops and has no key",
        "bfd.session.address: the session with 10.0.12.1 is over several hops and has no key",
        "bfd.profile.echo-receive: packets of eth2 come by eth2, which is not one of datapath.interfaces",
        "bfd.unsolicited.profile: Echo packets of strangers on eth3 are not returned",
    ] {
        assert!(
            desired.warnings.iter().any(|warning| warning.contains(words)),
            "{words}: {:#?}",
            desired.warnings
        );
    }
    let warnings = |from: &str, to: &str| {
        let text = FULL.replace(from, to);
        parse("warned", &text)
            .unwrap_or_else(|error| panic!("{error}"))
            .warnings
    };
    let few = warnings("multiplier = 3", "multiplier = 2");
    let of_multiplier: Vec<&String> = few
        .iter()
        .filter(|warning| warning.contains("multiplier"))
        .collect();
    assert_eq!(of_multiplier.len(), 1, "once, whoever uses the profile: {few:#?}");
    assert!(
        of_multiplier[0]
            .contains("2 at an interval of 10ms: 2 lost or late packets in a row end the session")
    );
    let slow = warnings(
        "interval = \"10ms\"\nmultiplier = 3",
        "interval = \"1s\"\nmultiplier = 2",
    );
    assert!(!slow.iter().any(|warning| warning.contains("multiplier")));
    let clear = warnings("algorithm = \"sha1\"", "algorithm = \"simple\"");
    assert!(
        clear
            .iter()
            .any(|warning| warning.contains("bfd.profile.key.algorithm: is sent in the clear"))
    );
}

#[test]
fn secrets_come_from_files_that_only_the_daemon_reads() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "hush\nand more\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = FULL.replace(
        "secret = \"hush\"",
        &format!("secret-file = \"{}\"", path.display()),
    );
    let desired = parse("file", &text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(desired.sessions, full().sessions, "its first line");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let desired = parse("file", &text).unwrap();
    assert!(
        desired
            .warnings
            .iter()
            .any(|warning| warning.contains("others can read the secret"))
    );
    std::fs::write(&path, "x".repeat(21)).unwrap();
    let (_, first) = refusal(parse("file", &text));
    assert!(
        first.contains("bfd.profile.key.secret-file: the secret of BFD key 2 has 21 bytes"),
        "{first}"
    );
    std::fs::remove_file(&path).unwrap();
    let (_, first) = refusal(parse("file", &text));
    assert!(
        first.contains("bfd.profile.key.secret-file: cannot read"),
        "{first}"
    );
}

/// (text of the full file, what replaces it, text that the finding points at, words of the error).
type Row = (&'static str, &'static str, &'static str, &'static str);

const REFUSED: &[Row] = &[
    (
        "transmit-interval = \"20ms\"",
        "transmit-interval = \"20ms\"\ninterval = \"30ms\"",
        "transmit-interval = \"20ms\"",
        "bfd.transmit-interval: interval is both directions already",
    ),
    (
        "receive-interval = \"25ms\"",
        "receive-interval = \"61s\"",
        "receive-interval",
        "bfd.receive-interval: must be 1ms to 60s, not 1m 1s",
    ),
    (
        "echo = \"15ms\"",
        "echo = \"500us\"",
        "echo = \"500us\"",
        "bfd.profile.echo: must be 1ms to 60s, not 500us",
    ),
    (
        "demand = \"1s\"",
        "demand = \"never\"",
        "demand = \"never\"",
        "`never` is no duration such as \"300ms\"",
    ),
    (
        "multiplier = 3",
        "multiplier = 256",
        "multiplier = 256",
        "bfd.profile.multiplier: must be 1 to 255, not 256",
    ),
    (
        "minimum-ttl = 250",
        "minimum-ttl = 0",
        "minimum-ttl = 0",
        "bfd.profile.minimum-ttl: must be 1 to 255, not 0",
    ),
    (
        "hold-down = { first = \"2s\" }",
        "hold-down = { first = \"2m\" }",
        "hold-down = { first = \"2m\" }",
        "bfd.hold-down: first is 2m and longest 1m",
    ),
    (
        "hold-down = { first = \"2s\" }",
        "hold-down = { longest = \"2h\" }",
        "hold-down = { longest = \"2h\" }",
        "bfd.hold-down.longest: must be 0s to 1h, not 2h",
    ),
    (
        "name = \"fast\"",
        "name = \"slow\"",
        "profile = \"fast\"",
        "no [[bfd.profile]] is called `fast`",
    ),
    (
        "[[bfd.session]]\naddress = \"10.0.0.9\"",
        "[[bfd.profile]]\nname = \"fast\"\n[[bfd.session]]\naddress = \"10.0.0.9\"",
        "name = \"fast\"\n[[bfd.session]]",
        "bfd.profile.name: profile `fast` is defined twice",
    ),
    // Keys.
    (
        "send-key = 2",
        "send-key = 3",
        "send-key = 3",
        "bfd.profile.send-key: there is no key 3",
    ),
    (
        "minimum-ttl = 255",
        "send-key = 1",
        "send-key = 1",
        "bfd.session.send-key: needs a key",
    ),
    (
        "id = 2",
        "id = 1",
        "id = 1\nalgorithm = \"meticulous-sha1\"",
        "bfd.profile.key.id: 1 is the id of two keys",
    ),
    (
        "id = 2",
        "id = 256",
        "id = 256",
        "bfd.profile.key.id: must be 0 to 255, not 256",
    ),
    (
        "algorithm = \"sha1\"",
        "algorithm = \"sha2\"",
        "algorithm = \"sha2\"",
        "unknown variant `sha2`",
    ),
    (
        "secret = \"an old one\"",
        "secret = \"an old one\"\nsecret-file = \"/etc/x\"",
        "secret = \"an old one\"",
        "bfd.profile.key.secret: and secret-file are one too many",
    ),
    (
        "secret = \"an old one\"\n",
        "",
        "[[bfd.profile.key]]\nid = 1",
        "bfd.profile.key: needs a secret, or a secret-file",
    ),
    (
        "secret = \"hush\"",
        "secret = \"twenty-one bytes long\"",
        "secret = \"twenty-one",
        "bfd.profile.key.secret: the secret of BFD key 2 has 21 bytes, but meticulous-sha1 takes 1 to 20",
    ),
    // Sessions.
    (
        "address = \"fe80::9%eth1\"",
        "address = \"fe80::9\"",
        "address = \"fe80::9\"",
        "bfd.session.address: fe80::9 is link-local: name its interface as well",
    ),
    (
        "address = \"fe80::9%eth1\"",
        "address = \"fe80::9%eth1\"\ninterface = \"eth1\"",
        "address = \"fe80::9%eth1\"",
        "bfd.session.address: names its interface already",
    ),
    (
        "address = \"fe80::9%eth1\"",
        "address = \"fe80::9%eth1\"\nmultihop = true",
        "multihop = true\n\n[[bfd.unsolicited]]",
        "bfd.session.multihop: fe80::9%eth1 is on the link by its nature",
    ),
    (
        "address = \"fe80::9%eth1\"",
        "address = \"224.0.0.1\"",
        "address = \"224.0.0.1\"",
        "bfd.session.address: 224.0.0.1 is no unicast address",
    ),
    (
        "address = \"fe80::9%eth1\"",
        "address = \"10.0.0.9\"",
        "address = \"10.0.0.9\"\n\n",
        "bfd.session.address: 10.0.0.9%eth1 and 10.0.0.9 would be one session: name the interface of both",
    ),
    (
        "address = \"fe80::9%eth1\"",
        "address = \"10.0.12.1\"",
        "address = \"10.0.12.1\"\n\n",
        "bfd.session.address: session 10.0.12.1 is defined twice",
    ),
    (
        "local = \"10.0.0.1\"",
        "local = \"2001:db8::1\"",
        "local = \"2001:db8::1\"",
        "bfd.session.local: 2001:db8::1 is IPv6, but 10.0.0.9 is IPv4",
    ),
    (
        "local = \"10.0.0.1\"",
        "local = \"10.0.0.9\"",
        "local = \"10.0.0.9\"",
        "bfd.session.local: 10.0.0.9 is the other end's address",
    ),
    (
        "demand = \"off\"",
        "minimum-ttl = 254",
        "minimum-ttl = 254",
        "bfd.session.minimum-ttl: is for sessions with multihop = true",
    ),
    (
        "demand = \"off\"",
        "multihop = true",
        "echo = \"15ms\"",
        "bfd.profile.echo: Echo is for neighbours on the link, and the session with 10.0.0.9%eth1 is over several hops",
    ),
    (
        "address = \"fe80::9%eth1\"",
        "address = \"fe80::9%eth1\"\nminimum-ttl = 254",
        "minimum-ttl = 254",
        "bfd.session.minimum-ttl: is for sessions with multihop = true",
    ),
    // Two nodes that wait for each other.
    (
        "transmit-interval = \"20ms\"",
        "transmit-interval = \"20ms\"\npassive = true",
        "passive = true\nreceive-interval",
        "bfd.passive: the session with 10.0.2.12 watches peer lb2",
    ),
    (
        "echo-receive = \"12ms\"",
        "echo-receive = \"12ms\"\npassive = true",
        "passive = true\nminimum-ttl = 250",
        "bfd.profile.passive: the session with 10.0.2.12 watches peer lb2",
    ),
    (
        "address = \"fe80::9%eth1\"",
        "address = \"10.0.2.12\"\npassive = true",
        "passive = true\n\n[[bfd.unsolicited]]",
        "bfd.session.passive: the session with 10.0.2.12 watches peer lb2",
    ),
    // Who shares a session has to agree.
    (
        "address = \"10.0.2.12\"\nas = \"internal\"\nbfd = true",
        "address = \"10.0.2.12\"\nas = \"internal\"\nbfd = true\nbfd-profile = \"other\"\n[[bfd.profile]]\nname = \"other\"",
        "bfd-profile = \"fast\"\n[sync]",
        "ha.peer.bfd-profile: peer lb2 wants `fast` for its session with 10.0.2.12, and neighbor 10.0.2.12 (`other`) has the same session",
    ),
    (
        "address = \"10.0.2.12\"\nas = \"internal\"\nbfd = true",
        "address = \"10.0.2.12\"\nas = \"internal\"\nbfd = true\nlocal = \"10.0.2.99\"",
        "local = \"10.0.2.11\"",
        "ha.peer.local: peer lb2 speaks from 10.0.2.11, and neighbor 10.0.2.12 from 10.0.2.99",
    ),
    (
        "address = \"10.0.2.12\"\nas = \"internal\"\nbfd = true",
        "address = \"10.0.2.12\"\nas = \"internal\"\nbfd = true\nmultihop = 2",
        "bfd = true\nmultihop = 2",
        "bgp.neighbor.bfd: neighbor 10.0.2.12 is several hops away (multihop), but peer lb2 has the same session",
    ),
    (
        "bfd = true\nbfd-profile = \"fast\"\ninterface",
        "bfd-profile = \"fast\"\ninterface",
        "bfd-profile = \"fast\"\ninterface",
        "bgp.neighbor.bfd-profile: needs bfd = true",
    ),
    (
        "prefix = \"10.1.0.0/16\"",
        "prefix = \"fe80::/64\"",
        "bfd = true\n[[bgp.dynamic]]\nprefix = \"10.1.1.0/24\"",
        "bgp.dynamic.bfd: BFD needs to know the interface of fe80::/64",
    ),
    // Strangers.
    (
        "limit = 7",
        "limit = 1001",
        "limit = 1001",
        "bfd.unsolicited.limit: must be 1 to 1000, not 1001",
    ),
    (
        "limit = 7",
        "limit = 7\ninterval = \"1s\"",
        "interval = \"1s\"",
        "unknown field `interval`",
    ),
    (
        "[bgp]",
        "[[bfd.unsolicited]]\ninterface = \"eth3\"\n[bgp]",
        "interface = \"eth3\"\n[bgp]",
        "bfd.unsolicited.interface: `eth3` is listed twice",
    ),
];

#[test]
fn wrong_keys_are_refused_with_line_and_reason() {
    let mut wrong = Vec::new();
    for (from, to, at, words) in REFUSED {
        assert_eq!(
            FULL.matches(from).count(),
            1,
            "`{from}` is not one place of the file"
        );
        let text = FULL.replace(from, to);
        let place = text
            .find(at)
            .unwrap_or_else(|| panic!("`{at}` is not in the changed file"));
        let line = text[..place].matches('\n').count() + 1;
        let result = parse("bad.toml", &text);
        let Err(error) = result else {
            wrong.push(format!("`{to}` is not refused ({words})"));
            continue;
        };
        let shown = error.to_string();
        // The first line for the finding, whatever else was found.
        let found = shown.lines().find(|line| line.contains(words));
        let prefix = format!("bad.toml:{line}:");
        if !found.is_some_and(|found| found.starts_with(&prefix)) {
            wrong.push(format!("`{to}`: {shown} (expected in line {line}: {words})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_error_shows_a_secret() {
    let text = FULL.replace("secret = \"hush\"", "secret = \"hush hush hush hush hush\"");
    let shown = parse("bad.toml", &text).unwrap_err().to_string();
    assert!(!shown.contains("hush"), "{shown}");
}

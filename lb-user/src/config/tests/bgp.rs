//! `[bgp]`: what every key means, and what is refused, where, and with which words.

use std::net::IpAddr;
use std::time::Duration;

use bgp::policy::{Action, AsPathMatch, NextHopSet};
use bgp::{Authentication, BfdMode, Community, Families, Hops, RemoteAs, Role};

use super::super::{BgpFlags, parse, parse_with};
use super::refusal;
use crate::desired::{Desired, NeighborKey};

/// Every key once.
const FULL: &str = r#"
[node]
name = "lb1"
router-id = "10.255.0.1"
[datapath]
interfaces = ["eth1"]

[bgp]
as = 65001
listen = ["0.0.0.0", "::"]
listen-port = 1791
multipath = 8
import = "pods"
export = "all"

[bgp.ladder]
master = { med = 5, communities = ["65001:1", "65001:1:1"] }
backup = { med = 50, prepend = 3, local-pref = 90 }

[[bgp.neighbor]]
address = "10.0.11.1"
as = 65000
local = "10.0.11.2"
local-port = 2000
port = 1790
passive = true
hold-time = "90s"
connect-retry = "5s"
families = ["ipv4", "ipv6"]
next-hop = { ipv4 = "10.0.11.3", ipv6 = "2001:db8:11::3", ipv6-link-local = "fe80::3" }
bfd = "strict"
gtsm = true
password = "s3cret"
role = "customer"
role-strict = true
graceful-restart = { helper = false, restarter = true, restart-time = "60s", long-lived-time = "1h" }
add-path = true
extended-messages = false
graceful-shutdown = true
max-prefixes = { limit = 1000, warning = 80, warn-only = true, idle-hold = "forever" }
import = "none"
export = "prepended"
ladder.backup = { med = 60 }
description = "top of rack"

[[bgp.neighbor]]
address = "fe80::1%eth1"
as = "external"

[[bgp.neighbor]]
interface = "eth2"
as = "64512-64999,65010"

[[bgp.neighbor]]
address = "2001:db8::9"
as = "4200000000"
multihop = 3

[[bgp.neighbor]]
address = "10.0.0.9"
as = "internal"

[[bgp.dynamic]]
prefix = "10.1.0.0/16"
limit = 20
as = "external"
password = "other"

[[bgp.policy]]
name = "pods"
[[bgp.policy.rule]]
match.prefix = ["10.42.0.0/16 ge 24 le 26", "10.43.0.0/16 le 24", "10.44.0.0/16 ge 20", "10.45.0.0/16"]
match.as-path = ["length 1-5", "contains 65009", "first 65000", "origin 64512"]
match.community = ["65000:1", "65000:1:2", "rt:65000:1", "graceful-shutdown"]
match.next-hop = ["10.0.0.0/8"]
match.family = "ipv4"
match.origin = "igp"

[[bgp.policy]]
name = "prepended"
[[bgp.policy.rule]]
match.instance = "default"
match.role = "backup"
set.med = 10
set.local-pref = 200
set.prepend = 2
set.origin = "incomplete"
set.next-hop = "self"
set.communities = ["65001:7"]
set.remove-communities = ["no-export"]
set.clear-communities = true
action = "next"
[[bgp.policy.rule]]
action = "accept"

[[bgp.aggregate]]
prefix = "203.0.113.0/24"
instance = "default"
summary-only = true

[[bgp.monitor]]
address = "10.0.0.5:11019"

[[ha.instance]]
name = "default"
ladder.backup = { med = 70 }

[[service]]
name = "pooled"
vip = "203.0.113.10"
port = 80
protocol = "tcp"
endpoints = [{ address = "10.0.2.21", port = 80 }]

[[service]]
name = "web"
vip = "198.51.100.10"
port = 80
protocol = "tcp"
endpoints = [{ address = "10.0.2.21", port = 80 }]
announce = { med = 7, prepend = 1, local-pref = 300, origin = "egp", communities = ["65001:9"], next-hop = "10.0.0.7" }

[[service]]
name = "tls"
vip = "198.51.100.10"
port = 443
protocol = "tcp"
endpoints = []
announce = { med = 7, communities = ["65001:8", "rt:65001:8"] }
"#;

fn full() -> Desired {
    parse("full.toml", FULL).unwrap_or_else(|error| panic!("{error}"))
}

fn neighbor(desired: &Desired, name: &str) -> bgp::PeerConfig {
    desired.neighbors[&NeighborKey::named(name)].peer.clone()
}

#[test]
fn every_key_of_a_neighbour_is_what_it_says() {
    let desired = full();
    let peer = neighbor(&desired, "10.0.11.1");
    assert_eq!(peer.remote_as, RemoteAs::Is(65000));
    assert_eq!(
        (peer.port, peer.passive, peer.transport.local_port),
        (1790, true, Some(2000))
    );
    assert_eq!(peer.transport.local_address, Some(IpAddr::from([10, 0, 11, 2])));
    assert_eq!(
        (peer.hold_time, peer.connect_retry),
        (Duration::from_secs(90), Duration::from_secs(5))
    );
    assert_eq!((peer.families, peer.bfd), (Families::BOTH, BfdMode::Strict));
    assert_eq!(peer.next_hops.ipv4.unwrap().to_string(), "10.0.11.3");
    assert_eq!(peer.next_hops.ipv6_link_local.unwrap().to_string(), "fe80::3");
    assert_eq!(peer.transport.hops, Hops::Security(1));
    assert_eq!(
        peer.transport.authentication,
        Some(Authentication::Md5(bgp::Secret("s3cret".to_owned())))
    );
    assert_eq!((peer.role, peer.role_strict), (Some(Role::Customer), true));
    assert!(!peer.graceful_restart.helper && peer.graceful_restart.restarter);
    assert_eq!(peer.graceful_restart.long_lived_time, Duration::from_secs(3600));
    assert!(peer.add_path && !peer.extended_messages && peer.graceful_shutdown);
    assert_eq!((peer.max_prefixes.limit, peer.max_prefixes.warning), (1000, 80));
    assert!(peer.max_prefixes.warn_only && peer.max_prefixes.idle_hold.is_none());
    assert_eq!(peer.import.unwrap().name, "none");
    assert_eq!(peer.export.unwrap().name, "prepended");
    let ladder = peer.ladder.unwrap();
    assert_eq!(
        (ladder.backup.med, ladder.backup.prepend, ladder.master.med),
        (60, 3, 5)
    );
    assert_eq!(peer.description, "top of rack");
    assert!(
        !format!("{desired:?}").contains("s3cret"),
        "secrets are not for Debug"
    );
}

#[test]
fn defaults_follow_the_kind_of_neighbour() {
    let desired = full();
    let link_local = neighbor(&desired, "fe80::1%eth1");
    assert_eq!(link_local.transport.interface.as_deref(), Some("eth1"));
    assert_eq!(
        (link_local.families, link_local.remote_as),
        (Families::BOTH, RemoteAs::External)
    );
    assert_eq!(link_local.import.unwrap().name, "pods", "of [bgp]");
    let unnumbered = neighbor(&desired, "eth2");
    assert!(unnumbered.address.is_unspecified(), "found out later");
    assert_eq!(unnumbered.transport.interface.as_deref(), Some("eth2"));
    assert_eq!(
        unnumbered.remote_as,
        RemoteAs::OneOf(vec![64512..=64999, 65010..=65010])
    );
    assert_eq!(unnumbered.transport.hops, Hops::Security(1));
    let far = neighbor(&desired, "2001:db8::9");
    assert_eq!(
        (far.transport.hops, far.families),
        (Hops::Limit(3), Families::IPV6)
    );
    assert_eq!(far.remote_as, RemoteAs::Is(4_200_000_000));
    let internal = neighbor(&desired, "10.0.0.9");
    assert_eq!(
        (internal.transport.hops, internal.families),
        (Hops::Limit(64), Families::IPV4)
    );
    let hops = |keys: &str| {
        let text = FULL.replace("as = \"internal\"", keys);
        neighbor(
            &parse("hops", &text).unwrap_or_else(|error| panic!("{error}")),
            "10.0.0.9",
        )
        .transport
        .hops
    };
    assert_eq!(hops("as = 65001\ngtsm = true"), Hops::Security(1));
    assert_eq!(hops("as = 65001\nmultihop = 7"), Hops::Limit(7));
    assert_eq!(hops("as = 65000\ngtsm = false"), Hops::Limit(1));
    assert_eq!(hops("as = 65000\ngtsm = true\nmultihop = 2"), Hops::Security(2));
}

#[test]
fn the_speaker_and_its_ladders() {
    let desired = full();
    let fixed = desired.fixed.bgp.as_ref().unwrap();
    assert_eq!(
        (fixed.local_as, fixed.listen_port, fixed.multipath),
        (65001, 1791, 8)
    );
    let ladders = &desired.speaker.ladders;
    assert_eq!(ladders.all.master.communities.len(), 2);
    assert_eq!((ladders.all.backup.med, ladders.all.backup.local_pref), (50, 90));
    assert_eq!(
        (ladders.all.draining.med, ladders.all.joining.med),
        (1000, 200),
        "defaults"
    );
    assert_eq!(
        (
            ladders.by_instance[&0].backup.med,
            ladders.by_instance[&0].master.med
        ),
        (70, 5)
    );
    let [range] = desired.speaker.dynamic.as_slice() else {
        panic!("one range")
    };
    assert_eq!(
        (range.prefix.to_string().as_str(), range.limit),
        ("10.1.0.0/16", 20)
    );
    assert!(range.template.passive && range.template.transport.authentication.is_some());
    assert_eq!(desired.speaker.monitors[0].to_string(), "10.0.0.5:11019");
}

#[test]
fn policies_are_rules() {
    let desired = full();
    let pods = neighbor(&desired, "fe80::1%eth1").import.unwrap();
    let matches = &pods.rules[0].matches;
    let shown: Vec<String> = matches
        .prefixes
        .iter()
        .map(|prefix| format!("{} {}-{}", prefix.prefix, prefix.ge, prefix.le))
        .collect();
    assert_eq!(
        shown,
        [
            "10.42.0.0/16 24-26",
            "10.43.0.0/16 16-24",
            "10.44.0.0/16 20-32",
            "10.45.0.0/16 16-16"
        ]
    );
    assert_eq!(
        matches.as_path,
        [
            AsPathMatch::Length { min: 1, max: 5 },
            AsPathMatch::Contains(65009),
            AsPathMatch::First(65000),
            AsPathMatch::Origin(64512)
        ]
    );
    assert_eq!(
        matches.communities,
        [
            Community::Standard(65000 << 16 | 1),
            Community::Large([65000, 1, 2]),
            Community::Extended([0, 2, 0xfd, 0xe8, 0, 0, 0, 1]),
            Community::Standard(bgp::GRACEFUL_SHUTDOWN)
        ]
    );
    let prepended = neighbor(&desired, "10.0.11.1").export.unwrap();
    let sets = &prepended.rules[0].sets;
    assert_eq!(
        (sets.med, sets.local_pref, sets.prepend),
        (Some(10), Some(200), 2)
    );
    assert_eq!(sets.next_hop, Some(NextHopSet::Own));
    assert!(sets.clear_communities && sets.add.len() == 1 && sets.remove.len() == 1);
    assert_eq!(
        prepended.rules[0].matches.preference,
        Some(bgp::Preference::Backup)
    );
    assert_eq!(
        (prepended.rules[0].action, prepended.rules[1].action),
        (Action::Next, Action::Accept)
    );
}

#[test]
fn a_pool_is_announced_instead_of_its_addresses() {
    let shown = |desired: &Desired| -> Vec<String> {
        desired
            .announcements()
            .iter()
            .map(|announcement| format!("{} {}", announcement.prefix, announcement.healthy))
            .collect()
    };
    assert_eq!(shown(&full()), ["198.51.100.10/32 true", "203.0.113.0/24 true"]);
    let with = |from: &str, to: &str| parse("pool", &FULL.replace(from, to)).unwrap();
    assert_eq!(
        shown(&with("summary-only = true", "summary-only = false")),
        [
            "198.51.100.10/32 true",
            "203.0.113.10/32 true",
            "203.0.113.0/24 true"
        ]
    );
    let idle = FULL.replace(
        "vip = \"203.0.113.10\"\nport = 80\nprotocol = \"tcp\"\nendpoints = [{ address = \"10.0.2.21\", port = 80 }]",
        "vip = \"203.0.113.10\"\nport = 80\nprotocol = \"tcp\"\nendpoints = []",
    );
    assert_eq!(
        shown(&parse("idle", &idle).unwrap()),
        ["198.51.100.10/32 true", "203.0.113.0/24 false"],
        "without a healthy VIP inside it is withdrawn"
    );
}

#[test]
fn services_of_one_vip_speak_with_one_voice() {
    let desired = full();
    let overrides = desired.announcements()[0].overrides.clone().unwrap();
    assert_eq!(
        (overrides.med, overrides.prepend, overrides.local_pref),
        (Some(7), Some(1), Some(300))
    );
    assert_eq!(overrides.next_hop, Some(IpAddr::from([10, 0, 0, 7])));
    assert_eq!(
        overrides.communities,
        [65001 << 16 | 8, 65001 << 16 | 9],
        "they add up, in order"
    );
    assert_eq!(overrides.extended_communities.len(), 1);
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let warnings = |from: &str, to: &str| {
        assert_eq!(FULL.matches(from).count(), 1, "`{from}`");
        let text = FULL.replace(from, to);
        let desired = parse("odd.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        desired.warnings.join("\n")
    };
    assert_eq!(full().warnings, Vec::<String>::new());
    let silent = warnings("import = \"pods\"\nexport = \"all\"\n", "import = \"pods\"\n");
    assert!(
        silent.contains(
            "bgp.neighbor.export: eth2 has no export policy: nothing is announced to it (RFC 8212)"
        ),
        "{silent}"
    );
    assert!(!silent.contains("10.0.0.9"), "iBGP needs none: {silent}");
    let unused = warnings("export = \"prepended\"", "export = \"all\"");
    assert!(
        unused.contains("policy `prepended` is used by nobody"),
        "{unused}"
    );
    let tie = warnings(
        "ladder.backup = { med = 70 }",
        "ladder.backup = { med = 5, prepend = 0 }",
    );
    assert!(
        tie.contains("ha.instance.ladder: master and backup are equal"),
        "{tie}"
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn secrets_come_from_files_that_only_the_daemon_reads() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let text = |keys: &str| {
        FULL.replace(
            "password = \"s3cret\"",
            &keys.replace("FILE", file.to_str().unwrap()),
        )
    };
    let read = |keys: &str| parse("secret.toml", &text(keys));
    let password = "password-file = \"FILE\"";
    assert!(
        refusal(read(password))
            .1
            .contains("bgp.neighbor.password-file: cannot read")
    );
    std::fs::write(&file, "of the file\n").unwrap();
    mode(0o600);
    let desired = read(password).unwrap();
    let expected = Authentication::Md5(bgp::Secret("of the file".to_owned()));
    assert_eq!(
        neighbor(&desired, "10.0.11.1").transport.authentication,
        Some(expected)
    );
    assert!(desired.warnings.is_empty());
    mode(0o644);
    let warning = read(password).unwrap().warnings.join("");
    assert!(
        warning.contains("has mode 0644: others can read the secret"),
        "{warning}"
    );
    let key = "{ send-id = 1, receive-id = 2, algorithm = \"hmac(sha1)\", secret-file = \"FILE\" }";
    let ao = |keys: &str| read(&format!("ao = [{}]", keys.replace("KEY", key)));
    let desired = ao("KEY").unwrap();
    let Some(Authentication::Ao(keys)) = neighbor(&desired, "10.0.11.1").transport.authentication else {
        panic!("TCP-AO")
    };
    assert_eq!(
        (keys[0].send_id, keys[0].receive_id, keys[0].secret.0.as_str()),
        (1, 2, "of the file")
    );
    for (keys, words) in [
        ("", "bgp.neighbor.ao: is empty"),
        (
            "KEY, KEY",
            "bgp.neighbor.ao.send-id: 1 is the send-id of two keys",
        ),
        (
            "{ send-id = 1, receive-id = 1, algorithm = \"md5\", secret-file = \"FILE\" }",
            "`md5` is none of hmac(sha1)",
        ),
        (
            "{ send-id = 300, receive-id = 1, algorithm = \"hmac(sha1)\", secret-file = \"FILE\" }",
            "integer `300`",
        ),
    ] {
        let (_, first) = refusal(ao(keys));
        assert!(first.contains(words), "{first}");
    }
    std::fs::write(&file, "\n").unwrap();
    assert!(
        refusal(read(password))
            .1
            .contains("has 0 bytes, but the kernel takes 1 to 80")
    );
    std::fs::write(&file, "x".repeat(5000)).unwrap();
    assert!(
        refusal(read(password))
            .1
            .contains("is no file that holds one secret")
    );
}

/// (text of the full file, what replaces it, line of the finding within the replacement, words of the error).
type Row = (&'static str, &'static str, usize, &'static str);

const REFUSED: &[Row] = &[
    // [bgp] itself.
    (
        "multipath = 8",
        "multipath = 0",
        0,
        "bgp.multipath: must be 1 (off) to 64, not 0",
    ),
    (
        "multipath = 8",
        "multipath = 65",
        0,
        "bgp.multipath: must be 1 (off) to 64, not 65",
    ),
    ("multipath = 8", "multi-path = 8", 0, "unknown field `multi-path`"),
    (
        "export = \"all\"\n\n",
        "export = \"al\"\n\n",
        0,
        "bgp.export: no [[bgp.policy]] is called `al`; there are all, none, pods, prepended",
    ),
    (
        "import = \"pods\"",
        "import = \"prepended\"",
        0,
        "bgp.import: policy `prepended` is for export only: it uses match.instance, which only routes of this node have",
    ),
    (
        "listen-port = 1791",
        "listen-port = 0",
        0,
        "bgp.listen-port: must be 1 to 65535",
    ),
    // Ladders.
    (
        "backup = { med = 50, prepend = 3, local-pref = 90 }",
        "backup = { med = 50, prepend = 51 }",
        0,
        "bgp.ladder.backup.prepend: must be 0 to 50, not 51",
    ),
    (
        "backup = { med = 50, prepend = 3, local-pref = 90 }",
        "backup = { med = 4, prepend = 0 }",
        0,
        "unused",
    ),
    (
        "master = { med = 5,",
        "master = { med = 4294967296,",
        0,
        "invalid value: integer `4294967296`",
    ),
    (
        "master = { med = 5,",
        "master = { mad = 5,",
        0,
        "unknown field `mad`",
    ),
    (
        "communities = [\"65001:1\", \"65001:1:1\"]",
        "communities = [\"65536:1\"]",
        0,
        "`65536` of community `65536:1` is not in 0..=65535",
    ),
    (
        "communities = [\"65001:1\", \"65001:1:1\"]",
        "communities = [\"no-exports\"]",
        0,
        "`no-exports` is no community: write AS:N",
    ),
    (
        "ladder.backup = { med = 60 }",
        "ladder.backup = { local-pref = 6000 }",
        0,
        "bgp.neighbor.ladder: iBGP (local-pref, then med) would prefer backup to master",
    ),
    (
        "ladder.backup = { med = 70 }",
        "ladder.joining = { prepend = 0, med = 1 }",
        0,
        "ha.instance.ladder: eBGP (prepend, then med) would prefer joining to backup",
    ),
    // Who the neighbour is.
    (
        "address = \"10.0.11.1\"\n",
        "address = \"10.0.11.256\"\n",
        0,
        "`10.0.11.256` is no IP address",
    ),
    (
        "address = \"10.0.11.1\"\n",
        "address = \"224.0.0.5\"\n",
        0,
        "bgp.neighbor.address: 224.0.0.5 is no unicast address",
    ),
    (
        "address = \"fe80::1%eth1\"",
        "address = \"fe80::1\"",
        0,
        "fe80::1 is link-local: name its interface as well, \"fe80::1%eth1\"",
    ),
    (
        "address = \"fe80::1%eth1\"",
        "address = \"2001:db8::1%eth1\"",
        0,
        "2001:db8::1 is not link-local: write it without `%eth1`",
    ),
    (
        "address = \"fe80::1%eth1\"",
        "address = \"fe80::1%an-interface-too-long\"",
        0,
        "has 21 bytes, but the kernel takes 1 to 15",
    ),
    (
        "interface = \"eth2\"",
        "interface = \"eth2\"\naddress = \"fe80::1%eth2\"",
        1,
        "bgp.neighbor.address: names its interface already",
    ),
    ("interface = \"eth2\"", "description = \"nobody\"", 0, "unplaced"),
    (
        "interface = \"eth2\"",
        "interface = \"eth2\"\nmultihop = 2",
        1,
        "bgp.neighbor.multihop: eth2 is on the link by its nature",
    ),
    (
        "interface = \"eth2\"",
        "interface = \"eth2\"\nprefix = \"10.0.0.0/8\"",
        1,
        "bgp.neighbor.prefix: belongs to [[bgp.dynamic]]",
    ),
    (
        "interface = \"eth2\"",
        "interface = \"eth2\"\nlimit = 3",
        1,
        "bgp.neighbor.limit: belongs to [[bgp.dynamic]]",
    ),
    (
        "as = \"64512-64999,65010\"",
        "as = \"64999-64512\"",
        0,
        "range 64999-64512 is upside down",
    ),
    (
        "as = \"64512-64999,65010\"",
        "as = \"AS64512\"",
        0,
        "`AS64512` is no AS: write a number, \"external\", \"internal\" or ranges",
    ),
    ("as = \"64512-64999,65010\"", "as = -1", 0, "-1 is no AS"),
    (
        "as = \"64512-64999,65010\"",
        "as = true",
        0,
        "invalid type: boolean `true`, expected the number of an AS",
    ),
    (
        "as = \"4200000000\"",
        "as = \"4294967295\"",
        0,
        "bgp.neighbor.as: AS 4294967295 is reserved",
    ),
    // Its session.
    (
        "port = 1790",
        "port = 0",
        0,
        "bgp.neighbor.port: must be 1 to 65535",
    ),
    (
        "local = \"10.0.11.2\"\n",
        "local = \"10.0.11.1\"\n",
        0,
        "bgp.neighbor.local: 10.0.11.1 is the neighbour's own address",
    ),
    (
        "connect-retry = \"5s\"",
        "connect-retry = \"5ms\"",
        0,
        "bgp.neighbor.connect-retry: must be 100ms to 1h, not 5ms",
    ),
    (
        "bfd = \"strict\"",
        "bfd = \"lenient\"",
        0,
        "invalid value: string \"lenient\", expected true, false or \"strict\"",
    ),
    (
        "multihop = 3",
        "multihop = 0",
        0,
        "bgp.neighbor.multihop: must be 1 to 255, not 0",
    ),
    (
        "multihop = 3",
        "multihop = 256",
        0,
        "bgp.neighbor.multihop: must be 1 to 255, not 256",
    ),
    (
        "multihop = 3",
        "multihop = 255\ngtsm = true",
        0,
        "gtsm over 255 hops would accept every packet",
    ),
    (
        "password = \"s3cret\"",
        "password = \"\"",
        0,
        "bgp.neighbor.password: has 0 bytes, but the kernel takes 1 to 80",
    ),
    (
        "password = \"s3cret\"",
        "password = \"123456789012345678901234567890123456789012345678901234567890123456789012345678901\"",
        0,
        "has 81 bytes",
    ),
    (
        "password = \"s3cret\"",
        "password = 12345",
        0,
        "a password is a text in quotes",
    ),
    (
        "password = \"s3cret\"",
        "password-file = \"secret\"",
        0,
        "bgp.neighbor.password-file: must be an absolute path",
    ),
    (
        "password = \"s3cret\"",
        "password-file = \"/nonexistent/secret\"",
        0,
        "cannot read /nonexistent/secret: No such file",
    ),
    (
        "password = \"s3cret\"",
        "password-file = \"/\"",
        0,
        "/ is no file that holds one secret",
    ),
    (
        "as = 65000\n",
        "as = 65000\npassword-file = \"/nonexistent\"\n",
        0,
        "bgp.neighbor.password: only one of password, password-file and ao",
    ),
    (
        "as = \"internal\"",
        "as = \"internal\"\nrole = \"peer\"",
        1,
        "bgp.neighbor.role: is for eBGP",
    ),
    (
        "as = \"internal\"",
        "as = \"internal\"\nrole-strict = true",
        1,
        "bgp.neighbor.role-strict: needs a role",
    ),
    (
        "role = \"customer\"",
        "role = \"client\"",
        0,
        "unknown variant `client`",
    ),
    (
        "restart-time = \"60s\"",
        "restart-time = \"4096s\"",
        0,
        "bgp.neighbor.graceful-restart.restart-time: must be 0s to 4095s",
    ),
    (
        "restart-time = \"60s\"",
        "restart-time = \"1500ms\"",
        0,
        "in whole seconds, not 1s 500ms",
    ),
    (
        "long-lived-time = \"1h\"",
        "long-lived-time = \"16777216s\"",
        0,
        "graceful-restart.long-lived-time: must be 0s to 16777215s",
    ),
    (
        "limit = 1000, warning",
        "limit = 0, warning",
        0,
        "bgp.neighbor.max-prefixes.limit: must be at least 1",
    ),
    (
        "warning = 80",
        "warning = 101",
        0,
        "bgp.neighbor.max-prefixes.warning: is a percentage, 1 to 100, not 101",
    ),
    (
        "idle-hold = \"forever\"",
        "idle-hold = \"10ms\"",
        0,
        "bgp.neighbor.max-prefixes.idle-hold: must be at least 1s, or \"forever\"",
    ),
    (
        "idle-hold = \"forever\"",
        "idle-hold = \"never\"",
        0,
        "`never` is no duration",
    ),
    (
        "ipv4 = \"10.0.11.3\"",
        "ipv4 = \"0.0.0.0\"",
        0,
        "bgp.neighbor.next-hop.ipv4: 0.0.0.0 is no unicast address",
    ),
    (
        "ipv6 = \"2001:db8:11::3\"",
        "ipv6 = \"fe80::3\"",
        0,
        "it belongs to next-hop.ipv6-link-local",
    ),
    (
        "ipv6-link-local = \"fe80::3\"",
        "ipv6-link-local = \"2001:db8::3\"",
        0,
        "2001:db8::3 is not link-local",
    ),
    (
        "export = \"prepended\"",
        "export = \"pod\"",
        0,
        "bgp.neighbor.export: no [[bgp.policy]] is called `pod`",
    ),
    // Ranges of neighbours.
    (
        "prefix = \"10.1.0.0/16\"",
        "prefix = \"10.1.0.1/16\"",
        0,
        "`10.1.0.1/16` has bits beyond its length: 10.1.0.0/16 is meant",
    ),
    (
        "prefix = \"10.1.0.0/16\"",
        "prefix = \"10.1.0.0/33\"",
        0,
        "length `33` of 10.1.0.0 is not in 0..=32",
    ),
    (
        "prefix = \"10.1.0.0/16\"",
        "prefix = \"10.1/16\"",
        0,
        "`10.1/16` is no prefix such as 10.42.0.0/16",
    ),
    (
        "prefix = \"10.1.0.0/16\"",
        "prefix = \"224.0.0.0/8\"",
        0,
        "bgp.dynamic.prefix: 224.0.0.0/8 holds no neighbours",
    ),
    (
        "prefix = \"10.1.0.0/16\"",
        "prefix = \"10.0.0.0/8\"",
        0,
        "unplaced",
    ),
    (
        "limit = 20",
        "limit = 0",
        0,
        "bgp.dynamic.limit: must be 1 to 10000, not 0",
    ),
    (
        "limit = 20",
        "limit = 20\npassive = true",
        1,
        "bgp.dynamic.passive: belongs to [[bgp.neighbor]]",
    ),
    (
        "limit = 20",
        "limit = 20\naddress = \"10.1.0.1\"",
        1,
        "bgp.dynamic.address: belongs to [[bgp.neighbor]]",
    ),
    (
        "limit = 20",
        "limit = 20\nlocal-port = 5",
        1,
        "bgp.dynamic.local-port: belongs to [[bgp.neighbor]]",
    ),
    (
        "limit = 20",
        "limit = 20\ninterface = \"eth1\"",
        1,
        "bgp.dynamic.interface: belongs to [[bgp.neighbor]]",
    ),
    // Policies.
    ("name = \"pods\"", "name = \"all\"", 0, "elsewhere"),
    ("name = \"prepended\"", "name = \"pods\"", 0, "elsewhere"),
    (
        "10.42.0.0/16 ge 24 le 26",
        "10.42.0.0/16 ge 15",
        0,
        "`ge 15` is shorter than 10.42.0.0/16 itself",
    ),
    (
        "10.42.0.0/16 ge 24 le 26",
        "10.42.0.0/16 le 33",
        0,
        "`le 33` is beyond the 32 bits of 10.42.0.0/16",
    ),
    (
        "10.42.0.0/16 ge 24 le 26",
        "2001:db8::/32 le 129",
        0,
        "`le 129` is beyond the 128 bits of 2001:db8::/32",
    ),
    (
        "10.42.0.0/16 ge 24 le 26",
        "10.42.0.0/16 ge 26 le 24",
        0,
        "`ge 26 le 24` of 10.42.0.0/16 matches nothing",
    ),
    (
        "10.42.0.0/16 ge 24 le 26",
        "10.42.0.0/16 le x",
        0,
        "`le x` of `10.42.0.0/16 le x` is no length",
    ),
    (
        "10.42.0.0/16 ge 24 le 26",
        "10.42.0.0/16 up to 26",
        0,
        "is not of the form PREFIX, PREFIX ge N",
    ),
    (
        "10.42.0.0/16 ge 24 le 26",
        "10.42.1.0/16",
        0,
        "10.42.0.0/16 is meant",
    ),
    (
        "match.family = \"ipv4\"",
        "match.family = \"ipv6\"",
        0,
        "elsewhere",
    ),
    (
        "match.next-hop = [\"10.0.0.0/8\"]",
        "match.next-hop = []",
        0,
        "bgp.policy.rule.match.next-hop: is empty: leave it out",
    ),
    (
        "\"length 1-5\"",
        "\"length 5-1\"",
        0,
        "`length 5-1` matches nothing",
    ),
    (
        "\"length 1-5\"",
        "\"longer 5\"",
        0,
        "`longer 5` is none of: empty, contains AS",
    ),
    (
        "\"length 1-5\"",
        "\"empty\"",
        0,
        "\"empty\" beside another condition",
    ),
    (
        "\"contains 65009\"",
        "\"contains x\"",
        0,
        "`x` of `contains x` is no AS",
    ),
    (
        "\"rt:65000:1\"",
        "\"rt:65000\"",
        0,
        "`rt` of community `rt:65000` is not in 0..=65535",
    ),
    (
        "\"rt:65000:1\"",
        "\"rt:65536:65536\"",
        0,
        "`65536` of community `rt:65536:65536` does not fit",
    ),
    (
        "match.instance = \"default\"",
        "match.instance = \"blue\"",
        0,
        "bgp.policy.rule.match.instance: no [[ha.instance]] is called `blue`",
    ),
    (
        "match.role = \"backup\"",
        "match.role = \"slave\"",
        0,
        "unknown variant `slave`",
    ),
    (
        "set.prepend = 2",
        "set.prepend = 300",
        0,
        "bgp.policy.rule.set.prepend: must be 0 to 50, not 300",
    ),
    ("set.med = 10", "set.med = -1", 0, "invalid value: integer `-1`"),
    (
        "set.next-hop = \"self\"",
        "set.next-hop = \"me\"",
        0,
        "`me` is neither \"self\" nor an IP address",
    ),
    (
        "set.next-hop = \"self\"",
        "set.next-hop = \"127.0.0.1\"",
        0,
        "bgp.policy.rule.set.next-hop: 127.0.0.1 cannot be a next hop",
    ),
    ("action = \"next\"", "action = \"reject\"", 0, "elsewhere"),
    ("action = \"accept\"", "action = \"next\"", 0, "elsewhere"),
    (
        "action = \"accept\"",
        "action = \"permit\"",
        0,
        "unknown variant `permit`, expected one of `accept`, `reject`, `next`",
    ),
    // Pools, monitors, services.
    (
        "prefix = \"203.0.113.0/24\"",
        "prefix = \"203.0.113.1/24\"",
        0,
        "203.0.113.0/24 is meant",
    ),
    (
        "prefix = \"203.0.113.0/24\"",
        "prefix = \"203.0.114.0/24\"",
        0,
        "bgp.aggregate.prefix: no service of instance `default` has a VIP inside 203.0.114.0/24",
    ),
    (
        "prefix = \"203.0.113.0/24\"",
        "prefix = \"203.0.113.10\"",
        0,
        "203.0.113.10/32 is one address, which is announced anyway",
    ),
    (
        "prefix = \"203.0.113.0/24\"",
        "prefix = \"198.51.100.0/24\"",
        0,
        "elsewhere",
    ),
    (
        "instance = \"default\"\nsummary-only",
        "instance = \"red\"\nsummary-only",
        0,
        "bgp.aggregate.instance: no [[ha.instance]] is called `red`",
    ),
    (
        "address = \"10.0.0.5:11019\"",
        "address = \"10.0.0.5:0\"",
        0,
        "bgp.monitor.address: the port must be 1 to 65535",
    ),
    (
        "address = \"10.0.0.5:11019\"",
        "address = \"0.0.0.0:11019\"",
        0,
        "bgp.monitor.address: 0.0.0.0 is no unicast address",
    ),
    (
        "address = \"10.0.0.5:11019\"",
        "address = \"10.0.0.5\"",
        0,
        "invalid socket address",
    ),
    (
        "announce = { med = 7, communities",
        "announce = { med = 8, communities",
        0,
        "service.announce.med: another service of 198.51.100.10 asks for a different one",
    ),
    (
        "announce = { med = 7, prepend = 1",
        "announce = { med = 7, prepend = 51",
        0,
        "service.announce.prepend: must be 0 to 50",
    ),
    (
        "next-hop = \"10.0.0.7\"",
        "next-hop = \"255.255.255.255\"",
        0,
        "service.announce.next-hop: 255.255.255.255 cannot be a next hop",
    ),
    ("origin = \"egp\"", "origin = \"bgp\"", 0, "unknown variant `bgp`"),
];

#[test]
fn the_own_address_as_next_hop_is_for_export() {
    let text = FULL.replacen("match.origin = \"igp\"", "set.next-hop = \"self\"", 1);
    let reason = parse("full.toml", &text).unwrap_err().to_string();
    let wanted = "bgp.import: policy `pods` is for export only: it uses set.next-hop = \"self\"";
    assert!(reason.contains(wanted), "{reason}");
    assert!(parse("full.toml", &text.replacen("import = \"pods\"", "", 1)).is_ok());
}

#[test]
fn wrong_keys_are_refused_with_line_and_reason() {
    let mut wrong = Vec::new();
    for (from, to, offset, words) in REFUSED {
        assert_eq!(
            FULL.matches(from).count(),
            1,
            "`{from}` is not one place of the file"
        );
        let at = FULL[..FULL.find(from).unwrap()].matches('\n').count() + 1 + offset;
        let result = parse("bad.toml", &FULL.replace(from, to));
        match *words {
            // What is refused stands in another line than what was changed: the tests below look at it.
            "elsewhere" | "unplaced" | "unused" => {
                if result.is_ok() {
                    wrong.push(format!("`{to}` is accepted"));
                }
                continue;
            }
            _ => {}
        }
        let (found, first) = refusal(result);
        if !first.contains(words) || found != at {
            wrong.push(format!("`{to}`: {first} (expected in line {at}: {words})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(REFUSED.len() > 100);
}

/// Reasons that do not stand where the cause was changed.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn contradictions_name_both_sides() {
    for (from, to, words) in [
        (
            "name = \"pods\"",
            "name = \"all\"",
            "bgp.policy.name: `all` is built in: choose another name",
        ),
        (
            "name = \"prepended\"",
            "name = \"pods\"",
            "bgp.policy.name: policy `pods` is defined twice",
        ),
        (
            "backup = { med = 50, prepend = 3, local-pref = 90 }",
            "backup = { med = 4, prepend = 0 }",
            "bgp.ladder: eBGP (prepend, then med) would prefer backup to master",
        ),
        (
            "interface = \"eth2\"",
            "description = \"nobody\"",
            "bgp.neighbor: needs an address, or an interface (unnumbered)",
        ),
        (
            "prefix = \"10.1.0.0/16\"",
            "prefix = \"10.0.0.0/8\"",
            "neighbour 10.0.0.9 lies inside 10.0.0.0/8 and has no password",
        ),
        (
            "match.family = \"ipv4\"",
            "match.family = \"ipv6\"",
            "match.prefix: 10.42.0.0/16 is not of family ipv6: nothing would match",
        ),
        (
            "action = \"next\"",
            "action = \"reject\"",
            "bgp.policy.rule.set: a rejected route keeps nothing of what is set",
        ),
        (
            "action = \"accept\"",
            "action = \"next\"",
            "the last rule of `prepended` says next, and after it every route is rejected",
        ),
        (
            "action = \"next\"",
            "action = \"next\"\n[[bgp.policy.rule]]\n[[bgp.policy.rule]]",
            "rule 3 of `prepended` is never reached",
        ),
        (
            "action = \"next\"",
            "action = \"next\"\n[[bgp.policy.rule]]\naction = \"next\"",
            "sets nothing and goes on: it has no effect",
        ),
        (
            "[[bgp.aggregate]]",
            "[[bgp.policy]]\nname = \"empty\"\n[[bgp.aggregate]]",
            "`empty` has no rule and would reject everything",
        ),
        (
            "prefix = \"203.0.113.0/24\"",
            "prefix = \"198.51.100.0/24\"",
            "198.51.100.10 is announced as a part of 198.51.100.0/24 only",
        ),
        (
            "[[bgp.monitor]]",
            "[[bgp.monitor]]\naddress = \"10.0.0.5:11019\"\n[[bgp.monitor]]",
            "10.0.0.5:11019 is listed twice",
        ),
        (
            "[[bgp.policy]]\nname = \"pods\"",
            "[[bgp.dynamic]]\nprefix = \"10.1.0.0/16\"\nas = 65000\n[[bgp.policy]]\nname = \"pods\"",
            "bgp.dynamic.prefix: 10.1.0.0/16 is defined twice",
        ),
        (
            "[[bgp.policy]]\nname = \"pods\"",
            "[[bgp.dynamic]]\nas = 65000\n[[bgp.policy]]\nname = \"pods\"",
            "bgp.dynamic: needs a prefix",
        ),
        (
            "listen = [\"0.0.0.0\", \"::\"]",
            "",
            "10.1.0.0/16 may connect, but bgp.listen is empty",
        ),
        (
            "[[bgp.aggregate]]",
            "[[bgp.aggregate]]\nprefix = \"203.0.113.0/24\"\n[[bgp.aggregate]]",
            "203.0.113.0/24 is defined twice",
        ),
    ] {
        assert_eq!(
            FULL.matches(from).count(),
            1,
            "`{from}` is not one place of the file"
        );
        let error = parse("bad.toml", &FULL.replace(from, to))
            .expect_err(words)
            .to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn neighbours_of_the_command_line_are_told_everything_and_believed_nothing() {
    let flags = BgpFlags {
        local_as: Some(65001),
        peers: "10.9.0.1:64512,[2001:db8::7]:65001".parse().unwrap(),
        listen_port: Some(1791),
    };
    let desired = parse_with("full.toml", FULL, &flags).unwrap_or_else(|error| panic!("{error}"));
    let peer = neighbor(&desired, "10.9.0.1");
    assert_eq!(peer.transport.hops, Hops::Limit(1));
    assert_eq!(peer.export.unwrap().name, "all");
    assert_eq!(peer.import.unwrap().name, "none", "whatever [bgp] says");
    assert_eq!(neighbor(&desired, "2001:db8::7").transport.hops, Hops::Limit(64));
    assert_eq!(desired.fixed.bgp.unwrap().listen.len(), 2);
    let bare = &FULL[..FULL.find("[bgp]").unwrap()];
    let alone = parse_with("bare.toml", bare, &flags).unwrap();
    let fixed = alone.fixed.bgp.unwrap();
    assert_eq!(
        (fixed.local_as, fixed.listen_port, fixed.listen.len()),
        (65001, 1791, 2)
    );
    let quiet = parse_with(
        "bare.toml",
        bare,
        &BgpFlags {
            listen_port: None,
            ..flags
        },
    )
    .unwrap();
    assert!(
        quiet.fixed.bgp.unwrap().listen.is_empty(),
        "nobody asked for a listener"
    );
}

proptest::proptest! {
    /// No text makes it panic, wherever it is cut or damaged; an error is never empty and never tells a secret.
    #[test]
    fn damaged_files_are_errors_and_not_panics(at in 0..FULL.len(), byte in 0u8..128, cut in proptest::bool::ANY) {
        let mut bytes = FULL.as_bytes().to_vec();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Err(error) = parse("damaged.toml", &String::from_utf8(bytes).unwrap()) {
            proptest::prop_assert!(!error.to_string().is_empty());
        }
    }
}

//! Topology files that are read, and those that are refused with line and reason.

use std::path::Path;

use super::Topology;

fn parse(text: &str) -> Result<Topology, String> {
    Topology::parse(text, Path::new("/lab/x.clab.yml")).map_err(|error| error.to_string())
}

/// A file with one node `a` whose section ends with `more`.
fn with(more: &str) -> Result<Topology, String> {
    parse(&format!(
        "name: x\ntopology:\n  nodes:\n    a:\n      kind: linux\n      network-mode: none\n{more}"
    ))
}

#[test]
fn inheritance_adds_up_from_the_general_to_the_specific() {
    let topology = parse(
        r#"
name: x
topology:
  defaults: {kind: linux, network-mode: none, image: "debian:12", exec: [one], env: {A: 1, B: true}}
  kinds:
    linux: {exec: [two], sysctls: {net.ipv4.ip_forward: 1}}
  groups:
    lb: {cmd: "batond --config /etc/x", exec: [three], env: {B: group, C: c}}
  nodes:
    a: {group: lb, exec: ['sh -c "four 5"'], env: {C: own}, labels: {role: any}}
    b:
  links:
    - endpoints: ["a:eth1", "b:eth1"]
      mtu: 1500
    - type: veth
      endpoints:
        - {node: a, interface: eth2}
        - {node: b, interface: eth2}
"#,
    )
    .unwrap();
    let a = &topology.nodes["a"];
    assert_eq!(a.command.as_ref().unwrap(), &["batond", "--config", "/etc/x"]);
    assert_eq!(
        a.exec,
        [
            vec!["one"],
            vec!["two"],
            vec!["three"],
            vec!["sh", "-c", "four 5"]
        ]
    );
    let environment: Vec<_> = a.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(environment, ["A=1", "B=group", "C=own"]);
    assert_eq!(a.sysctls["net.ipv4.ip_forward"], "1");
    assert!(topology.nodes["b"].command.is_none());
    assert_eq!(
        topology.links.iter().map(|link| link.mtu).collect::<Vec<_>>(),
        [1500, 9500]
    );
    assert_eq!(topology.links[1].name(), "a:eth2-b:eth2");
    let own: Vec<_> = topology
        .links_of("b")
        .map(|(link, end)| link.ends[end].to_string())
        .collect();
    assert_eq!(own, ["b:eth1", "b:eth2"]);
}

#[test]
fn what_is_outside_the_subset_is_refused_with_its_line() {
    for (more, line, reason) in [
        ("      ports: [\"80:80\"]\n", 7, "ports"),
        ("      exec: [\"a 'b\"]\n", 7, "unterminated"),
        ("      cmd: \"\"\n", 7, "empty"),
        ("      binds: [\"/nowhere:/x\"]\n", 7, "does not exist"),
        ("      binds: [\"/etc:x\"]\n", 7, "absolute"),
        ("      binds: [\"/etc:/../x\"]\n", 7, "absolute"),
        ("      binds: [\"/etc:/x:Z\"]\n", 7, "only ro and rw"),
        ("      group: none-such\n", 7, "no such group"),
        (
            "    b: {kind: nokia_srlinux, network-mode: none}\n",
            7,
            "only `linux`",
        ),
        ("    b: {kind: linux}\n", 7, "network-mode"),
        ("    b: {kind: linux, network-mode: host}\n", 7, "only `none`"),
        ("    b: {network-mode: none}\n", 7, "kind"),
        ("    a: {}\n", 7, "a"),
        ("    \"b c\": {kind: linux, network-mode: none}\n", 7, "name"),
        (
            "  links:\n    - endpoints: [\"a:eth1\", \"c:eth1\"]\n",
            8,
            "does not exist",
        ),
        ("  links:\n    - endpoints: [\"a:eth1\"]\n", 8, "two endpoints"),
        (
            "  links:\n    - endpoints: [\"a:eth1\", \"a:eth1\"]\n",
            8,
            "two links",
        ),
        (
            "  links:\n    - endpoints: [\"a:eth1\", \"a\"]\n",
            8,
            "node:interface",
        ),
        (
            "  links:\n    - endpoints: [\"a:eth1\", \"a:interface-too-long\"]\n",
            8,
            "1 to 15",
        ),
        (
            "  links:\n    - {type: macvlan, endpoints: [\"a:eth1\", \"a:eth2\"]}\n",
            8,
            "only `veth`",
        ),
        (
            "  links:\n    - {endpoints: [\"a:eth1\", \"a:eth2\"], mtu: 10}\n",
            8,
            "mtu",
        ),
        (
            "  links:\n    - {endpoints: [\"a:eth1\", \"a:eth2\"], ipv4: []}\n",
            8,
            "ipv4",
        ),
        ("prefix: \"\"\n", 7, "prefix"),
        ("  bridges: {}\n", 7, "bridges"),
        ("      env: [\n", 7, ""),
    ] {
        let error = with(more).unwrap_err();
        let place = error.strip_prefix("/lab/x.clab.yml:").unwrap_or_default();
        let number = place.split(':').next().and_then(|text| text.parse::<u32>().ok());
        assert!(error.contains(reason), "{more}: {error}");
        assert!(
            number.is_some_and(|number| number.abs_diff(line) <= 1),
            "{more}: line {line} expected: {error}"
        );
    }
    assert!(with("").is_ok());
}

proptest::proptest! {
    #[test]
    fn no_input_panics(text in "(name|topology|nodes|links|endpoints|kind|a:eth1|[ \\n:\\[\\]{}\"'&*!|>-]){0,60}") {
        let _ = parse(&text);
    }
}

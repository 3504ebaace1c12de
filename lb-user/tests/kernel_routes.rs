//! Imported routes in a real kernel: network namespaces, one for each test.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bgp::{Gateway, RouteChange};
use lb_user::kernel_routes::{self, KernelRoutes, Setup, Status};
use support::{LEFT, Pair, until};

const FOREVER: Duration = Duration::from_secs(3600);

type Reports = Arc<Mutex<Vec<(IpAddr, Option<u32>)>>>;

struct Lab {
    pair: Pair,
    routes: KernelRoutes,
    reports: Reports,
}

impl Lab {
    /// `left` has eth0 with 192.0.2.1/24 and 2001:db8::1/64, and eth1 with 198.51.100.1/24.
    fn new(test: &str) -> Self {
        let pair = namespace(test);
        Self::start(pair, FOREVER)
    }

    fn start(pair: Pair, grace: Duration) -> Self {
        pair.enter(LEFT);
        let reports = Reports::default();
        let told = Arc::clone(&reports);
        let setup = Setup {
            grace,
            ..Setup::new(Box::new(move |address, _, metric| {
                told.lock().unwrap().push((address, metric));
            }))
        };
        let routes = kernel_routes::spawn(setup).expect("the routes start");
        Lab {
            pair,
            routes,
            reports,
        }
    }

    fn apply(&self, prefix: &str, next_hops: &[&str]) {
        let next_hops = next_hops.iter().map(|address| gateway(address, 0)).collect();
        self.routes.apply(vec![RouteChange {
            prefix: prefix.parse().unwrap(),
            next_hops,
        }]);
    }

    /// What the kernel says of a prefix, in one line.
    fn shown(&self, prefix: &str) -> String {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let text = self
            .pair
            .output(LEFT, &["ip", family, "route", "show", prefix, "proto", "179"]);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn expect(&self, prefix: &str, next_hops: &[&str]) {
        until(&format!("{prefix} via {next_hops:?}"), || {
            let shown = self.shown(prefix);
            let count = shown.matches(" via ").count();
            let all = next_hops.iter().all(|hop| shown.contains(&format!("via {hop} ")));
            (all && count == next_hops.len(), shown)
        });
    }

    fn ip(&self, arguments: &str) {
        ip(&self.pair, arguments);
    }

    fn status(&self) -> Arc<Status> {
        self.routes.status()
    }

    /// Waits for the last report on a next hop.
    fn expect_report(&self, address: &str, metric: Option<u32>) {
        let address: IpAddr = address.parse().unwrap();
        until(&format!("next hop {address}: {metric:?}"), || {
            let reports = self.reports.lock().unwrap().clone();
            let last = reports.iter().rev().find(|report| report.0 == address);
            (last == Some(&(address, metric)), reports.clone())
        });
    }

    fn finish(&self) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(self.routes.finish());
    }
}

fn namespace(test: &str) -> Pair {
    let pair = Pair::new(test);
    for arguments in [
        "link add eth1 type veth peer name peer1",
        "addr add 198.51.100.1/24 dev eth1",
        "link set peer1 up",
        "link set eth1 up",
    ] {
        ip(&pair, arguments);
    }
    pair
}

fn ip(pair: &Pair, arguments: &str) {
    let output = Command::new("ip")
        .args(["-n", &pair.name(LEFT)])
        .args(arguments.split(' '))
        .output()
        .expect("ip runs");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn gateway(address: &str, scope: u32) -> Gateway {
    Gateway {
        address: address.parse().unwrap(),
        scope,
    }
}

/// `ip monitor route` inside the namespace, until it is asked for what it saw.
struct Monitor(Child);

impl Monitor {
    fn start(pair: &Pair) -> Self {
        let child = Command::new("ip")
            .args(["-n", &pair.name(LEFT), "-o", "monitor", "route"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip monitor runs");
        let monitor = Monitor(child);
        // It listens when it sees a route that nobody else cares about; this one is taken away again.
        let descriptor = format!("/proc/{}/net/netlink", monitor.0.id());
        until("ip monitor listens", || {
            let sockets = std::fs::read_to_string(&descriptor).unwrap_or_default();
            let pid = monitor.0.id().to_string();
            let listens = |line: &str| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields.get(1) == Some(&"0")
                    && fields.get(2) == Some(&pid.as_str())
                    && fields.get(3) != Some(&"00000000")
            };
            (sockets.lines().any(listens), sockets)
        });
        monitor
    }

    fn seen(mut self) -> Vec<String> {
        self.0.kill().unwrap();
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn one_two_and_three_next_hops_of_both_families() {
    let lab = Lab::new("ecmp");
    for (prefix, hops) in [
        ("10.42.0.0/26", ["192.0.2.2", "192.0.2.3", "198.51.100.2"]),
        ("2001:db8:42::/64", ["2001:db8::2", "2001:db8::3", "2001:db8::4"]),
    ] {
        for hops in [&hops[..2], &hops[..], &hops[1..2], &hops[..2]] {
            lab.apply(prefix, hops);
            lab.expect(prefix, hops);
        }
        assert!(lab.shown(prefix).contains("metric 2048"));
        lab.apply(prefix, &[]);
        lab.expect(prefix, &[]);
    }
    until("the status says so", || {
        let status = lab.status();
        (
            status.installed == 0 && status.missing == 0 && status.problems.is_empty(),
            status,
        )
    });
}

#[test]
fn an_ipv4_route_goes_over_an_ipv6_next_hop_of_a_link() {
    let lab = Lab::new("rfc8950");
    let scope = nix::net::if_::if_nametoindex("eth0").unwrap();
    let other = nix::net::if_::if_nametoindex("eth1").unwrap();
    let change = |gateways: Vec<Gateway>| {
        lab.routes.apply(vec![RouteChange {
            prefix: "10.42.1.0/26".parse().unwrap(),
            next_hops: gateways,
        }]);
    };
    change(vec![gateway("fe80::2", scope)]);
    until("one link-local next hop", || {
        let shown = lab.shown("10.42.1.0/26");
        (shown.contains("via inet6 fe80::2 dev eth0"), shown)
    });
    change(vec![gateway("fe80::2", scope), gateway("fe80::2", other)]);
    until("the same address on two links", || {
        let shown = lab.shown("10.42.1.0/26");
        let both = ["eth0", "eth1"].map(|link| shown.contains(&format!("via inet6 fe80::2 dev {link}")));
        (both == [true, true], shown)
    });
    change(vec![gateway("2001:db8::2", 0), gateway("192.0.2.2", 0)]);
    until("one of each family", || {
        let shown = lab.shown("10.42.1.0/26");
        let both =
            ["via inet6 2001:db8::2 dev eth0", "via 192.0.2.2 dev eth0"].map(|hop| shown.contains(hop));
        (both == [true, true], shown)
    });
}

/// While next hops change, packets always have a route.
#[test]
fn a_replacement_leaves_no_gap() {
    let lab = Lab::new("gap");
    let sets = [["192.0.2.2", "2001:db8::2"], ["192.0.2.3", "2001:db8::3"]];
    let both = |next: usize| {
        lab.apply("10.42.0.0/26", &[sets[next][0]]);
        lab.apply("2001:db8:42::/64", &[sets[next][1]]);
    };
    both(0);
    lab.expect("10.42.0.0/26", &[sets[0][0]]);
    lab.expect("2001:db8:42::/64", &[sets[0][1]]);
    let monitor = Monitor::start(&lab.pair);
    let end = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&end);
    let name = lab.pair.name(LEFT);
    let prober = std::thread::spawn(move || {
        let namespace = std::fs::File::open(format!("/run/netns/{name}")).unwrap();
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let sockets = [
            (UdpSocket::bind("0.0.0.0:0").unwrap(), "10.42.0.1:9"),
            (UdpSocket::bind("[::]:0").unwrap(), "[2001:db8:42::1]:9"),
        ];
        let mut probes = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            for (socket, to) in &sockets {
                let to: SocketAddr = to.parse().unwrap();
                socket
                    .connect(to)
                    .unwrap_or_else(|error| panic!("no route to {to}: {error}"));
            }
            probes += 1;
        }
        probes
    });
    for round in 1..40 {
        both(round % 2);
        lab.expect("10.42.0.0/26", &[sets[round % 2][0]]);
        // And from one to two next hops and back.
        lab.apply("10.42.0.0/26", &[sets[0][0], sets[1][0]]);
        lab.apply("2001:db8:42::/64", &[sets[0][1], sets[1][1]]);
        lab.expect("10.42.0.0/26", &[sets[0][0], sets[1][0]]);
        lab.expect("2001:db8:42::/64", &[sets[0][1], sets[1][1]]);
    }
    end.store(true, Ordering::Relaxed);
    assert!(prober.join().expect("always a route") > 100);
    let seen = monitor.seen();
    assert!(seen.len() > 70, "the monitor works: {seen:?}");
    let deleted: Vec<&String> = seen
        .iter()
        .filter(|line| line.contains("Deleted 10.42.0.0/26"))
        .collect();
    assert!(deleted.is_empty(), "{deleted:?}");
}

#[test]
fn routes_of_an_earlier_daemon_are_adopted_or_removed() {
    let pair = namespace("stale");
    for route in ["10.42.0.0/26", "10.42.1.0/26"] {
        ip(
            &pair,
            &format!("route add {route} via 192.0.2.2 dev eth0 proto 179 metric 2048 onlink"),
        );
    }
    // An earlier version had another metric; others have their own routes.
    ip(
        &pair,
        "route add 10.42.0.0/26 via 192.0.2.3 dev eth0 proto 179 metric 20",
    );
    ip(
        &pair,
        "route add 10.42.3.0/26 via 192.0.2.3 dev eth0 proto bird metric 2048",
    );
    let lab = Lab::start(pair, Duration::from_secs(2));
    let monitor = Monitor::start(&lab.pair);
    until("the earlier ones are known", || {
        let status = lab.status();
        (status.inherited == 2, status)
    });
    lab.apply("10.42.0.0/26", &["192.0.2.2"]);
    lab.expect("10.42.1.0/26", &[]);
    lab.expect("10.42.0.0/26", &["192.0.2.2"]);
    let shown = lab.pair.output(LEFT, &["ip", "route", "show", "10.42.3.0/26"]);
    assert!(shown.contains("proto bird"), "{shown}");
    let touched: Vec<String> = monitor
        .seen()
        .into_iter()
        .filter(|line| line.contains("10.42.0.0/26") && line.contains("metric 2048"))
        .collect();
    assert!(touched.is_empty(), "adopted as it was: {touched:?}");
}

#[test]
fn a_route_that_somebody_deletes_or_replaces_comes_back() {
    let lab = Lab::new("foreign");
    lab.apply("10.42.0.0/26", &["192.0.2.2", "192.0.2.3"]);
    lab.apply("2001:db8:42::/64", &["2001:db8::2", "2001:db8::3"]);
    for _ in 0..3 {
        lab.expect("10.42.0.0/26", &["192.0.2.2", "192.0.2.3"]);
        lab.expect("2001:db8:42::/64", &["2001:db8::2", "2001:db8::3"]);
        lab.ip("route del 10.42.0.0/26 proto 179");
        lab.ip("route del 2001:db8:42::/64 proto 179");
    }
    lab.expect("10.42.0.0/26", &["192.0.2.2", "192.0.2.3"]);
    lab.ip("route replace 10.42.0.0/26 via 192.0.2.9 proto 179 metric 2048");
    lab.expect("10.42.0.0/26", &["192.0.2.2", "192.0.2.3"]);
    lab.ip("-6 route flush proto 179");
    lab.expect("2001:db8:42::/64", &["2001:db8::2", "2001:db8::3"]);
    // And one that nobody announced goes.
    lab.ip("route add 10.42.9.0/26 via 192.0.2.9 proto 179");
    lab.expect("10.42.9.0/26", &[]);
}

#[test]
fn a_link_that_flaps_costs_its_next_hops_while_it_is_down() {
    let lab = Lab::new("flap");
    lab.routes.track("192.0.2.2".parse().unwrap(), 0);
    lab.routes.track("198.51.100.2".parse().unwrap(), 0);
    lab.apply("10.42.0.0/26", &["192.0.2.2"]);
    lab.apply("10.42.1.0/26", &["192.0.2.2", "198.51.100.2"]);
    lab.apply("2001:db8:42::/64", &["2001:db8::2"]);
    for _ in 0..2 {
        lab.expect_report("192.0.2.2", Some(0));
        lab.expect("10.42.0.0/26", &["192.0.2.2"]);
        lab.expect("10.42.1.0/26", &["192.0.2.2", "198.51.100.2"]);
        lab.expect("2001:db8:42::/64", &["2001:db8::2"]);
        lab.ip("link set eth0 down");
        lab.expect_report("192.0.2.2", None);
        lab.expect("10.42.1.0/26", &["198.51.100.2"]);
        lab.expect("10.42.0.0/26", &[]);
        lab.expect("2001:db8:42::/64", &[]);
        lab.ip("link set eth0 up");
        // The kernel took the address of the link away, as it does with IPv6.
        lab.ip("addr replace 2001:db8::1/64 dev eth0 nodad");
    }
    lab.expect("10.42.0.0/26", &["192.0.2.2"]);
    lab.expect("2001:db8:42::/64", &["2001:db8::2"]);
    // Without carrier the kernel keeps its routes; ours goes all the same.
    lab.ip("link set peer1 down");
    lab.expect_report("198.51.100.2", None);
    lab.expect("10.42.1.0/26", &["192.0.2.2"]);
    lab.ip("link set peer1 up");
    lab.expect_report("198.51.100.2", Some(0));
    lab.expect("10.42.1.0/26", &["192.0.2.2", "198.51.100.2"]);
}

#[test]
fn after_the_end_nothing_is_left_and_nothing_comes() {
    let lab = Lab::new("finish");
    lab.ip("route add 10.43.0.0/26 via 192.0.2.2 proto static");
    lab.apply("10.42.0.0/26", &["192.0.2.2", "192.0.2.3"]);
    lab.apply("2001:db8:42::/64", &["2001:db8::2"]);
    lab.expect("10.42.0.0/26", &["192.0.2.2", "192.0.2.3"]);
    lab.expect("2001:db8:42::/64", &["2001:db8::2"]);
    lab.finish();
    for family in ["-4", "-6"] {
        let left = lab
            .pair
            .output(LEFT, &["ip", family, "route", "show", "proto", "179"]);
        assert_eq!(left, "");
    }
    lab.apply("10.42.0.0/26", &["192.0.2.2"]);
    lab.finish();
    assert_eq!(lab.shown("10.42.0.0/26"), "");
    let kept = lab.pair.output(LEFT, &["ip", "route", "show", "10.43.0.0/26"]);
    assert!(kept.contains("proto static"), "{kept}");
}

#[test]
fn next_hops_are_resolved_through_routes_of_others_only() {
    let lab = Lab::new("nexthop");
    for address in ["192.0.2.2", "10.7.0.1", "10.8.0.1", "192.0.2.1"] {
        lab.routes.track(address.parse().unwrap(), 0);
    }
    lab.expect_report("192.0.2.2", Some(0));
    lab.expect_report("10.7.0.1", None);
    // Its own address is no way to a neighbour.
    lab.expect_report("192.0.2.1", None);
    lab.apply("10.42.0.0/26", &["10.7.0.1"]);
    lab.ip("route add 10.7.0.0/24 via 192.0.2.7 metric 30");
    lab.expect_report("10.7.0.1", Some(30));
    lab.expect("10.42.0.0/26", &["192.0.2.7"]);
    // Another way: the routes follow.
    lab.ip("route add 10.7.0.0/25 via 198.51.100.7 metric 40");
    lab.expect_report("10.7.0.1", Some(40));
    lab.expect("10.42.0.0/26", &["198.51.100.7"]);
    lab.ip("route del 10.7.0.0/25");
    lab.expect_report("10.7.0.1", Some(30));
    // A route of ours that covers a next hop, even its own, changes nothing.
    lab.apply("10.7.0.0/26", &["10.7.0.1"]);
    lab.apply("192.0.2.0/28", &["192.0.2.2"]);
    lab.expect("10.7.0.0/26", &["192.0.2.7"]);
    lab.expect("192.0.2.0/28", &["192.0.2.2"]);
    lab.apply("10.44.0.0/26", &["192.0.2.3"]);
    lab.expect("10.44.0.0/26", &["192.0.2.3"]);
    let before = lab.reports.lock().unwrap().len();
    lab.ip("route add 10.8.0.0/24 via 192.0.2.8 metric 10");
    lab.expect_report("10.8.0.1", Some(10));
    let reports = lab.reports.lock().unwrap().clone();
    assert_eq!(
        reports.len(),
        before + 1,
        "only what changed is told: {reports:?}"
    );
    lab.ip("route del 10.7.0.0/24");
    lab.expect_report("10.7.0.1", None);
    lab.expect("10.42.0.0/26", &[]);
    lab.expect("10.7.0.0/26", &[]);
    // The default route leads there.
    lab.ip("route add default via 192.0.2.254");
    lab.expect_report("10.7.0.1", Some(1));
    lab.expect("10.42.0.0/26", &["192.0.2.254"]);
}

#[test]
fn routes_of_others_are_never_touched_and_reported() {
    let lab = Lab::new("rival");
    lab.ip("route add 10.42.0.0/26 via 192.0.2.9 proto bird metric 2048");
    lab.ip("-6 route add 2001:db8:42::/64 via 2001:db8::9 proto bird metric 2048");
    lab.ip("route add 10.42.1.0/26 via 192.0.2.9 proto static");
    lab.apply("10.42.1.0/26", &["192.0.2.2"]);
    until("the better one is told of", || {
        let status = lab.status();
        (status.problems.len() == 1, status)
    });
    lab.apply("10.42.0.0/26", &["192.0.2.2"]);
    lab.apply("2001:db8:42::/64", &["2001:db8::2"]);
    until("all three are told of", || {
        let status = lab.status();
        let reasons = |part: &str| {
            let has = status
                .problems
                .iter()
                .filter(|problem| problem.reason.contains(part));
            has.count()
        };
        (
            reasons("protocol 12 with the same metric") == 2 && reasons("better metric 0") == 1,
            status,
        )
    });
    lab.expect("10.42.1.0/26", &["192.0.2.2"]);
    assert_eq!(lab.shown("10.42.0.0/26") + &lab.shown("2001:db8:42::/64"), "");
    for (family, prefix) in [("-4", "10.42.0.0/26"), ("-6", "2001:db8:42::/64")] {
        let shown = lab.pair.output(LEFT, &["ip", family, "route", "show", prefix]);
        assert!(
            shown.contains("proto bird") && !shown.contains("proto 179"),
            "{shown}"
        );
    }
    // When the other one goes, ours comes.
    lab.ip("route del 10.42.0.0/26 proto bird");
    lab.ip("-6 route del 2001:db8:42::/64 proto bird");
    lab.expect("10.42.0.0/26", &["192.0.2.2"]);
    lab.expect("2001:db8:42::/64", &["2001:db8::2"]);
    until("nothing is missing", || {
        let status = lab.status();
        (status.installed == 3 && status.problems.len() == 1, status)
    });
}

#[test]
fn without_the_privilege_the_status_says_so() {
    let pair = namespace("eperm");
    let pair = std::thread::spawn(move || {
        pair.enter(LEFT);
        lb_user::privilege::renounce();
        let routes = kernel_routes::spawn(Setup::new(Box::new(|_, _, _| ()))).unwrap();
        routes.apply(vec![RouteChange {
            prefix: "10.42.0.0/26".parse().unwrap(),
            next_hops: vec![gateway("192.0.2.2", 0)],
        }]);
        until("the reason", || {
            let status = routes.status();
            let told = status
                .problems
                .iter()
                .any(|problem| problem.reason.contains("not permitted"));
            (told && status.missing == 1, status)
        });
        pair
    })
    .join();
    assert!(pair.is_ok());
}

#[test]
fn ten_thousand_routes_come_and_go() {
    let lab = Lab::new("many");
    let changes = |next_hops: &[&str], family: u8| -> Vec<RouteChange> {
        (0..10_000_u32)
            .map(|number| RouteChange {
                prefix: match family {
                    4 => format!("10.{}.{}.0/26", number >> 8, number & 255),
                    _ => format!("2001:db8:{number:x}:1::/64"),
                }
                .parse()
                .unwrap(),
                next_hops: next_hops.iter().map(|address| gateway(address, 0)).collect(),
            })
            .collect()
    };
    for (family, hops) in [
        (4, ["192.0.2.2", "192.0.2.3"]),
        (6, ["2001:db8::2", "2001:db8::3"]),
    ] {
        for (what, hops, installed) in [
            ("installed", &hops[..], 10_000),
            ("replaced", &hops[..1], 10_000),
            ("removed", &hops[..0], 0),
        ] {
            let begin = Instant::now();
            lab.routes.apply(changes(hops, family));
            let count = || {
                let flag = format!("-{family}");
                let shown = lab
                    .pair
                    .output(LEFT, &["ip", "-o", &flag, "route", "show", "proto", "179"]);
                let multipath = shown
                    .lines()
                    .filter(|line| line.matches("nexthop").count() == 2)
                    .count();
                (shown.lines().count(), multipath)
            };
            let wanted = (installed, if hops.len() == 2 { installed } else { 0 });
            until(what, || {
                let now = count();
                (now == wanted, now)
            });
            println!("10000 IPv{family} routes {what} within {:?}", begin.elapsed());
        }
    }
    let status = lab.status();
    assert_eq!(status.problems, []);
}

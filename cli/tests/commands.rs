//! `batonctl` against the real API server on a temporary socket: answers, exit codes, closed pipes.
#![allow(
    clippy::unwrap_used,
    reason = "the lint only exempts functions marked as tests"
)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use api::{
    BfdDown, BfdSession, BfdTiming, Delays, Endpoint, Flow, FlowTable, HaInstance, HaPeer, HaStatus,
    Neighbor, NeighborSettings, NodeStatus, RouteTable, Service, SyncPeer,
};
use bgp::{PathAttributes, PeerId, RouteStatus};
use lb_user::api_server::{self, Context, Control};
use lb_user::bgp_driver::{self, Command as Order, CommandError, NamedRoute};
use lb_user::desired::NeighborKey;
use lb_user::reconciler::{self, Command as Request, OrderError, SessionOrder};
use lb_user::status::StatusBoard;
use lb_user::timeline::Timeline;
use tokio::runtime::Runtime;

/// What the failover thread would do, at once.
struct Fake {
    board: StatusBoard,
    obeys: AtomicBool,
}

impl Fake {
    fn publish(&self, draining: bool) {
        let ha = self.board.ha.newest().as_ref().clone();
        self.board.ha.publish(HaStatus {
            draining,
            drained: draining,
            ..ha
        });
    }
}

impl Control for Fake {
    fn drain(&self) {
        if self.obeys.load(Ordering::Relaxed) {
            self.publish(true);
        }
    }

    fn undrain(&self) {
        self.publish(false);
    }
}

/// A running API server.
struct Daemon {
    directory: tempfile::TempDir,
    board: StatusBoard,
    timeline: Timeline,
    control: Arc<Fake>,
    orders: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

/// Routes of the neighbour that is there.
const ROUTES: u16 = 2500;

fn route(number: u16) -> NamedRoute {
    let [high, low] = number.to_be_bytes();
    NamedRoute {
        neighbor: "10.0.11.1".to_owned(),
        route: RouteStatus {
            peer: PeerId(1),
            prefix: std::net::IpAddr::from([203, 0, 113 + high, low]).into(),
            path_id: 0,
            next_hop: "10.0.11.2".parse().unwrap(),
            link_local: None,
            attributes: Arc::new(PathAttributes {
                as_path: bgp::AsPath::sequence(&[65001, 65001]),
                med: Some(20),
                communities: vec![0xffff_0000, 0xfde9_0007],
                large_communities: vec![[65001, 1, 2]],
                ..PathAttributes::default()
            }),
            stale: false,
            best: number == 10,
            reason: None,
        },
    }
}

/// What the BGP thread would do, with one neighbour: every order becomes a line.
#[allow(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "the test fails on any other order"
)]
fn obey(order: Order, orders: &Mutex<Vec<String>>) {
    let known = |key: &NeighborKey| match key.to_string().as_str() {
        "10.0.11.1" | "fe80::1%eth1" => Ok(()),
        name => Err(CommandError::NoNeighbor(name.to_owned())),
    };
    let note = |line: String| orders.lock().unwrap().push(line);
    match order {
        Order::Enable { neighbor, done } => {
            note(format!("enable {neighbor}"));
            let _ = done.send(known(&neighbor));
        }
        Order::Disable {
            neighbor,
            communication,
            done,
        } => {
            note(format!("disable {neighbor}: {communication}"));
            let _ = done.send(known(&neighbor));
        }
        Order::Refresh {
            neighbor,
            direction,
            families,
            done,
        } => {
            let families: Vec<String> = families.iter().map(|family| family.to_string()).collect();
            note(format!("refresh {neighbor} {direction:?} {}", families.join("+")));
            let _ = done.send(known(&neighbor));
        }
        Order::Routes {
            neighbor,
            query,
            answer,
        } => {
            note(format!("routes {:?}", query.table));
            let routes = (0..ROUTES).map(route).filter(|named| {
                let route = &named.route;
                let inside = query.within.is_none_or(|within| within.contains(&route.prefix));
                inside && query.after.is_none_or(|(after, _, _)| route.prefix > after)
            });
            let routes = routes.take(query.limit).collect();
            let _ = answer.send(neighbor.as_ref().map_or(Ok(()), known).map(|()| routes));
        }
        other => panic!("nobody orders {other:?}"),
    }
}

/// What the reconciler would do, with two sessions: every order becomes a line.
#[allow(
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "the test fails on any other request"
)]
fn obey_session(request: Request, orders: &Mutex<Vec<String>>) {
    let Request::Session { key, order, done } = request else {
        panic!("nobody requests {request:?}");
    };
    let line = match order {
        SessionOrder::Change(change) => {
            let micros =
                |interval: Option<std::time::Duration>| interval.map(|interval| interval.as_micros());
            format!(
                "set {key} {:?} {:?} {:?}",
                micros(change.transmit_interval),
                micros(change.receive_interval),
                change.multiplier
            )
        }
        SessionOrder::Reset => format!("reset {key}"),
        SessionOrder::Disable { force } => format!("disable {key} {force}"),
        SessionOrder::Enable => format!("enable {key}"),
    };
    orders.lock().unwrap().push(line);
    let answer = match (key.to_string().as_str(), order) {
        ("10.0.2.12", SessionOrder::Disable { force: false }) => {
            Err(OrderError::Elects(key, "lb2".to_owned()))
        }
        ("10.0.11.1" | "fe80::1%eth1" | "10.0.2.12", _) => Ok(()),
        _ => Err(OrderError::NoSession(key)),
    };
    let _ = done.send(answer);
}

fn daemon() -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    let (board, timeline) = (StatusBoard::new(), Timeline::new());
    let control = Arc::new(Fake {
        board: board.clone(),
        obeys: AtomicBool::new(true),
    });
    let runtime = Runtime::new().unwrap();
    let (bgp, mut commands) = bgp_driver::channel();
    let orders = Arc::<Mutex<Vec<String>>>::default();
    let heard = orders.clone();
    runtime.spawn(async move {
        while let Some(order) = commands.recv().await {
            obey(order, &heard);
        }
    });
    let (reconciler, requests) = reconciler::commands();
    let heard = orders.clone();
    std::thread::spawn(move || {
        while let Ok(request) = requests.recv() {
            obey_session(request, &heard);
        }
    });
    let context = Context {
        board: board.clone(),
        timeline: timeline.clone(),
        control: control.clone(),
        bgp,
        reconciler,
    };
    let socket = directory.path().join("run/batond.sock");
    let listener = {
        let _guard = runtime.enter();
        api_server::bind(&socket, 0o600).unwrap()
    };
    runtime.spawn(api_server::serve(listener, context));
    fill(&board);
    Daemon {
        directory,
        board,
        timeline,
        control,
        orders,
        _runtime: runtime,
    }
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn fill(board: &StatusBoard) {
    board.node.publish(NodeStatus {
        node: "lb1".into(),
        version: "0.1.0".into(),
        generation: 3,
        applied_generation: 3,
        ..NodeStatus::default()
    });
    board.services.publish(vec![Service {
        name: "web".into(),
        vip: "203.0.113.10".into(),
        port: 80,
        protocol: "tcp".into(),
        mode: "fullnat".into(),
        instance: "default".into(),
        endpoints: vec![Endpoint {
            address: "10.0.2.21".into(),
            port: 8080,
            weight: 1,
        }],
        healthy: true,
        ..Service::default()
    }]);
    board.neighbors.publish(vec![Neighbor {
        address: "10.0.11.1".into(),
        remote_as: 65000,
        state: "established".into(),
        bfd: "up".into(),
        enabled: true,
        since_ms: 61_000,
        hold_time_ms: Some(9000),
        keepalive_ms: Some(3000),
        remote_as_expected: "external".into(),
        local: Some("10.0.11.2:179".into()),
        router_id: Some("10.255.0.9".into()),
        families: vec!["ipv4".into(), "ipv6".into()],
        capabilities: vec!["mp-bgp ipv4".into(), "four-octet-as".into()],
        advertised: 2,
        received: 5,
        accepted: 4,
        updates_in: 6,
        updates_out: 7,
        configured: NeighborSettings {
            port: 179,
            hold_time_ms: 9000,
            connect_retry_ms: 1000,
            families: vec!["ipv4".into(), "ipv6".into()],
            hops: "gtsm 1".into(),
            authentication: "md5".into(),
            bfd: "on".into(),
            export: Some("all".into()),
            max_prefixes: 100_000,
            extended_messages: true,
            graceful_restart_helper: true,
            ..NeighborSettings::default()
        },
        ..Neighbor::default()
    }]);
    board.bfd.publish(vec![
        BfdSession {
            remote: "10.0.11.1".into(),
            state: "up".into(),
            detection_time_us: 150_000,
            ..BfdSession::default()
        },
        held_session(),
    ]);
    board.ha.publish(HaStatus {
        node: "lb1".into(),
        uplink: true,
        instances: vec![HaInstance {
            name: "default".into(),
            role: "master".into(),
            ..HaInstance::default()
        }],
        peers: vec![HaPeer {
            name: "lb2".into(),
            alive: true,
            ..HaPeer::default()
        }],
        ..HaStatus::default()
    });
    board.sync.publish(vec![SyncPeer {
        name: "lb2".into(),
        state: "streaming".into(),
        ..SyncPeer::default()
    }]);
    let flow = |port: u16| Flow {
        protocol: "tcp".into(),
        client: format!("192.0.2.1:{port}"),
        vip: "203.0.113.10:80".into(),
        state: "established".into(),
        ..Flow::default()
    };
    board.flows.publish(FlowTable {
        established: 5000,
        capacity: 262_144,
        flows: (10_000..15_000).map(flow).collect(),
        ..FlowTable::default()
    });
}

/// One with everything, on a link.
fn held_session() -> BfdSession {
    BfdSession {
        session: "fe80::1%eth1".into(),
        remote: "fe80::1".into(),
        local: "fe80::2".into(),
        interface: "eth1".into(),
        state: "up".into(),
        enabled: true,
        remote_state: "up".into(),
        since_ms: 2000,
        users: vec!["neighbor eth1".into(), "peer lb2".into()],
        minimum_ttl: 255,
        desired_transmit_interval_us: 3300,
        required_receive_interval_us: 20_000,
        multiplier: 3,
        overridden: Some(BfdTiming {
            transmit_interval_us: Some(3300),
            ..BfdTiming::default()
        }),
        remote_desired_transmit_interval_us: 10_000,
        remote_required_receive_interval_us: 10_000,
        remote_multiplier: 5,
        transmit_interval_us: 10_000,
        receive_interval_us: 20_000,
        detection_time_us: 100_000,
        echo_transmit_interval_us: Some(10_000),
        echo_receive_interval_us: Some(20_000),
        echo_interval_us: Some(10_000),
        echo_proven: true,
        echo_round_trip_us: Some(150),
        echo_transmitted: 8,
        echo_returned: 7,
        key_id: Some(2),
        key_algorithm: Some("meticulous-sha1".into()),
        hold_down_first_ms: 1000,
        hold_down_longest_ms: 60_000,
        hold_down_left_ms: Some(3000),
        last_down: Some(BfdDown {
            age_ms: 61_000,
            diagnostic: "control detection time expired".into(),
            remote_diagnostic: "none".into(),
            planned: false,
        }),
        receive_jitter: Delays {
            count: 9,
            p50_us: 50,
            p99_us: 2500,
            max_us: 2100,
            ..Delays::default()
        },
        transmitted: 11,
        received: 12,
        discarded: 3,
        discards: [("ttl".to_owned(), 1), ("length".to_owned(), 2)].into(),
        ups: 2,
        downs: 1,
        held: 1,
        ..BfdSession::default()
    }
}

impl Daemon {
    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/batond.sock")
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        batonctl(&self.socket(), arguments)
    }
}

struct Answer {
    code: i32,
    out: String,
    err: String,
}

fn command(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batonctl"));
    command
        .arg("--socket")
        .arg(socket)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn batonctl(socket: &Path, arguments: &[&str]) -> Answer {
    let Output {
        status,
        stdout,
        stderr,
    } = command(socket, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer {
        code: status.code().unwrap_or(-1),
        out: text(stdout),
        err: text(stderr),
    }
}

#[test]
fn every_noun_has_a_table_and_json() {
    let daemon = daemon();
    for (noun, word) in [
        ("service", "203.0.113.10"),
        ("neighbor", "established"),
        ("bfd", "150ms"),
        ("ha", "master"),
        ("flow", "192.0.2.1:10000"),
        ("sync", "streaming"),
    ] {
        let table = daemon.run(&["get", noun]);
        assert_eq!((table.code, table.err.as_str()), (0, ""), "{noun}");
        assert!(table.out.contains(word), "{noun}: {}", table.out);
        let json = daemon.run(&["get", noun, "-o", "json"]);
        assert_eq!(json.code, 0, "{noun}: {}", json.err);
        let _: api::Value = serde_json::from_str(&json.out).unwrap();
    }
    let services: Vec<Service> =
        serde_json::from_str(&daemon.run(&["get", "service", "web", "-o", "json"]).out).unwrap();
    assert_eq!(services, *daemon.board.services.newest());
}

#[test]
fn a_neighbor_is_shown_in_three_widths() {
    let daemon = daemon();
    let lines = |arguments: &[&str]| -> Vec<String> {
        let answer = daemon.run(arguments);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""));
        answer.out.lines().map(str::to_owned).collect()
    };
    assert_eq!(
        lines(&["get", "neighbor", "10.0.11.1"]),
        [
            "ADDRESS    AS     STATE        SINCE  BFD  HOLD  SENT  RECEIVED  ACCEPTED  FLAPS  LAST-ERROR",
            "10.0.11.1  65000  established  1m1s   up   9s    2     5         4         0      -",
        ]
    );
    assert_eq!(
        lines(&["get", "neighbor", "-o", "wide"]),
        [
            "ADDRESS    AS     STATE        SINCE  BFD  HOLD  ROUTER-ID   LOCAL          FAMILIES   HOPS    AUTH  \
             IMPORT  EXPORT  SENT  RECEIVED  ACCEPTED  STALE  UPDATES-IN/OUT  FLAPS  DESCRIPTION  LAST-ERROR",
            "10.0.11.1  65000  established  1m1s   up   9s    10.255.0.9  10.0.11.2:179  ipv4,ipv6  gtsm 1  md5   \
             -       all     2     5         4         0      6/7             0      -            -",
        ]
    );
    let described = lines(&["describe", "neighbor", "10.0.11.1"]);
    for line in [
        "neighbor            10.0.11.1",
        "as                  65000, configured external",
        "state               established for 1m1s",
        "timers              hold 9s, keepalive 3s",
        "capabilities        mp-bgp ipv4, four-octet-as",
        "  authentication    md5",
        "  export policy     all",
        "  import policy     -",
        "  received          5, accepted 4, stale 0",
        "  updates           in 6, out 7",
    ] {
        assert!(
            described.iter().any(|found| found == line),
            "{line}: {described:#?}"
        );
    }
}

#[test]
fn routes_are_fetched_in_parts() {
    let daemon = daemon();
    let answer = daemon.run(&[
        "get",
        "route",
        "--prefix",
        "203.0.113.10",
        "--neighbor",
        "10.0.11.1",
    ]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    assert_eq!(
        answer.out.lines().collect::<Vec<_>>(),
        [
            "PREFIX           NEIGHBOR   NEXT-HOP   MED  LOCAL-PREF  AS-PATH      COMMUNITIES                     FLAGS",
            "203.0.113.10/32  10.0.11.1  10.0.11.2  20   -           65001 65001  65535:0 65001:7 65001:1:2  best",
        ]
        .map(|line| line.replace("COMMUNITIES                     FLAGS", "COMMUNITIES                FLAGS"))
    );
    let all = daemon.run(&["get", "route", "--received", "--limit", "5000", "-o", "json"]);
    let table: RouteTable = serde_json::from_str(&all.out).unwrap();
    assert_eq!(
        (table.table.as_str(), table.routes.len(), table.next),
        ("received", usize::from(ROUTES), None)
    );
    let some = daemon.run(&["get", "route", "--best", "--limit", "3"]);
    assert_eq!(some.code, 0, "{}", some.err);
    assert!(
        some.out.contains("203.0.113.2/32") && !some.out.contains("203.0.113.3/32"),
        "{}",
        some.out
    );
    assert!(
        some.out
            .ends_with("not all are shown: --limit, --prefix and --neighbor choose\n"),
        "{}",
        some.out
    );
    let orders = daemon.orders.lock().unwrap().clone();
    assert!(orders.contains(&"routes Received".to_owned()) && orders.contains(&"routes Best".to_owned()));
    assert_eq!(daemon.run(&["get", "route", "--best", "--accepted"]).code, 2);
    assert_eq!(daemon.run(&["get", "route", "--neighbor", "10.9.9.9"]).code, 1);
    assert_eq!(daemon.run(&["get", "route", "--prefix", "10.0.0.0/33"]).code, 4);
}

#[test]
fn a_bfd_session_is_shown_in_three_widths() {
    let daemon = daemon();
    let lines = |arguments: &[&str]| -> Vec<String> {
        let answer = daemon.run(arguments);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""));
        answer.out.lines().map(str::to_owned).collect()
    };
    assert_eq!(
        lines(&["get", "bfd", "fe80::1%eth1"]),
        [
            "REMOTE        LOCAL    STATE  SINCE  TX    DETECTION  SENT  RECEIVED  DOWNS  DIAGNOSTIC",
            "fe80::1%eth1  fe80::2  held   2s     10ms  100ms      11    12        1      -",
        ]
    );
    assert_eq!(
        lines(&["get", "bfd", "FE80:0::1", "-o", "wide"]),
        [
            "REMOTE        LOCAL    INTERFACE  STATE  SINCE  HOPS    TX/RX-WANTED   TX/RX      DETECTION  MULT/REMOTE  \
             AUTH               ECHO  DEMAND  HOLD-DOWN  LAST-DOWN                                 JITTER-P50/P99/MAX       \
             SENT  RECEIVED  DISCARDED  UPS/DOWNS  USED-BY",
            "fe80::1%eth1  fe80::2  eth1       held   2s     single  3.300ms/20ms*  10ms/20ms  100ms      3/5          \
             2:meticulous-sha1  10ms  -       3s         1m1s ago: control detection time expired  0.050ms/2.500ms/2.100ms  \
             11    12        3          2/1        neighbor eth1,peer lb2",
        ]
    );
    let described = lines(&["describe", "bfd", "fe80::1%eth1"]);
    for line in [
        "session             fe80::1%eth1",
        "used by             neighbor eth1, peer lb2",
        "state               held for 2s, peer up",
        "usable              in 3s, because it has failed before",
        "last down           1m1s ago: control detection time expired, peer none",
        "ends                fe80::2 -> fe80::1",
        "authentication      2:meticulous-sha1",
        "  this node wants   transmit 3.300ms, receive 20ms, multiplier 3",
        "  the peer wants    transmit 10ms, receive 10ms, multiplier 5",
        "  agreed            transmit 10ms, receive 20ms, detection 100ms",
        "  by an operator    transmit 3.300ms; `batonctl set bfd fe80::1%eth1 --reset` takes it back",
        "  hold-down         first 1s, longest 1m0s, held returns 1",
        "  echo              10ms, round trip 0.150ms, sent 8, returned 7",
        "  discarded         3: length 2, ttl 1",
    ] {
        assert!(
            described.iter().any(|found| found == line),
            "{line}: {described:#?}"
        );
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn bfd_sessions_are_commanded() {
    let daemon = daemon();
    for (arguments, order) in [
        (
            vec![
                "set",
                "bfd",
                "10.0.11.1",
                "--interval",
                "100ms",
                "--multiplier",
                "2",
            ],
            "set 10.0.11.1 Some(100000) Some(100000) Some(2)",
        ),
        // As the tools of loxilb write it.
        (
            vec!["set", "bfd", "10.0.11.1", "--interval=100000", "--retryCount=2"],
            "set 10.0.11.1 Some(100000) Some(100000) Some(2)",
        ),
        (
            vec!["set", "bfd", "fe80::1%eth1", "--transmit-interval", "3300us"],
            "set fe80::1%eth1 Some(3300) None None",
        ),
        (
            vec!["set", "bfd", "10.0.11.1", "--receive-interval", "1s"],
            "set 10.0.11.1 None Some(1000000) None",
        ),
        (vec!["set", "bfd", "10.0.11.1", "--reset"], "reset 10.0.11.1"),
        (vec!["bfd", "disable", "10.0.11.1"], "disable 10.0.11.1 false"),
        (
            vec!["bfd", "disable", "10.0.2.12", "--force"],
            "disable 10.0.2.12 true",
        ),
        (vec!["bfd", "enable", "10.0.11.1"], "enable 10.0.11.1"),
    ] {
        let answer = daemon.run(&arguments);
        assert_eq!(
            (answer.code, answer.out.as_str(), answer.err.as_str()),
            (0, "", ""),
            "{arguments:?}"
        );
        let orders = std::mem::take(&mut *daemon.orders.lock().unwrap());
        assert_eq!(orders, [order]);
    }
    for (arguments, code, words) in [
        (
            vec!["set", "bfd", "10.9.9.9", "--multiplier", "2"],
            1,
            "there is no BFD session 10.9.9.9; `batonctl get bfd`",
        ),
        (
            vec!["bfd", "enable", "10.9.9.9"],
            1,
            "there is no BFD session 10.9.9.9",
        ),
        (
            vec!["describe", "bfd", "10.9.9.9"],
            1,
            "there is no BFD session 10.9.9.9",
        ),
        (
            vec!["get", "bfd", "10.9.9.9"],
            1,
            "there is no BFD session 10.9.9.9; `batonctl get bfd`",
        ),
        (
            vec!["bfd", "disable", "10.0.2.12"],
            4,
            "refused: force: 10.0.2.12 watches the peer lb2",
        ),
        (vec!["set", "bfd", "10.0.11.1"], 2, "--interval"),
        (
            vec!["set", "bfd", "10.0.11.1", "--multiplier", "0"],
            2,
            "0 is not in 1..=255",
        ),
        (
            vec!["set", "bfd", "10.0.11.1", "--interval", "soon"],
            2,
            "neither a time such as 100ms nor a number",
        ),
        (
            vec!["set", "bfd", "10.0.11.1", "--reset", "--multiplier", "3"],
            2,
            "cannot be used with",
        ),
        (
            vec![
                "set",
                "bfd",
                "10.0.11.1",
                "--interval",
                "1s",
                "--receive-interval",
                "1s",
            ],
            2,
            "cannot be used with",
        ),
    ] {
        let answer = daemon.run(&arguments);
        assert_eq!(answer.code, code, "{arguments:?}: {}", answer.err);
        assert!(answer.err.contains(words), "{arguments:?}: {}", answer.err);
    }
}

#[test]
fn neighbors_are_commanded() {
    let daemon = daemon();
    for (arguments, order) in [
        (vec!["enable", "10.0.11.1"], vec!["enable 10.0.11.1"]),
        (
            vec!["disable", "fe80::1%eth1", "--message", "back at 5 & a bit"],
            vec!["disable fe80::1%eth1: back at 5 & a bit"],
        ),
        (
            vec!["refresh", "10.0.11.1"],
            vec![
                "refresh 10.0.11.1 In ipv4+ipv6",
                "refresh 10.0.11.1 Out ipv4+ipv6",
            ],
        ),
        (
            vec!["refresh", "10.0.11.1", "--in", "--family", "ipv6"],
            vec!["refresh 10.0.11.1 In ipv6"],
        ),
        (
            vec!["refresh", "10.0.11.1", "--out"],
            vec!["refresh 10.0.11.1 Out ipv4+ipv6"],
        ),
    ] {
        let answer = daemon.run(&[&["neighbor"], arguments.as_slice()].concat());
        assert_eq!(
            (answer.code, answer.out.as_str(), answer.err.as_str()),
            (0, "", "")
        );
        assert_eq!(std::mem::take(&mut *daemon.orders.lock().unwrap()), order);
    }
    let absent = daemon.run(&["neighbor", "enable", "10.9.9.9"]);
    assert_eq!((absent.code, absent.out.as_str()), (1, ""));
    assert!(
        absent
            .err
            .contains("there is no neighbour 10.9.9.9; `batonctl get neighbor` lists all"),
        "{}",
        absent.err
    );
    assert_eq!(daemon.run(&["describe", "neighbor", "10.9.9.9"]).code, 1);
    assert_eq!(
        daemon
            .run(&["neighbor", "refresh", "10.0.11.1", "--in", "--out"])
            .code,
        2
    );
    let long = "x".repeat(256);
    assert_eq!(
        daemon
            .run(&["neighbor", "disable", "10.0.11.1", "--message", &long])
            .code,
        4
    );
}

#[test]
fn what_is_not_there_is_a_negative_answer() {
    let daemon = daemon();
    let answer = daemon.run(&["get", "service", "mail"]);
    assert_eq!((answer.code, answer.out.as_str()), (1, ""));
    assert!(
        answer
            .err
            .contains("there is no service `mail`; `batonctl get service` lists all"),
        "{}",
        answer.err
    );
    assert_eq!(daemon.run(&["get", "neighbor", "10.9.9.9"]).code, 1);
    assert_eq!(daemon.run(&["get", "bfd", "10.9.9.9"]).code, 1);
    assert_eq!(daemon.run(&["get", "sync", "lb9"]).code, 1);
}

#[test]
fn a_wrong_command_line_is_2_and_no_daemon_is_3() {
    let daemon = daemon();
    assert_eq!(daemon.run(&["get", "servce"]).code, 2);
    assert_eq!(daemon.run(&["get", "service", "-o", "xml"]).code, 2);
    let answer = batonctl(Path::new("/nonexistent/batond.sock"), &["get", "service"]);
    assert_eq!((answer.code, answer.out.as_str()), (3, ""));
    assert!(
        answer.err.contains("/nonexistent/batond.sock does not answer"),
        "{}",
        answer.err
    );
    assert!(
        answer.err.contains("Is batond running? Its socket is api.socket"),
        "{}",
        answer.err
    );
}

#[test]
fn drain_waits_and_undrain_takes_it_back() {
    let daemon = daemon();
    let answer = daemon.run(&["drain", "--wait"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(daemon.board.ha.newest().draining);
    assert_eq!(daemon.run(&["undrain"]).code, 0);
    assert!(!daemon.board.ha.newest().draining);
    let kinds: Vec<String> = daemon
        .timeline
        .events(None)
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, ["drain-requested", "undrain-requested"]);
}

#[test]
fn a_drain_that_does_not_happen_is_a_negative_answer() {
    let daemon = daemon();
    daemon.control.obeys.store(false, Ordering::Relaxed);
    let answer = daemon.run(&["drain", "--wait", "--timeout", "0"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer.err.contains("not drained within 0 s (default=master)"),
        "{}",
        answer.err
    );
}

#[test]
fn draining_the_last_node_is_refused_unless_forced() {
    let daemon = daemon();
    let alone = HaStatus {
        peers: Vec::new(),
        ..daemon.board.ha.newest().as_ref().clone()
    };
    daemon.board.ha.publish(alone);
    let answer = daemon.run(&["drain"]);
    assert_eq!((answer.code, answer.out.as_str()), (4, ""));
    assert!(
        answer.err.contains("refused: force: no peer is alive"),
        "{}",
        answer.err
    );
    assert!(!daemon.board.ha.newest().draining);
    assert_eq!(daemon.run(&["drain", "--force"]).code, 0);
    assert!(daemon.board.ha.newest().draining);
}

#[test]
fn the_timeline_is_ordered_and_can_be_cut() {
    let daemon = daemon();
    let now = daemon.timeline.record("role-changed", [("to", "master".into())]);
    daemon
        .timeline
        .record_at(now - 1_500_000, "bfd-state", [("peer", "10.0.11.1".into())]);
    daemon.timeline.record_at(1, "old", []);
    let table = daemon.run(&["timeline", "--last", "10m"]);
    assert_eq!(table.code, 0, "{}", table.err);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", table.out);
    assert!(
        lines[1].ends_with("-1.500ms     bfd-state     peer=10.0.11.1"),
        "{}",
        table.out
    );
    assert!(
        lines[2].ends_with("-0.000ms     role-changed  to=master"),
        "{}",
        table.out
    );
    let json = daemon.run(&["timeline", "-o", "json"]);
    let events: Vec<api::Event> = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["old", "bfd-state", "role-changed"]
    );
    let refused = daemon.run(&["timeline", "--last", "a while & more"]);
    assert_eq!(refused.code, 4);
    assert!(
        refused.err.contains("refused: last: no duration such as 10m"),
        "{}",
        refused.err
    );
}

#[test]
fn status_says_no_while_something_is_not_as_configured() {
    let daemon = daemon();
    let answer = daemon.run(&["status"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    assert!(answer.out.contains("generation  3, applied 3"), "{}", answer.out);
    assert!(
        answer.out.contains("roles       default=master"),
        "{}",
        answer.out
    );
    let refused = Some("baton.toml:3:1: unknown field".to_owned());
    let node = daemon.board.node.newest().as_ref().clone();
    daemon.board.node.publish(NodeStatus { refused, ..node });
    let answer = daemon.run(&["status"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer.out.contains("refused     baton.toml:3:1"),
        "{}",
        answer.out
    );
    assert!(answer.err.contains("batond check"), "{}", answer.err);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let daemon = daemon();
    // 5000 rows are far more than a pipe holds, so that the writer is still writing when the reader leaves.
    let mut child = command(&daemon.socket(), &["get", "flow", "--limit", "5000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(13),
        "{status}"
    );
}

//! `batonctl` against the real API server on a temporary socket: answers, exit codes, closed pipes.
#![allow(
    clippy::unwrap_used,
    reason = "the lint only exempts functions marked as tests"
)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::{
    BfdSession, Endpoint, Flow, FlowTable, HaInstance, HaPeer, HaStatus, Neighbor, NodeStatus, Service,
    SyncPeer,
};
use lb_user::api_server::{self, Context, Control};
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
    _runtime: Runtime,
}

fn daemon() -> Daemon {
    let directory = tempfile::tempdir().unwrap();
    let (board, timeline) = (StatusBoard::new(), Timeline::new());
    let control = Arc::new(Fake {
        board: board.clone(),
        obeys: AtomicBool::new(true),
    });
    let runtime = Runtime::new().unwrap();
    let context = Context {
        board: board.clone(),
        timeline: timeline.clone(),
        control: control.clone(),
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
        _runtime: runtime,
    }
}

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
        ..Neighbor::default()
    }]);
    board.bfd.publish(vec![BfdSession {
        remote: "10.0.11.1".into(),
        state: "up".into(),
        detection_time_us: 150_000,
        ..BfdSession::default()
    }]);
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

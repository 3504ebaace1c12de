//! The API over a real socket, as raw HTTP: status codes, problems, metrics, and the socket itself.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::{BfdSession, Counter, HaInstance, HaStatus, Neighbor, Problem, Service, SyncPeer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Context, Control, bind, serve};
use crate::reconciler::{self, Command, OrderError, SessionOrder};
use crate::status::{BfdConfigured, StatusBoard};
use crate::timeline::Timeline;

struct Deaf;

impl Control for Deaf {
    fn drain(&self) {}
    fn undrain(&self) {}
}

/// What the reconciler would do, with one session that exists and one that watches a peer.
fn obey(orders: &std::sync::mpsc::Receiver<Command>) {
    while let Ok(command) = orders.recv() {
        let Command::Session { key, order, done } = command else {
            return;
        };
        let answer = match (key.to_string().as_str(), order) {
            ("10.0.11.1", SessionOrder::Change(change)) if change.multiplier == Some(0) => {
                Err(OrderError::Invalid {
                    field: "multiplier",
                    reason: "must be 1 to 255".to_owned(),
                })
            }
            ("10.0.2.12", SessionOrder::Disable { force: false }) => {
                Err(OrderError::Elects(key, "lb2".to_owned()))
            }
            ("10.0.11.1" | "fe80::1%eth1" | "10.0.2.12", _) => Ok(()),
            ("10.0.11.9", _) => Err(OrderError::Failed {
                operation: "put BFD session 10.0.11.9".to_owned(),
                reason: "no interface".to_owned(),
            }),
            _ => Err(OrderError::NoSession(key)),
        };
        let _ = done.send(answer);
    }
}

fn start(directory: &Path) -> (PathBuf, StatusBoard) {
    let board = StatusBoard::new();
    let (reconciler, orders) = reconciler::commands();
    std::thread::spawn(move || obey(&orders));
    let context = Context {
        board: board.clone(),
        timeline: Timeline::new(),
        control: Arc::new(Deaf),
        // Nobody serves it: as if the thread had ended.
        bgp: crate::bgp_driver::channel().0,
        reconciler,
    };
    let path = directory.join("run/batond.sock");
    let listener = bind(&path, 0o600).unwrap();
    tokio::spawn(serve(listener, context));
    (path, board)
}

/// Status code, head and body of the answer.
async fn request(socket: &Path, method: &str, target: &str) -> (u16, String, String) {
    request_with(socket, method, target, "").await
}

async fn request_with(socket: &Path, method: &str, target: &str, body: &str) -> (u16, String, String) {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn refusals_are_problems_that_name_the_field() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, _board) = start(directory.path());
    for (method, target, status, field) in [
        ("GET", "/v2/services", 404, "path"),
        ("DELETE", "/v1/services", 405, "method"),
        ("GET", "/v1/timeline?last=soon", 400, "last"),
        ("GET", "/v1/timeline?since=1s", 400, "query"),
        ("GET", "/v1/flows?limit=-1", 400, "query"),
        ("POST", "/v1/drain", 409, "force"),
        ("GET", "/v1/neighbors/10.9.9.9", 404, "neighbor"),
        ("POST", "/v1/neighbors/10.9.9.9", 405, "method"),
        ("GET", "/v1/neighbors/10.9.9.9/disable", 405, "method"),
        ("POST", "/v1/neighbors/10.9.9.9/disable?massage=x", 400, "query"),
        (
            "POST",
            "/v1/neighbors/10.9.9.9/refresh?direction=up",
            400,
            "query",
        ),
        ("GET", "/v1/routes?table=all", 400, "query"),
        ("GET", "/v1/routes?prefix=10.0.0.0/33", 400, "prefix"),
        ("GET", "/v1/routes?limit=0", 400, "limit"),
        ("GET", "/v1/routes?after=here", 400, "after"),
    ] {
        let (code, head, body) = request(&socket, method, target).await;
        assert_eq!(code, status, "{method} {target}: {body}");
        assert!(
            head.to_lowercase()
                .contains("content-type: application/problem+json"),
            "{head}"
        );
        let problem: Problem = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (problem.status, problem.field.as_deref()),
            (status, Some(field)),
            "{body}"
        );
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{body}");
    }
    for (method, target) in [("POST", "/v1/neighbors/10.9.9.9/enable"), ("GET", "/v1/routes")] {
        let (code, _, body) = request(&socket, method, target).await;
        assert_eq!(code, 503, "{body}");
        assert!(body.contains("the BGP thread has ended"), "{body}");
    }
    assert_eq!(request(&socket, "POST", "/v1/drain?force=true").await.0, 202);
    assert_eq!(request(&socket, "POST", "/v1/undrain").await.0, 202);
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn orders_about_bfd_sessions_are_answered_with_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, board) = start(directory.path());
    board.bfd.publish(vec![BfdSession {
        session: "10.9.9.9%eth3".into(),
        remote: "10.9.9.9".into(),
        unsolicited: true,
        ..BfdSession::default()
    }]);
    let session = "/v1/bfd/10.0.11.1";
    for (method, target, body, status, field) in [
        ("PATCH", session, "", 400, "body"),
        ("PATCH", session, "[]", 400, "body"),
        (
            "PATCH",
            session,
            r#"{"transmit_interval_us": "100ms"}"#,
            400,
            "transmit_interval_us",
        ),
        (
            "PATCH",
            session,
            r#"{"receive_interval_us": -1}"#,
            400,
            "receive_interval_us",
        ),
        ("PATCH", session, r#"{"multiplier": 256}"#, 400, "multiplier"),
        ("PATCH", session, r#"{"interval": 1}"#, 400, "interval"),
        (
            "PATCH",
            "/v1/bfd/10.0.11.2",
            r#"{"multiplier": 2}"#,
            404,
            "session",
        ),
        (
            "PATCH",
            "/v1/bfd/nonsense",
            r#"{"multiplier": 2}"#,
            404,
            "session",
        ),
        (
            "PATCH",
            "/v1/bfd/10.9.9.9%25eth3",
            r#"{"multiplier": 2}"#,
            409,
            "session",
        ),
        (
            "PATCH",
            "/v1/bfd/10.9.9.9",
            r#"{"multiplier": 2}"#,
            409,
            "session",
        ),
        ("DELETE", "/v1/bfd/10.0.11.2/override", "", 404, "session"),
        ("DELETE", session, "", 405, "method"),
        ("POST", "/v1/bfd/10.0.2.12/disable", "", 409, "force"),
        ("POST", "/v1/bfd/10.0.2.12/disable?forced=1", "", 400, "query"),
        ("GET", "/v1/bfd/10.0.11.1/enable", "", 405, "method"),
        ("GET", "/v1/bfd/10.0.11.1", "", 404, "session"),
    ] {
        let (code, _, answer) = request_with(&socket, method, target, body).await;
        let problem: Problem = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            (code, problem.field.as_deref()),
            (status, Some(field)),
            "{method} {target} {body}: {answer}"
        );
    }
    for (method, target, body) in [
        (
            "PATCH",
            session,
            r#"{"transmit_interval_us": 100000, "receive_interval_us": null, "multiplier": 2}"#,
        ),
        ("PATCH", "/v1/bfd/fe80::1%25eth1", r#"{"multiplier": 2}"#),
        ("DELETE", "/v1/bfd/10.0.11.1/override", ""),
        ("POST", "/v1/bfd/10.0.2.12/disable?force=true", ""),
        ("POST", "/v1/bfd/10.0.11.1/enable", ""),
    ] {
        let (code, _, answer) = request_with(&socket, method, target, body).await;
        assert_eq!((code, answer.as_str()), (204, ""), "{method} {target} {body}");
    }
}

#[tokio::test]
async fn an_order_that_failed_is_answered_with_what_failed() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, _) = start(directory.path());
    let (code, head, body) = request(&socket, "POST", "/v1/bfd/10.0.11.9/enable").await;
    assert_eq!(code, 500, "{body}");
    assert!(head.to_lowercase().contains("application/problem+json"), "{head}");
    assert!(body.contains("put BFD session 10.0.11.9: no interface"), "{body}");
}

#[tokio::test]
async fn a_session_is_found_by_any_name_that_an_order_would_take() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, board) = start(directory.path());
    let session = |name: &str, unsolicited| BfdSession {
        session: name.into(),
        unsolicited,
        ..BfdSession::default()
    };
    board.bfd.publish(vec![
        session("10.0.0.7%eth1", false),
        session("10.0.0.8%eth1", false),
        session("10.0.0.8%eth2", false),
        session("10.0.0.9%eth1", false),
        session("10.0.0.9%eth2", true),
        session("2001:db8::1", false),
    ]);
    for (name, found) in [
        ("10.0.0.7", Some("10.0.0.7%eth1")),
        ("10.0.0.7%25eth2", None),
        ("10.0.0.8", None),
        ("10.0.0.8%25eth2", Some("10.0.0.8%eth2")),
        // Of the other one nobody can order anything.
        ("10.0.0.9", Some("10.0.0.9%eth1")),
        ("10.0.0.9%25eth2", Some("10.0.0.9%eth2")),
        ("2001:DB8:0::1", Some("2001:db8::1")),
        ("nonsense", None),
    ] {
        let (code, _, body) = request(&socket, "GET", &format!("/v1/bfd/{name}")).await;
        assert_eq!(code, if found.is_some() { 200 } else { 404 }, "{name}: {body}");
        if let Some(found) = found {
            let session: BfdSession = serde_json::from_str(&body).unwrap();
            assert_eq!(session.name(), found);
        }
    }
}

#[tokio::test]
async fn a_session_is_shown_with_what_is_said_about_it() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, board) = start(directory.path());
    board.bfd.publish(vec![BfdSession {
        session: "fe80::1%eth1".into(),
        remote: "fe80::1".into(),
        interface: "eth1".into(),
        ..BfdSession::default()
    }]);
    let configured = BfdConfigured {
        users: vec!["neighbor eth1".into()],
        overridden: Some(api::BfdTiming {
            multiplier: Some(2),
            ..api::BfdTiming::default()
        }),
        enabled: false,
    };
    board
        .bfd_configured
        .publish([("fe80::1%eth1".to_owned(), configured)].into());
    let (code, _, body) = request(&socket, "GET", "/v1/bfd/fe80::1%25eth1").await;
    assert_eq!(code, 200, "{body}");
    let session: BfdSession = serde_json::from_str(&body).unwrap();
    assert_eq!(session.users, ["neighbor eth1"]);
    assert_eq!(session.overridden.unwrap().multiplier, Some(2));
    assert!(
        !session.enabled && body.contains(r#""overridden":{"multiplier":2}"#),
        "{body}"
    );
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn metrics_show_every_part() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, board) = start(directory.path());
    board.services.publish(vec![Service {
        name: "we\"b".into(),
        healthy: true,
        ..Service::default()
    }]);
    board.neighbors.publish(vec![Neighbor {
        address: "10.0.11.1".into(),
        state: "established".into(),
        updates_out: 7,
        since_ms: 2500,
        bytes_in: 19,
        accepted: 3,
        ..Neighbor::default()
    }]);
    board.bfd.publish(vec![BfdSession {
        remote: "10.0.11.1".into(),
        state: "down".into(),
        detection_time_us: 150_000,
        held: 3,
        echo_round_trip_us: Some(250),
        receive_jitter: api::Delays {
            count: 3,
            sum_us: 1500,
            buckets: vec![
                api::DelayBucket {
                    at_most_us: 100,
                    count: 2,
                },
                api::DelayBucket {
                    at_most_us: 5000,
                    count: 3,
                },
            ],
            ..api::Delays::default()
        },
        ..BfdSession::default()
    }]);
    let instance = HaInstance {
        name: "default".into(),
        role: "backup".into(),
        ..HaInstance::default()
    };
    board.ha.publish(HaStatus {
        instances: vec![instance],
        ..HaStatus::default()
    });
    board.counters.publish(vec![Counter {
        name: "no-service".into(),
        drop: true,
        packets: 42,
    }]);
    board.sync.publish(vec![SyncPeer {
        name: "lb2".into(),
        lag_us: 2500,
        ..SyncPeer::default()
    }]);
    let (code, head, text) = request(&socket, "GET", "/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains("text/plain"), "{head}");
    for line in [
        "baton_build_info{version=\"0.1.0\"} 1",
        "baton_bfd_detection_time_seconds{remote=\"10.0.11.1\"} 0.15",
        "baton_bfd_session_up{remote=\"10.0.11.1\"} 0",
        "baton_bfd_held_returns_total{remote=\"10.0.11.1\"} 3",
        "baton_bfd_echo_round_trip_seconds{remote=\"10.0.11.1\"} 0.00025",
        "baton_bfd_receive_jitter_seconds_bucket{remote=\"10.0.11.1\",le=\"0.0001\"} 2",
        "baton_bfd_receive_jitter_seconds_bucket{remote=\"10.0.11.1\",le=\"+Inf\"} 3",
        "baton_bfd_receive_jitter_seconds_sum{remote=\"10.0.11.1\"} 0.0015",
        "baton_bfd_scheduling{policy=\"unknown\"} 1",
        "baton_bfd_discards_total{reason=\"authentication-digest\"} 0",
        "baton_bfd_wakeup_lateness_seconds_count 0",
        "baton_bgp_established{neighbor=\"10.0.11.1\"} 1",
        "baton_bgp_updates_total{direction=\"out\",neighbor=\"10.0.11.1\"} 7",
        "baton_bgp_state{neighbor=\"10.0.11.1\",state=\"established\"} 1",
        "baton_bgp_state{neighbor=\"10.0.11.1\",state=\"idle\"} 0",
        "baton_bgp_state_seconds{neighbor=\"10.0.11.1\"} 2.5",
        "baton_bgp_bytes_total{direction=\"in\",neighbor=\"10.0.11.1\"} 19",
        "baton_bgp_accepted_prefixes{neighbor=\"10.0.11.1\"} 3",
        "baton_datapath_packets_total{drop=\"true\",reason=\"no-service\"} 42",
        "baton_ha_role{instance=\"default\",role=\"backup\"} 1",
        "baton_ha_role{instance=\"default\",role=\"master\"} 0",
        "baton_service_healthy{service=\"we\\\"b\"} 1",
        "baton_sync_lag_seconds{peer=\"lb2\"} 0.0025",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    // Names are documented, so that nobody has to read the source to use them.
    let documented = include_str!("../../../docs/operations.md");
    for name in text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
    {
        assert!(
            documented.contains(&format!("`{name}`")),
            "docs/operations.md does not explain {name}"
        );
    }
}

#[tokio::test]
async fn the_socket_is_private_and_not_stolen() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _board) = start(directory.path());
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let second = bind(&path, 0o600).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse, "{second}");

    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(
        bind(&file, 0o600)
            .unwrap_err()
            .to_string()
            .contains("is no socket")
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

    let stale = directory.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let listener = bind(&stale, 0o660).unwrap();
    assert_eq!(
        std::fs::metadata(&stale).unwrap().permissions().mode() & 0o777,
        0o660
    );
    drop(listener);
    let left: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

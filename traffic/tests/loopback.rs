//! Both generators against their server over loopback, and against a server that misbehaves.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use clap::Parser;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};
use traffic::flows::{Flows, Options};
use traffic::message::{Decoder, Encoder, HELLO_LENGTH, Hello, Kind, Observation, Stamp};
use traffic::pattern::Direction;
use traffic::probe::{self, Prober};
use traffic::report::{Failure, FlowsReport};
use traffic::window::Windows;
use traffic::{clock, serve};

#[derive(Parser)]
struct FlowsLine {
    #[command(flatten)]
    options: Options,
}

#[derive(Parser)]
struct ProbeLine {
    #[command(flatten)]
    options: probe::Options,
}

fn options(target: SocketAddr, count: u32) -> Options {
    let (target, count) = (target.to_string(), count.to_string());
    let line = [
        "x",
        "--tcp",
        &target,
        "--count",
        &count,
        "--ping-pong-rate",
        "200",
        "--stream-rate",
        "200",
    ];
    FlowsLine::parse_from(line).options
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

async fn until(flows: &Flows, what: &str, condition: impl Fn(&FlowsReport) -> bool) -> FlowsReport {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let report = flows.report(true);
        if condition(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "never {what}: {report:#?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn flows_of_every_kind_carry_verified_bytes() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        spawn_local(serve::accept(listener, Stamp::new("be1").unwrap()));
        let flows = Flows::open(options(target, 16));
        until(&flows, "all alive", |report| report.alive == 16).await;
        flows.mark("speak");
        flows.wake();
        let moved = |report: &FlowsReport| {
            report.details.iter().all(|flow| match flow.kind {
                Kind::PingPong | Kind::Idle => flow.received >= 200,
                Kind::Up => flow.sent >= 2000,
                Kind::Down => flow.received >= 2000,
            })
        };
        let report = until(&flows, "every flow moved", moved).await;
        assert_eq!((report.alive, report.unanswered), (16, 0));
        assert!(
            report
                .details
                .iter()
                .all(|flow| flow.backend.as_deref() == Some("be1"))
        );
        let window = &report.windows[1];
        assert_eq!(
            (window.window.name.as_str(), window.alive, window.failures.len()),
            ("speak", 16, 0)
        );
        assert!(window.response_ms > 0.0);
    });
}

/// Answers the hello and then one message whose stamp is another's; then closes.
fn misbehave(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let mut bytes = [0; HELLO_LENGTH];
        stream.read_exact(&mut bytes).unwrap();
        let hello = Hello::decode(&bytes).unwrap();
        let mut out = Vec::new();
        Encoder::new(hello.flow, Direction::ToClient, Stamp::new("be1").unwrap()).encode(
            &mut out,
            0,
            Observation::default(),
        );
        stream.write_all(&out).unwrap();
        if hello.flow.is_multiple_of(2) {
            Encoder::new(hello.flow, Direction::ToClient, Stamp::new("be2").unwrap()).encode(
                &mut out,
                0,
                Observation::default(),
            );
            stream.write_all(&out).unwrap();
        }
    }
}

#[test]
fn a_foreign_answer_and_a_closed_connection_end_a_flow_for_good() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        std::thread::spawn(move || misbehave(&listener));
        let flows = Flows::open(Options {
            kinds: vec![Kind::Down],
            ..options(target, 4)
        });
        let failed = |report: &FlowsReport| report.windows[0].failures.values().sum::<usize>() == 4;
        let report = until(&flows, "all failed", failed).await;
        assert_eq!(report.alive, 0);
        assert_eq!(report.windows[0].failures.get(&Failure::Misdelivered), Some(&2));
        assert_eq!(
            report.windows[0]
                .failures
                .get(&Failure::Misdelivered)
                .copied()
                .unwrap_or(0)
                + others(&report),
            4
        );
    });
}

/// A close with unread bytes is a reset, without them an end of stream; which of the two is a matter of timing.
fn others(report: &FlowsReport) -> usize {
    let of = |failure| report.windows[0].failures.get(&failure).copied().unwrap_or(0);
    of(Failure::Reset) + of(Failure::Closed)
}

#[test]
fn a_refused_connection_is_a_failure_to_connect() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        let flows = Flows::open(options(target, 2));
        let report = until(&flows, "refused", |report| {
            report.windows[0].failures.values().sum::<usize>() == 2
        })
        .await;
        assert_eq!(report.windows[0].failures.get(&Failure::Connect), Some(&2));
    });
}

#[test]
fn the_server_closes_a_flow_whose_bytes_are_wrong() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        spawn_local(serve::accept(listener, Stamp::new("be1").unwrap()));
        let client = std::thread::spawn(move || {
            let mut stream = std::net::TcpStream::connect(target).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let hello = Hello {
                flow: 5,
                kind: Kind::PingPong,
                rate: 10,
                payload: 50,
            };
            stream.write_all(&hello.encode()).unwrap();
            let mut out = Vec::new();
            Encoder::new(6, Direction::ToServer, Stamp::default()).encode(
                &mut out,
                50,
                Observation::default(),
            );
            stream.write_all(&out).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        while !client.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        let mut decoder = Decoder::new(5, Direction::ToClient);
        decoder.feed(&client.join().unwrap());
        assert!(decoder.next_message().unwrap().is_some(), "the welcome");
        assert!(
            decoder.next_message().unwrap().is_none(),
            "and no answer to foreign bytes"
        );
    });
}

#[test]
fn probes_are_answered_and_silence_is_a_gap() {
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = echo.local_addr().unwrap().to_string();
    let (answering, stop) = (
        echo.try_clone().unwrap(),
        std::sync::Arc::new(std::sync::Mutex::new(false)),
    );
    let silent = std::sync::Arc::clone(&stop);
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((length, client)) = answering.recv_from(&mut buffer) {
            let answered =
                probe::packet::answer(&mut buffer[..length], Stamp::new("be1").unwrap(), clock::now());
            if answered && !*silent.lock().unwrap() {
                answering.send_to(&buffer[..length], client).unwrap();
            }
        }
    });
    let line = ProbeLine::parse_from(["x", "--udp", &target, "--rate", "2000", "--flows", "3"]);
    let mut windows = Windows::new(clock::now());
    let prober = Prober::start(&line.options).unwrap();
    let wait = |what: &str, windows: &Windows, condition: &dyn Fn(&traffic::report::ProbeWindow) -> bool| {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !prober
            .log()
            .report(windows, u64::MAX)
            .windows
            .last()
            .is_some_and(condition)
        {
            assert!(std::time::Instant::now() < deadline, "never {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait("many answers", &windows, &|window| {
        window.round_trip_ms.count >= 200
    });
    windows.mark(clock::now(), "silence");
    *stop.lock().unwrap() = true;
    wait("a gap", &windows, &|window| {
        window.gap.is_some_and(|gap| gap.probes >= 100)
    });
    *stop.lock().unwrap() = false;
    wait("an end of the gap", &windows, &|window| {
        window.gap.is_some_and(|gap| gap.next_answered_ns.is_some())
    });
    let report = prober.log().report(&windows, clock::now());
    assert_eq!(report.backends, ["be1"]);
    assert_eq!(
        (report.windows[1].duplicates, report.windows[1].misdelivered),
        (0, 0)
    );
    prober.stop();
}

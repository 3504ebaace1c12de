//! What the wire forwards: frames per second of one link, and of two links at once, and TCP.
//! `cargo bench -p labs --bench wire`; needs root. One row per line, as JSON.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run says so by panicking"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use labs::{Lab, Running};

const TIME: Duration = Duration::from_secs(3);

fn up() -> (tempfile::TempDir, Running) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("bench-wire");
    std::fs::create_dir(&folder).unwrap();
    let node = |own: u8| {
        format!("{{exec: [ip addr add 10.9.0.{own}/24 dev eth1, ip addr add 10.9.1.{own}/24 dev eth2]}}")
    };
    let topology = format!(
        "name: bench-wire\ntopology:\n  defaults: {{kind: linux, network-mode: none}}\n  nodes:\n    a: {}\n    b: {}\n  \
         links:\n    - {{endpoints: [\"a:eth1\", \"b:eth1\"], mtu: 1500}}\n    - {{endpoints: [\"a:eth2\", \"b:eth2\"], mtu: 1500}}\n",
        node(1),
        node(2)
    );
    std::fs::write(folder.join("bench-wire.clab.yml"), topology).unwrap();
    std::fs::write(
        folder.join("lab.toml"),
        "wires = [[\"a:eth1\", \"b:eth1\"], [\"a:eth2\", \"b:eth2\"]]\n",
    )
    .unwrap();
    let running = Running::up(&Lab::load(&folder).unwrap()).unwrap();
    for target in ["10.9.0.2", "10.9.1.2"] {
        running
            .node("a")
            .unwrap()
            .exec(&["ping", "-c", "1", "-W", "2", target])
            .unwrap();
    }
    (parent, running)
}

fn forwarded(running: &Running) -> (u64, u64) {
    let wire = running.wire().unwrap();
    let counters = ["a:eth1", "a:eth2"].map(|link| wire.counters(link).unwrap()[0]);
    (
        counters.iter().map(|c| c.sent).sum(),
        counters.iter().map(|c| c.overrun).sum(),
    )
}

/// Sends as fast as one thread per link can.
fn flood(running: &Running, payload: usize, links: u8) {
    let before = forwarded(running);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for link in 0..links {
            let socket = running
                .node("a")
                .unwrap()
                .netns()
                .run(|| UdpSocket::bind("0.0.0.0:0").unwrap())
                .unwrap();
            scope.spawn(move || {
                let data = vec![0_u8; payload];
                socket.connect(format!("10.9.{link}.2:9")).unwrap();
                while begin.elapsed() < TIME {
                    for _ in 0..64 {
                        // Refused: nobody listens, which does not matter here.
                        let _ = socket.send(&data);
                    }
                }
            });
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    let after = forwarded(running);
    let (sent, overrun) = (after.0 - before.0, after.1 - before.1);
    println!(
        "{{\"name\": \"flood, {} byte frames, {links} link(s)\", \"kpps\": {:.0}, \"overrun\": {overrun}}}",
        payload + 42,
        sent as f64 / seconds / 1e3
    );
}

fn stream(running: &Running) {
    let listener = running
        .node("b")
        .unwrap()
        .netns()
        .run(|| TcpListener::bind("10.9.0.2:80").unwrap())
        .unwrap();
    let before = forwarded(running);
    let (received, seconds) = std::thread::scope(|scope| {
        let sink = scope.spawn(|| {
            let mut stream = listener.accept().unwrap().0;
            let (mut buffer, mut received) = (vec![0; 1 << 18], 0);
            let begin = Instant::now();
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                received += count;
            }
            (received, begin.elapsed().as_secs_f64())
        });
        let netns = running.node("a").unwrap().netns();
        let mut stream = netns.run(|| TcpStream::connect("10.9.0.2:80").unwrap()).unwrap();
        let (begin, data) = (Instant::now(), vec![0; 1 << 18]);
        while begin.elapsed() < TIME {
            stream.write_all(&data).unwrap();
        }
        drop(stream);
        sink.join().unwrap()
    });
    let after = forwarded(running);
    println!(
        "{{\"name\": \"one TCP stream\", \"Gbit/s\": {:.2}, \"overrun\": {}}}",
        received as f64 * 8.0 / seconds / 1e9,
        after.1 - before.1
    );
}

fn main() {
    let (_folder, running) = up();
    let latency = running
        .node("a")
        .unwrap()
        .exec(&["ping", "-q", "-i", "0.002", "-c", "500", "10.9.0.2"])
        .unwrap();
    println!("{}", latency.lines().last().unwrap_or_default());
    flood(&running, 22, 1);
    flood(&running, 1472, 1);
    flood(&running, 22, 2);
    stream(&running);
}

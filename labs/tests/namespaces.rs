//! The runner against the kernel: what `up` makes, what `down` leaves, what the wire does. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use labs::{Direction, Impairment, Lab, Running, monotonic_ns};
use nix::sys::signal::Signal;

/// A lab of two nodes in a folder of its own, gone when dropped.
struct Folder {
    _parent: tempfile::TempDir,
    lab: PathBuf,
}

fn folder(name: &str, wired: bool) -> Folder {
    let parent = tempfile::tempdir().unwrap();
    let lab = parent.path().join(name);
    std::fs::create_dir(&lab).unwrap();
    let topology = format!(
        r#"
name: {name}
topology:
  defaults: {{kind: linux, image: "debian:12", network-mode: none}}
  nodes:
    a:
      binds: ["greeting:/etc/greeting:ro"]
      exec: [ip addr add 10.9.0.1/24 dev eth1, ip -6 addr add 2001:db8:9::1/64 dev eth1]
      env: {{WORD: "w x"}}
      cmd: sh -c 'cat /etc/greeting; echo "$WORD"; exec sleep 1000'
    b:
      exec: [ip addr add 10.9.0.2/24 dev eth1, ip -6 addr add 2001:db8:9::2/64 dev eth1]
  links:
    - endpoints: ["a:eth1", "b:eth1"]
      mtu: 1500
"#
    );
    std::fs::write(lab.join(format!("{name}.clab.yml")), topology).unwrap();
    std::fs::write(lab.join("greeting"), "hello\n").unwrap();
    let wires = if wired {
        "wires = [[\"a:eth1\", \"b:eth1\"]]\nseed = 7\n"
    } else {
        ""
    };
    std::fs::write(lab.join("lab.toml"), wires).unwrap();
    Folder { _parent: parent, lab }
}

fn up(name: &str, wired: bool) -> (Folder, Running) {
    assert!(
        nix::unistd::Uid::effective().is_root(),
        "this test makes namespaces and needs root"
    );
    let folder = folder(name, wired);
    let running = Running::up(&Lab::load(&folder.lab).unwrap()).unwrap();
    (folder, running)
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Namespaces, processes and mounts of a lab that the host can see.
fn traces(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.starts_with(&format!("clab-{name}-")) {
            found.push(file);
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&format!("clab-{name}-")))
            .map(str::to_owned),
    );
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if line.contains(&format!("clab-{name}-")) {
            found.push(line);
        }
    }
    found
}

/// One end of a UDP conversation inside a node.
fn socket(running: &Running, node: &str, address: &str) -> UdpSocket {
    let netns = running.node(node).unwrap().netns();
    let socket = netns.run(|| UdpSocket::bind(address).unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// Sends numbered datagrams at a period and returns the numbers that arrive and when.
fn probe(running: &Running, period: Duration, count: u32, mut at: impl FnMut(u32)) -> Vec<(u32, u64)> {
    let (sender, receiver) = (
        socket(running, "a", "10.9.0.1:0"),
        socket(running, "b", "10.9.0.2:9"),
    );
    let target: SocketAddr = "10.9.0.2:9".parse().unwrap();
    std::thread::scope(|scope| {
        let seen = scope.spawn(move || {
            let mut seen = Vec::new();
            let mut buffer = [0; 4];
            while let Ok(4) = receiver.recv(&mut buffer) {
                seen.push((u32::from_be_bytes(buffer), monotonic_ns()));
            }
            seen
        });
        let begin = Instant::now();
        for number in 0..count {
            at(number);
            sender.send_to(&number.to_be_bytes(), target).unwrap();
            while begin.elapsed() < period * (number + 1) {
                std::thread::sleep(period / 10);
            }
        }
        seen.join().unwrap()
    })
}

#[test]
fn up_makes_what_the_file_says_and_down_leaves_nothing() {
    let (folder, running) = up("t-updown", true);
    let a = running.node("a").unwrap();
    assert_eq!(a.exec(&["hostname"]).unwrap().trim(), "a");
    a.exec(&["ping", "-c", "1", "-W", "2", "10.9.0.2"]).unwrap();
    a.exec(&["ping", "-c", "1", "-W", "2", "2001:db8:9::2"]).unwrap();
    eventually("output of the main process", || a.log_tail(9).contains("w x"));
    assert_eq!(a.log_tail(9), "hello\nw x");
    assert!(a.main().unwrap().is_alive());
    let link = a.exec(&["ip", "link", "show", "eth1"]).unwrap();
    assert!(
        link.contains("mtu 1500") && link.contains("link/ether aa:c1:ab:"),
        "{link}"
    );
    let mounts = a.exec(&["cat", "/proc/mounts"]).unwrap();
    assert!(mounts.contains("bpf /sys/fs/bpf bpf"), "{mounts}");
    // What a node writes stays in it.
    a.exec(&["touch", "/etc/only-in-a"]).unwrap();
    assert!(!Path::new("/etc/only-in-a").exists());
    assert!(
        running
            .node("b")
            .unwrap()
            .exec(&["ls", "/etc/only-in-a"])
            .is_err()
    );
    assert!(
        a.exec(&["sh", "-c", "echo x > /etc/greeting"]).is_err(),
        "the bind is read-only"
    );
    assert_eq!(
        a.output(&["sh", "-c", "exit 7"], Duration::from_secs(5))
            .unwrap()
            .status
            .code(),
        Some(7)
    );
    assert!(a.output(&["sleep", "100"], Duration::from_millis(50)).is_err());
    let lab = Lab::load(&folder.lab).unwrap();
    running.down().unwrap();
    assert_eq!(traces("t-updown"), [""; 0]);
    labs::down(&lab).unwrap();
}

#[test]
fn down_cleans_up_after_a_crash() {
    let (folder, mut running) = up("t-crash", true);
    running.keep();
    drop(running);
    assert!(!traces("t-crash").is_empty());
    let lab = Lab::load(&folder.lab).unwrap();
    // The state is lost and a first process is gone: what is left is found by its namespaces.
    let attached = Running::attach(&lab).unwrap();
    attached
        .node("b")
        .unwrap()
        .exec(&["sh", "-c", "kill -9 $$ || true"])
        .unwrap_err();
    std::fs::remove_file(lab.run_folder().join("state.json")).unwrap();
    drop(attached);
    labs::down(&lab).unwrap();
    assert_eq!(traces("t-crash"), [""; 0]);
}

#[test]
fn a_failing_exec_fails_the_lab_and_leaves_nothing() {
    let folder = folder("t-fail", false);
    let file = folder.lab.join("t-fail.clab.yml");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("ip addr add 10.9.0.2/24", "ip addr add nonsense");
    std::fs::write(&file, text).unwrap();
    let error = Running::up(&Lab::load(&folder.lab).unwrap())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("nonsense") && error.contains("node b"), "{error}");
    assert_eq!(traces("t-fail"), [""; 0]);
}

#[test]
fn a_node_without_power_says_nothing_and_comes_back() {
    let (_folder, mut running) = up("t-power", true);
    running
        .node("a")
        .unwrap()
        .exec(&["touch", "/etc/of-this-life"])
        .unwrap();
    let main = running.node("a").unwrap().main().unwrap();
    let cut = running.power_cut("a").unwrap();
    assert!(cut.cut_ns < cut.killed_ns);
    assert!(!main.is_alive());
    assert!(running.node("a").is_err());
    let link = running
        .node("b")
        .unwrap()
        .exec(&["ip", "link", "show", "eth1"])
        .unwrap();
    assert!(link.contains("LOWER_UP"), "the cut must be silent: {link}");
    running.revive("a").unwrap();
    let a = running.node("a").unwrap();
    a.exec(&["ping", "-c", "1", "-W", "2", "10.9.0.2"]).unwrap();
    assert!(a.exec(&["ls", "/etc/of-this-life"]).is_err());
    assert!(a.main().unwrap().is_alive());
}

#[test]
fn a_main_process_is_killed_and_started_again() {
    let (_folder, mut running) = up("t-main", false);
    let main = running.node("a").unwrap().main().unwrap();
    main.signal(Signal::SIGKILL).unwrap();
    main.wait_gone(Duration::from_secs(5)).unwrap();
    running.restart("a").unwrap();
    let again = running.node("a").unwrap().main().unwrap();
    assert!(again.is_alive() && again != main);
    assert!(
        running
            .power_cut("a")
            .unwrap_err()
            .to_string()
            .contains("not on the wire")
    );
}

#[test]
fn a_blackhole_of_100_ms_is_one() {
    let (_folder, running) = up("t-hole", true);
    let wire = running.wire().unwrap().clone();
    running
        .node("a")
        .unwrap()
        .exec(&["ping", "-c", "1", "-W", "2", "10.9.0.2"])
        .unwrap();
    let mut began = 0;
    let seen = probe(&running, Duration::from_millis(1), 600, |number| {
        if number == 200 {
            began = wire.blackhole_for("a:eth1", Duration::from_millis(100)).unwrap();
        }
    });
    let gap = seen.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap();
    let inside = |&&(_, at): &&(u32, u64)| at > began + 1_000_000 && at < began + 99_000_000;
    assert_eq!(seen.iter().filter(inside).count(), 0);
    let [forward, _] = wire.counters("b:eth1").unwrap();
    println!(
        "gap {:.1} ms, {} of 600 lost, {forward:?}",
        gap as f64 / 1e6,
        600 - seen.len()
    );
    assert!(forward.swallowed > 0 && forward.lost == 0);
    assert!(gap >= 99_000_000, "{gap}");
    assert!(seen.len() > 200, "traffic must return");
}

#[test]
fn loss_is_as_asked_one_way_only() {
    let (_folder, running) = up("t-loss", true);
    let wire = running.wire().unwrap();
    let loss = Impairment {
        loss: 0.1,
        ..Impairment::default()
    };
    running
        .node("a")
        .unwrap()
        .exec(&["ping", "-c", "1", "-W", "2", "10.9.0.2"])
        .unwrap();
    wire.impair("a:eth1", Direction::Forward, loss).unwrap();
    let seen = probe(&running, Duration::from_micros(200), 5000, |_| {});
    let [forward, backward] = wire.counters("a:eth1").unwrap();
    println!("{} of 5000 arrived, {forward:?}", seen.len());
    assert!((4400..=4600).contains(&seen.len()), "{}", seen.len());
    assert_eq!(backward.lost, 0);
    assert_eq!(forward.overrun, 0);
    assert!(
        wire.impair("a:eth1", Direction::Both, Impairment { loss: 2.0, ..loss })
            .is_err()
    );
    assert!(wire.blackhole("a:eth9", true).is_err());
}

#[test]
fn the_wire_carries_full_tcp_streams_unharmed() {
    let (_folder, running) = up("t-tcp", true);
    let (a, b) = (
        running.node("a").unwrap().netns(),
        running.node("b").unwrap().netns(),
    );
    let listener = b
        .run(|| std::net::TcpListener::bind("10.9.0.2:80").unwrap())
        .unwrap();
    let data: Vec<u8> = (0..8_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let received = std::thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            let mut received = Vec::new();
            std::io::Read::read_to_end(&mut listener.accept().unwrap().0, &mut received).unwrap();
            received
        });
        let mut stream = a
            .run(|| std::net::TcpStream::connect("10.9.0.2:80").unwrap())
            .unwrap();
        assert!(stream.as_fd().try_clone_to_owned().is_ok());
        std::io::Write::write_all(&mut stream, &data).unwrap();
        drop(stream);
        receiving.join().unwrap()
    });
    assert!(received == data);
    let [forward, backward] = running.wire().unwrap().counters("a:eth1").unwrap();
    assert_eq!((forward.overrun, backward.overrun), (0, 0));
    // Nothing larger than the link's MTU went through: segmentation was done before the wire.
    assert!(forward.received > 8_000_000 / 1500);
}

#[test]
fn a_step_that_does_not_hold_leaves_diagnostics_and_nothing_else() {
    let folder = folder("t-steps", true);
    let steps = r#"
deadline = 0.5
[[step]]
title = "reachable"
node = "a"
run = "ping -c 1 -W 1 10.9.0.2"
text = ["1 received"]
[[step]]
title = "numbers"
node = "a"
run = "echo '{\"list\": [{\"n\": 1, \"m\": 2}]}'"
json = { list = [{ n = 1 }] }
absent = ["nowhere"]
[[step]]
power-cut = "b"
[[step]]
title = "gone"
node = "a"
run = "ping -c 1 -W 1 10.9.0.2"
text = ["0 received"]
absent = ["1 received"]
deadline = 5
[[step]]
title = "still there"
node = "a"
run = "ping -c 1 -W 1 10.9.0.2"
text = ["1 received"]
"#;
    std::fs::write(folder.lab.join("expected.toml"), steps).unwrap();
    let lab = Lab::load(&folder.lab).unwrap();
    let error = labs::test(&lab, false, false).unwrap_err().to_string();
    assert!(
        error.contains("step 5 (still there)") && error.contains("diagnostics in"),
        "{error}"
    );
    let addresses = lab.run_folder().join("diagnostics/a/addresses");
    assert!(std::fs::read_to_string(addresses).unwrap().contains("10.9.0.1"));
    assert_eq!(traces("t-steps"), [""; 0]);
}

/// A lab with nothing but its steps: `b` listens on port 179, `a` sends it what `bytes` prints.
fn bgp_of_hand(name: &str, bytes: &str, more: &str) -> labs::Result<()> {
    let folder = folder(name, false);
    std::fs::write(folder.lab.join("lab.toml"), "capture = [\"a:eth1\"]\n").unwrap();
    let listen = "socat -u TCP-LISTEN:179,reuseaddr,fork OPEN:/dev/null";
    let steps = format!(
        r#"
deadline = 10
[[step]]
title = "somebody listens"
node = "b"
run = "sh -c 'pidof socat >/dev/null || (setsid {listen} >/dev/null 2>&1 &) ; pidof socat'"
[[step]]
title = "before"
mark = "before"
[[step]]
title = "sent"
node = "a"
run = "bash -c 'exec 3<>/dev/tcp/10.9.0.2/179 && printf \"{bytes}\" >&3 && echo sent'"
text = ["sent"]
{more}
"#
    );
    std::fs::write(folder.lab.join("expected.toml"), steps).unwrap();
    labs::test(&Lab::load(&folder.lab)?, false, false)
}

/// Sixteen 0xff, as printf inside a shell inside TOML writes them.
fn marker() -> String {
    r"\\xff".repeat(16)
}

#[test]
fn a_capture_counts_frames_and_passes_what_is_well_formed() {
    let keepalive = format!("{}{}", marker(), r"\\x00\\x13\\x04");
    let step = |frames: &str| format!("[[step]]\ntitle = \"seen\"\ndeadline = 2\nframes = {{ {frames} }}\n");
    let holds =
        step("filter = 'bgp.type == 4', since = 'before', count = 1, field = 'bgp.type', values = ['4']");
    bgp_of_hand("tkeepalive", &keepalive, &holds).unwrap();
    for (frames, reason) in [
        ("filter = 'bgp.type == 4', count = 2", "1 frames instead of 2"),
        ("filter = 'bgp.type == 2'", "none"),
        (
            "filter = 'bgp', field = 'bgp.type', values = ['4', '4']",
            "instead of",
        ),
        ("filter = 'bgp', then = 'bgp.type == 3'", "was not seen behind"),
    ] {
        let error = bgp_of_hand("tkeepalive", &keepalive, &step(frames))
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{frames}: {error}");
    }
}

#[test]
fn a_capture_with_a_malformed_message_or_without_bgp_fails_the_lab() {
    // An UPDATE that says 200 bytes of attributes and has four.
    let update = format!(
        "{}{}",
        marker(),
        r"\\x00\\x1b\\x02\\x00\\x00\\x00\\xc8\\x40\\x01\\x01\\x00"
    );
    let error = bgp_of_hand("tmalformed", &update, "").unwrap_err().to_string();
    assert!(error.contains("tshark finds malformed frames"), "{error}");
    let error = bgp_of_hand("tsilent", "hello", "").unwrap_err().to_string();
    assert!(error.contains("holds nothing of Bgp"), "{error}");
}

//! The data path as the daemon uses it, between real stacks: client - load balancer - backends in namespaces.

use super::{need_root, run};
use lb_user::datapath::{DataPath, Running};
use lb_user::desired::{self, Hook};
use lb_user::status::StatusBoard;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Three namespaces; removed at the end, also of a failed test.
pub(crate) struct Lab {
    name: String,
    pub(crate) pins: PathBuf,
}

impl Lab {
    pub(crate) fn new(name: &str) -> Self {
        need_root();
        let lab = Lab {
            name: format!("clab-{name}"),
            pins: format!("/sys/fs/bpf/{name}").into(),
        };
        lab.remove();
        let (client, lb, backend) = (lab.netns("client"), lab.netns("lb"), lab.netns("backend"));
        for netns in [&client, &lb, &backend] {
            run(&format!("ip netns add {netns}"));
            run(&format!("ip -n {netns} link set lo up"));
        }
        for (inside, outside, network) in [("eth1", &client, 1), ("eth2", &backend, 2)] {
            run(&format!(
                "ip -n {lb} link add {inside} type veth peer name eth1 netns {outside}"
            ));
            run(&format!("ip -n {lb} addr add 10.78.{network}.1/24 dev {inside}"));
            run(&format!(
                "ip -n {lb} addr add fd78:{network}::1/64 dev {inside} nodad"
            ));
            run(&format!("ip -n {lb} link set {inside} up"));
            run(&format!("ip -n {outside} addr add 10.78.{network}.2/24 dev eth1"));
            run(&format!("ip -n {outside} addr add 10.78.{network}.3/24 dev eth1"));
            run(&format!(
                "ip -n {outside} addr add fd78:{network}::2/64 dev eth1 nodad"
            ));
            run(&format!("ip -n {outside} link set eth1 up"));
            run(&format!(
                "ip -n {outside} route add default via 10.78.{network}.1"
            ));
            run(&format!(
                "ip -n {outside} -6 route add default via fd78:{network}::1"
            ));
        }
        lab
    }

    pub(crate) fn netns(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    fn remove(&self) {
        for node in ["client", "lb", "backend"] {
            let netns = self.netns(node);
            if Path::new("/run/netns").join(&netns).exists() {
                run(&format!("ip netns del {netns}"));
            }
        }
        let _ = std::fs::remove_dir_all(&self.pins);
    }

    /// Runs something on a thread in a node's namespace.
    pub(crate) fn on<T: Send + 'static>(&self, node: &str, what: impl FnOnce() -> T + Send + 'static) -> T {
        let netns = File::open(format!("/run/netns/{}", self.netns(node))).unwrap();
        let thread = std::thread::spawn(move || {
            enter(&netns);
            what()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(Hook::Auto)
    }

    pub(crate) fn start_with(&self, hook: Hook) -> Running {
        let config = desired::DataPath {
            interfaces: vec!["eth1".into(), "eth2".into()],
            hook,
            max_flows: 4096,
            pin_dir: self.pins.clone(),
        };
        self.on("lb", move || {
            DataPath::start(
                &config,
                &["203.0.113.10".parse().unwrap()].into(),
                StatusBoard::new(),
            )
            .unwrap()
            .spawn()
            .unwrap()
        })
    }

    pub(crate) fn echo(&self, address: &'static str) {
        let (tcp, udp) = self.on("backend", move || {
            (
                TcpListener::bind(address).unwrap(),
                UdpSocket::bind(address).unwrap(),
            )
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                std::thread::spawn(move || echo(stream));
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(&buffer[..length], from);
            }
        });
    }

    pub(crate) fn connect(&self, vip: &'static str) -> TcpStream {
        self.on("client", move || {
            let stream = TcpStream::connect_timeout(&vip.parse().unwrap(), PATIENCE)
                .unwrap_or_else(|error| panic!("connecting to {vip}: {error}"));
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.remove();
    }
}

fn enter(netns: &File) {
    unsafe extern "C" {
        fn setns(fd: i32, kind: i32) -> i32;
    }
    // SAFETY: an open descriptor and no memory.
    assert_eq!(unsafe { setns(netns.as_raw_fd(), 0) }, 0);
}

/// First the address it sees, as a line; then what it hears.
fn echo(mut stream: TcpStream) {
    let Ok(peer) = stream.peer_addr() else { return };
    let _ = stream.write_all(format!("{:<64}", peer).as_bytes());
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

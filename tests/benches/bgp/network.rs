//! Two namespaces, one cable, and what can be read from outside: traffic of the cable, CPU and memory of whoever
//! runs in the sender's namespace.
use std::io::IoSliceMut;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use labs::Netns;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

/// Longer than an acknowledgement is held back (40 ms).
const QUIET: Duration = Duration::from_millis(100);

const ETH_P_IP: u16 = 0x0800;

pub(crate) const RECEIVER: &str = "10.99.0.1";
pub(crate) const SENDER: &str = "10.99.0.2";

pub(crate) struct Network {
    pub(crate) receiver: Netns,
    pub(crate) sender: Netns,
    pub(crate) folder: tempfile::TempDir,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
}

fn run(words: &str) {
    let mut words = words.split(' ');
    let status = Command::new(words.next().unwrap())
        .args(words)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

impl Network {
    pub(crate) fn new() -> Self {
        let [receiver, sender] = ["rx", "tx"].map(|node| Netns::of("benchbgp", node));
        for netns in [&receiver, &sender] {
            netns.delete().unwrap();
            netns.create().unwrap();
            run(&format!("ip -n {} link set lo up", netns.name()));
        }
        run(&format!(
            "ip link add e0 netns {} type veth peer name e0 netns {}",
            receiver.name(),
            sender.name()
        ));
        for (netns, address) in [(&receiver, RECEIVER), (&sender, SENDER)] {
            let name = netns.name();
            run(&format!("ip -n {name} address add {address}/16 dev e0"));
            run(&format!("ip -n {name} link set e0 up"));
            // Packets of the size of the wire, so that counting them means something.
            run(&format!(
                "ip netns exec {name} ethtool -K e0 tso off gso off gro off"
            ));
        }
        Network {
            receiver,
            sender,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the sender has put on the cable so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let output = Command::new("ip")
            .args(["-n", self.sender.name(), "-s", "-j", "link", "show", "e0"])
            .output()
            .unwrap();
        let links: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |name: &str| links[0]["stats64"]["tx"][name].as_u64().unwrap();
        Traffic {
            bytes: count("bytes"),
            packets: count("packets"),
        }
    }

    /// Until the sender has put nothing on the cable for a while: End-of-RIB, acknowledgements, and whatever else was
    /// on its way have passed.
    pub(crate) fn quiet(&self) {
        let mut before = self.traffic().packets;
        loop {
            std::thread::sleep(QUIET);
            let now = self.traffic().packets;
            if std::mem::replace(&mut before, now) == now {
                return;
            }
        }
    }

    /// Nanoseconds that the processes of the sender have run.
    pub(crate) fn cpu(&self) -> u64 {
        self.processes().iter().map(|process| run_time(process)).sum()
    }

    /// Resident memory of the sender, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.processes().iter().map(|process| resident(process)).sum()
    }

    fn processes(&self) -> Vec<PathBuf> {
        let pids = self.sender.processes();
        pids.iter()
            .map(|pid| Path::new("/proc").join(pid.to_string()))
            .collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.receiver.delete();
        let _ = self.sender.delete();
    }
}

/// All threads; zero for a process that has ended.
fn run_time(process: &Path) -> u64 {
    let Ok(tasks) = std::fs::read_dir(process.join("task")) else {
        return 0;
    };
    let time = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(time).sum()
}

fn resident(process: &Path) -> u64 {
    let text = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// A packet socket in a namespace for the frames of `protocol`, with the kernel's moment for each.
pub(crate) fn tap(netns: &Netns, patience: Duration) -> Socket {
    // In the order of the network; of IP alone, what leaves the namespace does not come by.
    let protocol = Protocol::from(i32::from(ETH_P_IP.to_be()));
    let open = || Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol));
    let socket = netns.run(open).unwrap().unwrap();
    setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket
}

/// The next packet with data behind its TCP header: from whom, and when the kernel had it, by the clock of the day
/// in nanoseconds. `None`: another packet, or the socket's patience has ended.
pub(crate) fn next_data(tap: &Socket) -> Option<(Ipv4Addr, u128)> {
    let mut buffer = [0; 2048];
    let mut control = nix::cmsg_space!(TimeSpec);
    let (length, moment) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message =
            recvmsg::<()>(tap.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).ok()?;
        let moment = message.cmsgs().ok()?.find_map(|control| {
            if let ControlMessageOwned::ScmTimestampns(moment) = control {
                Some(Duration::from(moment).as_nanos())
            } else {
                None
            }
        });
        (message.bytes, moment?)
    };
    let packet = buffer.get(..length)?;
    if packet.len() < 40 || packet[0] != 0x45 || packet[9] != 6 {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let headers = 20 + usize::from(packet[32] >> 4) * 4;
    let from = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
    (total > headers).then_some((from, moment))
}

/// Starts `words` in a namespace; its words go to `log`.
pub(crate) fn spawn(netns: &Netns, log: &Path, words: &[&str]) -> Child {
    let log = std::fs::File::create(log).unwrap();
    Command::new("ip")
        .args(["netns", "exec", netns.name()])
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// `ip netns exec` becomes the program, so this ends the program itself.
pub(crate) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

//! The driver of the daemon, with sockets and runtime, alone in a process: what `batond` runs on its BGP thread.
//!
//! This binary starts itself for it, in the sender's namespace, and commands it by lines. The process is asked
//! for announcements that it has made before (`prepare`), as the daemon's reconciler has them.
use std::io::{BufRead, BufReader, Write, stdin};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bgp::{Announcement, Hops, Overrides, PeerConfig, Policy, Preference, SpeakerConfig, Transport};
use labs::Netns;
use lb_user::apply::Speaker as _;
use lb_user::bgp_driver::{self, BgpHandle, Command as Order, Setup};
use lb_user::desired::Neighbor;
use lb_user::realtime;
use lb_user::status::StatusBoard;
use lb_user::timeline::Timeline;

use crate::crowd;
use crate::network::{RECEIVER, SENDER};
use crate::senders::address;

/// The parent's side.
pub(crate) struct Speaker {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Speaker {
    pub(crate) fn start(netns: &Netns, arguments: &[&str]) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut child = Command::new("ip")
            .args(["netns", "exec", netns.name()])
            .arg(own)
            .arg("speaker")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Speaker {
            child,
            orders,
            answers,
        }
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn nanoseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// The child's side.
pub(crate) fn main(mode: &str) {
    let (mut handle, commands) = bgp_driver::channel();
    let board = StatusBoard::new();
    let crowd = mode == "crowd";
    let setup = Setup {
        speaker: SpeakerConfig::new(65001, Ipv4Addr::new(10, 99, 0, 2), 1),
        listen: if crowd {
            vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 179)]
        } else {
            vec![]
        },
        established: Box::new(|_, _| ()),
        found: Box::new(|_, _| ()),
        timeline: Timeline::new(),
        board: board.clone(),
    };
    bgp_driver::spawn(setup, commands).unwrap();
    let sessions = if crowd {
        crowd::sessions()
    } else {
        vec![(SENDER.parse().unwrap(), RECEIVER.parse().unwrap())]
    };
    for (local, remote) in sessions {
        let neighbor = neighbor(local, remote, crowd);
        handle.put_neighbor(&neighbor).unwrap();
    }
    role(&handle, Preference::Master);
    if mode == "swap" {
        // In the daemon it is the failover thread that says what the role is.
        realtime::enter("failover", realtime::FAILOVER);
    }
    let mut prepared = Vec::new();
    for line in stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["prepare", count, med] => {
                prepared = announcements(count.parse().unwrap(), med.parse().ok());
                answer("ready");
            }
            ["go"] => handle.send(Order::SetAnnouncements(std::mem::take(&mut prepared))),
            // Answered with the moment of the decision.
            ["role", name] => {
                let preference = if *name == "master" {
                    Preference::Master
                } else {
                    Preference::Backup
                };
                let moment = nanoseconds();
                role(&handle, preference);
                answer(&moment.to_string());
            }
            ["status"] => answer(&crowd::status(&board)),
            _ => panic!("{line}"),
        }
    }
}

fn answer(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").unwrap();
    out.flush().unwrap();
}

fn role(handle: &BgpHandle, preference: Preference) {
    handle.send(Order::SetRole {
        instance: 0,
        preference,
    });
}

fn neighbor(local: IpAddr, remote: IpAddr, crowd: bool) -> Neighbor {
    let all = Some(Arc::new(Policy::all()));
    let transport = Transport {
        local_address: Some(local),
        hops: Hops::Limit(1),
        ..Transport::default()
    };
    Neighbor {
        key: remote.into(),
        peer: PeerConfig {
            transport,
            hold_time: Duration::from_secs(if crowd { 9 } else { 90 }),
            passive: crowd,
            import: all.clone().filter(|_| crowd),
            export: all,
            ..PeerConfig::new(remote, 65000)
        },
    }
}

fn announcements(count: u32, med: Option<u32>) -> Vec<Announcement> {
    let overrides = med.map(|med| Overrides {
        med: Some(med),
        ..Overrides::default()
    });
    let announcement = |index| Announcement {
        prefix: IpAddr::V4(address(index)).into(),
        instance: 0,
        healthy: true,
        overrides: overrides.clone(),
    };
    (0..count).map(announcement).collect()
}

//! Nodes, their BFD sessions and their channels, on a virtual clock.

use std::time::{Duration, Instant};

use crate::{Cause, Config, Election, Hello, Input, InstanceConfig, Output, Role, Timing};

pub(super) const NAMES: [&str; 2] = ["a", "b"];

pub(super) struct Node {
    pub(super) election: Option<Election>,
    pub(super) log: Vec<(Duration, Output)>,
    /// Hellos on their way to this node.
    pub(super) inbox: Vec<Vec<u8>>,
    pub(super) priority: u32,
    pub(super) preempt: bool,
    pub(super) claimed: bool,
    /// Does not run, but is not dead.
    pub(super) frozen: bool,
    boot: u64,
}

pub(super) struct World {
    start: Instant,
    pub(super) now: Instant,
    pub(super) nodes: [Node; 2],
    /// Hellos get through.
    pub(super) channel: bool,
    /// What each node's BFD says about the other.
    pub(super) bfd: [bool; 2],
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's virtual clock needs some origin"
)]
fn origin() -> Instant {
    Instant::now()
}

impl World {
    /// `a` is preferred by priority 200 against 100.
    pub(super) fn new(preempt: bool) -> Self {
        let now = origin();
        let node = |priority| Node {
            election: None,
            log: Vec::new(),
            inbox: Vec::new(),
            priority,
            preempt,
            claimed: false,
            frozen: false,
            boot: u64::from(priority),
        };
        Self {
            start: now,
            now,
            nodes: [node(200), node(100)],
            channel: true,
            bfd: [false; 2],
        }
    }

    /// The daemon runs, and hears.
    pub(super) fn start(&mut self, index: usize) {
        self.start_deaf(index);
        self.input(index, Input::Listening);
    }

    pub(super) fn start_deaf(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.boot += 1000;
        node.claimed = false;
        let config = Config {
            node: NAMES[index].to_owned(),
            boot: node.boot,
            peers: vec![NAMES[1 - index].to_owned()],
            instances: vec![InstanceConfig {
                name: "default".to_owned(),
                priority: node.priority,
                preempt: node.preempt,
            }],
            timing: Timing::default(),
        };
        node.election = Some(Election::new(self.now, config).unwrap());
        self.drain(index);
    }

    /// Power loss: the peer learns it from BFD alone.
    pub(super) fn kill(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.election = None;
        node.claimed = false;
        node.inbox.clear();
        self.bfd[index] = false;
    }

    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        if let Some(election) = self.nodes[index].election.as_mut() {
            election.handle(self.now, input);
        }
        self.drain(index);
    }

    /// BFD up or down, as both (living) nodes see it.
    pub(super) fn bfd(&mut self, up: bool) {
        for index in 0..2 {
            self.bfd_at(index, up);
        }
    }

    pub(super) fn bfd_at(&mut self, index: usize, up: bool) {
        if self.nodes[index].election.is_none() {
            return;
        }
        self.bfd[index] = up;
        let node = NAMES[1 - index];
        self.input(
            index,
            if up {
                Input::PeerUp { node }
            } else {
                Input::PeerDown { node }
            },
        );
    }

    fn drain(&mut self, index: usize) {
        let at = self.now - self.start;
        let (mut sent, mut phase) = (Vec::new(), 0);
        let node = &mut self.nodes[index];
        while let Some(output) = node.election.as_mut().and_then(Election::poll_output) {
            assert!(output.phase() >= phase, "order of execution");
            phase = output.phase();
            match &output {
                Output::Claim { .. } => {
                    assert!(!node.claimed, "claimed twice");
                    node.claimed = true;
                }
                Output::Release { .. } => {
                    assert!(node.claimed, "released what was not claimed");
                    node.claimed = false;
                }
                Output::SendHello(hello) => sent.push(hello.encode()),
                Output::Announce { .. } | Output::RoleChanged { .. } | Output::Drained { .. } => {}
            }
            node.log.push((at, output));
        }
        let other = &mut self.nodes[1 - index];
        if self.channel && other.election.is_some() {
            other.inbox.extend(sent);
        }
    }

    /// Delivers what is on its way; `false` if nothing was.
    pub(super) fn deliver(&mut self, index: usize) -> bool {
        if self.nodes[index].inbox.is_empty() || self.nodes[index].frozen {
            return false;
        }
        let bytes = self.nodes[index].inbox.remove(0);
        let hello = Hello::decode(&bytes).unwrap();
        self.input(index, Input::PeerHello(hello));
        true
    }

    pub(super) fn deliver_all(&mut self) {
        for _ in 0..1000 {
            let any = [self.deliver(0), self.deliver(1)];
            if any == [false; 2] {
                return;
            }
        }
        panic!("hellos never cease");
    }

    /// Lets the time pass, timers and hellos included.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.deliver_all();
        for _ in 0..100_000 {
            let due = |node: &Node| node.election.as_ref().filter(|_| !node.frozen)?.poll_timeout();
            let next = self.nodes.iter().filter_map(due).min();
            let Some(next) = next.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            for index in 0..2 {
                if due(&self.nodes[index]).is_some_and(|at| at <= self.now) {
                    self.input(index, Input::Timeout);
                }
            }
            self.deliver_all();
        }
        panic!("a timer fires for ever");
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// What the synchronisation says when snapshots went both ways.
    pub(super) fn catch_up(&mut self) {
        self.input(0, Input::CaughtUp(true));
        self.input(1, Input::CaughtUp(true));
        self.deliver_all();
    }

    pub(super) fn lose_sync(&mut self) {
        self.input(0, Input::CaughtUp(false));
        self.input(1, Input::CaughtUp(false));
        self.deliver_all();
    }

    /// Both run, `a` is MASTER, `b` its BACKUP.
    pub(super) fn settled(preempt: bool) -> Self {
        let mut world = Self::new(preempt);
        world.start(0);
        world.start(1);
        world.bfd(true);
        world.run_ms(10);
        world.catch_up();
        world.run_ms(20);
        assert_eq!(world.roles(), [Some(Role::Master), Some(Role::Backup)]);
        world
    }

    pub(super) fn role(&self, index: usize) -> Option<Role> {
        Some(self.nodes[index].election.as_ref()?.status().instances[0].role)
    }

    pub(super) fn roles(&self) -> [Option<Role>; 2] {
        [self.role(0), self.role(1)]
    }

    pub(super) fn holds(&self) -> [bool; 2] {
        [self.nodes[0].claimed, self.nodes[1].claimed]
    }

    pub(super) fn clear_logs(&mut self) {
        self.nodes.iter_mut().for_each(|n| n.log.clear());
    }

    /// The outputs of a node but its hellos.
    pub(super) fn log(&self, index: usize) -> Vec<Output> {
        let log = self.nodes[index].log.iter().map(|(_, output)| output.clone());
        log.filter(|output| !matches!(output, Output::SendHello(_)))
            .collect()
    }

    pub(super) fn last_cause(&self, index: usize) -> Option<Cause> {
        Some(self.nodes[index].election.as_ref()?.status().instances[0].cause)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}

//! The reconciler against targets that remember and can be made to fail.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{Reconciler, Source};
use crate::apply::{ApplyError, Bfd, DataPath, Election, Speaker, Targets};
use crate::desired::{
    Instance, Neighbor, NeighborKey, Protocol, Service, ServiceKey, Session, SpeakerSettings,
};
use crate::plan::tests::MINIMAL;
use crate::status::StatusBoard;
use crate::timeline::Timeline;

/// What the targets were told, and what they shall refuse.
#[derive(Default)]
struct World {
    services: BTreeSet<ServiceKey>,
    vips: BTreeSet<IpAddr>,
    announced: Vec<IpAddr>,
    calls: Vec<String>,
    broken: Option<&'static str>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn call(&self, what: String, effect: impl FnOnce(&mut World)) -> Result<(), ApplyError> {
        let mut world = self.0.lock().unwrap();
        let failed = world.broken.is_some_and(|broken| what.starts_with(broken));
        world.calls.push(what);
        if failed {
            return Err(ApplyError::new("broken"));
        }
        effect(&mut world);
        Ok(())
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn break_at(&self, what: Option<&'static str>) {
        self.0.lock().unwrap().broken = what;
    }

    fn announced(&self) -> Vec<IpAddr> {
        self.0.lock().unwrap().announced.clone()
    }

    fn targets(&self) -> Targets {
        Targets {
            datapath: Box::new(self.clone()),
            speaker: Box::new(self.clone()),
            bfd: Box::new(self.clone()),
            election: Box::new(self.clone()),
        }
    }
}

impl DataPath for Fake {
    fn existing(&mut self) -> Result<(Vec<ServiceKey>, Vec<IpAddr>), ApplyError> {
        let world = self.0.lock().unwrap();
        Ok((
            world.services.iter().copied().collect(),
            world.vips.iter().copied().collect(),
        ))
    }
    fn put_vip(&mut self, vip: IpAddr) -> Result<(), ApplyError> {
        self.call(format!("put vip {vip}"), |world| {
            world.vips.insert(vip);
        })
    }
    fn remove_vip(&mut self, vip: IpAddr) -> Result<(), ApplyError> {
        self.call(format!("remove vip {vip}"), |world| {
            world.vips.remove(&vip);
        })
    }
    fn put_service(&mut self, service: &Service) -> Result<(), ApplyError> {
        self.call(format!("put service {}", service.key), |world| {
            world.services.insert(service.key);
        })
    }
    fn remove_service(&mut self, key: &ServiceKey) -> Result<(), ApplyError> {
        self.call(format!("remove service {key}"), |world| {
            world.services.remove(key);
        })
    }
}

impl Speaker for Fake {
    fn put_neighbor(&mut self, neighbor: &Neighbor) -> Result<(), ApplyError> {
        self.call(format!("put neighbor {}", neighbor.key), |_| {})
    }
    fn put_settings(&mut self, _: &SpeakerSettings) -> Result<(), ApplyError> {
        self.call("set the speaker".to_owned(), |_| {})
    }
    fn remove_neighbor(&mut self, key: &NeighborKey) -> Result<(), ApplyError> {
        self.call(format!("remove neighbor {key}"), |_| {})
    }
    fn set_announcements(&mut self, announcements: &[bgp::Announcement]) -> Result<(), ApplyError> {
        let announced = announcements
            .iter()
            .map(|announcement| announcement.prefix.addr())
            .collect();
        self.call(format!("announce {}", announcements.len()), |world| {
            world.announced = announced
        })
    }
}

impl Bfd for Fake {
    fn put_session(&mut self, session: &Session) -> Result<(), ApplyError> {
        self.call(format!("put session {}", session.remote), |_| {})
    }
    fn remove_session(&mut self, remote: IpAddr) -> Result<(), ApplyError> {
        self.call(format!("remove session {remote}"), |_| {})
    }
}

impl Election for Fake {
    fn put_instance(&mut self, instance: &Instance, _vips: &[IpAddr]) -> Result<(), ApplyError> {
        self.call(format!("put instance {}", instance.name), |_| {})
    }
    fn remove_instance(&mut self, name: &str) -> Result<(), ApplyError> {
        self.call(format!("remove instance {name}"), |_| {})
    }
}

fn with_service(vip: &str) -> String {
    format!(
        "{MINIMAL}[[service]]\nname = \"web\"\nvip = \"{vip}\"\nport = 80\nprotocol = \"tcp\"\n\
         endpoints = [{{ address = \"10.0.0.1\", port = 80 }}]\n"
    )
}

/// A reconciler with a file that can be rewritten.
struct Bench {
    _directory: tempfile::TempDir,
    path: PathBuf,
    fake: Fake,
    board: StatusBoard,
    reconciler: Reconciler,
}

fn bench(text: &str, fake: Fake) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("baton.toml");
    std::fs::write(&path, text).unwrap();
    let board = StatusBoard::new();
    let desired = Source::file(&path).load().unwrap();
    let mut reconciler = Reconciler::new(desired, fake.targets(), board.clone(), Timeline::new()).unwrap();
    reconciler.reconcile();
    Bench {
        _directory: directory,
        path,
        fake,
        board,
        reconciler,
    }
}

impl Bench {
    fn reload(&mut self, text: &str) -> Result<u64, String> {
        std::fs::write(&self.path, text).unwrap();
        self.reconciler.reload(&Source::file(&self.path))
    }
}

#[test]
fn a_reload_changes_what_differs_and_nothing_else() {
    let mut bench = bench(&with_service("203.0.113.10"), Fake::default());
    bench.fake.calls();
    assert_eq!(bench.reload(&with_service("203.0.113.10")), Ok(2));
    assert_eq!(bench.fake.calls(), Vec::<String>::new());
    assert_eq!(bench.reload(&with_service("203.0.113.11")), Ok(3));
    assert_eq!(
        bench.fake.calls(),
        [
            "announce 0",
            "put vip 203.0.113.11",
            "put service 203.0.113.11:80/tcp",
            "remove service 203.0.113.10:80/tcp",
            "remove vip 203.0.113.10",
            "announce 1"
        ]
    );
    let status = bench.board.node_status();
    assert_eq!(
        (status.generation, status.applied_generation, status.services),
        (3, 3, 1)
    );
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported() {
    let mut bench = bench(&with_service("203.0.113.10"), Fake::default());
    bench.fake.calls();
    let refused = bench
        .reload(&with_service("203.0.113.11").replace("port = 80\n", "port = 0\n"))
        .unwrap_err();
    assert!(refused.contains("service.port: must be 1 to 65535"), "{refused}");
    assert_eq!(bench.fake.calls(), Vec::<String>::new());
    let status = bench.board.node_status();
    assert_eq!((status.generation, status.applied_generation), (1, 1));
    assert!(status.refused.unwrap().contains("baton.toml:"));
    assert_eq!(bench.reload(&with_service("203.0.113.10")), Ok(2));
    assert_eq!(bench.board.node_status().refused, None);
}

#[test]
fn what_needs_a_restart_is_refused_by_name() {
    let mut bench = bench(MINIMAL, Fake::default());
    bench.fake.calls();
    let refused = bench
        .reload(&with_service("203.0.113.10").replace("eth1", "eth2"))
        .unwrap_err();
    assert!(
        refused.contains("[datapath]") && !refused.contains("[node]"),
        "{refused}"
    );
    assert_eq!(bench.fake.calls(), Vec::<String>::new());
}

#[test]
fn what_an_earlier_daemon_left_is_removed_or_renewed() {
    let fake = Fake::default();
    let key = |last| ServiceKey {
        vip: IpAddr::from([203, 0, 113, last]),
        port: 80,
        protocol: Protocol::Tcp,
    };
    {
        let mut world = fake.0.lock().unwrap();
        world.services = [key(10), key(99)].into();
        world.vips = [key(10).vip, key(99).vip].into();
    }
    let bench = bench(&with_service("203.0.113.10"), fake);
    assert_eq!(
        bench.fake.calls(),
        [
            "set the speaker",
            "put service 203.0.113.10:80/tcp",
            "remove service 203.0.113.99:80/tcp",
            "remove vip 203.0.113.99",
            "put instance default",
            "announce 1"
        ]
    );
}

#[test]
fn what_fails_is_reported_withheld_and_tried_again() {
    let fake = Fake::default();
    fake.break_at(Some("put service"));
    let mut bench = bench(&with_service("203.0.113.10"), fake);
    let status = bench.board.node_status();
    assert_eq!((status.generation, status.applied_generation), (1, 0));
    assert_eq!(status.errors[0].operation, "put service 203.0.113.10:80/tcp");
    assert_eq!(status.errors[0].reason, "broken");
    assert!(
        bench.fake.announced().is_empty(),
        "a VIP without its service must not attract traffic"
    );
    bench.fake.break_at(None);
    bench.reconciler.reconcile();
    assert_eq!(bench.board.node_status().applied_generation, 1);
    assert!(bench.board.node_status().errors.is_empty());
    assert_eq!(bench.fake.announced(), [IpAddr::from([203, 0, 113, 10])]);
}

#[test]
fn a_running_vip_stays_announced_while_a_change_of_it_fails() {
    let mut bench = bench(&with_service("203.0.113.10"), Fake::default());
    bench.fake.break_at(Some("put service"));
    let second = with_service("203.0.113.10").replace("10.0.0.1", "10.0.0.2");
    assert_eq!(bench.reload(&second), Ok(2));
    assert_eq!(bench.board.node_status().errors.len(), 1);
    assert_eq!(bench.fake.announced(), [IpAddr::from([203, 0, 113, 10])]);
}

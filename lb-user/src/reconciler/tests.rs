//! The reconciler against targets that remember and can be made to fail.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{OrderError, Reconciler, SessionOrder, Source};
use crate::apply::{ApplyError, Bfd, DataPath, EchoReflector, Election, Speaker, Targets};
use crate::desired::{
    Found, Instance, Neighbor, NeighborKey, Protocol, Service, ServiceKey, Session, SessionKey,
    SpeakerSettings, TimingChange, Unsolicited,
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
            echo: Box::new(self.clone()),
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
        let timing = session.parameters.timing;
        let echo = if session.returns_echo() { " with echo" } else { "" };
        let what = format!(
            "put session {} {:?}*{}{echo}",
            session.key, timing.desired_min_tx, timing.detect_multiplier
        );
        self.call(what, |_| {})
    }
    fn remove_session(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.call(format!("remove session {key}"), |_| {})
    }
    fn disable_session(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.call(format!("disable session {key}"), |_| {})
    }
    fn enable_session(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.call(format!("enable session {key}"), |_| {})
    }
    fn set_unsolicited(&mut self, unsolicited: &[Unsolicited]) -> Result<(), ApplyError> {
        self.call(format!("admit {}", unsolicited.len()), |_| {})
    }
}

impl EchoReflector for Fake {
    fn existing(&mut self) -> Result<Vec<SessionKey>, ApplyError> {
        Ok(Vec::new())
    }
    fn put_echo_peer(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.call(format!("put echo peer {key}"), |_| {})
    }
    fn remove_echo_peer(&mut self, key: &SessionKey) -> Result<(), ApplyError> {
        self.call(format!("remove echo peer {key}"), |_| {})
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

const SESSION: &str = "[[bfd.session]]\naddress = \"10.0.0.9\"\n";

fn with_session() -> String {
    format!("{MINIMAL}{SESSION}")
}

fn key(name: &str) -> SessionKey {
    name.parse().unwrap()
}

fn multiplier(multiplier: u8) -> SessionOrder {
    SessionOrder::Change(TimingChange {
        multiplier: Some(multiplier),
        ..TimingChange::default()
    })
}

#[test]
fn what_operators_say_about_a_session_stays_over_a_reload() {
    let mut bench = bench(&with_session(), Fake::default());
    bench.fake.calls();
    let session = key("10.0.0.9");
    assert_eq!(bench.reconciler.order(&session, multiplier(2)), Ok(()));
    assert_eq!(bench.fake.calls(), ["put session 10.0.0.9 30ms*2"]);
    let disable = SessionOrder::Disable { force: false };
    assert_eq!(bench.reconciler.order(&session, disable), Ok(()));
    assert_eq!(bench.fake.calls(), ["disable session 10.0.0.9"]);
    let slower = with_session().replace(SESSION, &format!("{SESSION}interval = \"100ms\"\n"));
    assert_eq!(bench.reload(&slower), Ok(2));
    assert_eq!(bench.fake.calls(), ["put session 10.0.0.9 100ms*2"]);
    let shown = bench.board.bfd_configured.newest();
    assert_eq!(shown["10.0.0.9"].overridden.unwrap().multiplier, Some(2));
    assert!(!shown["10.0.0.9"].enabled);
    assert_eq!(shown["10.0.0.9"].users, ["bfd.session"]);
    assert_eq!(bench.reconciler.order(&session, SessionOrder::Reset), Ok(()));
    assert_eq!(bench.reconciler.order(&session, SessionOrder::Enable), Ok(()));
    assert_eq!(
        bench.fake.calls(),
        ["put session 10.0.0.9 100ms*5", "enable session 10.0.0.9"]
    );
    // With the session goes what was said about it.
    bench.reconciler.order(&session, multiplier(9)).unwrap();
    assert_eq!(bench.reload(MINIMAL), Ok(3));
    assert_eq!(bench.reload(&with_session()), Ok(4));
    assert_eq!(
        bench.fake.calls(),
        [
            "put session 10.0.0.9 100ms*9",
            "remove session 10.0.0.9",
            "put session 10.0.0.9 30ms*5"
        ]
    );
}

#[test]
fn an_order_that_cannot_be_carried_out_is_answered_with_what_failed_and_stays() {
    let mut bench = bench(
        &format!("{}{}", with_session(), SESSION.replace('9', "8")),
        Fake::default(),
    );
    bench.fake.calls();
    bench.fake.break_at(Some("put session 10.0.0.9"));
    let failed = Err(OrderError::Failed {
        operation: "put BFD session 10.0.0.9".to_owned(),
        reason: "broken".to_owned(),
    });
    assert_eq!(bench.reconciler.order(&key("10.0.0.9"), multiplier(2)), failed);
    // The failure of another session is no answer.
    assert_eq!(bench.reconciler.order(&key("10.0.0.8"), multiplier(3)), Ok(()));
    bench.fake.break_at(None);
    bench.fake.calls();
    bench.reconciler.look();
    assert_eq!(bench.fake.calls(), ["put session 10.0.0.9 30ms*2"]);
}

#[test]
fn orders_that_make_no_sense_change_nothing() {
    let peer = "[[ha.peer]]\nname = \"lb2\"\naddress = \"10.0.2.12\"\nlocal = \"10.0.2.11\"\n\
                [sync]\nlisten = \"10.0.2.11:4785\"\ncertificate = \"/c\"\nkey = \"/k\"\nca = \"/a\"\n\
                [[sync.peer]]\nname = \"lb2\"\naddress = \"10.0.2.12:4785\"\n";
    let mut bench = bench(
        &format!("{MINIMAL}{SESSION}interface = \"lo\"\n{peer}"),
        Fake::default(),
    );
    bench.fake.calls();
    let mut order = |name: &str, order| {
        bench
            .reconciler
            .order(&key(name), order)
            .map_err(|error| error.to_string())
    };
    let refused = |result: Result<(), String>, words: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    refused(order("10.0.0.8", multiplier(3)), "no BFD session 10.0.0.8");
    refused(order("10.0.0.9", multiplier(0)), "must be 1 to 255");
    refused(
        order("10.0.0.9", SessionOrder::Change(TimingChange::default())),
        "names nothing",
    );
    let short = TimingChange {
        transmit_interval: Some(std::time::Duration::from_micros(999)),
        ..TimingChange::default()
    };
    refused(order("10.0.0.9", SessionOrder::Change(short)), "1000 to 60000000");
    refused(
        order("10.0.2.12", SessionOrder::Disable { force: false }),
        "watches the peer lb2",
    );
    order("10.0.2.12", SessionOrder::Disable { force: true }).unwrap();
    // The name without the interface will do where it is clear.
    order("10.0.0.9", multiplier(3)).unwrap();
    let unknown = bench.reconciler.order(&key("10.0.0.9%eth9"), multiplier(3));
    assert_eq!(unknown, Err(OrderError::NoSession(key("10.0.0.9%eth9"))));
    assert_eq!(
        bench.fake.calls(),
        ["disable session 10.0.2.12", "put session 10.0.0.9%lo 30ms*3"]
    );
}

#[test]
fn neighbours_that_are_found_have_sessions_while_they_are_there() {
    let bgp = "[bgp]\nas = 65001\nlisten = [\"0.0.0.0\"]\n[[bgp.neighbor]]\ninterface = \"eth1\"\nas = 65000\n\
               export = \"all\"\nbfd = true\n[[bgp.dynamic]]\nprefix = \"10.1.0.0/16\"\nas = \"internal\"\n\
               bfd = true\nbfd-profile = \"pods\"\n[[bfd.profile]]\nname = \"pods\"\nmultiplier = 3\n";
    let mut bench = bench(&format!("{MINIMAL}{bgp}"), Fake::default());
    bench.fake.calls();
    let router = Found::Router {
        interface: "eth1".to_owned(),
        address: "fe80::1".parse().unwrap(),
    };
    let guest = Found::Guest("10.1.0.7".parse().unwrap());
    bench.reconciler.found(router.clone(), true);
    bench.reconciler.found(guest.clone(), true);
    bench.reconciler.look();
    assert_eq!(
        bench.fake.calls(),
        ["put session 10.1.0.7 30ms*3", "put session fe80::1%eth1 30ms*5"]
    );
    bench.reconciler.order(&key("10.1.0.7"), multiplier(9)).unwrap();
    let disable = SessionOrder::Disable { force: false };
    bench.reconciler.order(&key("10.1.0.7"), disable).unwrap();
    bench.fake.calls();
    bench.reconciler.found(guest.clone(), false);
    bench.reconciler.found(guest, true);
    bench.reconciler.look();
    // Whoever comes back has another session, of which nothing has been said.
    assert_eq!(
        bench.fake.calls(),
        ["remove session 10.1.0.7", "put session 10.1.0.7 30ms*3"]
    );
    assert_eq!(
        bench.board.bfd_configured.newest()["fe80::1%eth1"].users,
        ["neighbor eth1"]
    );
    assert_eq!(
        bench.reload(&format!("{MINIMAL}{}", bgp.replace("bfd = true\n[[", "[["))),
        Ok(2)
    );
    assert!(
        bench
            .fake
            .calls()
            .contains(&"remove session fe80::1%eth1".to_owned())
    );
}

#[test]
fn who_may_start_sessions_is_taken_back_although_it_has_failed() {
    let mut bench = bench(MINIMAL, Fake::default());
    bench.fake.break_at(Some("admit"));
    let admitting = format!("{MINIMAL}[[bfd.unsolicited]]\ninterface = \"eth9\"\n");
    assert_eq!(bench.reload(&admitting), Ok(2));
    bench.fake.break_at(None);
    bench.fake.calls();
    assert_eq!(bench.reload(MINIMAL), Ok(3));
    assert_eq!(bench.fake.calls(), ["admit 0"]);
}

#[test]
fn a_peer_is_told_to_send_echo_packets_when_they_return() {
    let fake = Fake::default();
    fake.break_at(Some("put echo peer"));
    let mut bench = bench(&format!("{}echo-receive = \"10ms\"\n", with_session()), fake);
    let calls = bench.fake.calls();
    let of_bfd: Vec<&String> = calls.iter().filter(|call| call.contains("10.0.0.9")).collect();
    assert_eq!(of_bfd, ["put echo peer 10.0.0.9", "put session 10.0.0.9 30ms*5"]);
    bench.fake.break_at(None);
    bench.reconciler.look();
    assert_eq!(
        bench.fake.calls(),
        ["put echo peer 10.0.0.9", "put session 10.0.0.9 30ms*5 with echo"]
    );
    assert_eq!(bench.reload(&with_session()), Ok(2));
    assert_eq!(
        bench.fake.calls(),
        ["put session 10.0.0.9 30ms*5", "remove echo peer 10.0.0.9"]
    );
}

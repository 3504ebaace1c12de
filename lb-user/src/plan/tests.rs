//! The plan over random states.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::{Actual, Operation, plan};
use crate::config;
use crate::desired::{
    Aggregate, Awaited, Desired, Endpoint, Found, Instance, Live, Mode, Neighbor, NeighborKey, Protocol,
    Select, Service, ServiceKey, Session, SessionKey, SpeakerSettings, Template, TimingChange, Unsolicited,
    User, instance_id,
};

/// The smallest configuration there is.
pub(crate) const MINIMAL: &str =
    "[node]\nname = \"lb1\"\nrouter-id = \"192.0.2.1\"\n[datapath]\ninterfaces = [\"eth1\"]\n";

const INSTANCES: [&str; 3] = ["default", "blue", "red"];

fn address(last: u8) -> IpAddr {
    if last.is_multiple_of(2) {
        IpAddr::from([203, 0, 113, last])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)])
    }
}

fn service(vip: u8, port: u16, mode: bool, endpoints: u8, timeout: u64) -> Service {
    Service {
        name: format!("s{vip}-{port}"),
        key: ServiceKey {
            vip: address(vip),
            port,
            protocol: Protocol::Tcp,
        },
        mode: if mode { Mode::Default } else { Mode::FullNat },
        select: Select::Hash,
        instance: INSTANCES[usize::from(vip) % INSTANCES.len()].to_owned(),
        idle_timeout: Duration::from_secs(timeout),
        endpoints: (0..endpoints)
            .map(|number| Endpoint {
                address: address(100 + number),
                port: 8080,
                weight: 1,
            })
            .collect(),
    }
}

prop_compose! {
    fn services()(rows in btree_map((0u8..5, 80u16..82), (any::<bool>(), 0u8..3, 1u64..3), 0..6))
        -> BTreeMap<ServiceKey, Service>
    {
        rows.into_iter()
            .map(|((vip, port), (mode, endpoints, timeout))| service(vip, port, mode, endpoints, timeout))
            .map(|service| (service.key, service))
            .collect()
    }
}

prop_compose! {
    fn instances()(rows in btree_map(0usize..3, (1u32..3, any::<bool>()), 0..3)) -> BTreeMap<String, Instance> {
        let instance = |(name, (priority, layer2)): (usize, (u32, bool))| Instance {
            id: instance_id(INSTANCES[name]),
            name: INSTANCES[name].to_owned(),
            priority,
            preempt: true,
            addresses: Vec::new(),
            vip_interface: layer2.then(|| "eth1".to_owned()),
        };
        rows.into_iter().map(instance).map(|instance| (instance.name.clone(), instance)).collect()
    }
}

fn neighbor(address: IpAddr, remote_as: u32, bfd: bool) -> Neighbor {
    let bfd = if bfd { bgp::BfdMode::On } else { bgp::BfdMode::Off };
    Neighbor {
        key: address.into(),
        peer: bgp::PeerConfig {
            bfd,
            ..bgp::PeerConfig::new(address, remote_as)
        },
    }
}

prop_compose! {
    fn neighbors()(rows in btree_map(10u8..13, (1u32..3, any::<bool>()), 0..3)) -> BTreeMap<NeighborKey, Neighbor> {
        let neighbor = |(last, (remote_as, bfd))| neighbor(address(last), remote_as, bfd);
        rows.into_iter().map(neighbor).map(|neighbor| (neighbor.key.clone(), neighbor)).collect()
    }
}

fn template(multiplier: u8, echo: bool, hops: bfd::Hops) -> Template {
    let timing = bfd::Timing::symmetric(Duration::from_millis(30), multiplier);
    let mut parameters = bfd::Parameters::new(timing);
    parameters.echo.required_min_rx = echo.then_some(Duration::from_millis(10));
    Template {
        local: None,
        hops,
        role: bfd::Role::Active,
        parameters,
    }
}

fn session_key(last: u8, link: bool) -> SessionKey {
    SessionKey::new(address(last), link.then_some("eth1"))
}

prop_compose! {
    fn sessions()(rows in btree_map((10u8..14, any::<bool>()), (1u8..3, any::<bool>(), any::<bool>()), 0..4))
        -> BTreeMap<SessionKey, Session>
    {
        let session = |((last, link), (multiplier, echo, far))| {
            let hops = if far { bfd::Hops::Multi { minimum_ttl: 254 } } else { bfd::Hops::Single };
            Session::new(session_key(last, link), &template(multiplier, echo, hops), User::Configuration)
        };
        rows.into_iter().map(session).map(|session| (session.key.clone(), session)).collect()
    }
}

prop_compose! {
    fn awaited()(router in option::of((1u8..3, any::<bool>())), guests in option::of(1u8..3)) -> Awaited {
        let single = |(multiplier, echo)| template(multiplier, echo, bfd::Hops::Single);
        Awaited {
            unnumbered: router.map(|router| ("eth1".to_owned(), single(router))).into_iter().collect(),
            dynamic: guests.map(|guests| ("203.0.113.0/24".parse().unwrap(), Some(single((guests, true))))).into_iter().collect(),
        }
    }
}

prop_compose! {
    /// Also about sessions that are not there.
    fn live()(
        changes in btree_map((10u8..16, any::<bool>()), 1u8..5, 0..3),
        disabled in btree_set((10u8..16, any::<bool>()), 0..3),
        routers in btree_set(10u8..16, 0..2),
        guests in btree_set(10u8..16, 0..3),
    ) -> Live {
        let change = |multiplier| TimingChange { multiplier: Some(multiplier), ..TimingChange::default() };
        let router = |last| Found::Router { interface: "eth1".to_owned(), address: address(last) };
        let found = routers.into_iter().map(router);
        Live {
            changes: changes.into_iter().map(|((last, link), by)| (session_key(last, link), change(by))).collect(),
            disabled: disabled.into_iter().map(|(last, link)| session_key(last, link)).collect(),
            found: found.chain(guests.into_iter().map(|last| Found::Guest(address(last)))).collect(),
        }
    }
}

fn unsolicited(multiplier: u8) -> Unsolicited {
    Unsolicited {
        interface: "eth1".to_owned(),
        prefixes: Vec::new(),
        limit: 10,
        parameters: template(multiplier, false, bfd::Hops::Single).parameters,
    }
}

prop_compose! {
    fn desired()(
        services in services(),
        instances in instances(),
        neighbors in neighbors(),
        sessions in sessions(),
        awaited in awaited(),
        live in live(),
        strangers in option::of(1u8..3),
    ) -> Desired {
        let fixed = config::parse("minimal", MINIMAL).unwrap().fixed;
        Desired {
            generation: 1,
            warnings: Vec::new(),
            fixed,
            services,
            overrides: BTreeMap::new(),
            aggregates: Vec::new(),
            speaker: SpeakerSettings::default(),
            neighbors,
            sessions,
            awaited,
            unsolicited: strangers.map(unsolicited).into_iter().collect(),
            live,
            instances,
        }
    }
}

prop_compose! {
    /// Whatever a crashed daemon may have left behind.
    fn anything()(
        other in desired(),
        vips in btree_set(0u8..8, 0..5),
        unknown in btree_map((0u8..8, 80u16..82), option::of(any::<bool>()), 0..5),
        echo in btree_set((10u8..16, any::<bool>()), 0..3),
        doubtful in btree_set((10u8..16, any::<bool>()), 0..3),
        admitting in any::<bool>(),
    ) -> Actual {
        let mut actual = reached(&other, Actual::default());
        for (last, link) in doubtful {
            actual.doubt_session(&session_key(last, link));
        }
        actual.unsolicited = actual.unsolicited.filter(|_| admitting);
        actual.vips = vips.into_iter().map(address).collect();
        actual.echo_peers = echo.into_iter().map(|(last, link)| session_key(last, link)).collect();
        actual.services = unknown
            .into_iter()
            .map(|((vip, port), known)| (service(vip, port, true, 1, 1), known))
            .map(|(service, known)| (service.key, known.map(|_| service)))
            .collect();
        actual
    }
}

fn reached(desired: &Desired, mut actual: Actual) -> Actual {
    for operation in plan(desired, &actual) {
        actual.record(operation);
    }
    actual
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(desired in desired(), actual in anything()) {
        let after = reached(&desired, actual);
        prop_assert_eq!(plan(&desired, &after), Vec::new());
        // And the state is the desired one, not merely a quiet one.
        prop_assert_eq!(&after.neighbors, &desired.neighbors);
        let sessions = desired.bfd_sessions();
        prop_assert!(after.sessions.keys().eq(sessions.keys()));
        for (key, session) in &sessions {
            prop_assert_eq!(after.sessions[key].as_ref(), Some(session));
            prop_assert_eq!(after.disabled.contains_key(key), desired.live.disabled.contains(key), "{}", key);
            prop_assert_eq!(after.echo_peers.contains(key), session.returns_echo(), "{}", key);
        }
        prop_assert!(after.echo_peers.iter().all(|key| sessions.contains_key(key)));
        prop_assert!(after.disabled.keys().all(|key| sessions.contains_key(key)));
        prop_assert_eq!(after.unsolicited.as_ref(), Some(&desired.unsolicited));
        prop_assert_eq!(after.announcements, desired.announcements());
        prop_assert!(after.vips.iter().eq(desired.services.keys().map(|key| &key.vip).collect::<BTreeSet<_>>()));
        let services: BTreeMap<_, _> = desired.services.iter().map(|(key, service)| (*key, Some(service.clone()))).collect();
        prop_assert_eq!(after.services, services);
        prop_assert!(after.instances.keys().eq(desired.instances.keys()));
    }

    /// Make before break: at no step is a VIP announced that the maps do not know.
    #[test]
    fn what_is_announced_can_be_served(from in desired(), to in desired()) {
        let mut actual = reached(&from, Actual::default());
        for operation in plan(&to, &actual) {
            actual.record(operation.clone());
            for announcement in &actual.announcements {
                let vip = announcement.prefix.addr();
                prop_assert!(actual.vips.contains(&vip), "{operation}: {vip} is announced and no VIP");
                let served = actual.services.keys().any(|key| key.vip == vip);
                prop_assert!(served, "{operation}: {vip} is announced and has no service");
            }
        }
    }

    #[test]
    fn what_stays_is_not_touched(desired in desired(), generation in 2u64..9) {
        let actual = reached(&desired, Actual::default());
        let again = Desired { generation, ..desired };
        prop_assert_eq!(plan(&again, &actual), Vec::new());
    }
}

proptest! {
    /// A peer that may send Echo packets gets them back, at every step.
    #[test]
    fn whoever_may_send_echo_packets_gets_them_back(from in desired(), to in desired()) {
        let mut actual = reached(&from, Actual::default());
        for operation in plan(&to, &actual) {
            actual.record(operation.clone());
            for session in actual.sessions.values().flatten().filter(|session| session.returns_echo()) {
                prop_assert!(actual.echo_peers.contains(&session.key), "{operation}: {}", session.key);
            }
        }
    }
}

/// What `apply::Bfd` promises of whoever has the sessions.
#[derive(Default)]
struct Sessions {
    sessions: BTreeMap<SessionKey, Session>,
    down: BTreeSet<SessionKey>,
    admits: Vec<Unsolicited>,
}

impl Sessions {
    fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::PutSession(session) => drop(self.sessions.insert(session.key.clone(), *session)),
            Operation::RemoveSession(key) => {
                self.sessions.remove(&key);
                self.down.remove(&key);
            }
            Operation::DisableSession(key) => drop(self.down.insert(key)),
            Operation::EnableSession(key) => drop(self.down.remove(&key)),
            Operation::PutUnsolicited(unsolicited) => self.admits = unsolicited,
            Operation::PutEchoPeer(_) | Operation::RemoveEchoPeer(_) => {}
            Operation::Announce(_)
            | Operation::PutSpeaker(_)
            | Operation::RemoveNeighbor(_)
            | Operation::RemoveInstance(_)
            | Operation::RemoveService(_)
            | Operation::RemoveVip(_)
            | Operation::PutVip(_)
            | Operation::PutService(_)
            | Operation::PutInstance(_)
            | Operation::PutNeighbor(_) => unreachable!("{operation} is not about BFD"),
        }
    }
}

/// One operation of a step does not succeed: with `done`, although its effect is there.
#[derive(Clone, Debug)]
struct Failing {
    at: usize,
    done: bool,
}

fn step(desired: &Desired, failing: Option<&Failing>, actual: &mut Actual, sessions: &mut Sessions) {
    let operations = plan(desired, actual);
    let of_bfd: Vec<Operation> = operations
        .into_iter()
        .filter(|operation| {
            operation.session().is_some() || matches!(operation, Operation::PutUnsolicited(_))
        })
        .collect();
    for (number, operation) in of_bfd.into_iter().enumerate() {
        match failing.filter(|failing| failing.at == number) {
            Some(failing) => {
                actual.doubt(&operation);
                if failing.done {
                    sessions.carry_out(operation);
                }
            }
            None => {
                sessions.carry_out(operation.clone());
                actual.record(operation);
            }
        }
    }
}

proptest! {
    /// Whatever fails on the way, and however far it got.
    #[test]
    fn sessions_end_as_they_shall_be(
        steps in vec((desired(), option::of((0usize..4, any::<bool>()))), 1..5),
        last in desired(),
    ) {
        let (mut actual, mut sessions) = (Actual::default(), Sessions::default());
        for (desired, failing) in &steps {
            let failing = failing.map(|(at, done)| Failing { at, done });
            step(desired, failing.as_ref(), &mut actual, &mut sessions);
        }
        step(&last, None, &mut actual, &mut sessions);
        let wanted = last.bfd_sessions();
        let down: BTreeSet<SessionKey> =
            last.live.disabled.iter().filter(|key| wanted.contains_key(*key)).cloned().collect();
        prop_assert_eq!(sessions.sessions, wanted);
        prop_assert_eq!(sessions.down, down);
        prop_assert_eq!(sessions.admits, last.unsolicited);
    }
}

/// One interface of two was missing: the other one admits strangers, and has to be told to stop.
#[test]
fn who_may_start_sessions_is_said_again_after_a_failure() {
    let nobody = config::parse("minimal", MINIMAL).unwrap();
    let mut somebody = nobody.clone();
    somebody.unsolicited.push(unsolicited(3));
    let mut actual = reached(&nobody, Actual::default());
    for operation in plan(&somebody, &actual) {
        actual.doubt(&operation);
    }
    assert_eq!(plan(&nobody, &actual), [Operation::PutUnsolicited(Vec::new())]);
}

#[test]
fn a_session_that_could_not_be_made_is_removed_and_enabled_all_the_same() {
    let nothing = config::parse("minimal", MINIMAL).unwrap();
    let mut desired = nothing.clone();
    let key = session_key(10, true);
    let single = template(3, false, bfd::Hops::Single);
    let session = Session::new(key.clone(), &single, User::Configuration);
    desired.sessions.insert(key.clone(), session.clone());
    desired.live.disabled.insert(key.clone());
    let mut actual = reached(&desired, Actual::default());
    actual.doubt(&Operation::PutSession(Box::new(session.clone())));
    let put = Operation::PutSession(Box::new(session));
    assert_eq!(
        plan(&desired, &actual),
        [put.clone(), Operation::DisableSession(key.clone())]
    );
    assert_eq!(plan(&nothing, &actual), [Operation::RemoveSession(key.clone())]);
    desired.live.disabled.clear();
    assert_eq!(
        plan(&desired, &actual),
        [put, Operation::EnableSession(key.clone())]
    );
    // One that is removed is up when it comes again.
    actual.record(Operation::RemoveSession(key));
    let names: Vec<String> = plan(&desired, &actual).iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

/// At no moment is the VIP without a route.
#[test]
fn a_pool_takes_the_place_of_its_addresses_without_a_gap() {
    let mut single = config::parse("minimal", MINIMAL).unwrap();
    let mut web = service(2, 80, true, 1, 1);
    web.instance = "default".to_owned();
    single.services.insert(web.key, web);
    let mut pooled = single.clone();
    pooled.aggregates.push(Aggregate {
        prefix: "203.0.113.0/24".parse().unwrap(),
        instance: "default".to_owned(),
        summary_only: true,
    });
    for (from, to) in [(&single, &pooled), (&pooled, &single)] {
        let mut actual = reached(from, Actual::default());
        assert_eq!(actual.announcements.len(), 1);
        for operation in plan(to, &actual) {
            actual.record(operation);
            let covered = |announcement: &bgp::Announcement| {
                announcement.healthy && announcement.prefix.contains(&address(2))
            };
            assert!(actual.announcements.iter().any(covered));
        }
        assert_eq!(actual.announcements, to.announcements());
    }
}

#[test]
fn neighbours_come_last_and_go_first() {
    let mut desired = config::parse("minimal", MINIMAL).unwrap();
    let vip = service(2, 80, true, 1, 1);
    desired.services.insert(vip.key, vip);
    desired
        .neighbors
        .insert(address(10).into(), neighbor(address(10), 65000, false));
    let names = |operations: Vec<Operation>| operations.iter().map(ToString::to_string).collect::<Vec<_>>();
    let fresh = Actual {
        unsolicited: Some(Vec::new()),
        ..Actual::default()
    };
    let there = reached(&desired, fresh.clone());
    assert_eq!(
        names(plan(&desired, &fresh)),
        [
            "set the speaker",
            "put VIP 203.0.113.2",
            "put service 203.0.113.2:80/tcp",
            "put instance default",
            "announce 1 prefixes",
            "put neighbor 203.0.113.10"
        ]
    );
    let empty = config::parse("minimal", MINIMAL).unwrap();
    assert_eq!(
        names(plan(&empty, &there)),
        [
            "announce 0 prefixes",
            "remove neighbor 203.0.113.10",
            "remove service 203.0.113.2:80/tcp",
            "remove VIP 203.0.113.2"
        ]
    );
}

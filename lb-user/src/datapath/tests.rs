//! The flow table and its sweep on maps of their own; no packet is involved.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so"
)]

use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aya::EbpfLoader;
use lb_common::{EndpointKey, Flow, FlowFlags, FlowKey, Port, map};
use sync::{Change, FlowIdentity, FlowRecord, FlowState};

use super::catalog::{Catalog, Entry, Extent};
use super::echo_peers::EchoPeers;
use super::flow_table::{Applied, FlowTable, other_half};
use super::maps::{self, Maps};
use super::services::Services;
use super::sweep::Sweep;
use super::table::Expect;
use super::{object, record};
use crate::apply::DataPath as _;
use crate::desired::{Endpoint, Mode, Protocol, Select, Service, ServiceKey};

const VIP: &str = "203.0.113.10";
const BACKEND: &str = "10.0.2.21";
const TIMEOUT: Duration = Duration::from_secs(600);
const TCP: u8 = 6;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Fresh maps, which takes root, and one service.
fn table() -> FlowTable {
    let mut loader = EbpfLoader::new();
    for name in [map::ESTABLISHED, map::EMBRYONIC] {
        loader.map_max_entries(name, 1024);
    }
    let mut ebpf = loader
        .load(object::PROGRAMS)
        .expect("this test makes BPF maps: run it as root");
    let (maps, _) = maps::take(&mut ebpf).unwrap();
    let key = ServiceKey {
        vip: ip(VIP),
        port: 80,
        protocol: Protocol::Tcp,
    };
    let service = Service {
        name: "web".into(),
        key,
        mode: Mode::FullNat,
        select: Select::Hash,
        instance: "default".into(),
        idle_timeout: TIMEOUT,
        endpoints: vec![Endpoint {
            address: ip(BACKEND),
            port: 8080,
            weight: 1,
        }],
    };
    let mut catalog = Catalog::default();
    let entry = Entry {
        id: 1,
        extent: Extent::default(),
        service: Some(service),
        retired: Vec::new(),
    };
    catalog.insert(key, entry);
    FlowTable::new(Arc::new(maps), Arc::new(RwLock::new(catalog)))
}

/// A flow of some client by some source port.
fn flow(client: &str, snat: u16, age: Duration) -> FlowRecord {
    FlowRecord {
        identity: FlowIdentity {
            protocol: TCP,
            client: sync::Endpoint::new(ip(client), 40_000),
            vip: sync::Endpoint::new(ip(VIP), 80),
        },
        backend: sync::Endpoint::new(ip(BACKEND), 8080),
        snat: Some(sync::Endpoint::new(ip(VIP), snat)),
        state: FlowState::Established,
        age,
        flags: sync::FlowFlags::default(),
    }
}

fn upsert(table: &FlowTable, record: FlowRecord) -> Applied {
    table.apply(&[Change::Upsert(record)])
}

fn maps(table: &FlowTable) -> &Maps {
    &table.0.maps
}

fn forward(table: &FlowTable, record: &FlowRecord) -> (FlowKey, Option<Flow>) {
    let key = record::key(&record.identity);
    (key, maps(table).established.get(&key).unwrap())
}

/// Both halves are there and belong together.
fn is_whole(table: &FlowTable, record: &FlowRecord) -> bool {
    let (key, flow) = forward(table, record);
    flow.is_some_and(|flow| {
        other_half(&maps(table).established, &key, &flow)
            .unwrap()
            .is_some()
    })
}

fn entries(table: &FlowTable) -> (usize, usize) {
    (
        maps(table).established.all().unwrap().len(),
        maps(table).embryonic.all().unwrap().len(),
    )
}

/// Two clients by one source port, one after the other: the hand-over left the first one here.
#[test]
fn a_newer_flow_takes_the_port_of_one_that_is_over() {
    let table = table();
    let (former, newer) = (
        flow("198.51.100.1", 5000, Duration::from_secs(60)),
        flow("198.51.100.2", 5000, Duration::ZERO),
    );
    assert_eq!(upsert(&table, former).installed, 1);
    assert_eq!(upsert(&table, newer).installed, 1);
    assert!(is_whole(&table, &newer));
    assert_eq!(entries(&table), (2, 0), "nothing is left of the former one");

    // The other way round it is the record that is old news.
    assert_eq!(upsert(&table, former).refused, 1);
    assert!(is_whole(&table, &newer));

    // Closed a moment ago is over as well.
    let mut closed = newer;
    closed.state = FlowState::Closing;
    assert_eq!(upsert(&table, closed).installed, 1);
    assert_eq!(upsert(&table, former).installed, 1);
    assert!(is_whole(&table, &former));
    assert_eq!(entries(&table), (2, 0));
}

/// A handshake that went astray has the port: a flow that the peer has seen alive is worth more.
#[test]
fn a_flow_that_lives_takes_the_port_of_a_handshake() {
    let table = table();
    let (early, proved) = (
        flow("198.51.100.1", 5000, Duration::ZERO),
        flow("198.51.100.2", 5000, Duration::from_secs(1)),
    );
    make_embryonic(&table, &early);
    assert_eq!(entries(&table), (0, 2));
    assert_eq!(upsert(&table, proved).installed, 1);
    assert!(is_whole(&table, &proved));
    assert_eq!(entries(&table), (2, 0));
}

/// Moves a flow to the embryonic tier as its own.
fn make_embryonic(table: &FlowTable, record: &FlowRecord) {
    upsert(table, *record);
    for (key, flow) in maps(table).established.all().unwrap() {
        let flow = Flow {
            flags: flow.flags & !FlowFlags::REMOTE,
            ..flow
        };
        maps(table).embryonic.put(&key, &flow, Expect::Any).unwrap();
        maps(table).established.remove(&key).unwrap();
    }
}

/// One whole pass.
fn sweep(table: &FlowTable) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut sweep = Sweep::new();
    while sweep.step(table, &mut changes).is_none() {}
    changes
}

#[test]
fn a_handshake_expires_as_a_whole() {
    let table = table();
    let record = flow("198.51.100.1", 5000, Duration::from_secs(31));
    make_embryonic(&table, &record);
    let key = record::key(&record.identity);
    let embryonic = &maps(&table).embryonic;
    let stale = embryonic.get(&key).unwrap().unwrap();
    let fresh = Flow {
        last_seen: record::now(),
        ..stale
    };
    embryonic.put(&key, &fresh, Expect::Any).unwrap();
    sweep(&table);
    assert_eq!(entries(&table), (0, 2), "the client still asks");
    embryonic.put(&key, &stale, Expect::Any).unwrap();
    sweep(&table);
    assert_eq!(entries(&table), (0, 0));
}

/// Every stamp and every flag of both halves.
fn change(table: &FlowTable, mut what: impl FnMut(&mut Flow)) {
    for (key, mut flow) in maps(table).established.all().unwrap() {
        what(&mut flow);
        maps(table).established.put(&key, &flow, Expect::Any).unwrap();
    }
}

#[test]
fn a_lost_way_back_is_made_again() {
    let table = table();
    let record = flow("198.51.100.1", 5000, Duration::from_secs(1));
    upsert(&table, record);
    let (key, forward) = forward(&table, &record);
    let reverse_key = forward.unwrap().reply_key(&key);
    let established = &maps(&table).established;
    let reverse = established.get(&reverse_key).unwrap().unwrap();
    established.remove(&reverse_key).unwrap();
    sweep(&table);
    assert_eq!(established.get(&reverse_key).unwrap(), Some(reverse));

    // Its key went to another client meanwhile: the replies are not this one's.
    let other = Flow {
        dport: Port::new(40_001),
        ..reverse
    };
    established.put(&reverse_key, &other, Expect::Present).unwrap();
    change(&table, |flow| flow.flags &= !FlowFlags::REMOTE);
    assert_eq!(sweep(&table), [Change::Delete(record.identity)]);
    assert_eq!(established.get(&key).unwrap(), None);
    assert!(established.get(&reverse_key).unwrap().is_some());
}

/// The peer said that it is closed: nothing more will be heard of it.
#[test]
fn a_closed_flow_of_the_peer_ends_by_itself() {
    let table = table();
    table.set_peer_connected(true);
    let mut closed = flow("198.51.100.1", 5000, Duration::from_secs(5));
    closed.state = FlowState::Closing;
    upsert(&table, closed);
    sweep(&table);
    assert_eq!(entries(&table), (2, 0));
    change(&table, |flow| {
        flow.last_seen -= record::ticks(Duration::from_secs(6))
    });
    assert!(sweep(&table).is_empty());
    assert_eq!(entries(&table), (0, 0));
}

/// A flow in use is named every quarter of its timeout: a peer that dies just before has not said the last of it.
#[test]
fn the_flows_of_a_dead_peer_have_a_quarter_more() {
    let (table, quarter) = (table(), TIMEOUT / 4);
    let record = flow("198.51.100.1", 5000, TIMEOUT + quarter / 2);
    upsert(&table, record);
    sweep(&table);
    assert_eq!(entries(&table), (2, 0), "nobody has adopted it");
    assert_eq!(table.adopt_peer_flows(), 1);
    sweep(&table);
    assert_eq!(entries(&table), (2, 0), "it is this node's own");
    change(&table, |flow| flow.last_seen -= record::ticks(quarter));
    sweep(&table);
    assert_eq!(entries(&table), (0, 0));
}

/// The peer ends a flow that is in use here: it gets it back. What was closed here stays closed all the same.
#[test]
fn a_flow_in_use_is_told_and_one_that_is_over_stays_over() {
    let table = table();
    let record = flow("198.51.100.1", 5000, Duration::ZERO);
    upsert(&table, record);
    assert_eq!(table.adopt_peer_flows(), 1);
    let ended = table.apply(&[Change::Delete(record.identity)]);
    assert_eq!(ended.kept, 1);
    assert!(
        matches!(ended.answers.as_slice(), [Change::Upsert(again)] if again.identity == record.identity),
        "{ended:?}"
    );

    let (key, own) = forward(&table, &record);
    let closed = Flow {
        flags: own.unwrap().flags | FlowFlags::CLOSED,
        ..own.unwrap()
    };
    maps(&table)
        .established
        .put(&key, &closed, Expect::Present)
        .unwrap();
    let older = flow("198.51.100.1", 5000, Duration::from_secs(3));
    assert_eq!(upsert(&table, older).kept, 1);
    assert!(forward(&table, &record).1.unwrap().has(FlowFlags::CLOSED));
}

/// An endpoint is taken out of service: its flows go on, on both nodes.
#[test]
fn a_retired_endpoint_keeps_its_flows() {
    let table = table();
    let (maps, catalog) = (Arc::clone(&table.0.maps), Arc::clone(&table.0.catalog));
    let mut service = {
        let catalog = catalog.read().unwrap();
        catalog.entries.values().next().unwrap().service.clone().unwrap()
    };
    let mut services = Services::adopt(maps, catalog).unwrap();
    service.mode = Mode::Default;
    service.endpoints.push(Endpoint {
        address: ip("10.0.2.22"),
        port: 8080,
        weight: 1,
    });
    services.put_service(&service).unwrap();
    let gone = service.endpoints.remove(0);
    services.put_service(&service).unwrap();
    let key = EndpointKey::new(gone.address.into(), Port::new(gone.port), TCP);
    let endpoint = table
        .0
        .maps
        .endpoints
        .get(&key)
        .unwrap()
        .expect("replies are still attributed");
    assert_eq!(endpoint.ambiguous, 0);
    let mut record = flow("198.51.100.1", 40_000, Duration::ZERO);
    record.snat = None;
    assert_eq!(upsert(&table, record).installed, 1);

    // Back in service: it is an endpoint like the others, not one of two.
    service.endpoints.insert(0, gone);
    services.put_service(&service).unwrap();
    assert_eq!(table.0.maps.endpoints.get(&key).unwrap().unwrap().ambiguous, 0);
}

#[test]
fn echo_peers_are_as_many_as_there_is_room_for() {
    let mut peers = EchoPeers::new(Arc::clone(&table().0.maps));
    assert_eq!(peers.existing().unwrap(), []);
    for ifindex in 1..=map::ECHO_PEERS_SIZE {
        peers.put(ip("fe80::1"), Some(ifindex)).unwrap();
    }
    let full = peers.put(ip("192.0.2.1"), None).unwrap_err();
    assert_eq!(full.to_string(), "more than 1024 peers with BFD Echo");
    peers.put(ip("fe80::1"), Some(1)).unwrap();
    peers.remove(ip("fe80::1"), Some(1)).unwrap();
    peers.remove(ip("fe80::1"), Some(1)).unwrap();
    peers.put(ip("192.0.2.1"), None).unwrap();
    let existing = peers.existing().unwrap();
    assert_eq!(existing.len(), 1024);
    assert_eq!(existing[..2], [(ip("192.0.2.1"), None), (ip("fe80::1"), Some(2))]);
}

//! Two drivers over loopback, with real TLS and model tables.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ha::Hello;
use sync::{Change, Endpoint, FlowFlags, FlowIdentity, FlowRecord, FlowState};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{Event, FlowTable, HelloSender, Running, Setup, StartError, hellos, start};
use crate::datapath::{Applied, FlowNews};
use crate::status::StatusBoard;
use crate::timeline::Timeline;
use crate::{desired, keygen};

const DEADLINE: Duration = Duration::from_secs(30);

/// Flows, and whether the peer owns them.
#[derive(Clone)]
struct Model {
    flows: Arc<Mutex<BTreeMap<FlowIdentity, (FlowRecord, bool)>>>,
    room: usize,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            flows: Arc::default(),
            room: usize::MAX,
        }
    }
}

impl Model {
    fn flows(&self) -> MutexGuard<'_, BTreeMap<FlowIdentity, (FlowRecord, bool)>> {
        self.flows.lock().unwrap()
    }

    fn identities(&self) -> BTreeSet<FlowIdentity> {
        self.flows().keys().copied().collect()
    }
}

impl FlowTable for Model {
    type Walk = Option<FlowIdentity>;

    fn walk(&self) -> Self::Walk {
        None
    }

    fn next_part(&self, walk: &mut Self::Walk) -> (Vec<FlowRecord>, bool) {
        let (flows, after) = (self.flows(), *walk);
        let rest = flows
            .iter()
            .filter(|(identity, _)| after.is_none_or(|after| **identity > after));
        let part: Vec<_> = rest.take(100).collect();
        *walk = part.last().map(|(identity, _)| **identity).or(after);
        let own = part
            .iter()
            .filter(|(_, (_, remote))| !remote)
            .map(|(_, (record, _))| *record);
        (own.collect(), part.len() < 100)
    }

    fn apply(&self, changes: &[Change]) -> Applied {
        let mut applied = Applied::default();
        let mut flows = self.flows();
        for change in changes {
            let own = flows.get(change.identity()).is_some_and(|(_, remote)| !remote);
            match change {
                Change::Delete(identity) if own => {
                    applied.kept += 1;
                    let record = flows.get(identity).map(|(record, _)| *record);
                    applied.answers.extend(record.map(Change::Upsert));
                }
                Change::Upsert(_) if own => applied.kept += 1,
                Change::Upsert(_) if flows.len() >= self.room => applied.full += 1,
                Change::Upsert(record) => {
                    flows.insert(record.identity, (*record, true));
                }
                Change::Delete(identity) => {
                    flows.remove(identity);
                }
            }
        }
        applied
    }

    fn adopt_peer_flows(&self) -> u64 {
        self.flows().values_mut().for_each(|(_, remote)| *remote = false);
        0
    }

    fn retain_named(&self, named: &HashSet<FlowIdentity>) -> u64 {
        self.flows()
            .retain(|identity, (_, remote)| !*remote || named.contains(identity));
        0
    }

    fn set_peer_connected(&self, _connected: bool) {}

    fn refused(&self) -> u64 {
        0
    }
}

fn flow(node: u8, number: u16) -> FlowRecord {
    let endpoint = |last, port| Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, node, last)), port);
    FlowRecord {
        identity: FlowIdentity {
            protocol: 6,
            client: endpoint(1, number),
            vip: endpoint(2, 80),
        },
        backend: endpoint(3, 8080),
        snat: None,
        state: FlowState::Established,
        age: Duration::ZERO,
        flags: FlowFlags::default(),
    }
}

/// A loopback address of this test alone.
fn address(test: u8, port: u16) -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, test, high, low], port))
}

struct Node {
    model: Model,
    news: mpsc::Sender<FlowNews>,
    hellos: HelloSender,
    events: Arc<Mutex<Vec<Event>>>,
    board: StatusBoard,
    running: Running,
}

/// `own` and `peer` are names; the node listens on port 4785 or 4786 of the test's address.
fn launch(
    test: u8,
    directory: &Path,
    own: &str,
    peer: &str,
    first: bool,
    model: Model,
) -> Result<Node, StartError> {
    let (here, there) = if first { (4785, 4786) } else { (4786, 4785) };
    let config = desired::Sync {
        listen: address(test, here),
        certificate: directory.join(format!("{own}.crt")),
        key: directory.join(format!("{own}.key")),
        ca: directory.join("ca.crt"),
        peers: BTreeMap::from([(peer.to_owned(), address(test, there))]),
    };
    let (news, news_receiver) = mpsc::channel(1000);
    let (hello_sender, hello_receiver) = hellos();
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = Arc::clone(&events);
    let board = StatusBoard::new();
    let running = start(Setup {
        node: own.to_owned(),
        boot: rand::random(),
        config,
        table: model.clone(),
        news: news_receiver,
        hellos: hello_receiver,
        events: Arc::new(move |_, event| sink.lock().unwrap().push(event)),
        timeline: Timeline::new(),
        board: board.clone(),
    })?;
    Ok(Node {
        model,
        news,
        hellos: hello_sender,
        events,
        board,
        running,
    })
}

impl Node {
    fn peer(&self) -> api::SyncPeer {
        self.board.sync.newest().first().cloned().unwrap_or_default()
    }

    fn streams(&self) -> bool {
        self.peer().state == "streaming"
    }

    fn complains(&self, about: &str) -> bool {
        self.peer().last_error.is_some_and(|error| error.contains(about))
    }

    fn caught_up(&self) -> Option<bool> {
        let events = self.events.lock().unwrap();
        events.iter().rev().find_map(|event| match event {
            Event::CaughtUp(caught_up) => Some(*caught_up),
            Event::PeerHello(_) => None,
        })
    }

    fn hellos_heard(&self) -> Vec<Vec<u8>> {
        let events = self.events.lock().unwrap();
        let heard = events.iter().filter_map(|event| match event {
            Event::PeerHello(bytes) => Some(bytes.clone()),
            Event::CaughtUp(_) => None,
        });
        heard.collect()
    }

    async fn add(&self, records: Vec<FlowRecord>) {
        self.model
            .flows()
            .extend(records.iter().map(|record| (record.identity, (*record, false))));
        let changes = records.into_iter().map(Change::Upsert).collect();
        self.news.send(FlowNews::Changes(changes)).await.unwrap();
    }

    async fn end(&self, records: Vec<FlowRecord>) {
        let identities: Vec<_> = records.iter().map(|record| record.identity).collect();
        self.model
            .flows()
            .retain(|identity, _| !identities.contains(identity));
        let changes = identities.into_iter().map(Change::Delete).collect();
        self.news.send(FlowNews::Changes(changes)).await.unwrap();
    }
}

async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn certificates(names: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    keygen::run(directory.path(), &names).unwrap();
    directory
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_changes_each_way() {
    let directory = certificates(&["lb1", "lb2"]);
    let flows =
        |node: u8, from: u16, to: u16| -> Vec<FlowRecord> { (from..to).map(|n| flow(node, n)).collect() };
    let full = Model::default();
    full.flows().extend(
        flows(1, 0, 3000)
            .iter()
            .map(|record| (record.identity, (*record, false))),
    );
    let lb1 = launch(1, directory.path(), "lb1", "lb2", true, full).unwrap();
    let lb2 = launch(1, directory.path(), "lb2", "lb1", false, Model::default()).unwrap();
    for round in 0..50 {
        let at = round * 160;
        tokio::join!(
            lb1.add(flows(1, 5000 + at, 5160 + at)),
            lb2.add(flows(2, at, at + 160))
        );
        tokio::join!(
            lb1.end(flows(1, 5000 + at, 5040 + at)),
            lb2.end(flows(2, at, at + 40))
        );
    }
    eventually("both stream", || lb1.streams() && lb2.streams()).await;
    eventually("equal", || lb1.model.identities() == lb2.model.identities()).await;
    assert_eq!(lb1.model.flows().len(), 3000 + 2 * 50 * 120);
    assert_eq!((lb1.caught_up(), lb2.caught_up()), (Some(true), Some(true)));
    // From here on it is the stream alone.
    lb1.add(flows(1, 60_000, 60_500)).await;
    eventually("acknowledged", || lb1.peer().acknowledged_records >= 500).await;
    eventually("equal again", || lb1.model.identities() == lb2.model.identities()).await;
    eventually("the lag is known", || lb1.peer().lag_max_us > 0).await;
    let peer = lb1.peer();
    assert!(peer.lag_p99_us <= peer.lag_max_us, "{peer:?}");
    // Two connections may have met at the start.
    assert!(
        (1..=2).contains(&peer.snapshots_sent) && peer.resyncs == 0,
        "{peer:?}"
    );
    println!(
        "lag p50 {} us, p99 {} us, max {} us",
        peer.lag_p50_us, peer.lag_p99_us, peer.lag_max_us
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_incarnation_gets_everything_back() {
    let directory = certificates(&["lb1", "lb2"]);
    let lb1 = launch(2, directory.path(), "lb1", "lb2", true, Model::default()).unwrap();
    let lb2 = launch(2, directory.path(), "lb2", "lb1", false, Model::default()).unwrap();
    let ours: Vec<_> = (0..500).map(|n| flow(2, n)).collect();
    lb2.add(ours).await;
    eventually("lb1 has them", || lb1.model.flows().len() == 500 && lb1.streams()).await;
    drop(lb2);
    eventually("lb1 notices", || lb1.caught_up() == Some(false)).await;
    let mut lb2 = launch(2, directory.path(), "lb2", "lb1", false, Model::default());
    eventually("the old listener is gone", || {
        if lb2.is_err() {
            lb2 = launch(2, directory.path(), "lb2", "lb1", false, Model::default());
        }
        lb2.is_ok()
    })
    .await;
    let lb2 = lb2.unwrap();
    eventually("lb2 has them back", || {
        lb2.model.flows().len() == 500 && lb2.streams()
    })
    .await;
    assert!(lb2.model.flows().values().all(|(_, remote)| *remote));
    assert!(lb1.model.flows().values().all(|(_, remote)| !*remote));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_news_are_repaired() {
    let directory = certificates(&["lb1", "lb2"]);
    let lb1 = launch(3, directory.path(), "lb1", "lb2", true, Model::default()).unwrap();
    let lb2 = launch(3, directory.path(), "lb2", "lb1", false, Model::default()).unwrap();
    lb1.add(vec![flow(1, 1), flow(1, 2)]).await;
    eventually("both stream", || lb1.streams() && lb2.streams()).await;
    eventually("equal", || lb2.model.flows().len() == 2).await;
    lb1.model.flows().remove(&flow(1, 1).identity);
    lb1.model.flows().insert(flow(1, 3).identity, (flow(1, 3), false));
    lb1.news.send(FlowNews::Missed).await.unwrap();
    eventually("equal again", || lb1.model.identities() == lb2.model.identities()).await;
    eventually("counted", || lb1.peer().resyncs == 1 && lb1.streams()).await;
}

/// Or nobody would have it when the node that serves it dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_the_peer_ended_and_that_lives_here_goes_back_to_the_peer() {
    let directory = certificates(&["lb1", "lb2"]);
    let lb1 = launch(13, directory.path(), "lb1", "lb2", true, Model::default()).unwrap();
    let lb2 = launch(13, directory.path(), "lb2", "lb1", false, Model::default()).unwrap();
    eventually("both stream", || lb1.streams() && lb2.streams()).await;
    let record = flow(1, 1);
    lb1.add(vec![record]).await;
    lb2.add(vec![record]).await;
    lb2.end(vec![record]).await;
    eventually("lb2 has it again", || {
        lb2.model
            .flows()
            .get(&record.identity)
            .is_some_and(|(_, remote)| *remote)
    })
    .await;
    assert_eq!(lb1.model.flows().get(&record.identity), Some(&(record, false)));
}

/// Were it called caught up, it would become MASTER and lose the flows that it has no room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_room_has_not_caught_up() {
    let directory = certificates(&["lb1", "lb2"]);
    let full = Model::default();
    full.flows().extend((0..500).map(|n| {
        let record = flow(1, n);
        (record.identity, (record, false))
    }));
    let lb1 = launch(12, directory.path(), "lb1", "lb2", true, full).unwrap();
    let small = Model {
        room: 100,
        ..Model::default()
    };
    let lb2 = launch(12, directory.path(), "lb2", "lb1", false, small).unwrap();
    eventually("it says why", || lb2.complains("max-flows")).await;
    eventually("the snapshot is over", || lb2.peer().snapshots_received > 0).await;
    eventually("the other has caught up", || lb1.caught_up() == Some(true)).await;
    assert_ne!(lb2.caught_up(), Some(true));
    assert_ne!(lb2.peer().state, "streaming");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hellos_go_out_in_the_own_name_only() {
    let directory = certificates(&["lb1", "lb2"]);
    let hello = |node: &str, sequence| {
        let node = node.to_owned();
        Hello {
            node,
            boot: 1,
            sequence,
            draining: false,
            uplink: true,
            announces: true,
            instances: Vec::new(),
        }
        .encode()
    };
    let lb1 = launch(4, directory.path(), "lb1", "lb2", true, Model::default()).unwrap();
    lb1.hellos.send(hello("lb1", 1));
    let lb2 = launch(4, directory.path(), "lb2", "lb1", false, Model::default()).unwrap();
    eventually("the cached hello", || lb2.hellos_heard() == [hello("lb1", 1)]).await;
    lb1.hellos.send(hello("lb9", 2));
    lb1.hellos.send(vec![0]);
    lb1.hellos.send(hello("lb1", 3));
    eventually("the next hello", || {
        lb2.hellos_heard() == [hello("lb1", 1), hello("lb1", 3)]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ca_is_refused() {
    let (here, there) = (certificates(&["lb1"]), certificates(&["lb2"]));
    let lb1 = launch(5, here.path(), "lb1", "lb2", true, Model::default()).unwrap();
    let lb2 = launch(5, there.path(), "lb2", "lb1", false, Model::default()).unwrap();
    let complaint = "not signed by the CA of this cluster";
    eventually("both say why", || {
        lb1.complains(complaint) && lb2.complains(complaint)
    })
    .await;
    assert_eq!((lb1.caught_up(), lb2.caught_up()), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_is_refused() {
    let directory = certificates(&["lb1", "lb3"]);
    let lb1 = launch(6, directory.path(), "lb1", "lb2", true, Model::default()).unwrap();
    let lb3 = launch(6, directory.path(), "lb3", "lb1", false, Model::default()).unwrap();
    eventually("lb1 says why", || lb1.complains("does not carry the name lb2")).await;
    eventually("lb3 is turned away", || lb3.peer().last_error.is_some()).await;
    assert_eq!((lb1.caught_up(), lb3.caught_up()), (None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_do_not_disturb() {
    let directory = certificates(&["lb1", "lb2"]);
    let lb1 = launch(7, directory.path(), "lb1", "lb2", true, Model::default()).unwrap();
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(lb1.running.local).await.unwrap());
        let mut noisy = TcpStream::connect(lb1.running.local).await.unwrap();
        noisy.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }
    let lb2 = launch(7, directory.path(), "lb2", "lb1", false, Model::default()).unwrap();
    eventually("both stream", || lb1.streams() && lb2.streams()).await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_files_are_named_at_the_start() {
    let directory = certificates(&["lb1", "lb2"]);
    let launch = |own: &str, test| launch(test, directory.path(), own, "lb2", true, Model::default());
    let refusal =
        |result: Result<Node, StartError>| result.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refusal(launch("lb5", 8)).contains("lb5.crt"));
    let copy =
        |from: &str, to: &str| std::fs::copy(directory.path().join(from), directory.path().join(to)).unwrap();
    copy("lb2.crt", "lb6.crt");
    copy("lb2.key", "lb6.key");
    assert!(refusal(launch("lb6", 9)).contains("does not carry the name lb6"));
    let other = certificates(&["lb7"]);
    for file in ["lb7.crt", "lb7.key"] {
        std::fs::copy(other.path().join(file), directory.path().join(file)).unwrap();
    }
    assert!(refusal(launch("lb7", 10)).contains("not signed by the CA"));
    std::fs::write(directory.path().join("lb1.key"), "nothing").unwrap();
    assert!(refusal(launch("lb1", 11)).contains("lb1.key"));
}

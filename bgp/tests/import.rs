//! Bytes -> session -> tables -> routes of the kernel, against a model that computes everything anew.
//!
//! The model keeps what each neighbour has announced and decides by comparing paths two at a time. After every
//! step the routes that the speaker has asked for, replayed, are exactly those of the model, and the next hops it
//! asks about are exactly those of accepted paths.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at one kind of output at a time"
)]
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::policy::{AsPathMatch, Candidate, Matches, PrefixMatch, Rule, Sets};
use bgp::wire::{
    AsPathSegment, Attribute, Encoding, Message, MpReach, MpUnreach, Nlri, Open, Origin, SegmentKind, Update,
};
use bgp::{
    Announcement, AsPath, ConnectionId, Direction, Event, Families, Family, Gateway, Hops, Input, Output,
    PathAttributes, PeerConfig, PeerId, PeerState, Policy, Role, RouteQuery, RouteStatus, Speaker,
    SpeakerConfig, Table,
};
use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

const LOCAL_AS: u32 = 65000;
const PEERS: u32 = 5;
const LOCAL: [u8; 4] = [10, 255, 0, 254];

fn asn(peer: u32) -> u32 {
    // Two of one AS, two of others, one of ours.
    [65001, 65001, 65002, 65003, LOCAL_AS][peer as usize]
}

/// On the link; the others are farther away.
fn one_hop(peer: u32) -> bool {
    peer == 2 || asn(peer) == LOCAL_AS
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn peer_address(peer: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 0, u8::try_from(peer + 1).unwrap())
}

/// One UPDATE's worth of attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    path: Vec<u32>,
    med: Option<u32>,
    local_pref: Option<u32>,
    origin: Origin,
    communities: Vec<u32>,
    next_hop: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Up(u32),
    Down(u32),
    Announce(u32, BTreeSet<u8>, Said),
    Withdraw(u32, BTreeSet<u8>),
    Policy(u32, usize),
    Metric(u8, Option<u32>),
    Own(BTreeSet<u8>),
}

/// Small worlds make ties and conflicts common.
fn prefix(index: u8) -> IpNet {
    match index {
        0..8 => net(&format!("10.42.{index}.0/24")),
        8..12 => net(&format!("fd42:{index}::/48")),
        12..14 => net(&format!("192.0.2.{index}/32")),
        14 => net("0.0.0.0/0"),
        _ => net("127.1.0.0/16"),
    }
}

const PREFIXES: u8 = 16;

/// Of the family of the prefix; one is the speaker itself, and one is a prefix it may announce.
fn next_hop(index: u8, family: Family) -> IpAddr {
    match (family, index) {
        (Family::Ipv4, 0) => IpAddr::from(LOCAL),
        (Family::Ipv4, 1) => IpAddr::from([192, 0, 2, 12]),
        (Family::Ipv4, index) => IpAddr::from([10, 0, 0, index]),
        (Family::Ipv6, index) => format!("fd00::{index:x}").parse().unwrap(),
    }
}

const NEXT_HOPS: u8 = 7;

fn policy(index: usize) -> Option<Arc<Policy>> {
    let listed = |prefix: &str, ge, le| Matches {
        prefixes: vec![PrefixMatch {
            prefix: net(prefix),
            ge,
            le,
        }],
        ..Matches::default()
    };
    let accept = |matches| Rule {
        matches,
        ..Rule::default()
    };
    let rules = match index {
        0 => return None,
        1 => return Some(Arc::new(Policy::all())),
        2 => return Some(Arc::new(Policy::none())),
        3 => vec![
            accept(listed("10.42.0.0/16", 24, 24)),
            accept(listed("0.0.0.0/0", 0, 0)),
        ],
        4 => vec![Rule {
            matches: Matches {
                as_path: vec![AsPathMatch::Length { min: 0, max: 1 }],
                ..Matches::default()
            },
            sets: Sets {
                local_pref: Some(200),
                ..Sets::default()
            },
            ..Rule::default()
        }],
        _ => vec![Rule {
            sets: Sets {
                med: Some(1),
                prepend: 1,
                ..Sets::default()
            },
            ..Rule::default()
        }],
    };
    Some(Arc::new(Policy {
        name: format!("policy {index}"),
        rules,
    }))
}

const POLICIES: usize = 6;

fn said(peer: u32) -> impl Strategy<Value = Said> {
    let tail = vec(select(vec![64999, 64998, 64998, 64997, LOCAL_AS]), 0..3);
    let numbers = (
        select(vec![None, Some(0), Some(1), Some(2)]),
        select(vec![None, Some(90), Some(200)]),
    );
    let rest = (
        select(vec![Origin::Igp, Origin::Igp, Origin::Egp]),
        0..NEXT_HOPS,
        0..8u8,
    );
    (tail, numbers, rest).prop_map(
        move |(mut path, (med, local_pref), (origin, next_hop, special))| {
            if asn(peer) != LOCAL_AS && special != 0 {
                path.insert(0, asn(peer));
            }
            Said {
                path,
                med,
                local_pref: if asn(peer) == LOCAL_AS {
                    Some(local_pref.unwrap_or(100))
                } else {
                    None
                },
                origin,
                communities: if special == 1 {
                    vec![bgp::GRACEFUL_SHUTDOWN]
                } else {
                    Vec::new()
                },
                next_hop,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let prefixes = || btree_set(0..PREFIXES, 1..6);
    let announce = (0..PEERS).prop_flat_map(move |peer| {
        (Just(peer), prefixes(), said(peer))
            .prop_map(|(peer, prefixes, said)| Step::Announce(peer, prefixes, said))
    });
    prop_oneof![
        4 => (0..PEERS).prop_map(Step::Up),
        1 => (0..PEERS).prop_map(Step::Down),
        12 => announce,
        4 => (0..PEERS, prefixes()).prop_map(|(peer, prefixes)| Step::Withdraw(peer, prefixes)),
        3 => (0..PEERS, 0..POLICIES).prop_map(|(peer, policy)| Step::Policy(peer, policy)),
        4 => (0..NEXT_HOPS, prop::option::weighted(0.7, 0..3u32)).prop_map(|(index, metric)| Step::Metric(index, metric)),
        1 => btree_set(12..14u8, 0..3).prop_map(Step::Own),
    ]
}

/// The speaker with its driver: next hops are answered at once, routes are replayed.
struct Node {
    now: Instant,
    speaker: Speaker,
    connections: BTreeMap<u32, ConnectionId>,
    metrics: BTreeMap<IpAddr, Option<u32>>,
    tracked: BTreeSet<IpAddr>,
    kernel: BTreeMap<IpNet, Vec<Gateway>>,
    policies: BTreeMap<u32, usize>,
    events: Vec<(PeerId, Event)>,
}

impl Node {
    fn new(multipath: u8) -> Self {
        #[allow(clippy::disallowed_methods, reason = "the virtual clock needs a first moment")]
        let now = Instant::now();
        let mut config = SpeakerConfig::new(LOCAL_AS, Ipv4Addr::new(9, 9, 9, 9), 7);
        config.multipath = multipath;
        let mut node = Node {
            now,
            speaker: Speaker::new(config),
            connections: BTreeMap::new(),
            metrics: BTreeMap::new(),
            tracked: BTreeSet::new(),
            kernel: BTreeMap::new(),
            policies: BTreeMap::new(),
            events: Vec::new(),
        };
        for index in 0..NEXT_HOPS {
            for family in Family::ALL {
                // The last ones are on a link.
                let metric = u32::from(index < 4);
                node.metrics.insert(next_hop(index, family), Some(metric));
            }
        }
        for peer in 0..PEERS {
            node.configure(peer, 1);
        }
        node
    }

    fn configure(&mut self, peer: u32, policy: usize) {
        self.configure_with(peer, policy, |_| {});
    }

    fn configure_with(&mut self, peer: u32, policy: usize, change: impl FnOnce(&mut PeerConfig)) {
        self.policies.insert(peer, policy);
        let mut config = PeerConfig::new(IpAddr::V4(peer_address(peer)), asn(peer));
        config.passive = true;
        config.hold_time = Duration::ZERO;
        config.transport.hops = Hops::Security(if one_hop(peer) { 1 } else { 2 });
        config.import = self::policy(policy);
        change(&mut config);
        self.input(Input::AddPeer(PeerId(peer), Box::new(config)));
    }

    fn input(&mut self, input: Input<'_>) {
        self.speaker.handle(self.now, input);
        let mut answers = Vec::new();
        let mut batches = 0;
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::TrackNextHop { address, scope } => {
                    assert!(self.tracked.insert(address), "{address} is tracked already");
                    answers.push((address, scope, self.metrics.get(&address).copied().flatten()));
                }
                Output::UntrackNextHop { address, .. } => {
                    assert!(self.tracked.remove(&address), "{address} is not tracked");
                }
                Output::Routes(changes) => {
                    batches += 1;
                    assert!(!changes.is_empty());
                    for change in changes {
                        assert!(
                            change.next_hops.is_sorted_by(|one, other| one < other),
                            "{change:?}"
                        );
                        let old = if change.next_hops.is_empty() {
                            self.kernel.remove(&change.prefix)
                        } else {
                            self.kernel.insert(change.prefix, change.next_hops.clone())
                        };
                        assert_ne!(
                            old.unwrap_or_default(),
                            change.next_hops,
                            "{}: no change",
                            change.prefix
                        );
                    }
                }
                Output::Event { peer, event } => self.events.push((peer, event)),
                _ => {}
            }
        }
        assert!(batches <= 1, "{batches} batches for one input");
        for (address, scope, metric) in answers {
            self.input(Input::NextHop {
                address,
                scope,
                metric,
            });
        }
    }

    fn say(&mut self, peer: u32, messages: &[Message]) {
        let bytes: Vec<u8> = messages
            .iter()
            .flat_map(|message| message.encode(Encoding::default()).unwrap())
            .collect();
        if let Some(connection) = self.connections.get(&peer).copied() {
            self.input(Input::Received {
                connection,
                bytes: &bytes,
            });
        }
    }

    fn up(&mut self, peer: u32) {
        if self.connections.contains_key(&peer) {
            return;
        }
        let connection = self.speaker.allocate_connection();
        self.connections.insert(peer, connection);
        let local = SocketAddr::from((LOCAL, 179));
        self.input(Input::Accepted {
            connection,
            peer: PeerId(peer),
            local,
        });
        let open = Open::new(asn(peer), 0, peer_address(peer), Families::BOTH);
        self.say(peer, &[Message::Open(open), Message::Keepalive]);
        let status = self
            .speaker
            .peers()
            .into_iter()
            .find(|status| status.id == PeerId(peer));
        let status = status.unwrap();
        assert_eq!(status.state, PeerState::Established, "{:?}", status.last_error);
    }

    fn down(&mut self, peer: u32) {
        if let Some(connection) = self.connections.remove(&peer) {
            self.input(Input::Closed { connection });
        }
    }

    fn metric(&mut self, index: u8, metric: Option<u32>) {
        for family in Family::ALL {
            let address = next_hop(index, family);
            self.metrics.insert(address, metric);
            if self.tracked.contains(&address) {
                self.input(Input::NextHop {
                    address,
                    scope: 0,
                    metric,
                });
            }
        }
    }

    fn routes(&self, table: Table) -> Vec<RouteStatus> {
        self.speaker.routes(&everything(table))
    }
}

fn everything(table: Table) -> RouteQuery {
    RouteQuery {
        table,
        peer: None,
        family: None,
        within: None,
        after: None,
        limit: usize::MAX,
    }
}

fn own(indices: &BTreeSet<u8>) -> Vec<Announcement> {
    indices
        .iter()
        .map(|index| Announcement {
            prefix: prefix(*index),
            instance: 0,
            healthy: *index % 2 == 0,
            overrides: None,
        })
        .collect()
}

fn updates(prefixes: &BTreeSet<u8>, said: &Said) -> Vec<Message> {
    let segment = AsPathSegment {
        kind: SegmentKind::Sequence,
        asns: said.path.clone(),
    };
    let path = if said.path.is_empty() {
        Vec::new()
    } else {
        vec![segment]
    };
    let mut attributes = vec![Attribute::Origin(said.origin), Attribute::AsPath(path)];
    attributes.extend(said.med.map(Attribute::Med));
    attributes.extend(said.local_pref.map(Attribute::LocalPref));
    if !said.communities.is_empty() {
        attributes.push(Attribute::Communities(said.communities.clone()));
    }
    Family::ALL
        .into_iter()
        .filter_map(|family| {
            let nlri = of(prefixes, family);
            if nlri.is_empty() {
                return None;
            }
            let mut update = Update {
                attributes: attributes.clone(),
                ..Update::default()
            };
            match (family, next_hop(said.next_hop, family)) {
                (Family::Ipv4, IpAddr::V4(address)) => {
                    update.attributes.push(Attribute::NextHop(address));
                    update.nlri = nlri;
                }
                (family, next_hop) => update.attributes.push(Attribute::MpReach(MpReach {
                    family,
                    next_hop,
                    link_local: None,
                    prefixes: nlri,
                })),
            }
            Some(Message::Update(update.into()))
        })
        .collect()
}

fn withdrawal(prefixes: &BTreeSet<u8>) -> Message {
    let unreach = MpUnreach {
        family: Family::Ipv6,
        prefixes: of(prefixes, Family::Ipv6),
    };
    let update = Update {
        withdrawn: of(prefixes, Family::Ipv4),
        attributes: vec![Attribute::MpUnreach(unreach)],
        ..Update::default()
    };
    Message::Update(update.into())
}

fn of(prefixes: &BTreeSet<u8>, family: Family) -> Vec<Nlri> {
    let all = prefixes.iter().map(|index| prefix(*index));
    all.filter(|prefix| Family::of(prefix) == family)
        .map(Nlri::from)
        .collect()
}

/// What each neighbour that is up has announced.
#[derive(Default)]
struct Model {
    announced: BTreeMap<u32, BTreeMap<IpNet, Said>>,
    own: BTreeSet<IpNet>,
}

#[derive(Clone, Debug)]
struct Path {
    peer: u32,
    attributes: PathAttributes,
    next_hop: IpAddr,
    neighbor_as: Option<u32>,
}

impl Model {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Up(peer) => {
                self.announced.entry(*peer).or_default();
            }
            Step::Down(peer) => {
                self.announced.remove(peer);
            }
            Step::Announce(peer, prefixes, said) => {
                if let Some(table) = self.announced.get_mut(peer) {
                    table.extend(prefixes.iter().map(|index| (prefix(*index), said.clone())));
                }
            }
            Step::Withdraw(peer, prefixes) => {
                if let Some(table) = self.announced.get_mut(peer) {
                    table.retain(|known, _| !prefixes.iter().any(|index| prefix(*index) == *known));
                }
            }
            Step::Own(indices) => self.own = own(indices).iter().map(|one| one.prefix).collect(),
            Step::Policy(..) | Step::Metric(..) => {}
        }
    }

    fn accepted(&self, policies: &BTreeMap<u32, usize>) -> BTreeMap<IpNet, Vec<Path>> {
        let mut accepted: BTreeMap<IpNet, Vec<Path>> = BTreeMap::new();
        for (peer, table) in &self.announced {
            let policy = policy(policies[peer]);
            for (prefix, said) in table {
                if let Some(path) = judge(*peer, *prefix, said, policy.as_deref()) {
                    accepted.entry(*prefix).or_default().push(path);
                }
            }
        }
        accepted
    }

    fn kernel(
        &self,
        policies: &BTreeMap<u32, usize>,
        metrics: &BTreeMap<IpAddr, Option<u32>>,
        multipath: usize,
    ) -> BTreeMap<IpNet, Vec<Gateway>> {
        let mut kernel = BTreeMap::new();
        for (prefix, paths) in self.accepted(policies) {
            let cost = |path: &Path| {
                let own = self.own.contains(&IpNet::from(path.next_hop));
                let linked = one_hop(path.peer) && asn(path.peer) != LOCAL_AS;
                let metric = metrics.get(&path.next_hop).copied().flatten();
                metric.filter(|metric| !own && (!linked || *metric == 0))
            };
            let gateways = best(&paths, cost, multipath);
            if !gateways.is_empty() && !self.own.contains(&prefix) {
                kernel.insert(prefix, gateways);
            }
        }
        kernel
    }
}

/// By the rules, said once more.
fn judge(peer: u32, prefix: IpNet, said: &Said, policy: Option<&Policy>) -> Option<Path> {
    let internal = asn(peer) == LOCAL_AS;
    let next_hop = next_hop(said.next_hop, Family::of(&prefix));
    let attributes = PathAttributes {
        origin: said.origin,
        as_path: AsPath::sequence(&said.path),
        med: said.med,
        local_pref: said.local_pref,
        communities: said.communities.clone(),
        ..PathAttributes::default()
    };
    let looped = said.path.contains(&LOCAL_AS);
    let stranger = !internal && said.path.first() != Some(&asn(peer));
    let itself = next_hop == IpAddr::from(LOCAL);
    let loopback = prefix == net("127.1.0.0/16");
    if looped || stranger || itself || loopback {
        return None;
    }
    let outcome = policy?.evaluate(Candidate {
        prefix,
        attributes: &attributes,
        next_hop: Some(next_hop),
        instance: None,
        preference: None,
        local_as: Some(LOCAL_AS),
    })?;
    let mut changed = outcome.attributes.into_owned();
    if !internal && said.communities.contains(&bgp::GRACEFUL_SHUTDOWN) {
        changed.local_pref = Some(0);
    }
    // Only a list of prefixes can mean the default route.
    (prefix.prefix_len() > 0 || outcome.by_prefix).then_some(Path {
        peer,
        attributes: changed,
        next_hop,
        neighbor_as: said.path.first().copied(),
    })
}

/// Paths that no other one beats, in the order of the identifiers of their neighbours.
fn best(paths: &[Path], cost: impl Fn(&Path) -> Option<u32>, multipath: usize) -> Vec<Gateway> {
    let usable: Vec<&Path> = paths.iter().filter(|path| cost(path).is_some()).collect();
    let beats = |one: &Path, other: &Path| {
        let strength = |path: &Path| {
            let pref = path.attributes.local_pref.unwrap_or(100);
            (
                u32::MAX - pref,
                path.attributes.as_path.length(),
                path.attributes.origin,
            )
        };
        let late = |path: &Path| (asn(path.peer) == LOCAL_AS, cost(path));
        let med = |path: &Path| path.attributes.med.unwrap_or(0);
        match strength(one).cmp(&strength(other)) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal if one.neighbor_as == other.neighbor_as => {
                (med(one), late(one)) < (med(other), late(other))
            }
            Ordering::Equal => late(one) < late(other),
        }
    };
    // First within each neighbouring AS: a path that its own group outdoes outdoes nobody.
    let same = |one: &Path, other: &Path| one.neighbor_as == other.neighbor_as;
    let first: Vec<&Path> = usable
        .iter()
        .filter(|path| !usable.iter().any(|other| same(path, other) && beats(other, path)))
        .copied()
        .collect();
    let mut last: Vec<&Path> = first
        .iter()
        .filter(|path| !first.iter().any(|other| beats(other, path)))
        .copied()
        .collect();
    last.sort_by_key(|path| peer_address(path.peer));
    let mut gateways: Vec<Gateway> = Vec::new();
    for path in last {
        let gateway = Gateway {
            address: path.next_hop,
            scope: 0,
        };
        if gateways.len() < multipath && !gateways.contains(&gateway) {
            gateways.push(gateway);
        }
    }
    gateways.sort_unstable();
    gateways
}

fn play(node: &mut Node, step: &Step) {
    match step {
        Step::Up(peer) => node.up(*peer),
        Step::Down(peer) => node.down(*peer),
        Step::Announce(peer, prefixes, said) => node.say(*peer, &updates(prefixes, said)),
        Step::Withdraw(peer, prefixes) => node.say(*peer, &[withdrawal(prefixes)]),
        Step::Policy(peer, policy) => node.configure(*peer, *policy),
        Step::Metric(index, metric) => node.metric(*index, *metric),
        Step::Own(indices) => node.input(Input::SetAnnouncements(own(indices))),
    }
}

fn check(node: &Node, model: &Model, multipath: u8) {
    let expected = model.kernel(&node.policies, &node.metrics, multipath.into());
    assert_eq!(node.kernel, expected);
    let accepted = model.accepted(&node.policies);
    let next_hops: BTreeSet<IpAddr> = accepted.values().flatten().map(|path| path.next_hop).collect();
    assert_eq!(node.tracked, next_hops);

    let rows = node.routes(Table::Accepted);
    let keys: Vec<(IpNet, PeerId)> = rows.iter().map(|row| (row.prefix, row.peer)).collect();
    let expected_keys: Vec<(IpNet, PeerId)> = accepted
        .iter()
        .flat_map(|(prefix, paths)| paths.iter().map(|path| (*prefix, PeerId(path.peer))))
        .collect();
    assert_eq!(keys, expected_keys);
    for row in &rows {
        let gateways = expected.get(&row.prefix).map(Vec::as_slice).unwrap_or_default();
        let used = gateways.iter().any(|gateway| gateway.address == row.next_hop);
        assert!(used || !row.best, "{row:?}");
        assert_eq!(row.best, row.reason.is_none(), "{row:?}");
    }
    let best: Vec<RouteStatus> = rows.into_iter().filter(|row| row.best).collect();
    assert_eq!(node.routes(Table::Best), best);
    let prefixes: BTreeSet<IpNet> = best.iter().map(|row| row.prefix).collect();
    assert_eq!(prefixes, expected.into_keys().collect());

    let received: usize = model.announced.values().map(BTreeMap::len).sum();
    assert_eq!(node.routes(Table::Received).len(), received);
    for status in node.speaker.peers() {
        let of_peer = |table| RouteQuery {
            peer: Some(status.id),
            ..everything(table)
        };
        assert_eq!(
            status.received,
            node.speaker.routes(&of_peer(Table::Received)).len()
        );
        assert_eq!(
            status.accepted,
            node.speaker.routes(&of_peer(Table::Accepted)).len()
        );
        assert_eq!(status.stale, 0);
    }
}

proptest! {
    #[test]
    fn the_kernel_has_what_the_model_says(steps in vec(step(), 1..60), multipath in 1..4u8) {
        let mut node = Node::new(multipath);
        let mut model = Model::default();
        for peer in 0..PEERS {
            node.up(peer);
            model.step(&Step::Up(peer));
        }
        for step in &steps {
            play(&mut node, step);
            model.step(step);
            check(&node, &model, multipath);
        }
        node.input(Input::Shutdown { communication: String::new() });
        prop_assert_eq!(&node.kernel, &BTreeMap::new());
        prop_assert_eq!(&node.tracked, &BTreeSet::new());
        prop_assert_eq!(node.routes(Table::Accepted), vec![]);
    }

    #[test]
    fn parts_of_an_answer_are_the_answer(
        steps in vec(step(), 20..40),
        limit in 1..6usize,
        table in select(vec![Table::Received, Table::Accepted, Table::Best]),
        peer in prop::option::of(0..PEERS),
        family in prop::option::of(select(Family::ALL.to_vec())),
        within in prop::option::of(select(vec!["10.42.0.0/22", "10.42.3.0/24", "::/0", "0.0.0.0/0", "fd42:9::/32"])),
    ) {
        let mut node = Node::new(2);
        (0..PEERS).for_each(|peer| node.up(peer));
        steps.iter().for_each(|step| play(&mut node, step));
        let mut query = RouteQuery {
            peer: peer.map(PeerId),
            family,
            within: within.map(net),
            limit,
            ..everything(table)
        };
        let expected: Vec<RouteStatus> = node.routes(table).into_iter().filter(|row| {
            peer.is_none_or(|peer| row.peer == PeerId(peer))
                && family.is_none_or(|family| Family::of(&row.prefix) == family)
                && within.is_none_or(|within| net(within).contains(&row.prefix))
        }).collect();
        let mut rows: Vec<RouteStatus> = Vec::new();
        loop {
            let part = node.speaker.routes(&query);
            prop_assert!(part.len() <= limit);
            let Some(last) = part.last() else { break };
            query.after = Some((last.prefix, last.peer, last.path_id));
            rows.extend(part);
        }
        prop_assert_eq!(rows, expected);
    }
}

fn plain(peer: u32, next_hop: u8) -> Said {
    Said {
        path: if asn(peer) == LOCAL_AS {
            vec![64999]
        } else {
            vec![asn(peer)]
        },
        med: None,
        local_pref: (asn(peer) == LOCAL_AS).then_some(100),
        origin: Origin::Igp,
        communities: Vec::new(),
        next_hop,
    }
}

/// RFC 8212 on eBGP; inside the AS it is the same, but expected.
#[test]
fn without_a_policy_nothing_is_imported_and_it_is_told() {
    let mut node = Node::new(1);
    for peer in [0, 4] {
        node.configure(peer, 0);
        node.up(peer);
        node.say(peer, &updates(&BTreeSet::from([0, 8]), &plain(peer, 3)));
    }
    assert_eq!((node.kernel.len(), node.tracked.len()), (0, 0));
    let direction = Direction::In;
    let told: Vec<&PeerId> = node
        .events
        .iter()
        .filter(|(_, event)| *event == Event::NoPolicy { direction })
        .map(|(peer, _)| peer)
        .collect();
    assert_eq!(told, [&PeerId(0)]);
    let received = node.routes(Table::Received);
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|row| row.reason == Some("no import policy")));
    let rejected = node
        .speaker
        .peers()
        .iter()
        .map(|status| status.counters.routes_rejected)
        .sum::<u64>();
    assert_eq!(rejected, 0, "nothing was asked for");
}

/// RFC 4760 section 8: what was not agreed on is neither taken nor taken away, and the session goes on.
#[test]
fn families_that_were_not_agreed_on_are_ignored() {
    let both = BTreeSet::from([0, 8]);
    for family in Family::ALL {
        let mut node = Node::new(1);
        let mut families = Families::default();
        families.insert(family);
        node.configure_with(0, 1, |config| config.families = families);
        node.up(0);
        node.say(0, &updates(&both, &plain(0, 3)));
        let received = node.routes(Table::Received);
        let found: Vec<Family> = received.iter().map(|row| Family::of(&row.prefix)).collect();
        assert_eq!(found, [family]);
        assert_eq!((node.kernel.len(), node.tracked.len()), (1, 1));
        node.say(0, &[withdrawal(&both)]);
        assert_eq!((node.kernel.len(), node.routes(Table::Received).len()), (0, 0));
        assert_eq!(node.speaker.peers()[0].state, PeerState::Established);
    }
}

/// The policy of the running session changes: no session ends, and the kernel follows.
#[test]
fn another_policy_needs_no_new_session() {
    let mut node = Node::new(1);
    node.up(0);
    node.say(0, &updates(&BTreeSet::from([0, 1, 8]), &plain(0, 3)));
    assert_eq!(node.kernel.len(), 3);
    node.configure(0, 3);
    assert_eq!(
        node.kernel.keys().copied().collect::<Vec<_>>(),
        [prefix(0), prefix(1)]
    );
    node.configure(0, 0);
    assert_eq!((node.kernel.len(), node.tracked.len()), (0, 0));
    node.configure(0, 1);
    assert_eq!(node.kernel.len(), 3);
    let status = node
        .speaker
        .peers()
        .into_iter()
        .find(|status| status.id == PeerId(0))
        .unwrap();
    assert_eq!((status.state, status.counters.flaps), (PeerState::Established, 0));
    assert_eq!(status.counters.routes_rejected, 1);
}

#[test]
fn a_leak_is_told_and_not_used() {
    let mut node = Node::new(1);
    node.configure_with(0, 1, |config| config.role = Some(Role::Provider));
    node.up(0);
    let mut leak = updates(&BTreeSet::from([0]), &plain(0, 3));
    for message in &mut leak {
        if let Message::Update(decoded) = message {
            decoded.update.attributes.push(Attribute::OnlyToCustomer(65009));
        }
    }
    node.say(0, &leak);
    node.say(0, &leak);
    let told = (PeerId(0), Event::RouteLeak { prefix: prefix(0) });
    assert_eq!(
        node.events.iter().filter(|event| **event == told).count(),
        1,
        "{:?}",
        node.events
    );
    assert_eq!(node.kernel.len(), 0);
    let rows = node.routes(Table::Received);
    assert_eq!(rows[0].reason, Some("a route leak (RFC 9234)"));
}

#[test]
fn reasons_follow_the_decision() {
    let mut node = Node::new(1);
    (0..3).for_each(|peer| node.up(peer));
    let prefixes = BTreeSet::from([0]);
    for peer in 0..3 {
        let mut said = plain(peer, 3 + u8::try_from(peer).unwrap());
        said.path.extend(vec![64999; usize::try_from(peer).unwrap()]);
        node.say(peer, &updates(&prefixes, &said));
    }
    let reasons = |node: &Node| -> Vec<Option<&'static str>> {
        let accepted = node.routes(Table::Accepted);
        assert_eq!(
            node.routes(Table::Received)
                .iter()
                .map(|row| row.reason)
                .collect::<Vec<_>>(),
            accepted.iter().map(|row| row.reason).collect::<Vec<_>>()
        );
        accepted.iter().map(|row| row.reason).collect()
    };
    let longer = Some("longer AS path");
    assert_eq!(reasons(&node), [None, longer, longer]);
    node.metric(3, None);
    assert_eq!(reasons(&node), [Some("no way to its next hop"), None, longer]);
    node.down(1);
    assert_eq!(reasons(&node), [Some("no way to its next hop"), None]);
    node.metric(3, Some(9));
    assert_eq!(reasons(&node), [None, longer]);
}

/// RFC 4271 section 6.3: what a default route leads to might send it back to us.
#[test]
fn from_a_neighbour_on_the_link_a_next_hop_beyond_it_is_not_used() {
    let mut node = Node::new(1);
    let reason = |node: &Node| node.routes(Table::Received)[0].reason;
    for (peer, beyond) in [(2, Some("its next hop is not on a link")), (3, None), (4, None)] {
        node.up(peer);
        node.say(peer, &updates(&BTreeSet::from([0]), &plain(peer, 5)));
        assert_eq!((node.kernel.len(), reason(&node)), (1, None), "{peer}");
        node.metric(5, Some(1));
        let expected = (usize::from(beyond.is_none()), beyond);
        assert_eq!((node.kernel.len(), reason(&node)), expected, "{peer}");
        node.metric(5, Some(0));
        assert_eq!((node.kernel.len(), reason(&node)), (1, None), "{peer}");
        node.down(peer);
    }
    // The neighbour itself is on the link, whatever the routes say.
    let address = IpAddr::V4(peer_address(2));
    node.metrics.insert(address, Some(7));
    node.up(2);
    let mut itself = updates(&BTreeSet::from([0]), &plain(2, 5));
    for message in &mut itself {
        if let Message::Update(decoded) = message {
            for attribute in &mut decoded.update.attributes {
                if let Attribute::NextHop(next_hop) = attribute {
                    *next_hop = peer_address(2);
                }
            }
        }
    }
    node.say(2, &itself);
    assert_eq!((node.kernel.len(), reason(&node)), (1, None));
}

#[test]
fn a_neighbour_that_is_removed_leaves_nothing() {
    let mut node = Node::new(4);
    (0..PEERS).for_each(|peer| node.up(peer));
    for peer in 0..PEERS {
        node.say(
            peer,
            &updates(
                &(0..12).collect(),
                &plain(peer, 3 + u8::try_from(peer % 4).unwrap()),
            ),
        );
    }
    assert_eq!(node.kernel.len(), 12);
    for peer in 0..PEERS {
        node.input(Input::RemovePeer(PeerId(peer)));
    }
    assert_eq!((node.kernel.len(), node.tracked.len()), (0, 0));
    assert_eq!(node.routes(Table::Accepted), []);
}

/// 64 neighbours that announce the same 10,000 prefixes.
struct Crowd {
    speaker: Speaker,
    now: Instant,
    connections: Vec<ConnectionId>,
    prefixes: Vec<Nlri>,
}

#[allow(clippy::disallowed_methods, reason = "this one measures")]
fn clock() -> Instant {
    Instant::now()
}

impl Crowd {
    fn address(peer: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 1, 0, u8::try_from(peer).unwrap())
    }

    fn new() -> Self {
        let prefix =
            |index: u32| ipnet::Ipv4Net::new(Ipv4Addr::from(0x0b00_0000 + (index << 8)), 24).unwrap();
        let mut crowd = Crowd {
            speaker: Speaker::new(SpeakerConfig::new(LOCAL_AS, Ipv4Addr::new(9, 9, 9, 9), 7)),
            now: clock(),
            connections: Vec::new(),
            prefixes: (0..10_000).map(|index| IpNet::V4(prefix(index)).into()).collect(),
        };
        (0..64).for_each(|peer| crowd.establish(peer));
        crowd
    }

    /// Returns how many changes of the kernel it has taken; next hops are answered at once.
    fn input(&mut self, input: Input<'_>) -> usize {
        self.speaker.handle(self.now, input);
        let (mut changes, mut asked) = (0, Vec::new());
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::Routes(routes) => changes += routes.len(),
                Output::TrackNextHop { address, scope } => asked.push((address, scope)),
                _ => {}
            }
        }
        let metric = Some(1);
        for (address, scope) in asked {
            changes += self.input(Input::NextHop {
                address,
                scope,
                metric,
            });
        }
        changes
    }

    fn establish(&mut self, peer: usize) {
        let id = PeerId(u32::try_from(peer).unwrap());
        let mut config = PeerConfig::new(IpAddr::V4(Crowd::address(peer)), 65001);
        config.passive = true;
        config.hold_time = Duration::ZERO;
        config.import = policy(1);
        self.input(Input::AddPeer(id, Box::new(config)));
        let connection = self.speaker.allocate_connection();
        self.connections.push(connection);
        let local = SocketAddr::from((LOCAL, 179));
        let peer_id = id;
        self.input(Input::Accepted {
            connection,
            peer: peer_id,
            local,
        });
        let open = Open::new(65001, 0, Crowd::address(peer), Families::BOTH);
        for message in [Message::Open(open), Message::Keepalive] {
            let bytes = message.encode(Encoding::default()).unwrap();
            self.input(Input::Received {
                connection,
                bytes: &bytes,
            });
        }
    }

    /// Everything of one neighbour, in UPDATEs of 500 prefixes: their number, the longest, the changes.
    fn announce(&mut self, peer: usize) -> (usize, Duration, usize) {
        let path = AsPathSegment {
            kind: SegmentKind::Sequence,
            asns: vec![65001],
        };
        let attributes = vec![
            Attribute::Origin(Origin::Igp),
            Attribute::AsPath(vec![path]),
            Attribute::NextHop(Crowd::address(peer)),
        ];
        let connection = self.connections[peer];
        let (mut updates, mut longest, mut changes) = (0, Duration::ZERO, 0);
        for part in self.prefixes.clone().chunks(500) {
            let update = Update {
                attributes: attributes.clone(),
                nlri: part.to_vec(),
                ..Update::default()
            };
            let bytes = Message::Update(update.into())
                .encode(Encoding::default())
                .unwrap();
            let started = clock();
            changes += self.input(Input::Received {
                connection,
                bytes: &bytes,
            });
            longest = longest.max(started.elapsed());
            updates += 1;
        }
        (updates, longest, changes)
    }
}

/// Run by hand for the figures:
/// `cargo test --release -p bgp --test import -- --ignored --nocapture`.
#[test]
#[ignore = "takes figures, which mean something with optimisation only"]
fn many_routes_of_many_neighbours() {
    let mut crowd = Crowd::new();
    let started = clock();
    let (mut updates, mut longest, mut changes) = (0, Duration::ZERO, 0);
    for peer in 0..64 {
        let (sent, slowest, changed) = crowd.announce(peer);
        (updates, longest, changes) = (updates + sent, longest.max(slowest), changes + changed);
    }
    let total = started.elapsed();
    println!(
        "64 x 10,000 paths in {updates} UPDATEs: {total:?}, longest {longest:?}, {changes} changes of the kernel"
    );
    let middle = crowd.prefixes[5000].prefix;
    let started = clock();
    let page = crowd.speaker.routes(&RouteQuery {
        limit: 100,
        after: Some((middle, PeerId(3), 0)),
        ..everything(Table::Received)
    });
    println!(
        "a page of {} from the middle: {:?}",
        page.len(),
        started.elapsed()
    );
    let address = IpAddr::V4(Crowd::address(0));
    let connection = crowd.connections[1];
    let communication = String::new();
    for (what, input) in [
        (
            "next hop of 10,000 paths lost",
            Input::NextHop {
                address,
                scope: 0,
                metric: None,
            },
        ),
        ("neighbour lost", Input::Closed { connection }),
        ("shutdown", Input::Shutdown { communication }),
    ] {
        let started = clock();
        let changes = crowd.input(input);
        println!("{what}: {:?}, {changes} changes of the kernel", started.elapsed());
    }
}

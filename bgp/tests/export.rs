//! One neighbour hears a speaker through any sequence of changes, and knows what it should at every step.
//!
//! The neighbour decodes what was sent and keeps a table by the rules of RFC 4271; a model as plain as possible
//! says what has to be in it. The messages of one change are checked as well: within the limit, every prefix once,
//! announcements before withdrawals.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking and looks at one kind of output at a time"
)]
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use bgp::policy::{Action, Candidate, Matches, NextHopSet, PrefixMatch, Rule, Sets};
use bgp::wire::{
    AsPathSegment, Attribute, Capability, Context, Encoding, Message, Open, Origin, RouteRefresh,
    SegmentKind, frame_length, message_limit,
};
use bgp::{
    Announcement, Community, ConnectionId, Direction, Event, Families, Family, GRACEFUL_SHUTDOWN, Input,
    Ladder, Ladders, NextHops, Output, Overrides, PathAttributes, PeerConfig, PeerId, Policy, Preference,
    RouteQuery, Speaker, SpeakerConfig, Table,
};
use ipnet::IpNet;
use proptest::prelude::*;

const PEER: PeerId = PeerId(1);
const LOCAL_AS: u32 = 65001;
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

type Routes = BTreeMap<IpNet, (IpAddr, PathAttributes)>;

struct Neighbour {
    speaker: Speaker,
    now: Instant,
    connection: ConnectionId,
    extended: bool,
    heard: Routes,
    updates: usize,
    events: Vec<Event>,
}

#[allow(clippy::disallowed_methods, reason = "the virtual clock needs a first moment")]
fn epoch() -> Instant {
    Instant::now()
}

impl Neighbour {
    /// Established, with a neighbour that takes both families and long messages if we offer them.
    fn of(config: PeerConfig, asn: u32) -> Self {
        let mut speaker = Speaker::new(SpeakerConfig::new(LOCAL_AS, Ipv4Addr::new(10, 0, 0, 1), 1));
        let now = epoch();
        let extended = config.extended_messages;
        speaker.handle(now, Input::AddPeer(PEER, Box::new(config)));
        let connection = speaker.allocate_connection();
        let mut neighbour = Neighbour {
            speaker,
            now,
            connection,
            extended: false,
            heard: Routes::new(),
            updates: 0,
            events: Vec::new(),
        };
        neighbour.input(Input::Accepted {
            connection,
            peer: PEER,
            local: (LOCAL, 179).into(),
        });
        let mut open = Open::new(asn, 9, Ipv4Addr::new(10, 0, 0, 2), Families::BOTH);
        if extended {
            open.capabilities.push(Capability::ExtendedMessage);
        }
        neighbour.say(&Message::Open(open));
        neighbour.extended = extended;
        neighbour.say(&Message::Keepalive);
        neighbour
    }

    fn say(&mut self, message: &Message) {
        let bytes = message.encode(Encoding::default()).unwrap();
        let connection = self.connection;
        self.input(Input::Received {
            connection,
            bytes: &bytes,
        });
    }

    /// Hears all that follows from one input.
    fn input(&mut self, input: Input<'_>) {
        self.speaker.handle(self.now, input);
        let mut bytes = Vec::new();
        while let Some(output) = self.speaker.poll_output() {
            match output {
                Output::Send {
                    connection,
                    bytes: more,
                } if connection == self.connection => bytes.extend(more),
                Output::Event { event, .. } => self.events.push(event),
                _ => {}
            }
        }
        self.hear(&bytes);
    }

    fn hear(&mut self, mut rest: &[u8]) {
        let (mut announced, mut withdrawn) = (BTreeSet::new(), BTreeSet::new());
        let context = Context {
            four_octet: true,
            extended: self.extended,
            ..Context::default()
        };
        while let Some(length) = frame_length(rest, self.extended).unwrap() {
            assert!(length <= message_limit(self.extended));
            let (message, tail) = rest.split_at(length);
            rest = tail;
            let Message::Update(decoded) = Message::decode(message, context).unwrap() else {
                continue;
            };
            assert_eq!(decoded.effect(), None);
            if decoded.announced().next().is_none() && decoded.withdrawn().next().is_none() {
                // End-of-RIB.
                continue;
            }
            self.updates += 1;
            let attributes = PathAttributes::from_update(&decoded);
            let next_hop = decoded
                .update
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    Attribute::NextHop(address) => Some(IpAddr::V4(*address)),
                    Attribute::MpReach(reach) => Some(reach.next_hop),
                    _ => None,
                });
            for nlri in decoded.announced() {
                assert!(withdrawn.is_empty(), "announcements come first");
                assert!(announced.insert(nlri.prefix), "{} twice", nlri.prefix);
                self.heard
                    .insert(nlri.prefix, (next_hop.unwrap(), attributes.clone()));
            }
            for nlri in decoded.withdrawn() {
                assert!(withdrawn.insert(nlri.prefix), "{} twice", nlri.prefix);
                assert!(
                    self.heard.remove(&nlri.prefix).is_some(),
                    "{} was not announced",
                    nlri.prefix
                );
            }
        }
        assert!(rest.is_empty() && announced.is_disjoint(&withdrawn));
    }

    fn refresh(&mut self, family: Family) {
        let afi = bgp::wire::afi(family);
        self.heard.retain(|prefix, _| Family::of(prefix) != family);
        self.say(&Message::RouteRefresh(RouteRefresh {
            afi,
            subtype: 0,
            safi: 1,
        }));
    }
}

/// All that decides what is announced.
#[derive(Clone)]
struct World {
    internal: bool,
    announcements: Vec<Announcement>,
    roles: BTreeMap<u32, Preference>,
    ladders: Ladders,
    config: PeerConfig,
}

impl World {
    fn new(internal: bool, extended: bool) -> Self {
        let asn = if internal { LOCAL_AS } else { 65000 };
        World {
            internal,
            announcements: Vec::new(),
            roles: BTreeMap::new(),
            ladders: Ladders::default(),
            config: PeerConfig {
                passive: true,
                extended_messages: extended,
                ..PeerConfig::new(REMOTE, asn)
            },
        }
    }

    fn neighbour(&self) -> Neighbour {
        let asn = if self.internal { LOCAL_AS } else { 65000 };
        Neighbour::of(self.config.clone(), asn)
    }

    /// Prefix by prefix, without a thought for speed.
    fn wanted(&self) -> Routes {
        let prefixes: BTreeSet<IpNet> = self.announcements.iter().map(|vip| vip.prefix.trunc()).collect();
        prefixes
            .into_iter()
            .filter_map(|prefix| Some((prefix, self.route(prefix)?)))
            .collect()
    }

    fn route(&self, prefix: IpNet) -> Option<(IpAddr, PathAttributes)> {
        let candidates = self.announcements.iter().enumerate();
        let healthy = candidates.filter(|(_, vip)| vip.healthy && vip.prefix.trunc() == prefix);
        let preference = |vip: &Announcement| self.roles.get(&vip.instance).copied();
        let (_, vip) = healthy.min_by_key(|(index, vip)| {
            let preference = preference(vip).unwrap_or(Preference::Withdrawn);
            (preference, vip.instance, *index)
        })?;
        let preference = preference(vip)?;
        let overrides = vip.overrides.clone().unwrap_or_default();
        let of_instance = self.ladders.by_instance.get(&vip.instance);
        let ladder = self
            .config
            .ladder
            .as_ref()
            .or(of_instance)
            .unwrap_or(&self.ladders.all);
        let rung = ladder.rung(preference)?;
        let mut communities = overrides.communities.clone();
        for community in &rung.communities {
            let Community::Standard(value) = community else {
                panic!()
            };
            communities.push(*value);
        }
        communities.extend(rung.graceful_shutdown.then_some(GRACEFUL_SHUTDOWN));
        let prepend = usize::from(overrides.prepend.unwrap_or(rung.prepend));
        let own = path(if self.internal { 0 } else { prepend + 1 });
        let before = PathAttributes {
            origin: overrides.origin.unwrap_or(Origin::Igp),
            as_path: bgp::AsPath(own),
            med: Some(overrides.med.unwrap_or(rung.med)),
            local_pref: Some(overrides.local_pref.unwrap_or(rung.local_pref)),
            communities: sorted(communities),
            ..PathAttributes::default()
        };
        let usual = match prefix {
            IpNet::V4(_) => Some(self.config.next_hops.ipv4.map_or(LOCAL, IpAddr::V4)),
            IpNet::V6(_) => self.config.next_hops.ipv6.map(IpAddr::V6),
        };
        let mut next_hop = overrides.next_hop.or(usual);
        let mut attributes = before.clone();
        match &self.config.export {
            None if self.internal => {}
            None => return None,
            Some(policy) => {
                let outcome = policy.evaluate(Candidate {
                    prefix,
                    attributes: &before,
                    next_hop,
                    instance: Some(vip.instance),
                    preference: Some(preference),
                    local_as: (!self.internal).then_some(LOCAL_AS),
                })?;
                next_hop = match outcome.next_hop {
                    None => next_hop,
                    Some(NextHopSet::Own) => Some(LOCAL),
                    Some(NextHopSet::Address(address)) => Some(address),
                };
                attributes = outcome.attributes.into_owned();
            }
        }
        if self.config.graceful_shutdown {
            attributes.communities = sorted([attributes.communities, vec![GRACEFUL_SHUTDOWN]].concat());
            attributes.local_pref = Some(0);
        }
        attributes.local_pref = attributes.local_pref.filter(|_| self.internal);
        let next_hop = next_hop.filter(|address| address.is_ipv4() == matches!(prefix, IpNet::V4(_)))?;
        Some((next_hop, attributes))
    }
}

fn path(length: usize) -> Vec<AsPathSegment> {
    let segment = AsPathSegment {
        kind: SegmentKind::Sequence,
        asns: vec![LOCAL_AS; length],
    };
    if length == 0 { vec![] } else { vec![segment] }
}

fn sorted(mut values: Vec<u32>) -> Vec<u32> {
    values.sort_unstable();
    values.dedup();
    values
}

#[derive(Clone, Debug)]
enum Step {
    Announce(Vec<Announcement>),
    Role(u32, Preference),
    Ladders(Ladders),
    Export(Option<Policy>),
    Ladder(Option<Ladder>),
    NextHops(NextHops),
    GracefulShutdown(bool),
    Refresh(Family),
}

impl Step {
    fn take(self, world: &mut World, neighbour: &mut Neighbour) {
        match self {
            Step::Announce(announcements) => {
                world.announcements.clone_from(&announcements);
                return neighbour.input(Input::SetAnnouncements(announcements));
            }
            Step::Role(instance, preference) => {
                world.roles.insert(instance, preference);
                return neighbour.input(Input::SetRole { instance, preference });
            }
            Step::Ladders(ladders) => {
                world.ladders = ladders.clone();
                return neighbour.input(Input::SetLadders(ladders));
            }
            Step::Refresh(family) => return neighbour.refresh(family),
            Step::Export(policy) => world.config.export = policy.map(Arc::new),
            Step::Ladder(ladder) => world.config.ladder = ladder,
            Step::NextHops(next_hops) => world.config.next_hops = next_hops,
            Step::GracefulShutdown(on) => world.config.graceful_shutdown = on,
        }
        neighbour.input(Input::AddPeer(PEER, Box::new(world.config.clone())));
    }
}

fn overrides() -> impl Strategy<Value = Option<Overrides>> {
    let next_hop = |address: &str| Overrides {
        next_hop: Some(address.parse().unwrap()),
        ..Overrides::default()
    };
    let terms = Overrides {
        med: Some(5),
        prepend: Some(3),
        local_pref: Some(7),
        communities: vec![9, 8],
        ..Overrides::default()
    };
    let choices = [
        None,
        None,
        None,
        Some(Overrides::default()),
        Some(terms),
        Some(next_hop("10.0.0.9")),
        Some(next_hop("2001:db8::9")),
    ];
    proptest::sample::select(choices.to_vec())
}

fn announcements() -> impl Strategy<Value = Vec<Announcement>> {
    let prefixes: Vec<IpNet> = (0..8)
        .map(|index| format!("203.0.113.{index}/32"))
        .chain((0..4).map(|index| format!("2001:db8::{index}/128")))
        .chain([
            "203.0.113.0/24".to_owned(),
            "203.0.113.128/25".to_owned(),
            "2001:db8::/64".to_owned(),
        ])
        .map(|prefix| prefix.parse().unwrap())
        .collect();
    let announcement = (
        proptest::sample::select(prefixes),
        0..3_u32,
        proptest::bool::weighted(0.8),
        overrides(),
    );
    let announcement = announcement.prop_map(|(prefix, instance, healthy, overrides)| Announcement {
        prefix,
        instance,
        healthy,
        overrides,
    });
    proptest::collection::vec(announcement, 0..24)
}

fn preference() -> impl Strategy<Value = Preference> {
    use Preference::{Backup, Draining, Joining, Master, Withdrawn};
    proptest::sample::select(vec![Master, Backup, Joining, Draining, Withdrawn])
}

fn ladder() -> impl Strategy<Value = Ladder> {
    (1..4_u32, proptest::collection::vec(0..4_u32, 0..2)).prop_map(|(med, communities)| {
        let mut ladder = Ladder::default();
        ladder.master.med = med;
        ladder.backup.communities = communities.into_iter().map(Community::Standard).collect();
        ladder
    })
}

fn ladders() -> impl Strategy<Value = Ladders> {
    let by_instance = proptest::collection::btree_map(0..3_u32, ladder(), 0..2);
    (ladder(), by_instance).prop_map(|(all, by_instance)| Ladders { all, by_instance })
}

fn rule() -> impl Strategy<Value = Rule> {
    let list = |prefix: &str, ge, le| PrefixMatch {
        prefix: prefix.parse().unwrap(),
        ge,
        le,
    };
    let lists = vec![
        vec![],
        vec![list("203.0.113.0/30", 30, 32)],
        vec![list("203.0.113.0/24", 24, 25), list("2001:db8::/127", 128, 128)],
        vec![list("203.0.113.4/32", 32, 32)],
    ];
    let next_hops = vec![
        None,
        None,
        Some(NextHopSet::Own),
        Some(NextHopSet::Address([10, 0, 0, 8].into())),
    ];
    let matches = (
        proptest::sample::select(lists),
        proptest::option::weighted(0.3, preference()),
        proptest::option::weighted(0.3, 0..3_u32),
        proptest::option::weighted(0.2, proptest::sample::select(Family::ALL.to_vec())),
    );
    let sets = (
        proptest::option::weighted(0.4, 0..3_u32),
        0..2_u8,
        proptest::sample::select(next_hops),
        any::<bool>(),
    );
    let action = proptest::sample::select(vec![Action::Accept, Action::Accept, Action::Next, Action::Reject]);
    (matches, sets, action).prop_map(
        |((prefixes, preference, instance, family), (med, prepend, next_hop, clear), action)| Rule {
            matches: Matches {
                prefixes,
                preference,
                instance,
                family,
                ..Matches::default()
            },
            sets: Sets {
                med,
                prepend,
                next_hop,
                clear_communities: clear,
                add: vec![Community::Standard(77)],
                ..Sets::default()
            },
            action,
        },
    )
}

fn export() -> impl Strategy<Value = Option<Policy>> {
    let name = "random".to_owned();
    let random = proptest::collection::vec(rule(), 1..5).prop_map(move |rules| Policy {
        name: name.clone(),
        rules,
    });
    prop_oneof![
        1 => Just(None),
        2 => Just(Some(Policy::all())),
        1 => Just(Some(Policy::none())),
        6 => random.prop_map(Some),
    ]
}

fn next_hops() -> impl Strategy<Value = NextHops> {
    (any::<bool>(), any::<bool>()).prop_map(|(ipv4, ipv6)| NextHops {
        ipv4: ipv4.then_some(Ipv4Addr::new(10, 0, 0, 7)),
        ipv6: ipv6.then(|| "2001:db8::7".parse().unwrap()),
        ipv6_link_local: None,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => announcements().prop_map(Step::Announce),
        6 => (0..3_u32, preference()).prop_map(|(instance, preference)| Step::Role(instance, preference)),
        1 => ladders().prop_map(Step::Ladders),
        2 => export().prop_map(Step::Export),
        1 => proptest::option::of(ladder()).prop_map(Step::Ladder),
        1 => next_hops().prop_map(Step::NextHops),
        1 => any::<bool>().prop_map(Step::GracefulShutdown),
        1 => proptest::sample::select(Family::ALL.to_vec()).prop_map(Step::Refresh),
    ]
}

fn advertised(speaker: &Speaker) -> Routes {
    let row = |row: bgp::RouteStatus| (row.prefix, (row.next_hop, PathAttributes::clone(&row.attributes)));
    speaker.adj_rib_out(PEER).into_iter().map(row).collect()
}

/// Page by page.
fn paged(speaker: &Speaker, limit: usize) -> Vec<IpNet> {
    let mut query = RouteQuery {
        table: Table::Advertised,
        peer: None,
        family: None,
        within: None,
        after: None,
        limit,
    };
    let mut prefixes = Vec::new();
    loop {
        let page = speaker.routes(&query);
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return prefixes };
        query.after = Some((last.prefix, last.peer, last.path_id));
        prefixes.extend(page.iter().map(|row| row.prefix));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_neighbour_knows_what_it_should_after_every_change(
        internal in any::<bool>(),
        extended in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let mut world = World::new(internal, extended);
        let mut neighbour = world.neighbour();
        for step in steps {
            let text = format!("{step:?}");
            step.take(&mut world, &mut neighbour);
            let wanted = world.wanted();
            prop_assert_eq!(&neighbour.heard, &wanted, "after {}", text);
            prop_assert_eq!(&advertised(&neighbour.speaker), &wanted);
            let prefixes: Vec<IpNet> = wanted.into_keys().collect();
            prop_assert_eq!(paged(&neighbour.speaker, 3), prefixes);
            let status = &neighbour.speaker.peers()[0];
            prop_assert_eq!(status.advertised, neighbour.heard.len());
            prop_assert_eq!(status.counters.flaps, 0);
        }
    }
}

fn vips(count: u32, instance: u32) -> Vec<Announcement> {
    let vip = |index| Announcement {
        prefix: IpNet::new(Ipv4Addr::from(0xcb00_0000 + index).into(), 32).unwrap(),
        instance,
        healthy: true,
        overrides: None,
    };
    (0..count).map(vip).collect()
}

fn open_world(extended: bool) -> World {
    let mut world = World::new(false, extended);
    world.config.export = Some(Arc::new(Policy::all()));
    world
}

#[test]
fn a_role_swap_is_one_update_for_a_group_and_as_many_messages_as_the_limit_needs() {
    for (count, extended, messages) in [(700, false, 1), (10_000, false, 13), (10_000, true, 1)] {
        let mut neighbour = open_world(extended).neighbour();
        neighbour.input(Input::SetRole {
            instance: 0,
            preference: Preference::Backup,
        });
        neighbour.input(Input::SetAnnouncements(vips(count, 0)));
        let before = neighbour.updates;
        neighbour.input(Input::SetRole {
            instance: 0,
            preference: Preference::Master,
        });
        assert_eq!(neighbour.updates - before, messages);
        let meds: BTreeSet<_> = neighbour.heard.values().map(|(_, told)| told.med).collect();
        assert_eq!(
            (neighbour.heard.len(), meds),
            (count as usize, BTreeSet::from([Some(10)]))
        );
    }
}

/// The driver writes each `Send` when it gets it: the first one must not carry the whole table.
#[test]
fn the_first_message_leaves_alone() {
    let mut neighbour = open_world(false).neighbour();
    neighbour.input(Input::SetAnnouncements(vips(10_000, 0)));
    let role = Input::SetRole {
        instance: 0,
        preference: Preference::Master,
    };
    neighbour.speaker.handle(neighbour.now, role);
    let mut lengths = Vec::new();
    while let Some(output) = neighbour.speaker.poll_output() {
        if let Output::Send { bytes, .. } = output {
            lengths.push(bytes.len());
        }
    }
    assert_eq!(lengths.len(), 2, "{lengths:?}");
    assert!(lengths[0] <= 4096 && lengths[1] > 45_000, "{lengths:?}");
}

#[test]
fn without_an_export_policy_an_external_neighbour_is_told_nothing_and_the_operator_once() {
    let silent = |neighbour: &Neighbour| {
        let direction = Direction::Out;
        let told = |event: &&Event| **event == Event::NoPolicy { direction };
        neighbour.events.iter().filter(told).count()
    };
    for (internal, events, routes) in [(false, 1, 0), (true, 0, 3)] {
        let mut neighbour = World::new(internal, false).neighbour();
        for preference in [Preference::Master, Preference::Backup] {
            neighbour.input(Input::SetRole {
                instance: 0,
                preference,
            });
            neighbour.input(Input::SetAnnouncements(vips(3, 0)));
        }
        assert_eq!((silent(&neighbour), neighbour.heard.len()), (events, routes));
    }
}

//! Packing, with an independent and strict implementation of the wire format as the judge.
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;

use super::*;
use crate::attributes::AsPath;
use crate::config::Families;
use crate::export::audience::NextHop;
use crate::wire::{
    Cease, Context, Decoded, MAX_MESSAGE, Message, Notification, Open, RouteRefresh, frame_length,
};

const OLD: Encoding = Encoding {
    four_octet: false,
    add_path: Families {
        ipv4: false,
        ipv6: false,
    },
    extended: false,
};
const USUAL: Encoding = Encoding {
    four_octet: true,
    ..OLD
};
const EXTENDED: Encoding = Encoding {
    extended: true,
    ..USUAL
};

fn told(med: u32, asn: u32) -> PathAttributes {
    PathAttributes {
        as_path: AsPath::sequence(&[asn; 2]),
        med: Some(med),
        communities: vec![0xffff_0000],
        ..PathAttributes::default()
    }
}

fn ipv4(index: u32) -> IpNet {
    IpNet::new(Ipv4Addr::from(0x0a00_0000 + index).into(), 32).unwrap()
}

fn ipv6(index: u32) -> IpNet {
    let high = 0x2001_0db8_u128 << 96;
    IpNet::new(Ipv6Addr::from(high + u128::from(index)).into(), 128).unwrap()
}

/// One list for each run of a family, as cells are.
fn lists(prefixes: impl Iterator<Item = IpNet>) -> Vec<Arc<PrefixList>> {
    let prefixes: Vec<IpNet> = prefixes.collect();
    let run = |run: &[IpNet]| {
        let mut list = PrefixList::new(Family::of(&run[0]));
        run.iter().for_each(|prefix| list.push(prefix));
        Arc::new(list)
    };
    prefixes
        .chunk_by(|one, other| Family::of(one) == Family::of(other))
        .map(run)
        .collect()
}

fn announce(changes: &mut Changes, prefixes: impl Iterator<Item = IpNet>, told: &PathAttributes) {
    for list in lists(prefixes) {
        let next_hop = match list.family() {
            Family::Ipv4 => IpAddr::from([10, 0, 0, 1]).into(),
            Family::Ipv6 => NextHop {
                address: "2001:db8::1".parse().unwrap(),
                link_local: Some("fe80::1".parse().unwrap()),
            },
        };
        announce_via(changes, next_hop, list, told);
    }
}

fn announce_via(changes: &mut Changes, next_hop: NextHop, list: Arc<PrefixList>, told: &PathAttributes) {
    let attributes = Arc::new(told.clone());
    let group = (list.family(), Arc::new(Route { next_hop, attributes }));
    changes.announce.entry(group).or_default().push(list);
}

fn withdraw(changes: &mut Changes, prefixes: impl Iterator<Item = IpNet>) {
    for list in lists(prefixes) {
        changes.withdraw.entry(list.family()).or_default().push(list);
    }
}

fn announced(prefixes: impl Iterator<Item = IpNet>, told: &PathAttributes) -> Changes {
    let mut changes = Changes::default();
    announce(&mut changes, prefixes, told);
    changes
}

/// The messages, which are as many and as long as was promised.
fn pack(changes: &Changes, encoding: Encoding) -> Vec<Vec<u8>> {
    let mut batch = Batch::new(changes, encoding);
    let promised = batch.size();
    let mut list = Vec::new();
    loop {
        let mut message = Vec::new();
        if !batch.write(&mut message) {
            break;
        }
        assert_eq!(frame_length(&message, encoding.extended), Ok(Some(message.len())));
        list.push(message);
    }
    assert_eq!((list.len(), list.iter().map(Vec::len).sum()), promised);
    list
}

fn judge(bytes: &[u8], encoding: Encoding) -> BgpMessage {
    let mut context = BgpParsingContext::asn2_default();
    context.set_asn4(encoding.four_octet);
    BgpMessage::parse(&mut SliceReader::new(bytes), &mut context).unwrap()
}

/// The judge understands `bytes`, and would have written the same.
fn agreed(bytes: &[u8], encoding: Encoding) {
    let message = judge(bytes, encoding);
    let mut again = Vec::new();
    message.write(&mut again).unwrap();
    assert_eq!(again, bytes, "{message:?}");
}

fn decode(message: &[u8], encoding: Encoding) -> Decoded {
    let context = Context {
        four_octet: encoding.four_octet,
        extended: encoding.extended,
        ..Context::default()
    };
    let Ok(Message::Update(decoded)) = Message::decode(message, context) else {
        panic!("{message:?}")
    };
    assert_eq!(decoded.effect(), None);
    decoded
}

/// Plays the messages back; both what is announced, and what is withdrawn.
fn replay(list: &[Vec<u8>], encoding: Encoding) -> (Vec<IpNet>, Vec<IpNet>) {
    let (mut announced, mut withdrawn) = (Vec::new(), Vec::new());
    for message in list {
        assert!(message.len() <= message_limit(encoding.extended));
        if message.len() <= MAX_MESSAGE {
            agreed(message, encoding);
        }
        let decoded = decode(message, encoding);
        announced.extend(decoded.announced().map(|nlri| nlri.prefix));
        withdrawn.extend(decoded.withdrawn().map(|nlri| nlri.prefix));
    }
    (announced, withdrawn)
}

#[test]
fn many_prefixes_fill_messages_to_the_limit() {
    let prefixes = || (0..5000).map(ipv4).chain((0..2000).map(ipv6));
    let list = pack(&announced(prefixes(), &told(10, 65001)), USUAL);
    // 4096 bytes hold about 800 IPv4 and 235 IPv6 host routes.
    assert_eq!(list.len(), 7 + 9);
    assert_eq!(replay(&list, USUAL).0, prefixes().collect::<Vec<_>>());

    let mut changes = Changes::default();
    withdraw(&mut changes, prefixes());
    let list = pack(&changes, USUAL);
    assert_eq!(list.len(), 7 + 9);
    assert_eq!(replay(&list, USUAL).1, prefixes().collect::<Vec<_>>());
}

#[test]
fn extended_messages_hold_more() {
    let prefixes = || (0..20_000).map(ipv4).chain((0..5000).map(ipv6));
    let mut changes = announced(prefixes(), &told(10, 65001));
    let list = pack(&changes, EXTENDED);
    assert_eq!(list.len(), 2 + 2);
    assert!(list[0].len() > 65_500);
    assert_eq!(replay(&list, EXTENDED).0, prefixes().collect::<Vec<_>>());
    changes.announce.clear();
    withdraw(&mut changes, prefixes());
    assert_eq!(pack(&changes, EXTENDED).len(), 2 + 2);
}

#[test]
fn equal_attributes_share_messages_over_the_borders_of_lists() {
    let mut changes = Changes::default();
    for start in (0..3000).step_by(10) {
        announce(&mut changes, (start..start + 10).map(ipv4), &told(10, 65001));
    }
    let list = pack(&changes, USUAL);
    assert_eq!(list.len(), 4);
    assert_eq!(replay(&list, USUAL).0, (0..3000).map(ipv4).collect::<Vec<_>>());
}

#[test]
fn announcements_come_before_withdrawals() {
    let mut changes = Changes::default();
    withdraw(&mut changes, [ipv4(1), ipv6(1)].into_iter());
    announce(&mut changes, [ipv4(2), ipv6(2)].into_iter(), &told(10, 65001));
    let list = pack(&changes, USUAL);
    let order: Vec<bool> = list
        .iter()
        .map(|message| decode(message, USUAL).announced().next().is_some())
        .collect();
    assert_eq!(order, [true, true, false, false]);
    let told = (vec![ipv4(2), ipv6(2)], vec![ipv4(1), ipv6(1)]);
    assert_eq!(replay(&list, USUAL), told);
}

#[test]
fn every_number_of_prefixes_around_the_limit_fits() {
    for family in Family::ALL {
        for count in 200..900 {
            let prefix = |index| {
                if family == Family::Ipv4 {
                    ipv4(index)
                } else {
                    ipv6(index)
                }
            };
            let mut changes = announced((0..count).map(prefix), &told(10, 65001));
            let lengths =
                |changes: &Changes| -> Vec<usize> { pack(changes, USUAL).iter().map(Vec::len).collect() };
            let announcing = lengths(&changes);
            changes.announce.clear();
            withdraw(&mut changes, (0..count).map(prefix));
            let all = announcing.iter().chain(&lengths(&changes)).copied().max();
            assert!(all <= Some(MAX_MESSAGE), "{count}: {all:?}");
        }
    }
}

/// RFC 8950 section 3: in MP_REACH_NLRI, with a global next hop, a link-local one beside it, or that one alone.
#[test]
fn ipv4_behind_ipv6() {
    let link_local = "fe80::1".parse().unwrap();
    let global: IpAddr = "2001:db8::1".parse().unwrap();
    let next_hops = [
        NextHop::from(global),
        NextHop {
            address: global,
            link_local: Some(link_local),
        },
        NextHop::from(IpAddr::V6(link_local)),
    ];
    for next_hop in next_hops {
        let mut changes = Changes::default();
        let list = lists((0..3).map(ipv4)).remove(0);
        announce_via(&mut changes, next_hop, list, &told(10, 65001));
        let messages = pack(&changes, USUAL);
        assert_eq!(messages.len(), 1);
        let decoded = decode(&messages[0], USUAL);
        assert!(decoded.update.nlri.is_empty());
        let reach = decoded.update.attributes.iter().find_map(|attribute| {
            if let Attribute::MpReach(reach) = attribute {
                Some(reach)
            } else {
                None
            }
        });
        let reach = reach.unwrap();
        assert_eq!(
            (reach.family, reach.next_hop, reach.link_local),
            (Family::Ipv4, next_hop.address, next_hop.link_local)
        );
        assert_eq!(reach.prefixes.len(), 3);
        assert!(
            decoded
                .update
                .attributes
                .iter()
                .all(|attribute| attribute.code() != 3)
        );
    }
}

#[test]
fn the_largest_attributes_leave_room_for_a_prefix() {
    let attributes = PathAttributes {
        as_path: AsPath::sequence(&[4_200_000_000; 256]),
        med: Some(1),
        local_pref: Some(1),
        communities: (0..255).collect(),
        extended_communities: (0..64).map(u64::to_be_bytes).collect(),
        large_communities: (0..64).map(|index| [index; 3]).collect(),
        only_to_customer: Some(4_200_000_000),
        ..PathAttributes::default()
    };
    for encoding in [OLD, USUAL, EXTENDED] {
        let list = pack(&announced((0..3).map(ipv6), &attributes), encoding);
        assert_eq!(replay(&list, encoding).0.len(), 3);
    }
}

#[test]
fn a_neighbour_of_two_octets_gets_as_trans_and_as4_path() {
    let path = |asn: u32| {
        let list = pack(&announced([ipv4(1)].into_iter(), &told(10, asn)), OLD);
        agreed(&list[0], OLD);
        decode(&list[0], OLD).update.attributes
    };
    let attributes = path(4_200_000_001);
    assert!(attributes.contains(&Attribute::AsPath(AsPath::sequence(&[23456; 2]).0)));
    assert!(attributes.contains(&Attribute::As4Path(AsPath::sequence(&[4_200_000_001; 2]).0)));
    assert!(path(65001).iter().all(|attribute| attribute.code() != 17));
}

#[test]
fn everything_else_we_say_is_understood() {
    let cease = [
        Cease::AdministrativeShutdown,
        Cease::PeerDeconfigured,
        Cease::ConnectionRejected,
        Cease::OtherConfigurationChange,
        Cease::Collision,
    ];
    let mut list: Vec<Message> = cease
        .into_iter()
        .map(|cease| Message::Notification(cease.into()))
        .collect();
    list.extend([
        Message::Keepalive,
        Message::RouteRefresh(RouteRefresh {
            afi: 1,
            subtype: 0,
            safi: 1,
        }),
        Message::Notification(Notification::HOLD_TIMER_EXPIRED),
        Message::Notification(Notification::BAD_PEER_AS),
        Message::Notification(Notification::unexpected_message(3)),
        Message::Open(Open::new(65001, 9, Ipv4Addr::new(10, 0, 0, 1), Families::BOTH)),
        Message::Open(Open::new(
            4_200_000_001,
            0,
            Ipv4Addr::new(10, 0, 0, 1),
            Families::IPV6,
        )),
    ]);
    for message in list {
        agreed(&message.encode(USUAL).unwrap(), USUAL);
    }
}

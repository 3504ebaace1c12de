//! Packing, with an independent and strict implementation of the wire format as the judge.
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;

use super::*;
use crate::attributes::AsPath;
use crate::config::Families;
use crate::export::adj_rib_out::{AdjRibOut, NextHop, Routes};
use crate::wire::{Cease, Context, Notification, Open, RouteRefresh, frame_length};

fn told(med: u32, asn: u32) -> Arc<PathAttributes> {
    Arc::new(PathAttributes {
        as_path: AsPath::sequence(&[asn; 2]),
        med: Some(med),
        local_pref: None,
        communities: vec![0xffff_0000],
        ..PathAttributes::default()
    })
}

fn route(prefix: &IpNet, attributes: &Arc<PathAttributes>) -> Route {
    let next_hop = match family_of(prefix) {
        Family::Ipv4 => NextHop {
            address: Ipv4Addr::new(10, 0, 0, 1).into(),
            link_local: None,
        },
        Family::Ipv6 => NextHop {
            address: "2001:db8::1".parse().unwrap(),
            link_local: Some("fe80::1".parse().unwrap()),
        },
    };
    Route {
        next_hop,
        attributes: Arc::clone(attributes),
    }
}

fn ipv4(index: u32) -> IpNet {
    IpNet::new(Ipv4Addr::from(0x0a00_0000 + index).into(), 32).unwrap()
}

fn ipv6(index: u32) -> IpNet {
    let high = 0x2001_0db8_u128 << 96;
    IpNet::new(Ipv6Addr::from(high + u128::from(index)).into(), 128).unwrap()
}

fn routes(prefixes: impl Iterator<Item = IpNet>, attributes: &Arc<PathAttributes>) -> Routes {
    prefixes
        .map(|prefix| (prefix, route(&prefix, attributes)))
        .collect()
}

fn messages(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut list = Vec::new();
    while let Some(length) = frame_length(rest, false).unwrap() {
        let (message, tail) = rest.split_at(length);
        list.push(message);
        rest = tail;
    }
    assert!(rest.is_empty());
    list
}

fn judge(bytes: &[u8], four_octet: bool) -> BgpMessage {
    let mut context = BgpParsingContext::asn2_default();
    context.set_asn4(four_octet);
    BgpMessage::parse(&mut SliceReader::new(bytes), &mut context).unwrap()
}

/// The judge understands `bytes`, and would have written the same.
fn agreed(bytes: &[u8], four_octet: bool) {
    let message = judge(bytes, four_octet);
    let mut again = Vec::new();
    message.write(&mut again).unwrap();
    assert_eq!(again, bytes, "{message:?}");
}

/// Plays the messages back; both what is announced, and what is withdrawn.
fn replay(packed: &Packed, four_octet: bool) -> (Vec<IpNet>, Vec<IpNet>) {
    let (mut announced, mut withdrawn) = (Vec::new(), Vec::new());
    let list = messages(&packed.bytes);
    assert_eq!(list.len(), packed.messages);
    for message in list {
        assert!(message.len() <= MAX_MESSAGE);
        agreed(message, four_octet);
        let Ok(Message::Update(decoded)) = Message::decode(
            message,
            Context {
                four_octet,
                ..Context::default()
            },
        ) else {
            panic!("{message:?}")
        };
        assert_eq!(decoded.effect(), None);
        announced.extend(decoded.announced().map(|nlri| nlri.prefix));
        withdrawn.extend(decoded.withdrawn().map(|nlri| nlri.prefix));
    }
    (announced, withdrawn)
}

#[test]
fn a_role_swap_is_one_update_per_family() {
    let mut rib = AdjRibOut::default();
    let prefixes = || (0..100).map(ipv4).chain((0..100).map(ipv6));
    rib.replace(routes(prefixes(), &told(20, 65001)));
    let swap = rib.replace(routes(prefixes(), &told(10, 65001)));
    let packed = pack(&swap, true).unwrap();
    assert_eq!(packed.messages, 2);
    let (announced, withdrawn) = replay(&packed, true);
    assert_eq!((announced, withdrawn), (prefixes().collect(), vec![]));
    // Said once is enough.
    assert!(rib.replace(routes(prefixes(), &told(10, 65001))).is_empty());
}

#[test]
fn only_what_changed_is_sent() {
    let mut rib = AdjRibOut::default();
    let (old, new) = (told(20, 65001), told(10, 65001));
    rib.replace(routes((0..10).map(ipv4), &old));
    let mut desired = routes((1..10).map(ipv4), &old);
    desired.insert(ipv4(3), route(&ipv4(3), &new));
    desired.insert(ipv6(1), route(&ipv6(1), &new));
    let changes = rib.replace(desired);
    assert_eq!(
        (changes.announced(), changes.withdraw.as_slice()),
        (2, &[ipv4(0)][..])
    );
    let (announced, withdrawn) = replay(&pack(&changes, true).unwrap(), true);
    assert_eq!((announced, withdrawn), (vec![ipv4(3), ipv6(1)], vec![ipv4(0)]));
    assert_eq!(rib.refresh(Family::Ipv4).announced(), 9);
    assert_eq!(rib.refresh(Family::Ipv6).announced(), 1);
}

#[test]
fn many_prefixes_fill_messages_to_the_limit() {
    let mut rib = AdjRibOut::default();
    let prefixes = || (0..5000).map(ipv4).chain((0..2000).map(ipv6));
    let packed = pack(&rib.replace(routes(prefixes(), &told(10, 65001))), true).unwrap();
    // 4096 bytes hold about 800 IPv4 and 235 IPv6 host routes.
    assert_eq!(packed.messages, 7 + 9);
    let (announced, _) = replay(&packed, true);
    assert_eq!(announced, prefixes().collect::<Vec<_>>());

    let packed = pack(&rib.replace(Routes::new()), true).unwrap();
    assert_eq!(packed.messages, 7 + 9);
    let (_, withdrawn) = replay(&packed, true);
    assert_eq!(withdrawn, prefixes().collect::<Vec<_>>());
}

#[test]
fn every_number_of_prefixes_around_the_limit_fits() {
    for family in Family::ALL {
        for count in 200..900 {
            let prefixes = (0..count).map(|index| {
                if family == Family::Ipv4 {
                    ipv4(index)
                } else {
                    ipv6(index)
                }
            });
            let changes = AdjRibOut::default().replace(routes(prefixes, &told(10, 65001)));
            let packed = pack(&changes, true).unwrap();
            let lengths: Vec<usize> = messages(&packed.bytes)
                .iter()
                .map(|message| message.len())
                .collect();
            assert!(
                lengths.iter().all(|length| *length <= MAX_MESSAGE),
                "{count}: {lengths:?}"
            );
        }
    }
}

#[test]
fn the_largest_attributes_leave_room_for_a_prefix() {
    let attributes = Arc::new(PathAttributes {
        as_path: AsPath::sequence(&[4_200_000_000; 256]),
        med: Some(1),
        local_pref: Some(1),
        communities: (0..255).collect(),
        ..PathAttributes::default()
    });
    for four_octet in [false, true] {
        let changes = AdjRibOut::default().replace(routes((0..3).map(ipv6), &attributes));
        let packed = pack(&changes, four_octet).unwrap();
        let (announced, _) = replay(&packed, four_octet);
        assert_eq!(announced.len(), 3);
    }
}

#[test]
fn a_neighbour_of_two_octets_gets_as_trans_and_as4_path() {
    let changes = AdjRibOut::default().replace(routes([ipv4(1)].into_iter(), &told(10, 4_200_000_001)));
    let packed = pack(&changes, false).unwrap();
    agreed(&packed.bytes, false);
    let context = Context {
        four_octet: false,
        external: true,
        ..Context::default()
    };
    let Ok(Message::Update(decoded)) = Message::decode(&packed.bytes, context) else {
        panic!()
    };
    assert!(
        decoded
            .update
            .attributes
            .contains(&Attribute::AsPath(AsPath::sequence(&[23456; 2]).0))
    );
    assert!(
        decoded
            .update
            .attributes
            .contains(&Attribute::As4Path(AsPath::sequence(&[4_200_000_001; 2]).0))
    );

    let small = AdjRibOut::default().replace(routes([ipv4(1)].into_iter(), &told(10, 65001)));
    let packed = pack(&small, false).unwrap();
    let Ok(Message::Update(decoded)) = Message::decode(&packed.bytes, context) else {
        panic!()
    };
    assert!(
        decoded
            .update
            .attributes
            .iter()
            .all(|attribute| attribute.code() != 17)
    );
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
        agreed(&message.encode(Encoding::default()).unwrap(), true);
    }
}

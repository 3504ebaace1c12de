//! BFD Echo: a peer's packets go back on the link they came by.
//!
//! RFC 5880 section 3.2: the peer watches the forwarding path, not the other end's BFD. So they are answered where
//! packets are forwarded, and go on being answered while no daemon runs.

use crate::header::{ETHERNET, IPV4, IPV6, Packet, protocol};
use crate::rewrite::{ONE_HOP, turn_link};
use crate::{Address, Counter, DropReason, EchoPeerKey, Frame, Port, Tables, Verdict, checksum, load, store};

/// RFC 5881 section 4: the destination port; the source port is the sender's affair.
const PORT: Port = Port::new(3785);

const TTL: u8 = 255;

/// For a packet that nothing else in here wants, and that goes to the stack unless it is a peer's echo packet. Being
/// the last question it costs the flows nothing, and the rest one comparison.
#[inline(always)]
pub(crate) fn reflect<F: Frame, T: Tables>(frame: &mut F, tables: &T, packet: &Packet) -> Verdict {
    let key = &packet.key;
    // Of a fragmented one only the first part would come back.
    if key.dport.0 != PORT.0 || key.protocol != protocol::UDP || packet.fragment {
        return Verdict::Pass;
    }
    if !is_peer(tables, &key.dst, frame.ingress()) {
        return Verdict::Pass;
    }
    let verdict = turn_back(frame, packet);
    if verdict == Verdict::Reply {
        tables.count(Counter::BfdEchoReflected);
    }
    verdict
}

/// RFC 5881 section 4: the destination is an address of the sender, so that whoever receives the packet forwards it
/// back. The interface is asked for first: link-local addresses mean something else on each.
#[inline(always)]
fn is_peer<T: Tables>(tables: &T, address: &Address, ingress: u32) -> bool {
    tables.is_echo_peer(&EchoPeerKey::new(*address, ingress))
        || tables.is_echo_peer(&EchoPeerKey::new(*address, EchoPeerKey::ANY_INTERFACE))
}

/// Forwards the packet to where it came from. RFC 5880 section 5: what follows the IP header is the sender's own; no
/// address changes, so its checksum holds.
#[inline(always)]
fn turn_back<F: Frame>(frame: &mut F, packet: &Packet) -> Verdict {
    let ethernet = if packet.ipv6 {
        frame.at(0, ETHERNET + IPV6)
    } else {
        frame.at(0, ETHERNET + IPV4)
    };
    let Some(ethernet) = ethernet else {
        return Verdict::Drop(DropReason::Malformed);
    };
    // SAFETY: `at` promised the Ethernet header and the IP header of the family.
    unsafe {
        // XDP takes a frame for its own where it does not know the interface's address. What a group hears would
        // come back from everybody in it.
        if *ethernet & 1 != 0 {
            return Verdict::Pass;
        }
        // As with control packets (RFC 5881 section 5): it came from the link. And two reflectors that know the same
        // peer cannot hand a forged one to and fro.
        if packet.ttl != TTL {
            return Verdict::Pass;
        }
        let ip = ethernet.add(ETHERNET);
        if packet.ipv6 {
            *ip.add(7) -= 1;
        } else {
            *ip.add(8) -= 1;
            store(ip, 10, checksum::updated(load(ip, 10), ONE_HOP));
        }
        turn_link(ethernet);
    }
    Verdict::Reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HostFrame, HostTables, Route, RouteQuery};
    use std::net::Ipv4Addr;

    const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// An IPv4 packet without payload, to its sender.
    fn frame(to: [u8; 6]) -> Vec<u8> {
        let mut bytes = to.to_vec();
        bytes.extend([2, 0, 0, 0, 0, 2, 8, 0]);
        bytes.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 255, 17, 0, 0]);
        bytes.extend(PEER.octets());
        bytes.extend(PEER.octets());
        bytes.extend([0xc0, 0, 0x0e, 0xc9, 0, 8, 0, 0]);
        bytes
    }

    fn run(peer: (u32, u32), to: [u8; 6]) -> Verdict {
        let (on, ingress) = peer;
        let mut tables = HostTables::default();
        tables.echo_peers.insert(EchoPeerKey::new(PEER.into(), on));
        let mut frame = HostFrame::<_, true> {
            bytes: &mut frame(to),
            // As XDP says on an interface whose address it does not know.
            for_us: true,
            ingress,
            routes: |_: &RouteQuery| Route::NoRoute,
        };
        crate::forward(&mut frame, &tables, 0)
    }

    #[test]
    fn a_peer_is_known_by_its_interface_or_on_any() {
        for (on, verdict) in [(7, Verdict::Reply), (0, Verdict::Reply), (8, Verdict::Pass)] {
            assert_eq!(run((on, 7), OWN), verdict, "on {on}");
        }
    }

    #[test]
    fn what_a_group_hears_is_not_sent_back() {
        for group in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
            assert_eq!(run((0, 7), group), Verdict::Pass, "{group:02x?}");
        }
    }
}

//! Ethernet frames that move an address to this node: gratuitous ARP and unsolicited neighbour advertisements.
//!
//! Pure functions from (MAC, address) to bytes. IPv4 takes both customary forms, because each is ignored by
//! some receivers: a request for the own address (updates an entry that exists, and switches) and a reply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
/// ff02::1 on Ethernet (RFC 2464 section 7).
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const NEXT_HEADER_ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const OPTION_TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// Router and override. Not solicited: RFC 4861 section 7.2.6 wants it clear on a multicast advertisement.
/// Router, because a host that used the address as its gateway would otherwise drop that route.
const FLAGS_ROUTER_OVERRIDE: u8 = 0b1010_0000;

/// Operation field of an ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpForm {
    Request,
    Reply,
}

/// The frames that claim `address` for `mac`, in the order in which they are sent.
pub fn claim(mac: Mac, address: IpAddr) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => {
            vec![
                gratuitous_arp(mac, address, ArpForm::Request),
                gratuitous_arp(mac, address, ArpForm::Reply),
            ]
        }
        IpAddr::V6(address) => vec![unsolicited_advertisement(mac, address)],
    }
}

/// Gratuitous ARP (RFC 5227 section 3): sender and target protocol address are both the claimed one.
pub fn gratuitous_arp(mac: Mac, address: Ipv4Addr, form: ArpForm) -> Vec<u8> {
    let (operation, target_mac): (u16, Mac) = match form {
        ArpForm::Request => (1, [0; 6]),
        ArpForm::Reply => (2, BROADCAST),
    };
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP, 28);
    frame.extend_from_slice(&[0, 1, 0x08, 0, 6, 4]);
    frame.extend_from_slice(&operation.to_be_bytes());
    frame.extend_from_slice(&mac);
    frame.extend_from_slice(&address.octets());
    frame.extend_from_slice(&target_mac);
    frame.extend_from_slice(&address.octets());
    frame
}

/// Unsolicited neighbour advertisement (RFC 4861 section 7.2.6) to all nodes, from the claimed address.
pub fn unsolicited_advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, FLAGS_ROUTER_OVERRIDE, 0, 0, 0];
    message.extend_from_slice(&address.octets());
    message.extend_from_slice(&[OPTION_TARGET_LINK_LAYER_ADDRESS, 1]);
    message.extend_from_slice(&mac);
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);

    let mut sum = Checksum::default();
    sum.add(&address.octets());
    sum.add(&ALL_NODES.octets());
    sum.add(&u32::from(length).to_be_bytes());
    sum.add(&u32::from(NEXT_HEADER_ICMPV6).to_be_bytes());
    sum.add(&message);
    message.splice(2..4, sum.finish().to_be_bytes());

    let mut frame = ethernet(ALL_NODES_MAC, mac, ETHERTYPE_IPV6, 40 + message.len());
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    frame.extend_from_slice(&length.to_be_bytes());
    // RFC 4861 section 7.1.2: receivers discard an advertisement whose hop limit is not 255.
    frame.extend_from_slice(&[NEXT_HEADER_ICMPV6, 255]);
    frame.extend_from_slice(&address.octets());
    frame.extend_from_slice(&ALL_NODES.octets());
    frame.extend_from_slice(&message);
    frame
}

fn ethernet(destination: Mac, source: Mac, ethertype: u16, payload: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload);
    frame.extend_from_slice(&destination);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame
}

/// The Internet checksum over parts of even length (RFC 1071).
#[derive(Default)]
struct Checksum(u32);

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks(2) {
            let high = pair.first().copied().unwrap_or(0);
            let low = pair.get(1).copied().unwrap_or(0);
            self.0 = self.0.saturating_add(u32::from(u16::from_be_bytes([high, low])));
        }
    }

    fn finish(self) -> u16 {
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        !u16::try_from(folded).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    #[test]
    fn request_form_asks_for_the_own_address() {
        let frame = gratuitous_arp(MAC, Ipv4Addr::new(10, 0, 2, 1), ArpForm::Request);
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 1, // hardware, protocol, lengths, request
            2, 0, 0, 0, 0, 1, 10, 0, 2, 1, // sender
            0, 0, 0, 0, 0, 0, 10, 0, 2, 1, // target
        ];
        assert_eq!(frame, expected);
    }

    #[test]
    fn reply_form_differs_in_operation_and_target() {
        let request = gratuitous_arp(MAC, Ipv4Addr::new(10, 0, 2, 1), ArpForm::Request);
        let reply = gratuitous_arp(MAC, Ipv4Addr::new(10, 0, 2, 1), ArpForm::Reply);
        let differing: Vec<usize> = (0..request.len())
            .filter(|&at| request[at] != reply[at])
            .collect();
        assert_eq!(differing, [21, 32, 33, 34, 35, 36, 37]);
        assert_eq!(reply[21], 2);
    }

    #[test]
    fn advertisement_sums_to_zero() {
        let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let frame = unsolicited_advertisement(MAC, address);
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!(frame[14 + 7], 255, "hop limit");
        let message = &frame[54..];
        assert_eq!(message[0], 136);
        assert_eq!(message[4], 0xa0, "router and override, not solicited");
        assert_eq!(message[8..24], address.octets());
        assert_eq!(message[24..], [2, 1, 2, 0, 0, 0, 0, 1]);
        let mut sum = Checksum::default();
        sum.add(&frame[22..54]);
        sum.add(&[0, 0, 0, 32, 0, 0, 0, 58]);
        sum.add(message);
        assert_eq!(sum.finish(), 0, "checksum over the pseudo header and the message");
    }

    #[test]
    fn both_arp_forms_for_ipv4_one_advertisement_for_ipv6() {
        assert_eq!(claim(MAC, "10.0.2.1".parse().unwrap()).len(), 2);
        assert_eq!(claim(MAC, "2001:db8::1".parse().unwrap()).len(), 1);
    }
}

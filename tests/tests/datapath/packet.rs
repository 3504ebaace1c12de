//! Packets, built and checked without any code of the data path.

use std::net::IpAddr;

use super::OUR_MAC;

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;
pub(crate) const RST: u8 = 4;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) protocol: u8,
    pub(crate) flags: u8,
    pub(crate) ttl: u8,
    /// Words of IPv4 options.
    pub(crate) options: usize,
    /// IPv4 flags and fragment offset.
    pub(crate) fragment: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) udp_checksum: bool,
    pub(crate) to: [u8; 6],
}

pub(crate) fn packet(src: (&str, u16), dst: (&str, u16), protocol: u8, flags: u8) -> Packet {
    Packet {
        src: src.0.parse().unwrap(),
        dst: dst.0.parse().unwrap(),
        sport: src.1,
        dport: dst.1,
        protocol,
        flags,
        ttl: 64,
        options: 0,
        fragment: 0,
        payload: b"the baton passes on".to_vec(),
        udp_checksum: true,
        to: OUR_MAC,
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)))
        .sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn pseudo(src: &[u8], dst: &[u8], protocol: u8, length: usize) -> u32 {
    sum(src) + sum(dst) + u32::from(protocol) + u32::try_from(length).unwrap()
}

impl Packet {
    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.sport.to_be_bytes());
        bytes.extend(self.dport.to_be_bytes());
        match self.protocol {
            TCP => {
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, self.flags, 0x20, 0, 0, 0, 0, 0]);
            }
            UDP => {
                let length = u16::try_from(8 + self.payload.len()).unwrap();
                bytes.extend(length.to_be_bytes());
                bytes.extend([0, 0]);
            }
            // ICMP echo: type and code in the place of the source port, checksum in the other.
            _ => {
                bytes[2] = 0;
                bytes[3] = 0;
                bytes.extend([0, 7, 0, 1]);
            }
        }
        bytes.extend(&self.payload);
        let at = match self.protocol {
            TCP => 16,
            UDP => 6,
            _ => 2,
        };
        let (src, dst) = (octets(self.src), octets(self.dst));
        let header = if self.protocol == 1 {
            0
        } else {
            pseudo(&src, &dst, self.protocol, bytes.len())
        };
        let mut checksum = !folded(header + sum(&bytes));
        if self.protocol == UDP {
            checksum = if self.udp_checksum { checksum.max(1) } else { 0 };
        }
        bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut bytes = Vec::new();
        bytes.extend(self.to);
        bytes.extend([2, 0, 0, 0, 9, 9]);
        let length = u16::try_from(transport.len()).unwrap();
        if self.src.is_ipv4() {
            bytes.extend([8, 0]);
            let header = 20 + self.options * 4;
            let mut ip = vec![0x40 + u8::try_from(header / 4).unwrap(), 0];
            ip.extend((length + u16::try_from(header).unwrap()).to_be_bytes());
            ip.extend([0x12, 0x34]);
            ip.extend(self.fragment.to_be_bytes());
            ip.extend([self.ttl, self.protocol, 0, 0]);
            ip.extend(octets(self.src));
            ip.extend(octets(self.dst));
            ip.extend(vec![1; self.options * 4]);
            let checksum = !folded(sum(&ip));
            ip[10..12].copy_from_slice(&checksum.to_be_bytes());
            bytes.extend(ip);
        } else {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend([self.protocol, self.ttl]);
            bytes.extend(octets(self.src));
            bytes.extend(octets(self.dst));
        }
        bytes.extend(transport);
        bytes
    }
}

/// What stands in a frame: addresses, ports, protocol, TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
}

fn split(frame: &[u8]) -> Option<(IpAddr, IpAddr, u8, u8, &[u8])> {
    let ip = frame.get(14..)?;
    if frame.get(12..14)? == [8, 0] {
        let header = usize::from(ip.first()? & 15) * 4;
        let length = usize::from(u16::from_be_bytes(ip.get(2..4)?.try_into().ok()?));
        let src: [u8; 4] = ip.get(12..16)?.try_into().ok()?;
        let dst: [u8; 4] = ip.get(16..20)?.try_into().ok()?;
        Some((src.into(), dst.into(), ip[9], ip[8], ip.get(header..length)?))
    } else {
        let length = usize::from(u16::from_be_bytes(ip.get(4..6)?.try_into().ok()?));
        let src: [u8; 16] = ip.get(8..24)?.try_into().ok()?;
        let dst: [u8; 16] = ip.get(24..40)?.try_into().ok()?;
        Some((src.into(), dst.into(), ip[6], ip[7], ip.get(40..40 + length)?))
    }
}

pub(crate) fn seen(frame: &[u8]) -> Seen {
    let (src, dst, protocol, ttl, transport) = split(frame).unwrap();
    let port = |at: usize| u16::from_be_bytes(transport[at..at + 2].try_into().unwrap());
    Seen {
        src,
        dst,
        sport: port(0),
        dport: port(2),
        protocol,
        ttl,
    }
}

/// Whether all checksums of a frame are right. A UDP checksum of 0 is.
pub(crate) fn is_valid(frame: &[u8]) -> bool {
    let Some((src, dst, protocol, _, transport)) = split(frame) else {
        return false;
    };
    let ip = &frame[14..];
    if src.is_ipv4() {
        let header = usize::from(ip[0] & 15) * 4;
        if folded(sum(&ip[..header])) != 0xffff {
            return false;
        }
    }
    if protocol == UDP && transport.get(6..8) == Some(&[0, 0]) {
        return true;
    }
    let header = if protocol == 1 {
        0
    } else {
        pseudo(&octets(src), &octets(dst), protocol, transport.len())
    };
    folded(header + sum(transport)) == 0xffff
}

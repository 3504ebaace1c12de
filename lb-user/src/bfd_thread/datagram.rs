//! IP and UDP headers around what BFD sends (RFC 791, RFC 8200, RFC 768).

use std::net::IpAddr;

/// RFC 5881 section 5, and RFC 5883 section 5 for want of a reason to send less.
pub(super) const TTL: u8 = 255;
/// Class selector 6, network control, as the traffic class byte.
pub(super) const NETWORK_CONTROL: u8 = 0xc0;
const UDP: u8 = 17;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
/// The longest headers.
pub(super) const HEADERS: usize = IPV6_HEADER + UDP_HEADER;
const DO_NOT_FRAGMENT: u16 = 0x4000;

/// Where the UDP header begins.
pub(super) const UDP_START: usize = HEADERS - UDP_HEADER;

/// Writes UDP header and payload from [`UDP_START`] on. Returns where the datagram ends; what does not fit is left out.
pub(super) fn write_udp(
    bytes: &mut [u8],
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    payload: &[u8],
) -> usize {
    let room = bytes.len().saturating_sub(HEADERS);
    let payload = payload.get(..payload.len().min(room)).unwrap_or_default();
    let length = u16::try_from(UDP_HEADER + payload.len()).unwrap_or(0);
    let header = udp_header(source, destination, ports, length, payload);
    copy(bytes, UDP_START, header.iter().chain(payload));
    HEADERS + payload.len()
}

/// Writes the IP header before the UDP datagram that ends at `end`. Returns where it begins.
pub(super) fn write_ip(bytes: &mut [u8], end: usize, source: IpAddr, destination: IpAddr) -> usize {
    let udp_length = u16::try_from(end.saturating_sub(UDP_START)).unwrap_or(0);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = ipv4_header(source.octets(), destination.octets(), udp_length);
            copy(bytes, UDP_START - IPV4_HEADER, header.iter());
            UDP_START - IPV4_HEADER
        }
        (source, destination) => {
            let header = ipv6_header(octets(source), octets(destination), udp_length);
            copy(bytes, UDP_START - IPV6_HEADER, header.iter());
            UDP_START - IPV6_HEADER
        }
    }
}

fn copy<'a>(bytes: &mut [u8], start: usize, from: impl Iterator<Item = &'a u8>) {
    for (to, from) in bytes.iter_mut().skip(start).zip(from) {
        *to = *from;
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The identification is 0: what is not fragmented needs none (RFC 6864 section 4.1).
fn ipv4_header(source: [u8; 4], destination: [u8; 4], udp_length: u16) -> [u8; IPV4_HEADER] {
    let [t0, t1] = (udp_length + IPV4_HEADER as u16).to_be_bytes();
    let [f0, f1] = DO_NOT_FRAGMENT.to_be_bytes();
    let [s0, s1, s2, s3] = source;
    let [d0, d1, d2, d3] = destination;
    let with_checksum = |[c0, c1]: [u8; 2]| {
        [
            0x45,
            NETWORK_CONTROL,
            t0,
            t1,
            0,
            0,
            f0,
            f1,
            TTL,
            UDP,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    };
    with_checksum((!fold(sum(&with_checksum([0, 0])))).to_be_bytes())
}

fn ipv6_header(source: [u8; 16], destination: [u8; 16], udp_length: u16) -> [u8; IPV6_HEADER] {
    let [l0, l1] = udp_length.to_be_bytes();
    // Version, traffic class, flow label 0.
    let fixed = [
        0x60 | NETWORK_CONTROL >> 4,
        NETWORK_CONTROL << 4,
        0,
        0,
        l0,
        l1,
        UDP,
        TTL,
    ];
    let mut header = [0; IPV6_HEADER];
    copy(&mut header, 0, fixed.iter().chain(&source).chain(&destination));
    header
}

fn udp_header(
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    length: u16,
    payload: &[u8],
) -> [u8; UDP_HEADER] {
    let [s0, s1] = ports.0.to_be_bytes();
    let [d0, d1] = ports.1.to_be_bytes();
    let [l0, l1] = length.to_be_bytes();
    let mut header = [s0, s1, d0, d1, l0, l1, 0, 0];
    let addresses = |address| match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    let total = addresses(source)
        + addresses(destination)
        + u64::from(UDP)
        + u64::from(length)
        + sum(&header)
        + sum(payload);
    // RFC 768: a checksum of zero is written as ones.
    let checksum = match !fold(total) {
        0 => u16::MAX,
        checksum => checksum,
    };
    let [.., c0, c1] = &mut header;
    [*c0, *c1] = checksum.to_be_bytes();
    header
}

fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words: u64 = words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)))
        .sum();
    words + rest.first().map_or(0, |byte| u64::from(*byte) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &mut [u8], [source, destination]: [IpAddr; 2], payload: &[u8]) -> (usize, usize) {
        let end = write_udp(bytes, source, destination, (0xc001, 3784), payload);
        (write_ip(bytes, end, source, destination), end)
    }

    fn addresses(source: &str, destination: &str) -> [IpAddr; 2] {
        [source, destination].map(|text| text.parse().unwrap())
    }

    /// What has the right checksum sums up to ones, with it and the pseudo header (RFC 1071, RFC 8200 section 8.1).
    #[test]
    fn checksums_are_right() {
        for ends in [
            addresses("10.0.0.1", "10.0.0.2"),
            addresses("2001:db8::1", "fe80::2"),
        ] {
            for length in [0, 1, 23, 24, 52] {
                let payload: Vec<u8> = (0..length).map(|byte: u8| byte.wrapping_mul(7)).collect();
                let mut bytes = [0; HEADERS + 52];
                let (start, end) = written(&mut bytes, ends, &payload);
                let (header, udp) = bytes[start..end].split_at(UDP_START - start);
                assert_eq!(&udp[UDP_HEADER..], payload);
                let pseudo = match ends {
                    [IpAddr::V4(one), IpAddr::V4(other)] => sum(&one.octets()) + sum(&other.octets()),
                    [one, other] => sum(&octets(one)) + sum(&octets(other)),
                };
                assert_eq!(
                    fold(pseudo + 17 + udp.len() as u64 + sum(udp)),
                    0xffff,
                    "{ends:?} {length}"
                );
                assert!(header.len() == IPV6_HEADER || fold(sum(header)) == 0xffff);
            }
        }
    }

    #[test]
    fn headers_say_what_they_should() {
        let mut bytes = [0; HEADERS + 52];
        let (start, end) = written(&mut bytes, addresses("10.0.0.1", "10.0.0.2"), &[1, 2]);
        assert_eq!(
            bytes[start..end][..26],
            [
                0x45, 0xc0, 0, 30, 0, 0, 0x40, 0, 255, 17, 0x67, 0x0c, 10, 0, 0, 1, 10, 0, 0, 2, 0xc0, 0x01,
                0x0e, 0xc8, 0, 10
            ]
        );
        let (start, end) = written(&mut bytes, addresses("2001:db8::1", "2001:db8::2"), &[1, 2]);
        assert_eq!(bytes[start..][..8], [0x6c, 0x00, 0, 0, 0, 10, 17, 255]);
        assert_eq!(end - start, 50);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut bytes = [0; HEADERS + 2];
        let (_, end) = written(&mut bytes, addresses("10.0.0.1", "10.0.0.2"), &[1, 2, 3]);
        assert_eq!(end, HEADERS + 2);
    }
}

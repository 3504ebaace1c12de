//! The flow table's records: one entry per direction.

use crate::hash::mix;
use crate::{Address, Port, checksum};

/// The packet as it arrives in one direction.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct FlowKey {
    pub src: Address,
    pub dst: Address,
    pub sport: Port,
    pub dport: Port,
    /// IP protocol number.
    pub protocol: u8,
    pub pad: [u8; 3],
}

impl FlowKey {
    #[inline(always)]
    pub const fn new(src: (Address, Port), dst: (Address, Port), protocol: u8) -> Self {
        Self {
            src: src.0,
            dst: dst.0,
            sport: src.1,
            dport: dst.1,
            protocol,
            pad: [0; 3],
        }
    }

    /// Equality in one step: the verifier follows each branch of the derived one to the end.
    #[inline(always)]
    pub(crate) const fn is(&self, other: &Self) -> bool {
        let mut difference = (self.sport.0 ^ other.sport.0) as u32
            | (self.dport.0 ^ other.dport.0) as u32
            | (self.protocol ^ other.protocol) as u32;
        let mut i = 0;
        while i < 4 {
            difference |= (self.src.0[i] ^ other.src.0[i]) | (self.dst.0[i] ^ other.dst.0[i]);
            i += 1;
        }
        difference == 0
    }
}

/// Bits of [`Flow::flags`].
pub struct FlowFlags;

impl FlowFlags {
    /// Backend to client; its twin without the bit is client to backend.
    pub const REVERSE: u8 = 1;
    /// The source port is not the first of its probe sequence: a peer cannot derive it.
    pub const DISPLACED: u8 = 2;
    /// Taken up mid-stream, without having seen the handshake.
    pub const DERIVED: u8 = 4;
    /// Installed by synchronisation and not used here since: the first packet clears it.
    pub const REMOTE: u8 = 8;
    /// FIN in both directions, or RST.
    pub const CLOSED: u8 = 16;
    /// The backend does not see the client's address (mode fullnat); set in both directions.
    pub const SOURCE_NAT: u8 = 32;
}

/// Bits of [`Flow::seen`]: the TCP flags seen in this direction. A UDP packet counts as ACK.
pub struct Seen;

impl Seen {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

/// Where packets leave. Many flows share one.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NextHop {
    /// Made of the rest by [`NextHop::sealed`]; 0: none. Its low bits are the slot in the HOPS array.
    pub tag: u32,
    pub ifindex: u32,
    pub destination: [u8; 6],
    pub source: [u8; 6],
}

impl NextHop {
    /// With its tag. Whoever finds another tag in the slot asks the routing table again.
    #[inline(always)]
    pub fn sealed(self) -> Self {
        let word = |b: [u8; 6], i: usize| u16::from_ne_bytes([b[i], b[i + 1]]) as u64;
        let mac = |b: [u8; 6]| word(b, 0) | (word(b, 2) << 16) | (word(b, 4) << 32);
        let hash = mix(
            mix(mix(1, self.ifindex as u64), mac(self.destination)),
            mac(self.source),
        );
        Self {
            tag: (mix(hash, 0) >> 32) as u32 | 1 << 31,
            ..self
        }
    }
}

/// What to do with a packet that matches the key, and what is known about the flow.
///
/// 40 bytes, so that an entry of the table fills two cache lines: what a packet costs is mostly waiting for memory.
/// Two CPUs may write one entry at once; each field is written whole and is right whoever wins.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    /// The one address of the rewritten packet that the key does not have: the backend; for replies
    /// the client where the source is translated, else the VIP.
    pub address: Address,
    pub sport: Port,
    pub dport: Port,
    /// One's complement sum of what the new addresses add (IPv4 header and pseudo header).
    pub address_delta: u16,
    /// The same for the ports.
    pub port_delta: u16,
    /// Time of the last packet, [`Flow::ticks`]; wraps after 52 days.
    pub last_seen: u32,
    pub service: u16,
    pub flags: u8,
    pub seen: u8,
    /// Tag of the next hop; 0: none.
    pub hop: u32,
    /// [`Flow::stamp`] of when it was looked up. It is valid while the FIB epoch of the settings and the
    /// second are the same: a daemon that died cannot leave it stale.
    pub hop_stamp: u32,
}

#[inline(always)]
const fn mask(set: bool) -> u32 {
    0_u32.wrapping_sub(set as u32)
}

impl Flow {
    /// FIB epoch and second (2^30 ns) in one.
    #[inline(always)]
    pub const fn stamp(epoch: u32, now: u64) -> u32 {
        (((now >> 30) as u32) << 8) | (epoch & 0xff)
    }

    /// Source and destination of a packet that matched `key`, after the rewrite.
    #[inline(always)]
    pub const fn addresses(&self, key: &FlowKey) -> (Address, Address) {
        // By masks, not by branches: the verifier would follow each of them to the end.
        let translated = mask(self.has(FlowFlags::SOURCE_NAT));
        let reverse = mask(self.has(FlowFlags::REVERSE)) & !translated;
        let forward = !translated & !reverse;
        let (mut src, mut dst) = ([0; 4], [0; 4]);
        let mut i = 0;
        while i < 4 {
            let (own, from, to) = (self.address.0[i], key.src.0[i], key.dst.0[i]);
            src[i] = (to & translated) | (own & reverse) | (from & forward);
            dst[i] = (to & reverse) | (own & !reverse);
            i += 1;
        }
        (Address(src), Address(dst))
    }

    /// Wrapping ticks of about a millisecond (2^20 ns) of CLOCK_MONOTONIC.
    #[inline(always)]
    pub const fn ticks(nanoseconds: u64) -> u32 {
        (nanoseconds >> 20) as u32
    }

    /// The key of the other direction: a reply comes from where the rewritten packet goes.
    #[inline(always)]
    pub fn reply_key(&self, key: &FlowKey) -> FlowKey {
        let (src, dst) = self.addresses(key);
        FlowKey::new((dst, self.dport), (src, self.sport), key.protocol)
    }

    /// Computes what the rewrite adds to the checksums of packets that match `key`.
    #[inline(always)]
    pub fn set_deltas(&mut self, key: &FlowKey) {
        let (src, dst) = self.addresses(key);
        self.address_delta = checksum::addresses((&key.src, &key.dst), (&src, &dst));
        self.port_delta = checksum::ports((key.sport.0, key.dport.0), (self.sport.0, self.dport.0));
    }

    #[inline(always)]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Milliseconds since the last packet, at a given time.
    pub const fn idle_ms(&self, now: u32) -> u64 {
        // A packet may be stamped after the caller read its clock.
        let ticks = now.wrapping_sub(self.last_seen);
        if ticks > u32::MAX / 2 {
            0
        } else {
            ((ticks as u64) << 20) / 1_000_000
        }
    }
}

const _: () = assert!(size_of::<FlowKey>() == 40 && size_of::<Flow>() == 40);

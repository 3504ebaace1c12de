//! The flow table's records: one entry per direction.

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
}

/// Bits of [`Flow::flags`].
pub struct FlowFlags;

impl FlowFlags {
    /// Backend to client; its twin without the bit is client to backend.
    pub const REVERSE: u16 = 1;
    /// The source port is not the first of its probe sequence: a peer cannot derive it.
    pub const DISPLACED: u16 = 2;
    /// Taken up mid-stream, without having seen the handshake.
    pub const DERIVED: u16 = 4;
    /// Installed by synchronisation and not used here since: the first packet clears it.
    pub const REMOTE: u16 = 8;
    /// FIN in both directions, or RST.
    pub const CLOSED: u16 = 16;
    /// The rewrite replaces the client's address (mode fullnat).
    pub const SOURCE_NAT: u16 = 32;
}

/// Bits of [`Flow::seen`]: the TCP flags seen in this direction. A UDP packet counts as ACK.
pub struct Seen;

impl Seen {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

/// Where the next packet of a flow leaves. Valid while the FIB epoch of the settings and the
/// current second are the ones it was looked up in: a daemon that died cannot leave it stale.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NextHop {
    /// 0: none.
    pub ifindex: u32,
    pub epoch: u32,
    /// `now >> 30` of the lookup.
    pub second: u32,
    pub destination: [u8; 6],
    pub source: [u8; 6],
}

/// What to do with a packet that matches the key, and what is known about the flow.
///
/// Two CPUs may write one entry at once; each field is written whole and is right whoever wins.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flow {
    pub src: Address,
    pub dst: Address,
    pub sport: Port,
    pub dport: Port,
    /// One's complement sum of what the new addresses add (IPv4 header and pseudo header).
    pub address_delta: u16,
    /// The same for the ports.
    pub port_delta: u16,
    pub service: u32,
    pub backend: u32,
    pub flags: u16,
    pub seen: u8,
    pub pad: u8,
    /// Time of the last packet, [`Flow::ticks`]; wraps after 52 days.
    pub last_seen: u32,
    pub hop: NextHop,
}

impl Flow {
    /// Wrapping ticks of about a millisecond (2^20 ns) of CLOCK_MONOTONIC.
    #[inline(always)]
    pub const fn ticks(nanoseconds: u64) -> u32 {
        (nanoseconds >> 20) as u32
    }

    /// The key of the other direction: a reply comes from where the rewritten packet goes.
    #[inline(always)]
    pub const fn reply_key(&self, protocol: u8) -> FlowKey {
        FlowKey::new((self.dst, self.dport), (self.src, self.sport), protocol)
    }

    /// Computes what the rewrite adds to the checksums of packets that match `key`.
    #[inline(always)]
    pub fn set_deltas(&mut self, key: &FlowKey) {
        self.address_delta = checksum::addresses((&key.src, &key.dst), (&self.src, &self.dst));
        self.port_delta = checksum::ports((key.sport.0, key.dport.0), (self.sport.0, self.dport.0));
    }

    #[inline(always)]
    pub const fn has(&self, flag: u16) -> bool {
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

const _: () = assert!(size_of::<FlowKey>() == 40 && size_of::<Flow>() == 80);

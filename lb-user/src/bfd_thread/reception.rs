//! Takes many datagrams out of a socket in one system call.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::time::Duration;

use bfd::MAXIMUM_LENGTH;
use libc::{iovec, mmsghdr, sockaddr_storage};

/// Datagrams in one system call.
pub(super) const BATCH: usize = 32;
/// One byte more than the longest control packet: what is longer is seen to be.
const LONGEST: usize = MAXIMUM_LENGTH + 1;
/// Room for the control messages that are asked for, of either family.
const CONTROL: usize = 128;

/// Where the kernel puts a datagram.
struct Slot {
    payload: [u8; LONGEST],
    length: usize,
    control: Control,
    control_length: usize,
    name: sockaddr_storage,
}

/// Aligned as the headers in it are.
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// The last datagrams that were taken.
pub(super) struct Reception {
    slots: Vec<Slot>,
}

/// What the kernel says of a datagram beside its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// TTL or hop limit.
    Ttl(u8),
    /// The destination and the interface by which it came.
    Arrival(IpAddr, u32),
    /// When it arrived, on the wall clock.
    Stamp(Duration),
}

impl Reception {
    pub(super) fn new() -> Self {
        let slot = || Slot {
            payload: [0; LONGEST],
            length: 0,
            control: Control([0; CONTROL]),
            control_length: 0,
            // SAFETY: an address of zeros is one of no family.
            name: unsafe { std::mem::zeroed() },
        };
        Self {
            slots: (0..BATCH).map(|_| slot()).collect(),
        }
    }

    /// Takes what is there, at most [`BATCH`]; 0: there is nothing. Less than `BATCH`: there is no more.
    pub(super) fn fill(&mut self, socket: RawFd) -> io::Result<usize> {
        let mut vectors = [iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        // SAFETY: a header of zeros is one without name, data and control.
        let mut headers: [mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for ((slot, vector), header) in self.slots.iter_mut().zip(&mut vectors).zip(&mut headers) {
            vector.iov_base = slot.payload.as_mut_ptr().cast();
            vector.iov_len = LONGEST;
            header.msg_hdr.msg_name = std::ptr::from_mut(&mut slot.name).cast();
            header.msg_hdr.msg_namelen = size_of::<sockaddr_storage>() as u32;
            header.msg_hdr.msg_iov = std::ptr::from_mut(vector);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: every header points into a slot and a vector, which live across the call.
        let result = unsafe {
            libc::recvmmsg(
                socket,
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = match usize::try_from(result) {
            Ok(count) => count,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => 0,
                error => return Err(error),
            },
        };
        for (slot, header) in self.slots.iter_mut().zip(&headers).take(count) {
            slot.length = usize::try_from(header.msg_len).unwrap_or(0);
            slot.control_length = header.msg_hdr.msg_controllen;
        }
        Ok(count)
    }

    pub(super) fn payload(&self, index: usize) -> &[u8] {
        let slot = self.slots.get(index);
        slot.and_then(|slot| slot.payload.get(..slot.length))
            .unwrap_or_default()
    }

    /// The sender.
    pub(super) fn source(&self, index: usize) -> Option<IpAddr> {
        let name = &self.slots.get(index)?.name;
        // SAFETY: every bit pattern is a storage; the family says which part of it the kernel has written.
        match i32::from(name.ss_family) {
            libc::AF_INET => {
                let address = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
                Some(IpAddr::from(address.sin_addr.s_addr.to_ne_bytes()))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
                Some(IpAddr::from(address.sin6_addr.s6_addr))
            }
            _ => None,
        }
    }

    pub(super) fn notes(&self, index: usize) -> impl Iterator<Item = Note> + '_ {
        let slot = self.slots.get(index);
        let control = slot.and_then(|slot| slot.control.0.get(..slot.control_length));
        Notes(control.unwrap_or_default())
    }
}

/// Reads control messages, one after the other: length, level, type, data, up to the next aligned one.
struct Notes<'a>(&'a [u8]);

impl Iterator for Notes<'_> {
    type Item = Note;

    fn next(&mut self) -> Option<Note> {
        const WORD: usize = size_of::<usize>();
        loop {
            let (length, rest) = self.0.split_first_chunk::<WORD>()?;
            let length = usize::from_ne_bytes(*length);
            let (level, rest) = rest.split_first_chunk::<4>()?;
            let (kind, _) = rest.split_first_chunk::<4>()?;
            let data = self.0.get(WORD + 8..length)?;
            let note = note(i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind), data);
            self.0 = self.0.get(length.next_multiple_of(WORD)..).unwrap_or_default();
            if note.is_some() {
                return note;
            }
        }
    }
}

fn note(level: i32, kind: i32, data: &[u8]) -> Option<Note> {
    let word = |at: usize| data.get(at..).and_then(<[u8]>::first_chunk::<4>).copied();
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
            let ttl = i32::from_ne_bytes(word(0)?);
            Some(Note::Ttl(u8::try_from(ttl).unwrap_or(0)))
        }
        // Interface, the own address that was chosen, the destination in the header.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(Note::Arrival(
            Ipv4Addr::from(word(8)?).into(),
            u32::from_ne_bytes(word(0)?),
        )),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => Some(Note::Arrival(
            Ipv6Addr::from(*data.first_chunk::<16>()?).into(),
            u32::from_ne_bytes(word(16)?),
        )),
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
            let (seconds, rest) = data.split_first_chunk::<8>()?;
            let nanos = u32::try_from(i64::from_ne_bytes(*rest.first_chunk()?)).ok()?;
            let seconds = u64::try_from(i64::from_ne_bytes(*seconds)).ok()?;
            Some(Note::Stamp(Duration::new(seconds, nanos)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let length = size_of::<usize>() + 8 + data.len();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(length.next_multiple_of(size_of::<usize>()), 0);
        bytes
    }

    #[test]
    fn control_messages_are_read_and_strange_ones_skipped() {
        let mut bytes = message(libc::SOL_SOCKET, 9999, &[1, 2, 3]);
        bytes.extend(message(libc::IPPROTO_IP, libc::IP_TTL, &255_i32.to_ne_bytes()));
        let info = [7_u32.to_ne_bytes(), [10, 0, 0, 1], [10, 0, 0, 2]].concat();
        bytes.extend(message(libc::IPPROTO_IP, libc::IP_PKTINFO, &info));
        let stamp = [3_i64.to_ne_bytes(), 5_i64.to_ne_bytes()].concat();
        bytes.extend(message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &stamp));
        let expected = [
            Note::Ttl(255),
            Note::Arrival([10, 0, 0, 2].into(), 7),
            Note::Stamp(Duration::new(3, 5)),
        ];
        assert_eq!(Notes(&bytes).collect::<Vec<_>>(), expected);
        for cut in 0..bytes.len() {
            assert!(Notes(&bytes[..cut]).count() <= 3, "{cut}");
        }
        bytes[..8].copy_from_slice(&0_usize.to_ne_bytes());
        assert_eq!(Notes(&bytes).count(), 0, "a length of nothing ends it");
    }
}

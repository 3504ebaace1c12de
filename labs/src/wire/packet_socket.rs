//! AF_PACKET sockets of the relay: whole frames in batches, straight to the device.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Frames per system call.
const BATCH: usize = 64;
/// Room for the largest frame a veth can carry.
const ROOM: usize = 65_536 + 64;
/// What may wait while the relay is busy: about 20 ms of full frames at 3 Gbit/s.
const BUFFER: libc::c_int = 16 * 1024 * 1024;

pub(super) struct PacketSocket {
    descriptor: OwnedFd,
}

/// The frames of one system call.
pub(super) struct Batch {
    storage: Vec<u8>,
    lengths: Vec<usize>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            storage: vec![0; BATCH * ROOM],
            lengths: Vec::with_capacity(BATCH),
        }
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.storage
            .chunks(ROOM)
            .zip(&self.lengths)
            .filter_map(|(room, &length)| room.get(..length))
    }

    pub(super) fn is_full(&self) -> bool {
        self.lengths.len() == BATCH
    }
}

impl PacketSocket {
    /// Opens a socket on an interface of the current network namespace.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: `name` is a terminated string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let index = libc::c_int::try_from(index)
            .ok()
            .filter(|&index| index > 0)
            .ok_or_else(io::Error::last_os_error)?;
        // Protocol 0: nothing arrives before everything is set.
        // SAFETY: a system call on integers; the descriptor is ours alone.
        let descriptor = unsafe {
            let flags = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, flags, 0))?)
        };
        let socket = Self { descriptor };
        // Without this, the relay would hear its own frames and send them back for ever.
        socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        socket.set(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
        socket.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER)?;
        // SAFETY: `sockaddr_ll` is plain data for which all zeroes is valid.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as libc::c_ushort;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        // SAFETY: the address is of the length named and outlives the call.
        check(unsafe {
            libc::bind(
                socket.descriptor.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            )
        })?;
        Ok(socket)
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Takes what has arrived, at most a batch. An empty batch: nothing there.
    pub(super) fn receive(&self, batch: &mut Batch) -> io::Result<()> {
        batch.lengths.clear();
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|index| libc::iovec {
            // SAFETY: the storage holds BATCH rooms.
            iov_base: unsafe { batch.storage.as_mut_ptr().add(index * ROOM) }.cast(),
            iov_len: ROOM,
        });
        // SAFETY: `mmsghdr` is plain data for which all zeroes is valid.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for (message, vector) in messages.iter_mut().zip(&mut vectors) {
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every message points to a vector, every vector to a room, all outlive the call.
        let received = check(unsafe {
            libc::recvmmsg(
                self.descriptor(),
                messages.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        });
        match received {
            Ok(count) => {
                let count = usize::try_from(count).unwrap_or(0);
                batch.lengths.extend(
                    messages
                        .iter()
                        .take(count)
                        .map(|message| message.msg_len as usize),
                );
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Sends frames in order and returns how many the device took.
    pub(super) fn send<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut frames = frames.peekable();
        let mut taken = 0;
        while frames.peek().is_some() {
            // SAFETY: plain data for which all zeroes is valid.
            let (mut vectors, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
                unsafe { zeroed() };
            let mut count = 0;
            for ((message, vector), frame) in messages
                .iter_mut()
                .zip(&mut vectors)
                .zip(frames.by_ref().take(BATCH))
            {
                vector.iov_base = frame.as_ptr().cast_mut().cast();
                vector.iov_len = frame.len();
                message.msg_hdr.msg_iov = vector;
                message.msg_hdr.msg_iovlen = 1;
                count += 1;
            }
            taken += self.send_all(messages.get_mut(..count).unwrap_or_default());
        }
        taken
    }

    /// A frame that the device refuses (its other end is down) is lost, like on a real wire; those
    /// behind it are still sent.
    fn send_all(&self, messages: &mut [libc::mmsghdr]) -> usize {
        let (mut next, mut taken) = (0, 0);
        while let Some(rest) = messages.get_mut(next..).filter(|rest| !rest.is_empty()) {
            // SAFETY: every message points to a vector and a frame that outlive the call.
            let sent =
                check(unsafe { libc::sendmmsg(self.descriptor(), rest.as_mut_ptr(), rest.len() as u32, 0) });
            match sent {
                Ok(count) => {
                    let count = usize::try_from(count).unwrap_or(0);
                    taken += count;
                    next += count.max(1);
                }
                Err(_) => next += 1,
            }
        }
        taken
    }

    /// Frames that the kernel dropped since the last call because the relay was too slow.
    pub(super) fn dropped(&self) -> u64 {
        // SAFETY: plain data, of the length named.
        unsafe {
            let mut statistics: libc::tpacket_stats = zeroed();
            let mut length = size_of::<libc::tpacket_stats>() as u32;
            let result = libc::getsockopt(
                self.descriptor(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            );
            if result == 0 {
                u64::from(statistics.tp_drops)
            } else {
                0
            }
        }
    }

    fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        // SAFETY: the value outlives the call and is of the length named.
        check(unsafe {
            libc::setsockopt(
                self.descriptor(),
                level,
                option,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as u32,
            )
        })
        .map(drop)
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

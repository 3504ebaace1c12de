//! A packet socket that hears every interface of a namespace, in both directions.

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What may wait while the thread is not scheduled.
const BUFFER: libc::c_int = 16 * 1024 * 1024;

pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Opens it in the network namespace of the calling thread, where it stays.
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: system calls on integers; the descriptor is ours alone.
        let descriptor = unsafe {
            let flags = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let all = libc::c_int::from((libc::ETH_P_ALL as u16).to_be());
            OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, flags, all))?)
        };
        let buffer = BUFFER;
        // SAFETY: the value outlives the call and is of the length named.
        check(unsafe {
            libc::setsockopt(
                descriptor.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const buffer).cast(),
                size_of::<libc::c_int>() as u32,
            )
        })?;
        Ok(Self(descriptor))
    }

    /// The next frame; `Some(None)` is one of another interface, `None` that none waits.
    pub(super) fn receive<'a>(
        &self,
        room: &'a mut [u8],
        interfaces: &[String],
    ) -> io::Result<Option<Option<&'a [u8]>>> {
        // SAFETY: `sockaddr_ll` is plain data for which all zeroes is valid.
        let mut from: libc::sockaddr_ll = unsafe { zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the room and the address are of the lengths named and outlive the call.
        let received = unsafe {
            libc::recvfrom(
                self.0.as_raw_fd(),
                room.as_mut_ptr().cast(),
                room.len(),
                0,
                (&raw mut from).cast(),
                &raw mut length,
            )
        };
        let Ok(received) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(None),
                // An interface went down; the others speak on.
                Some(libc::ENETDOWN) => Ok(Some(None)),
                Some(_) | None => Err(error),
            };
        };
        let wanted = self
            .name(from.sll_ifindex)
            .is_some_and(|name| interfaces.contains(&name));
        Ok(Some(room.get(..received).filter(|_| wanted)))
    }

    /// The name of an interface of the socket's namespace, whatever namespace the thread is in.
    fn name(&self, index: libc::c_int) -> Option<String> {
        // SAFETY: `ifreq` is plain data for which all zeroes is valid.
        let mut request: libc::ifreq = unsafe { zeroed() };
        request.ifr_ifru.ifru_ifindex = index;
        // SAFETY: the request outlives the call.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCGIFNAME, &raw mut request) }).ok()?;
        // SAFETY: the kernel has written a terminated name into the request.
        let name = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
        Some(name.to_string_lossy().into_owned())
    }

    /// Until a frame waits, or the time is over.
    pub(super) fn wait(&self, time: Duration) {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let milliseconds = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one `pollfd` that outlives the call. Whatever it answers, the caller looks itself.
        unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
    }

    /// Frames that the kernel dropped since the last call.
    pub(super) fn dropped(&self) -> u64 {
        // SAFETY: plain data, of the length named.
        unsafe {
            let mut statistics: libc::tpacket_stats = zeroed();
            let mut length = size_of::<libc::tpacket_stats>() as u32;
            let result = libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            );
            u64::from(if result == 0 { statistics.tp_drops } else { 0 })
        }
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

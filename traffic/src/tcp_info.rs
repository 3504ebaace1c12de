//! Retransmit counter of a TCP socket (TCP_INFO).

use std::os::fd::{AsRawFd, BorrowedFd};

/// Segments retransmitted since the connection began; `None` when the kernel does not say.
#[must_use]
pub fn retransmits(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the kernel writes at most `length` bytes into `info`, for which all zeros is a valid value.
    let (result, info) = unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let result = libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        );
        (result, info)
    };
    (result == 0).then_some(info.tcpi_total_retrans)
}

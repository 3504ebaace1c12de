//! Socket options that no library knows, as bytes in the layout of the kernel's headers.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// Size of `sockaddr_storage`.
pub(super) const STORAGE: usize = 128;

/// `setsockopt`.
pub(crate) fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length =
        libc::socklen_t::try_from(value.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the kernel reads `length` bytes from `value`, which has as many and lives across the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

pub(super) fn set_number(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set(socket, level, name, &value.to_ne_bytes())
}

/// `getsockopt`; returns how much of `value` was filled.
pub(super) fn get(socket: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    let mut length =
        libc::socklen_t::try_from(value.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the kernel writes at most `length` bytes to `value`, which has as many, and the length it wrote to
    // `length`; both live across the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(usize::try_from(length).unwrap_or(0).min(value.len()))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Writes `sockaddr_storage` with the address and port 0; the rest stays as it is, which has to be zero.
pub(super) fn put_address(storage: &mut [u8; STORAGE], address: IpAddr) {
    let (family, offset) = match address {
        IpAddr::V4(_) => (libc::AF_INET, 4),
        // After the port comes the flow label.
        IpAddr::V6(_) => (libc::AF_INET6, 8),
    };
    put(storage, 0, &u16::try_from(family).unwrap_or(0).to_ne_bytes());
    match address {
        IpAddr::V4(address) => put(storage, offset, &address.octets()),
        IpAddr::V6(address) => put(storage, offset, &address.octets()),
    }
}

/// Copies `bytes` to `offset`; what does not fit is left out.
pub(super) fn put(target: &mut [u8], offset: usize, bytes: &[u8]) {
    let room = target.get_mut(offset..).unwrap_or_default();
    for (to, from) in room.iter_mut().zip(bytes) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_where_the_kernel_reads_them() {
        let mut storage = [0; STORAGE];
        put_address(&mut storage, "192.0.2.1".parse().unwrap());
        assert_eq!(storage[..8], [2, 0, 0, 0, 192, 0, 2, 1]);
        let mut storage = [0; STORAGE];
        put_address(&mut storage, "2001:db8::1".parse().unwrap());
        assert_eq!(storage[..2], 10_u16.to_ne_bytes());
        assert_eq!(storage[8..12], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(storage[23], 1);
    }
}

//! Access to header fields that lie at any address.

/// Reads a `T` at `offset` of a header that starts at `base`.
///
/// # Safety
/// The header must hold `offset + size_of::<T>()` bytes.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: promised by the caller. The BPF verifier accepts unaligned packet access wherever the
    // machine does; told of it, the compiler would read byte by byte.
    unsafe {
        let field = base.add(offset).cast::<T>();
        if cfg!(target_arch = "bpf") {
            field.read()
        } else {
            field.read_unaligned()
        }
    }
}

/// Writes a `T` at `offset` of a header that starts at `base`.
///
/// # Safety
/// As for [`load`].
#[inline(always)]
pub unsafe fn store<T: Copy>(base: *mut u8, offset: usize, value: T) {
    // SAFETY: as above.
    unsafe {
        let field = base.add(offset).cast::<T>();
        if cfg!(target_arch = "bpf") {
            field.write(value)
        } else {
            field.write_unaligned(value)
        }
    }
}

//! A BPF map by its descriptor, with typed keys and values.
//!
//! `bpf(2)` by hand, because the batch operations are not in aya, and because any thread may use a
//! map through a shared reference: the kernel is the lock. No privilege is needed once it is open.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};

use aya::Pod;
use nix::libc;

const LOOKUP: libc::c_int = 1;
const UPDATE: libc::c_int = 2;
const DELETE: libc::c_int = 3;
const LOOKUP_BATCH: libc::c_int = 24;

/// What an update expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    Any = 0,
    Absent = 1,
    Present = 2,
}

#[repr(C, align(8))]
#[derive(Default)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C, align(8))]
#[derive(Default)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the attributes are a prefix of `union bpf_attr`, and what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Where a walk over a table stands.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cursor {
    at: Option<u32>,
}

/// A map whose keys and values are plain records.
pub struct Table<K, V> {
    fd: OwnedFd,
    entries: u32,
    record: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    pub fn new(fd: OwnedFd, entries: u32) -> Self {
        Table {
            fd,
            entries,
            record: PhantomData,
        }
    }

    /// How many entries fit.
    pub fn capacity(&self) -> u32 {
        self.entries
    }

    fn element(&self, key: &K) -> Element {
        Element {
            map: self.number(),
            key: (&raw const *key) as u64,
            ..Element::default()
        }
    }

    fn number(&self) -> u32 {
        u32::try_from(self.fd.as_raw_fd()).unwrap_or(u32::MAX)
    }

    pub fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = std::mem::MaybeUninit::<V>::zeroed();
        let mut element = Element {
            value: value.as_mut_ptr() as u64,
            ..self.element(key)
        };
        match bpf(LOOKUP, &mut element) {
            // SAFETY: the kernel has written a whole value; any bits are a valid record.
            Ok(()) => Ok(Some(unsafe { value.assume_init() })),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn put(&self, key: &K, value: &V, expect: Expect) -> io::Result<()> {
        let value = (&raw const *value) as u64;
        bpf(
            UPDATE,
            &mut Element {
                value,
                flags: expect as u64,
                ..self.element(key)
            },
        )
    }

    /// Whether it was there.
    pub fn remove(&self, key: &K) -> io::Result<bool> {
        match bpf(DELETE, &mut self.element(key)) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next `limit` entries at most; None when the walk is over. Entries that come and go
    /// meanwhile may be seen or not.
    pub fn slice(
        &self,
        cursor: &mut Cursor,
        limit: u32,
        mut see: impl FnMut(&K, &V),
    ) -> io::Result<Option<()>> {
        // A bucket is returned whole or not at all.
        let mut limit = limit.max(64);
        loop {
            let mut keys: Vec<K> = Vec::with_capacity(limit as usize);
            let mut values: Vec<V> = Vec::with_capacity(limit as usize);
            let mut next = 0_u32;
            let mut batch = Batch {
                from: cursor.at.as_ref().map_or(0, |at| (&raw const *at) as u64),
                next: (&raw mut next) as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: limit,
                map: self.number(),
                ..Batch::default()
            };
            let result = bpf(LOOKUP_BATCH, &mut batch);
            let over = match result {
                Ok(()) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && limit < self.entries => {
                    limit = limit.saturating_mul(2);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let count = batch.count.min(limit) as usize;
            // SAFETY: the kernel has written `count` records into room for `limit`.
            unsafe {
                keys.set_len(count);
                values.set_len(count);
            }
            keys.iter().zip(&values).for_each(|(key, value)| see(key, value));
            cursor.at = Some(next);
            return Ok((!over).then_some(()));
        }
    }

    /// All entries, in no order.
    pub fn all(&self) -> io::Result<Vec<(K, V)>> {
        let mut cursor = Cursor::default();
        let mut entries = Vec::new();
        while self
            .slice(&mut cursor, 4096, |key, value| entries.push((*key, *value)))?
            .is_some()
        {}
        Ok(entries)
    }
}

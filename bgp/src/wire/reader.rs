//! A cursor over the bytes of one message that knows where it is.
//!
//! `Copy`, so that a rule can look ahead without giving anything back; every error it makes carries the absolute
//! offset of the byte in question and the type of the message, which decides the NOTIFICATION.
use std::net::{Ipv4Addr, Ipv6Addr};

use super::error::{DecodeError, ErrorKind};
use super::message::MessageType;

#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    within: Option<MessageType>,
}

impl<'a> Reader<'a> {
    /// `offset` is the position of `bytes[0]` in the message; `within` is `None` while reading the header.
    pub fn new(bytes: &'a [u8], offset: usize, within: Option<MessageType>) -> Self {
        Reader {
            bytes,
            offset,
            within,
        }
    }

    pub fn offset(&self) -> usize {
        self.offset
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, without moving.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error about the byte at the current position.
    pub fn error(&self, kind: ErrorKind) -> DecodeError {
        DecodeError {
            offset: self.offset,
            within: self.within,
            kind,
            culprit: Vec::new(),
        }
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_at_checked(count) {
            Some((head, tail)) => {
                self.bytes = tail;
                self.offset += count;
                Ok(head)
            }
            None => Err(self.error(ErrorKind::Truncated {
                wanted: count,
                left: self.bytes.len(),
            })),
        }
    }

    /// A reader of the next `count` bytes alone.
    pub fn take(&mut self, count: usize) -> Result<Reader<'a>, DecodeError> {
        let offset = self.offset;
        let bytes = self.bytes(count)?;
        Ok(Reader {
            bytes,
            offset,
            within: self.within,
        })
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.bytes = tail;
                self.offset += N;
                Ok(*head)
            }
            None => Err(self.error(ErrorKind::Truncated {
                wanted: N,
                left: self.bytes.len(),
            })),
        }
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn ipv4(&mut self) -> Result<Ipv4Addr, DecodeError> {
        self.array::<4>().map(Ipv4Addr::from)
    }

    pub fn ipv6(&mut self) -> Result<Ipv6Addr, DecodeError> {
        self.array::<16>().map(Ipv6Addr::from)
    }
}

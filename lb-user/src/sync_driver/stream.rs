//! Bytes that wait for the stream.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// What is written stays until all is, or until it is this much: a stream that never rests must not keep its past.
const WRITTEN: usize = 64 * 1024;

/// The peering's window bounds how much waits here.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
    /// Written and perhaps not yet on its way.
    unflushed: bool,
}

impl Outgoing {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn waits(&self) -> bool {
        self.unflushed || self.written < self.bytes.len()
    }

    /// Writes some or flushes. Cancelled, it has done nothing.
    pub(super) async fn advance(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let rest = self.bytes.get(self.written..).unwrap_or_default();
        if rest.is_empty() {
            stream.flush().await?;
            self.unflushed = false;
            return Ok(());
        }
        match stream.write(rest).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => self.written += count,
        }
        self.unflushed = true;
        if self.written >= self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written > WRITTEN {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn all_bytes_in_order() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let mut outgoing = Outgoing::default();
        let bytes: Vec<u8> = (0..100).collect();
        outgoing.push(&bytes[..40]);
        outgoing.push(&bytes[40..]);
        let write = async {
            while outgoing.waits() {
                outgoing.advance(&mut near).await.unwrap();
            }
        };
        let mut read = vec![0; 100];
        tokio::join!(write, async { far.read_exact(&mut read).await.unwrap() });
        assert_eq!(read, bytes);
        assert!(!outgoing.waits());
    }

    /// There is always something left to write, and yet no more is kept than that and a bounded past.
    #[tokio::test]
    async fn a_stream_that_never_rests_forgets_what_it_wrote() {
        let (mut near, mut far) = tokio::io::duplex(1024);
        let mut outgoing = Outgoing::default();
        outgoing.push(&[0]);
        let mut most = 0;
        let write = async {
            for number in 1..=2000_u32 {
                outgoing.push(&[u8::try_from(number % 251).unwrap(); 1024]);
                while outgoing.bytes.len() - outgoing.written > 1024 {
                    outgoing.advance(&mut near).await.unwrap();
                }
                most = most.max(outgoing.bytes.len());
            }
            while outgoing.waits() {
                outgoing.advance(&mut near).await.unwrap();
            }
        };
        let mut read = vec![0; 1 + 2000 * 1024];
        tokio::join!(write, async { far.read_exact(&mut read).await.unwrap() });
        assert!(most < 2 * WRITTEN, "{most} bytes are kept");
        for (number, part) in (1_u32..).zip(read[1..].chunks(1024)) {
            assert!(
                part.iter().all(|&byte| u32::from(byte) == number % 251),
                "part {number}"
            );
        }
    }
}

//! Cuts the byte stream of a connection into messages.
//!
//! One message at a time, because an OPEN changes how the next one is read. Holds less than one message plus what
//! the driver handed over last; a wrong header ends the stream for good.
use crate::wire::{Context, DecodeError, Message, frame_length};

#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Where the next message starts.
    start: usize,
    /// Where the one before it started.
    last: usize,
}

impl Framer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.last = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// `None`: wait for more bytes.
    pub(crate) fn next(&mut self, context: Context) -> Option<Result<Message, DecodeError>> {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let length = match frame_length(pending, context.extended) {
            Ok(length) => length?,
            Err(error) => return Some(Err(error)),
        };
        let message = pending.get(..length)?;
        self.last = self.start;
        self.start += length;
        Some(Message::decode(message, context))
    }

    /// The octets of the message that `next` returned last; gone with the next `push`.
    pub(crate) fn last(&self) -> &[u8] {
        self.buffer.get(self.last..self.start).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Encoding, ErrorKind};

    const CONTEXT: Context = Context {
        four_octet: true,
        external: true,
        add_path: crate::Families {
            ipv4: false,
            ipv6: false,
        },
        extended: false,
    };

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let one = Message::Keepalive.encode(Encoding::default()).unwrap();
        let stream = [one.as_slice(), one.as_slice()].concat();
        for size in 1..=stream.len() {
            let mut framer = Framer::default();
            let mut count = 0;
            for chunk in stream.chunks(size) {
                framer.push(chunk);
                while let Some(message) = framer.next(CONTEXT) {
                    assert_eq!(message, Ok(Message::Keepalive));
                    assert_eq!(framer.last(), one);
                    count += 1;
                }
            }
            assert_eq!(count, 2, "chunks of {size}");
        }
    }

    #[test]
    fn a_wrong_header_is_reported_before_its_body_arrives() {
        let mut framer = Framer::default();
        let mut header = vec![0xff; 16];
        header.extend([0x10, 0x01, 2]);
        framer.push(&header);
        let error = framer.next(CONTEXT).unwrap().unwrap_err();
        assert_eq!((error.offset, error.kind), (16, ErrorKind::MessageLength(0x1001)));
    }
}

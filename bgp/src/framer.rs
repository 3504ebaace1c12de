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
}

impl Framer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// `None`: wait for more bytes.
    pub(crate) fn next(&mut self, context: Context) -> Option<Result<Message, DecodeError>> {
        let pending = self.buffer.get(self.start..).unwrap_or_default();
        let length = match frame_length(pending) {
            Ok(length) => length?,
            Err(error) => return Some(Err(error)),
        };
        let message = pending.get(..length)?;
        self.start += length;
        Some(Message::decode(message, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorKind;

    const CONTEXT: Context = Context {
        four_octet: true,
        external: true,
    };

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let mut stream = Message::Keepalive.encode(true).unwrap();
        stream.extend(Message::Keepalive.encode(true).unwrap());
        for size in 1..=stream.len() {
            let mut framer = Framer::default();
            let mut count = 0;
            for chunk in stream.chunks(size) {
                framer.push(chunk);
                while let Some(message) = framer.next(CONTEXT) {
                    assert_eq!(message, Ok(Message::Keepalive));
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

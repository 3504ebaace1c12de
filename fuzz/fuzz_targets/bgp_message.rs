//! One message, any bytes. See `harness/message.rs`.
#![no_main]

#[path = "../harness/message.rs"]
mod message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| message::run(data));
